"""What a card gains: training steps captured and eager, metrics, sampling, a whole run.

    python -m benchmarks.bench_gpu              under five minutes on a card
    python -m benchmarks.bench_gpu --long       `mnist` standard too
    python -m benchmarks.bench_gpu --device cpu --quick    that it runs, on sizes that say nothing

Rows are random, so that no data set is needed but for the runs. Every figure stands beside what it
is compared with in the same run: the eager step of the same code, torch-fidelity and prdc on the
same features. A step's time is the difference between a long and a short fit, over their steps.
Without a card it says so and makes the quick check.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.bench_metrics import TIMED, make_rows, prdc, torch_fidelity
from genbench.data import Split
from genbench.downstream.judges import train_classifier
from genbench.generator import Space
from genbench.metrics import evaluate
from genbench.plugins import FitResult, GeneratorChoice, GeneratorDriver, find
from genbench.plugins.finding import describe
from genbench.running import configure_torch
from genbench.system import available_cores, card, limit_threads
from genbench.system.capture import BACKENDS

SPACE = Space("image", (1, 28, 28), 256, 10)
BATCHES = {"gan": 32, "vae": 64, "dna": 64, "flow": 64}
MUST_MS = {"gan": 2.2, "vae": 2.0, "dna": 2.0, "flow": 4.0}
FULL = 6_000_000  # examples of the profile `full`
ROWS = 4096


@dataclass(frozen=True)
class Sizes:
    """How much is done of each."""

    short: int
    long: int
    eager: int
    classifier: int
    evaluated: Sequence[tuple[int, int]]
    sampled: int


FULL_SIZES = Sizes(30, 330, 90, 500, ((10_000, 2048), (50_000, 2048)), 10_000)
QUICK = Sizes(1, 2, 2, 3, ((1001, 16),), 8)


def line(what: str, found: str, beside: str = "", must: str = "") -> None:
    """A row of the table."""
    print(f"{what:<46}{found:>12}{beside:>22}{must:>12}", flush=True)


def seconds(work: Callable[[], object], device: str) -> float:
    """Wall time of some work, until the card has done it."""
    wait = torch.cuda.synchronize if device != "cpu" else lambda: None
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Nothing is captured."""
    kept = dict(BACKENDS)
    BACKENDS.clear()
    try:
        yield
    finally:
        BACKENDS.update(kept)


def rows() -> Split:
    """Random images and labels."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (ROWS, *SPACE.shape), dtype=np.uint8)
    return Split(x, rng.integers(0, SPACE.classes, ROWS))


def choice(name: str) -> GeneratorChoice:
    """A baseline with the batch size of the table."""
    description = describe(find(name))
    passed = description.parse({"batch_size": str(BATCHES[name])})
    return GeneratorChoice(find(name), description, description.complete(passed), passed)


def fitted(name: str, device: str, steps: int) -> GeneratorDriver:
    """A baseline after so many steps."""
    made = GeneratorDriver(choice(name), SPACE, torch.device(device))
    made.fit(rows(), steps * BATCHES[name], 0, FitResult())
    return made


def step_ms(name: str, device: str, short: int, long: int) -> float:
    """Milliseconds of a training step, start and capture left out."""
    fitted(name, device, short)  # the first of a process is slower
    took = [seconds(lambda n=n: fitted(name, device, n), device) for n in (short, long)]
    return 1000 * (took[1] - took[0]) / (long - short)


def steps(device: str, sizes: Sizes) -> None:
    """Training steps of the baselines, and what they make of the profile `full`."""
    total = 0.0
    for name, batch in BATCHES.items():
        captured = step_ms(name, device, sizes.short, sizes.long)
        with eager():
            plain = step_ms(name, device, sizes.short, sizes.eager)
        beside = f"eager {plain:.2f} ms"
        line(f"step of {name}, batch {batch}", f"{captured:.2f} ms", beside, f"{MUST_MS[name]} ms")
        minutes = captured * FULL / batch / 60_000
        total += minutes
        line("  its fit in `full`, extrapolated from the step", f"{minutes:.1f} min")
    line("all four fits in `full`, extrapolated", f"{total:.1f} min", "", "30 min")


def classifier(device: str, n: int) -> None:
    """The downstream classifier, which every arm trains."""
    data = rows()

    def train() -> None:
        train_classifier(data.x, data.y, SPACE, steps=n, batch_size=64, seed=0, device=device)

    train()
    captured = seconds(train, device)
    with eager():
        plain = seconds(train, device)
    line(f"downstream classifier, {n} steps", f"{captured:.2f} s", f"eager {plain:.2f} s", "0.4 s")


def metrics(device: str, n: int, d: int) -> None:
    """`evaluate` where the features are, beside torch-fidelity and prdc."""
    made = make_rows(n, d)
    real, fake = (torch.from_numpy(made[name]).to(device) for name in ("real", "fake"))
    p = torch.from_numpy(made["logits"]).softmax(1).to(device)

    def ours() -> None:
        evaluate(real, fake, TIMED, fake_probabilities=p, seed=2020, intervals=False)

    ours()
    took = seconds(ours, device)
    beside = ""
    if n <= 10_000:  # beyond, theirs take minutes
        limit_threads(available_cores())
        theirs = seconds(lambda: (torch_fidelity(made), prdc(made)), "cpu")
        limit_threads(1)
        beside = f"theirs, CPU {theirs:.2f} s"
    must = {10_000: "0.5 s", 50_000: "3 s"}.get(n, "")
    line(f"FD, IS, KID, P/R, D/C of {n:,} x {d:,}", f"{took:.2f} s", beside, must)


def sampling(device: str, n: int) -> None:
    """Rows of `flow`, whose inverse goes pixel by pixel."""
    driver = fitted("flow", device, 2)

    def draw() -> None:
        for _ in driver.chunks(n, chunk=1000, seed=0, labels=rows().y[np.arange(n) % ROWS]):
            pass

    line(f"flow: {n:,} samples", f"{seconds(draw, device):.2f} s", "", "6 s")


def run(device: str, profile: str, must: str, quick: bool) -> None:
    """A whole run of `mnist`; its plan alone where it is quick."""
    with tempfile.TemporaryDirectory() as folder:
        words = f"run --suite mnist --profile {profile} --seeds 0 --results {folder}".split()
        words += ["--dry-run"] if quick else ["--device", device, "--no-report"]
        code = "from genbench.cli import main; main()"
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
        took = time.perf_counter() - start
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
    found = "failed" if done.returncode else f"{took:.0f} s"
    line(f"mnist {profile}, every cell{' (its plan)' if quick else ''}", found, "", must)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda:0", help="cuda, cuda:i or cpu")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--long", action="store_true", help="mnist standard too")
    asked = parser.parse_args()
    device, quick = asked.device, asked.quick
    if device != "cpu" and not torch.cuda.is_available():
        print("There is no card here: nothing is measured. That the code runs, on the CPU:\n")
        device, quick = "cpu", True
    sizes = QUICK if quick else FULL_SIZES
    configure_torch(1)
    card.begin(device)
    said = "; tiny sizes, which say nothing" if quick else ""
    print(f"{card.name(device) or 'CPU'}, torch {torch.__version__}{said}")
    line("", "here", "beside it", "must")
    steps(device, sizes)
    classifier(device, sizes.classifier)
    for n, d in sizes.evaluated:
        metrics(device, n, d)
    sampling(device, sizes.sampled)
    run(device, "smoke", "60 s", quick)
    if asked.long:
        run(device, "standard", "8 min", quick)


if __name__ == "__main__":
    main()
