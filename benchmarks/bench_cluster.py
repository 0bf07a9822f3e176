"""A thousand nodes that fail: what checkpoints save, and what the shared folder has to bear.

    python -m benchmarks.bench_cluster [--nodes N] [--hours H] [--seed S]

**Lost work.** A simulation. Every node has one cell of `--hours` of training at a time and works
through `CELLS` of them. Failures of a node are a Poisson process: the time to the next one is
exponential with the mean M of the table, and no failure depends on another. Each T seconds of
training a checkpoint is written, which takes c seconds; a failure, also one while a checkpoint is
written, costs all that was done since the last whole one, and what comes after it begins with R =
`RESTART` seconds in which nothing is trained (start, imports, the rows, the checkpoint). The end of
a cell is written like a checkpoint. Nodes that failed are replaced at once: time in which a node is
away is no loss of work. Told is the share of all node time that was no training (`--seed` decides
all of it), beside the same by Daly's formula for very long jobs [1], M e^(R/M) (e^((T+c)/M) - 1)
for each T of training; ``never`` is a cell without checkpoints. The intervals are 30 s, ours (30 s,
or 20 c where that is longer), Young's sqrt(2 c M) [2], Daly's estimate of higher order [1], and
multiples.

**Operations a second.** Counted, not simulated: ``strace`` tells all calls below the results folder
that a worker's heartbeat, its look for manifests, its reading of what others have settled and a
whole cell make (`calls_below`). A worker beats six times in a lease, looks every `LOOK_SECONDS`,
and reads what is settled, a file for each worker, when it has room for a cell; each node has one
worker and one cell at a time, which takes the minutes of the table. All calls are told, whether or
not a file system's client has to ask its server for each.

[1] J. T. Daly, A higher order estimate of the optimum checkpoint interval for restart dumps, Future
    Generation Computer Systems 22 (2006). [2] J. W. Young, A first order approximation to the
    optimum checkpoint interval, Communications of the ACM 17 (1974).
"""

from __future__ import annotations

import argparse
import math
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.bench_queue import RUN, calls_below, genbench
from genbench.plugins.training import CHECKPOINT_SECONDS, CHECKPOINT_SHARE
from genbench.running.queue.heartbeats import BEATS
from genbench.running.queue.work import LOOK_SECONDS

HOUR = 3600.0
RESTART = 60.0
CELLS = 5  # a node works through
WORKERS_SEEN = 10  # whose files of what is settled are read to count the calls for one


@dataclass(frozen=True)
class Costs:
    """The seconds of a checkpoint, of a start, and the mean time between failures of a node."""

    checkpoint: float
    restart: float
    between_failures: float


def young(costs: Costs) -> float:
    """Young's interval: ``sqrt(2 c M)``, seconds of training."""
    return math.sqrt(2 * costs.checkpoint * costs.between_failures)


def daly(costs: Costs) -> float:
    """Daly's interval, his equation 37: M where a checkpoint takes more than 2 M."""
    share = costs.checkpoint / (2 * costs.between_failures)
    if share >= 1:
        return costs.between_failures
    return young(costs) * (1 + math.sqrt(share) / 3 + share / 9) - costs.checkpoint


def expected_loss(costs: Costs, interval: float) -> float:
    """The share of time that is no training, by Daly's equation 20."""
    mean = costs.between_failures
    whole = mean * math.exp(costs.restart / mean)
    whole *= math.expm1((interval + costs.checkpoint) / mean) / interval
    return 1 - 1 / whole


def simulated_loss(
    costs: Costs, interval: float, work: float, cells: int, rng: np.random.Generator
) -> tuple[float, int]:
    """The share of all time that was no training, and how many failures there were.

    Parameters
    ----------
    work
        Seconds of training of a cell.
    """
    left = np.full(cells, work)  # of training that no checkpoint holds
    starts = np.zeros(cells)  # seconds until it trains, nothing for what was never interrupted
    spent, failures = 0.0, 0
    while left.size:
        life = rng.exponential(costs.between_failures, left.size)
        checkpoints = np.ceil(left / interval)  # the end of the cell is one
        needed = starts + left + costs.checkpoint * checkpoints
        ends = life >= needed
        spent += float(np.minimum(life, needed).sum())
        failures += int((~ends).sum())
        whole = np.floor((life - starts) / (interval + costs.checkpoint)).clip(0)
        left = (left - whole * interval)[~ends]
        starts = np.full(left.size, costs.restart)
    return 1 - work * cells / spent, failures


