"""How often each metric's 95 % interval holds its target, in several worlds.

    python -m benchmarks.interval_coverage --repetitions 200
    python -m benchmarks.interval_coverage --worlds dropped copies --sizes 500x2 --metrics c2st

The reference and the training rows are fixed; each repetition draws fresh generated rows and gives
the metrics another seed, so that splits, projections, subsets and k-means starts vary too. The
target is the mean of the metric over the repetitions. A metric may say that it has no interval:
such repetitions are counted apart. Honest intervals hold at least 90 %; over 99 % they are wide.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genbench.metrics.evaluation import evaluate
from genbench.metrics.values import MetricValue

METRICS = (
    "fid", "fid_infinity", "fid_per_class", "kid", "classifier_score", "precision", "recall",
    "density", "coverage", "sliced_wasserstein", "vendi", "emd", "c2st", "c_t", "authenticity",
    "mauve",
)  # fmt: skip
PARAMETERS = {
    "kid": {"subsets": 50, "subset_size": 500},
    "sliced_wasserstein": {"projections": 50},
    "emd": {"block": 100},
}
SIZES = ("500x2", "1000x8", "500x32", "500x64")
CLASSES = 4
Drawn = tuple[Any, Any]


class World:
    """Clusters in `d` dimensions: real, training and, in a named way, generated rows of them."""

    def __init__(self, name: str, n: int, d: int) -> None:
        rng = np.random.default_rng(0)
        self.n, self.d = n, d
        self._draw_fake, self._number = WORLDS[name], list(WORLDS).index(name) + 1
        self._centres = rng.normal(size=(CLASSES, d)) * 1.5
        self.real, self.real_labels = self.draw(rng)
        self.train, self.train_labels = self.draw(rng)

    def draw(
        self, rng: np.random.Generator, shares: Sequence[float] | None = None, width: float = 1.0
    ) -> Drawn:
        """Rows and labels of the mixture."""
        labels = rng.choice(CLASSES, size=self.n, p=shares)
        noise = rng.normal(size=(self.n, self.d)) * width
        return (self._centres[labels] + noise).astype(np.float32), labels

    def copies(self, rng: np.random.Generator, rows: Any, labels: Any) -> Drawn:
        """Rows drawn again with a little noise, and their labels."""
        chosen = rng.integers(0, len(rows), self.n)
        noise = rng.normal(size=(self.n, self.d)) * 0.02
        return (rows[chosen] + noise).astype(np.float32), labels[chosen]

    def scores(
        self, seed: int, names: Sequence[str], *, intervals: bool = True
    ) -> dict[str, MetricValue]:
        """All metrics of one fresh generated set."""
        fake, labels = self._draw_fake(
            self, np.random.default_rng((self._number, self.n, self.d, seed))
        )
        square = np.square(fake[:, None] - self._centres).sum(axis=2)
        p = np.exp(-(square - square.min(axis=1, keepdims=True)) / 2)
        return evaluate(
            self.real, fake, names, train=self.train, parameters=PARAMETERS, intervals=intervals,
            real_labels=self.real_labels, fake_labels=labels,
            fake_probabilities=p / p.sum(axis=1, keepdims=True), seed=seed,
        )  # fmt: skip


def _shifted(world: World, rng: np.random.Generator) -> Drawn:
    rows, labels = world.draw(rng)
    return rows + np.float32(0.5), labels


WORLDS: Mapping[str, Callable[[World, np.random.Generator], Drawn]] = {
    "equal": lambda world, rng: world.draw(rng),
    "wider": lambda world, rng: world.draw(rng, (0.3, 0.3, 0.25, 0.15), 1.1),
    "shifted": _shifted,
    "train-copies": lambda world, rng: world.copies(rng, world.train, world.train_labels),
    "real-copies": lambda world, rng: world.copies(rng, world.real, world.real_labels),
    "rare": lambda world, rng: world.draw(rng, (0.35, 0.35, 0.27, 0.03)),
    "dropped": lambda world, rng: world.draw(rng, (0.5, 0.3, 0.2, 0.0)),
    "collapsed": lambda world, rng: world.draw(rng, (1.0, 0.0, 0.0, 0.0), 0.3),
    "far": lambda world, rng: world.draw(rng, width=9.0),
}


@dataclass(frozen=True, slots=True)
class Held:
    """How one metric's intervals fared in one world: shares, and spread against its claim."""

    target: float
    spread: float
    error: float
    given: float
    held: float
    width_0: float
    reasons: Mapping[str, int]

    @classmethod
    def of(cls, values: Sequence[MetricValue]) -> Held | None:
        """None where the metric has no value in this world."""
        measured = [one for one in values if one.value is not None]
        if not measured:
            return None
        found = np.array([one.value for one in measured])
        target = float(found.mean())
        with_one = [one for one in measured if one.interval is not None]
        low = np.array([one.interval.low for one in with_one])  # type: ignore[union-attr]
        high = np.array([one.interval.high for one in with_one])  # type: ignore[union-attr]
        reasons = Counter(str(o.details.get("no_interval")) for o in measured if o.interval is None)
        return cls(
            target,
            float(found.std(ddof=1)),
            float(np.mean([one.std_error or 0.0 for one in with_one])) if with_one else 0.0,
            len(with_one) / len(measured),
            float(np.mean((low <= target) & (target <= high))) if with_one else 0.0,
            float(np.mean(low == high)) if with_one else 0.0,
            reasons,
        )

    @property
    def cell(self) -> str:
        """As the table shows it: per cent held, and of how many if some had no interval."""
        if self.given == 0:
            return "none"
        mark = "**" if self.held < 0.90 else ""
        of = "" if self.given == 1 else f" of {100 * self.given:.0f}"
        return f"{mark}{100 * self.held:.0f}{mark}{of}" + ("!" if self.width_0 else "")


def measure(world: World, metrics: Sequence[str], repetitions: int) -> dict[str, Held | None]:
    """Each metric's intervals over fresh generated samples of one world."""
    found = [world.scores(seed, metrics) for seed in range(repetitions)]
    return {name: Held.of([one[name] for one in found]) for name in metrics}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), help="Rows x dimensions.")
    parser.add_argument("--worlds", nargs="*", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--metrics", nargs="*", default=list(METRICS))
    parser.add_argument("--verbose", action="store_true", help="Spread, claimed error, reasons.")
    options = parser.parse_args()
    warnings.simplefilter("error")
    print(f"per cent of {options.repetitions} intervals that hold their target")
    print("| world | n x d | " + " | ".join(options.metrics) + " |")
    print("|---|---|" + "---|" * len(options.metrics))
    for name in options.worlds:
        for size in options.sizes:
            world = World(name, *(int(part) for part in size.split("x")))
            found = measure(world, options.metrics, options.repetitions)
            cells = ["-" if one is None else one.cell for one in found.values()]
            print(f"| {name} | {size} | " + " | ".join(cells) + " |", flush=True)
            if options.verbose:
                for metric, one in found.items():
                    print(f"    {metric:20s}{one}", flush=True)


if __name__ == "__main__":
    main()
