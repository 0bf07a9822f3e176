"""How often each metric's 95 % interval holds its target, over fresh generated samples.

    python -m benchmarks.interval_coverage --n 1000 --repetitions 400 --truth 600

The reference is fixed; the target is the mean of the metric over `--truth` fresh sets of n rows,
the intervals are those of `--repetitions` further sets. Honest intervals land in 90 - 98 %.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from genbench.metrics import evaluate

METRICS = (
    "fid", "fid_infinity", "fid_per_class", "kid", "classifier_score", "precision", "recall",
    "density", "coverage", "sliced_wasserstein", "vendi", "emd", "c2st", "c_t", "authenticity",
)  # fmt: skip
PARAMETERS = {
    "kid": {"subsets": 50, "subset_size": 500},
    "sliced_wasserstein": {"projections": 50},
    "emd": {"block": 100},
}
CLASSES = 4


class World:
    """Clusters in `d` dimensions; generated rows are a little wider and one cluster is rare."""

    def __init__(self, n: int, d: int) -> None:
        rng = np.random.default_rng(0)
        self._n, self._d = n, d
        self._centres = rng.normal(size=(CLASSES, d)) * 1.5
        even = np.full(CLASSES, 1 / CLASSES)
        self.real, self.real_labels = self.draw(rng, even, 1.0)
        self.train, _ = self.draw(rng, even, 1.0)

    def fake(self, seed: int) -> tuple[Any, Any]:
        """Fresh generated rows and labels."""
        rng = np.random.default_rng((1, seed))
        return self.draw(rng, np.array([0.3, 0.3, 0.25, 0.15]), 1.1)

    def draw(self, rng: np.random.Generator, shares: Any, width: float) -> tuple[Any, Any]:
        """Rows and labels of the mixture."""
        labels = rng.choice(CLASSES, size=self._n, p=shares)
        noise = rng.normal(size=(self._n, self._d)) * width
        return (self._centres[labels] + noise).astype(np.float32), labels

    def scores(self, seed: int, names: Sequence[str], intervals: bool) -> dict[str, Any]:
        """All metrics of one fresh generated set."""
        fake, labels = self.fake(seed)
        square = np.square(fake[:, None] - self._centres).sum(axis=2)
        p = np.exp(-(square - square.min(axis=1, keepdims=True)) / 2)
        return evaluate(
            self.real, fake, names, train=self.train, parameters=PARAMETERS, intervals=intervals,
            real_labels=self.real_labels, fake_labels=labels,
            fake_probabilities=p / p.sum(axis=1, keepdims=True), seed=seed,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000, help="Rows of each set.")
    parser.add_argument("--d", type=int, default=8, help="Dimensions.")
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--truth", type=int, default=600)
    parser.add_argument("--metrics", nargs="*", default=list(METRICS))
    options = parser.parse_args()
    warnings.simplefilter("error")
    world = World(options.n, options.d)
    truth = [world.scores(s, options.metrics, intervals=False) for s in range(options.truth)]
    again = range(options.truth, options.truth + options.repetitions)
    found = [world.scores(s, options.metrics, intervals=True) for s in again]
    print(f"n = {options.n}, d = {options.d}: {options.repetitions} intervals, target from "
          f"{options.truth} draws")  # fmt: skip
    print(f"{'metric':20s}{'target':>12s}{'true sd':>12s}{'mean se':>12s}{'holds':>9s}")
    for name in options.metrics:
        values = np.array([one[name].value for one in truth])
        held = np.mean([
            one[name].interval.low <= values.mean() <= one[name].interval.high for one in found
        ])  # fmt: skip
        error = np.mean([one[name].std_error for one in found])
        verdict = "" if 0.90 <= held <= 0.98 else "  outside 90-98 %"
        spread = values.std(ddof=1)
        print(f"{name:20s}{values.mean():12.5f}{spread:12.5f}{error:12.5f}{held:9.1%}{verdict}")


if __name__ == "__main__":
    main()
