"""Sets of rows made ready for fast products, with a bound on what rounding does to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.metrics import arrays
from genbench.metrics.arrays import Array
from genbench.metrics.checks import Float64s, Rows, require_moderate

STEP, STEP_ON_DEVICE = 512, 2**14  # rows at a time
WIDE = 64  # dimensions beyond which products are much cheaper than differences
# By whether the dtype is float32.
# Half squared distances of whole numbers up to this length are exact, sums in any order included.
_LONGEST_EXACT = {True: 2.0**11, False: 2.0**25}
_UNIT_ROUNDOFF = {True: 2.0**-24, False: 2.0**-53}
_SMALLEST = {True: 2.0**-120, False: 2.0**-1000}  # far above where products are flushed to 0
_FINEST = 2.0**-1000  # a grid that can still be divided by
_SPARE_ROUNDINGS = 24  # beyond one per dimension; the bound below needs 8


@dataclass(frozen=True, slots=True)
class PreparedRows:
    """One set of rows, `given` ``(n, d)``: as they came, and centred and scaled for products.

    Row i of all else is ``given[order[i]]``, or ``given[i]`` for an `order` of None. `centre`
    ``(d,)`` was taken off, the same of every set that is compared; `unit` is a power of two, what
    1 of `x` stands for, whose coordinates lie within -1 and 1: ``(given - centre) / unit``,
    ``(n, d)``, float32 or float64. `lowered` is ``|x|^2 / 2 - slack``, ``(n,)``, in x's dtype.

    `slack`, ``(n,)``, float64: in place of the closeness ``-|x_i - y_j|^2 / 2`` a product form
    with `lowered` gives an upper bound of it, and less ``2 (slack_i + slack_j)`` a lower one. 0 if
    the form is `exact`, as it is where distances are made `by_differences` of coordinates instead.
    """

    given: Rows
    order: Array | None
    centre: Float64s
    unit: float
    x: Rows
    lowered: Rows
    slack: Float64s
    exact: bool
    by_differences: bool = False

    def __len__(self) -> int:
        return len(self.x)

    @property
    def dtype(self) -> Any:
        """The dtype of closeness."""
        return arrays.namespace(self.x).float64 if self.by_differences else self.x.dtype

    def rows(self, index: Any) -> Float64s:
        """Given rows (an index array or a slice of positions) over `unit`, without rounding."""
        return arrays.in_float64(self.as_given(index)) / self.unit

    def as_given(self, index: Any) -> Rows:
        """Given rows, by an index array or a slice of positions."""
        return self.given[index if self.order is None else self.order[index]]

    def centred(self, index: Any) -> Float64s:
        """``(given - centre) / unit`` in float64."""
        return (self.as_given(index) - self.centre) / self.unit


def prepare(
    real: Rows, fake: Rows, order: NDArray[np.int64] | None = None, *, dtype: Any = None
) -> tuple[PreparedRows, PreparedRows]:
    """Both sets, centred on the real mean; fake rows taken in `order` if given.

    Products are made in `dtype`, by default that of the rows.

    The centre lies on a grid so coarse that rows of whole numbers (times any power of two) stay
    whole numbers: where those are small, every product is exact. Elsewhere `PreparedRows.slack`
    bounds the error: with u the unit roundoff, a product of d terms is off by at most
    ``d u / (1 - d u) |x| |y|`` (Higham 2002, Accuracy and Stability, section 3.1), and
    ``|x| |y| <= (|x|^2 + |y|^2) / 2``; rounding coordinates, norms and their differences adds a few
    more u.
    """
    for rows in (real, fake):
        require_moderate(rows)
    xp = arrays.namespace(real)
    dtype = xp.result_type(real.dtype, fake.dtype) if dtype is None else dtype
    if real.shape[1] * _UNIT_ROUNDOFF[arrays.is_single(dtype)] > 1 / 8:
        dtype = xp.float64
    on_grid, grid, longest = _centre(real, fake, arrays.is_single(dtype))
    unit = _power_above(float(_extent(real, fake, on_grid).max()))
    centre = arrays.like(real, on_grid)
    exact = longest <= _LONGEST_EXACT[arrays.is_single(dtype)] * grid and all(
        _on_grid(rows, centre, grid) for rows in (real, fake)
    )
    order = None if order is None else arrays.like(real, order)
    form = centre, unit, dtype, exact
    return _prepare(real, None, *form), _prepare(fake, order, *form)


def sharpened(prepared: PreparedRows) -> PreparedRows:
    """The rows in the next finer form, or itself where nothing finer is worth its time.

    Differences where they cost little more than products, else products in float64.
    """
    if prepared.exact:
        return prepared
    if prepared.x.shape[1] <= WIDE:
        return replace(prepared, by_differences=True, exact=True)
    if not arrays.is_single(prepared.x.dtype):
        return prepared
    wide = arrays.namespace(prepared.x).float64
    return _prepare(
        prepared.given, prepared.order, prepared.centre, prepared.unit, wide, exact=False
    )


def _centre(real: Rows, fake: Rows, single: bool) -> tuple[NDArray[np.float64], float, float]:
    """The real mean on the grid, the grid's step, and a bound on the length of centred rows."""
    mean = arrays.to_host(real.mean(axis=0, dtype=arrays.namespace(real).float64))
    length = float(np.linalg.norm(_extent(real, fake, mean)))
    grid = max(2 * _power_above(length) / _LONGEST_EXACT[single], _FINEST)
    centre = np.rint(mean / grid) * grid
    return centre, grid, float(np.linalg.norm(_extent(real, fake, centre)))


