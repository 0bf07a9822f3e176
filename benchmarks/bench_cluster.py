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
for each T of training; ``never`` is a cell without checkpoints. The intervals are ours (a
checkpoint every 30 s), Young's sqrt(2 c M) [2], Daly's estimate of higher order [1], and multiples.

**Operations a second.** Counted, not simulated: the code of a worker's heartbeat, of its look for
manifests and of its reading of what others have settled runs here in a folder made for it, under a
count of all that it asks of the file system (one for each call that has to reach it: names looked
up, files opened, read, written, linked, renamed, removed). A cell's own calls come from ``strace``
over a worker (`bench_queue`). A node beats every sixth of a lease, looks for manifests every 2 s,
and reads what is settled once before each cell, a file for each worker.

[1] J. T. Daly, A higher order estimate of the optimum checkpoint interval for restart dumps, Future
    Generation Computer Systems 22 (2006). [2] J. W. Young, A first order approximation to the
    optimum checkpoint interval, Communications of the ACM 17 (1974).
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HOUR = 3600.0
OURS = 30.0  # seconds of training between two checkpoints, as in `genbench.plugins.training`
RESTART = 60.0
CELLS = 5  # a node works through


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
            "ours": OURS, "Young / 4": young(costs) / 4, "Young": young(costs),
            "Daly": daly(costs), "4 Young": 4 * young(costs), "never": work,
        }  # fmt: skip
        for name, interval in named.items():
            rng = np.random.default_rng([seed, round(mean), round(checkpoint)])
            lost, failures = simulated_loss(
                costs, min(interval, work), work, nodes * CELLS, rng
            )  # fmt: skip
            print(f"{mean:6.0f} {checkpoint:5.0f}  {name:<12} {interval:8.0f} {failures:9,} "
                  f"{100 * lost:8.2f} {100 * expected_loss(costs, interval):10.2f}")  # fmt: skip


