"""Numbers on their way to float32, in which points are stored: refused where distances would go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError

MOST_ERROR = 1e-3  # rounding over the column's standard deviation
FEWEST_LEFT = 0.5  # of the different values of a column

Array = NDArray[Any]


def as_float32(x: Array, where: str, names: Sequence[str] = ()) -> NDArray[np.float32]:
    """Points ``(n, d)`` of any number type in float32, if that keeps what tells rows apart.

    A column is lost where rounding is over a thousandth of its standard deviation, or leaves less
    than half of its different values: times in seconds since 1970, long ids, coordinates of one
    street, two far groups. Of numbers that are in float32 already the step at their size stands
    for the rounding that made them.

    Parameters
    ----------
    where
        What the rows are, for messages.
    names
        Of the columns.

    Raises
    ------
    DataError
        Naming the first column that would be lost, and an offset that keeps it.
    """
    found = _rounded(x)
    for column in range(x.shape[1]):
        why = _lost(x[:, column], found[:, column])
        if why:
            raise DataError(_complaint(x[:, column], column, why, where, names))
    return found


def lost_at(x: Array, spread: Sequence[float], where: str, names: Sequence[str] = ()) -> str | None:
    """The problem of comparing float32 points ``(n, d)`` with rows of this spread, or None.

    That is the standard deviation of the real rows, by column; the rest is as for `as_float32`.
    """
    if x.shape[1] != len(spread):
        return None  # another complaint's business
    found = _rounded(x)
    for column, size in enumerate(spread):
        error = _error(x[:, column], found[:, column])
        if error > MOST_ERROR * size:
            why = f"float32 rounds it by {error:.3g}, real rows' standard deviation is {size:.3g}"
            return _complaint(x[:, column], column, why, where, names)
    return None


def _rounded(x: Array) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        return x.astype(np.float32)


def _complaint(values: Array, column: int, why: str, where: str, names: Sequence[str]) -> str:
    title = repr(names[column]) if column < len(names) else str(column + 1)
    middle = float(np.median(values.astype(np.float64)))
    return (
        f"{where}, column {title}: {why}; distances in it would be rounding. "
        f"Subtract {middle:.10g} from it (in float64) or scale it, in data and samples alike, or "
        "leave it out"
    )


def _lost(x: Array, rounded: NDArray[np.float32]) -> str | None:
    exact = x.astype(np.float64)
    if np.isinf(rounded).any() and np.isfinite(exact).all():
        return f"it reaches {np.abs(exact).max():.3g}, more than float32 holds"
    if not np.isfinite(exact).all() or len(x) < 2 or exact.min() == exact.max():
        return None
    spread = float(exact.std())
    if _error(x, rounded) > MOST_ERROR * spread:
        step = float(np.spacing(np.abs(rounded)).max())
        return f"its standard deviation {spread:.3g} is near the step {step:.3g} of float32 there"
    before, after = len(np.unique(exact)), len(np.unique(rounded))
    if after < FEWEST_LEFT * before:
        return f"of its {before:,} different values float32 keeps {after:,}"
    return None


def _error(x: Array, rounded: NDArray[np.float32]) -> float:
    """Root mean square of the rounding; 0 where something is not finite."""
    exact = x.astype(np.float64)
    if not np.isfinite(rounded).all() or not len(x):
        return 0.0
    if x.dtype != np.float32:
        return float(np.sqrt(np.mean((rounded - exact) ** 2)))
    step = float(np.spacing(np.abs(rounded)).max())
    whole = step <= 1 and bool((exact == np.rint(exact)).all())
    return 0.0 if whole else step / 12**0.5