def _extent(real: Rows, fake: Rows, centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """The farthest that any row lies from `centre` in each column, ``(d,)``."""
    xp = arrays.namespace(real)
    ends = [arrays.to_host(end(rows, axis=0)) for rows in (real, fake) for end in (xp.min, xp.max)]
    return np.asarray(np.abs(np.stack(ends) - centre).max(axis=0))


def _power_above(value: float) -> float:
    """The least power of two that is not below `value`; 1 for 0."""
    if value == 0:
        return 1.0
    mantissa, exponent = math.frexp(value)
    return math.ldexp(1.0, exponent - (mantissa == 0.5))


def _on_grid(rows: Rows, centre: Float64s, grid: float) -> bool:
    """True if all centred values are whole multiples of `grid`."""
    xp, step = arrays.namespace(rows), arrays.at_once(rows, STEP, STEP_ON_DEVICE)
    for start in range(0, len(rows), step):
        steps = (rows[start : start + step] - centre) / grid
        if not (steps == xp.round(steps)).all():
            return False
    return True


def _prepare(
    rows: Rows, order: Array | None, centre: Float64s, unit: float, dtype: Any, exact: bool
) -> PreparedRows:
    n, xp, step = len(rows), arrays.namespace(rows), arrays.at_once(rows, STEP, STEP_ON_DEVICE)
    x, lowered = arrays.empty(rows, tuple(rows.shape), dtype), arrays.empty(rows, (n,), dtype)
    slack = arrays.full(rows, (n,), 0.0, xp.float64)
    prepared = PreparedRows(rows, order, centre, unit, x, lowered, slack, exact)
    for start in range(0, n, step):
        part = slice(start, start + step)
        centred = prepared.centred(part)
        prepared.x[part] = centred
        half_square = half_squares(centred)
        if not exact:
            prepared.slack[part] = slack_of(half_square, centred.shape[1], dtype)
        prepared.lowered[part] = half_square - prepared.slack[part]
    return prepared


def half_squares(x: Float64s) -> Float64s:
    """``|x|^2 / 2`` of each row."""
    return arrays.row_squares(x) / 2


def slack_of(half_square: Float64s, d: int, dtype: Any) -> Float64s:
    """A row's part of the bound on the error of products in `dtype`, see `prepare`.

    It covers the rounding of distances summed in float64 as well: what they are compared with.
    """
    terms, single = d + _SPARE_ROUNDINGS, arrays.is_single(dtype)
    product = terms * _UNIT_ROUNDOFF[single]
    distance = 8 * terms * _UNIT_ROUNDOFF[False]
    return (product / (1 - product) + distance) * half_square + d * _SMALLEST[single]
