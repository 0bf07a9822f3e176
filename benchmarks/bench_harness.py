"""What the harness costs: start-up, seconds a cell beyond its own work, and the training loop.

    python -m benchmarks.bench_harness

Prints one table. The training loop is measured against a bare PyTorch loop over the same model and
rows, in turn; other work on the machine only ever adds time, so the ratio is of the least times.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from genbench.generator import Space
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData

PAIRS = 25
EXAMPLES = 12_800
BATCH = 128
HERE = Path(__file__).resolve().parent


def start_up() -> dict[str, float]:
    """Seconds of the commands that people type first; the least of five."""
    found = {}
    for words in (["--help"], ["list"]):
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            genbench(words)
            seconds.append(time.perf_counter() - start)
        found[f"genbench {words[0]}, s"] = min(seconds)
    return found


def genbench(words: list[str]) -> None:
    """Run the command line in a process of its own."""
    code = "from genbench.cli import main; main()"
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)


def cell_overhead() -> dict[str, float]:
    """Seconds of a cell that are neither fit, nor sampling, nor metrics; and of a whole run."""
    tests = HERE.parent / "tests"
    with tempfile.TemporaryDirectory() as folder:
        words = ["run", "--suite", str(tests / "tiny.toml"), "--no-report", "--results", folder]
        start = time.perf_counter()
        genbench([*words, "--plugin", str(tests / "plugins" / "normal.py")])
        whole = time.perf_counter() - start
        records = [json.loads(p.read_text()) for p in Path(folder).glob("*/*/seed-*/*/record.json")]
    own = ("fit_s", "sample_s", "metrics_s", "log_prob_s")
    extra = [r["times"]["wall_s"] - sum(r["timing"].get(k, 0) for k in own) for r in records]
    work = sum(sum(r["timing"].get(k, 0) for k in own) for r in records)
    return {
        "overhead of a cell in its worker, s": statistics.median(extra),
        "overhead of a run over its cells, s a cell": (whole - work) / len(records),
    }


def training_loop() -> dict[str, float]:
    """Time of a fit through the contract over that of a bare loop of the same model."""
    rows = torch.randint(0, 256, (50_000, 1, 28, 28), dtype=torch.uint8)
    labels = torch.randint(0, 10, (50_000,))
    through_harness(rows, labels)
    seconds: dict[str, list[float]] = {"through_harness": [], "bare": []}
    for pair in range(PAIRS):
        for run in (through_harness, bare) if pair % 2 else (bare, through_harness):
            seconds[run.__name__].append(timed(run, rows, labels))
    ratio = min(seconds["through_harness"]) / min(seconds["bare"])
    return {"training loop, harness / bare (least times)": ratio}


def timed(run: Callable[..., None], *args: torch.Tensor) -> float:
    start = time.perf_counter()
    run(*args)
    return time.perf_counter() - start


def model() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A small convolutional classifier: a step of a few milliseconds, where overhead shows."""
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 49, 10),
    )  # fmt: skip
    return net, torch.optim.Adam(net.parameters(), 1e-3, fused=True)


def step(
    net: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    loss = F.cross_entropy(net(x.float() / 255), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def bare(rows: torch.Tensor, labels: torch.Tensor) -> None:
    net, optimizer = model()
    order = torch.randperm(len(rows))
    for start in range(0, EXAMPLES, BATCH):
        chosen = order[start : start + BATCH]
        step(net, optimizer, rows[chosen], labels[chosen])


def through_harness(rows: torch.Tensor, labels: torch.Tensor) -> None:
    net, optimizer = model()
    budget, cpu = Budget(EXAMPLES), torch.device("cpu")
    data = MemoryTrainData(rows, labels, Space("image", (1, 28, 28), 256, 10), cpu, budget)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint.safetensors"
        run = HarnessRun(0, cpu, budget, checkpoint_file=file, report=lambda *news: None)
        for x, y in data.batches(BATCH, seed=0):
            run.progress(loss=step(net, optimizer, x, y).detach())
            run.checkpoint(lambda: {"net": net.state_dict(), "adam": optimizer.state_dict()})


def main() -> None:
    """Measure and print."""
    for part in (start_up, cell_overhead, training_loop):
        for name, value in part().items():
            print(f"{name:<48} {value:8.3f}", flush=True)


if __name__ == "__main__":
    main()
