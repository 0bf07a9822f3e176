"""How many rows a metric needs in so many feature dimensions, and the words where they are fewer.

A value from fewer rows is still a value, and its interval may hold; but it says little of the
generator: a covariance of n < d rows is singular, any n < d rows can be told apart by a plane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from genbench.metrics.copying import COMPONENTS
from genbench.metrics.table import split_id

Least = Callable[[int], int]


def _dimensions(d: int) -> int:
    return d


LEAST: Mapping[str, Least] = {
    "fid": _dimensions,
    "fid_infinity": lambda d: 4 * d,
    "fid_per_class": _dimensions,
    "precision": _dimensions,
    "recall": _dimensions,
    "density": _dimensions,
    "coverage": _dimensions,
    "vendi": _dimensions,
    "c2st": _dimensions,
    "c_t": lambda d: min(d, COMPONENTS),
}


def least_rows(metric: str, dimensions: int) -> int:
    """Rows of either set from which the metric means something in `dimensions` features.

    0 for metrics to which dimensions do not matter (KID is unbiased at any n; distances of optimal
    transport have a bias, which more dimensions only slow in falling).
    """
    least = LEAST.get(split_id(metric)[0].removeprefix("pixel_"))
    return 0 if least is None else least(dimensions)


def few_rows(metric: str, n: int, dimensions: int, what: str = "rows of the smaller set") -> str:
    """The note for a value from too few rows; empty for enough."""
    if n >= least_rows(metric, dimensions):
        return ""
    return f"too few rows (n < d): {n} {what} in {dimensions} feature dimensions"
