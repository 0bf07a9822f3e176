"""Exact earth mover's distance against SciPy's assignment and POT's network simplex.

    python -m benchmarks.bench_emd [--n 5000] [--d 128]

Same float32 rows, as a network's features are; each side pays for its own matrix of distances and
must find the same value.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import ot
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from benchmarks.bench_metrics import make_rows
from genbench.metrics.transport import earth_movers_distance

Rows = NDArray[np.float32]
ITERATIONS = 10_000_000  # POT stops early by default and then is not exact


def by_scipy(real: Rows, fake: Rows) -> float:
    """SciPy: a dense matrix and the Jonker-Volgenant assignment."""
    cost = cdist(real, fake)
    return float(cost[linear_sum_assignment(cost)].mean())


def by_pot(real: Rows, fake: Rows) -> float:
    """POT: the network simplex with equal weights."""
    return float(ot.emd2([], [], ot.dist(real, fake, "euclidean"), numItermax=ITERATIONS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=5_000)
    parser.add_argument("--d", type=int, default=128)
    given = parser.parse_args()
    rows = make_rows(given.n, given.d)
    real, fake = rows["real"], rows["fake"]
    sides: dict[str, Callable[[Rows, Rows], float]] = {
        "genbench": earth_movers_distance,
        "SciPy": by_scipy,
        "POT": by_pot,
    }
    seconds, values = {}, {}
    for name, distance in sides.items():
        distance(real[:200], fake[:200])
        start = time.perf_counter()
        values[name] = distance(real, fake)
        seconds[name] = time.perf_counter() - start
        print(f"{name:26s}{seconds[name]:8.2f} s   {values[name]:.6f}", flush=True)
    peer = min(seconds["SciPy"], seconds["POT"])
    print(f"genbench: {peer / seconds['genbench']:.1f} times as fast as the faster peer")


if __name__ == "__main__":
    main()