def lost_work(nodes: int, hours: float, seed: int) -> None:
    """Print the table of intervals."""
    print(f"{nodes:,} nodes, cells of {hours:g} h, {CELLS} each; {RESTART:.0f} s to start again")
    print(f"{'M, h':>6} {'c, s':>5}  {'interval':<12} {'T, s':>8} {'failures':>9} "
          f"{'lost, %':>8} {'formula, %':>10}")  # fmt: skip
    for mean, checkpoint in ((24.0, 1.0), (24.0, 20.0), (240.0, 20.0)):
        costs = Costs(checkpoint, RESTART, mean * HOUR)
        work = hours * HOUR
        named = {
            "30 s": CHECKPOINT_SECONDS,
            "ours": max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * checkpoint),
            "Young / 4": young(costs) / 4, "Young": young(costs), "Daly": daly(costs),
            "4 Young": 4 * young(costs), "never": work,
        }  # fmt: skip
        for name, interval in named.items():
            rng = np.random.default_rng([seed, round(mean), round(checkpoint)])
            lost, failures = simulated_loss(
                costs, min(interval, work), work, nodes * CELLS, rng
            )  # fmt: skip
            print(f"{mean:6.0f} {checkpoint:5.0f}  {name:<12} {interval:8.0f} {failures:9,} "
                  f"{100 * lost:8.2f} {100 * expected_loss(costs, interval):10.2f}")  # fmt: skip


TIMES = 20
PART = """
import sys
from pathlib import Path
from genbench.running.queue.heartbeats import Heart
from genbench.running.queue.manifest import manifests
root = Path(sys.argv[1])
known = manifests(root)
if sys.argv[2] == "beat":
    heart = Heart(root, "one", 60.0, list)
for _ in range(int(sys.argv[3])):
    if sys.argv[2] == "beat":
        heart._beat()
    elif sys.argv[2] == "look":
        manifests(root, known=known)
    else:
        known[0].settled()
"""


def calls_of(part: str, root: Path) -> float | None:
    """Calls of one ``beat``, one ``look``, or of reading what one other worker has ``settled``."""
    words = [sys.executable, "-W", "ignore", "-c", PART, root, part]
    counts = [calls_below(root, [*words, times]) for times in (0, TIMES)]
    few, many = counts
    return None if few is None or many is None else (many - few) / TIMES


def folder_calls(nodes: int, folder: Path) -> None:
    """Print the calls of the parts of a worker, and those of all nodes a second."""
    shared = folder / "shared"
    ordered = genbench(*RUN, "--results", shared, "--executor", "folder", "--detach")
    subprocess.run(ordered, check=True, capture_output=True)
    (manifest,) = (shared / ".queue").glob("*/manifest.json")
    settled = manifest.parent / "settled"
    counts: dict[str, float] = {}
    for part in ("beat", "look", "settled"):
        for number in range(WORKERS_SEEN if part == "settled" else 0):
            (settled / f"worker-{number}").write_text(f"{number}\n")
        found = calls_of(part, shared)
        if found is None:
            print("calls not counted: no strace here")
            return
        counts[part] = found / (WORKERS_SEEN if part == "settled" else 1)
    shutil.rmtree(settled)
    settled.mkdir()
    whole = calls_below(shared, genbench("work", shared, "-j", 1))
    assert whole is not None
    counts["cell"] = float(whole)
    told = ", ".join(f"{part} {count:.1f}" for part, count in counts.items())
    print(f"\ncalls below the results folder: {told} (settled: for each worker that there is)")
    print(f"{'lease, s':>9} {'look, s':>8} {'cell, min':>10} {'calls/s of all nodes':>21} "
          f"{'beats':>7} {'looks':>7} {'settled':>8} {'cells':>7}")  # fmt: skip
    for lease in (30.0, 60.0, 300.0):
        for look in (LOOK_SECONDS, 10.0):
            for minutes in (1.0, 10.0, 60.0):
                of = (
                    nodes * counts["beat"] * BEATS / lease,
                    nodes * counts["look"] / look,
                    nodes * nodes * counts["settled"] / (60 * minutes),
                    nodes * counts["cell"] / (60 * minutes),
                )
                print(f"{lease:9.0f} {look:8.0f} {minutes:10.0f} {sum(of):21,.0f} "
                      f"{of[0]:7,.0f} {of[1]:7,.0f} {of[2]:8,.0f} {of[3]:7,.0f}")  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    lost_work(asked.nodes, asked.hours, asked.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder_calls(asked.nodes, Path(folder))


if __name__ == "__main__":
    main()
