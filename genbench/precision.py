"""Numbers on their way to float32, in which points are stored: refused where distances would go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError

MOST_ERROR = 1e-3  # rounding over the column's standard deviation
FEWEST_LEFT = 0.95  # of the different values of a column

Array = NDArray[Any]


def as_float32(x: Array, where: str, names: Sequence[str] = ()) -> NDArray[np.float32]:
    """Points ``(n, d)`` of any number type in float32, if that keeps what tells rows apart.

    A column is lost where rounding is over a thousandth of its standard deviation, or makes more
    than a twentieth of its different values equal: times in seconds since 1970, long ids,
    coordinates of one street. Of numbers that are in float32 already the step at their size stands
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
    with np.errstate(over="ignore"):
        found = x.astype(np.float32)
    for column in range(x.shape[1]):
        why = _lost(x[:, column], found[:, column])
        if why:
            title = repr(names[column]) if column < len(names) else str(column + 1)
            middle = float(np.median(x[:, column].astype(np.float64)))
            raise DataError(
                f"{where}, column {title}: {why}; distances in it would be rounding. "
                f"Subtract {middle:.10g} from it (in float64) or scale it, in data and samples "
                "alike, or leave it out"
            )
    return found


def _lost(x: Array, rounded: NDArray[np.float32]) -> str | None:
    exact = x.astype(np.float64)
    if np.isinf(rounded).any() and np.isfinite(exact).all():
        return f"it reaches {np.abs(exact).max():.3g}, more than float32 holds"
    if not np.isfinite(exact).all() or len(x) < 2 or exact.min() == exact.max():
        return None
    spread = float(exact.std())
    step = float(np.spacing(np.abs(rounded)).max())
    if x.dtype in (np.float32, np.float16):
        whole = step <= 1 and bool((exact == np.rint(exact)).all())
        error = 0.0 if whole or x.dtype == np.float16 else step / 12**0.5
    else:
        error = float(np.sqrt(np.mean((rounded - exact) ** 2)))
    if error > MOST_ERROR * spread:
        return f"its standard deviation {spread:.3g} is near the step {step:.3g} of float32 there"
    before, after = len(np.unique(exact)), len(np.unique(rounded))
    if after < FEWEST_LEFT * before:
        return f"of its {before:,} different values float32 keeps {after:,}"
    return None
