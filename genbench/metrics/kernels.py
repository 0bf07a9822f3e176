"""Kernels of the maximum mean discrepancy: the cubic one of KID, and those of distances."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias

import numpy as np

from genbench.errors import MetricError, did_you_mean
from genbench.metrics import arrays
from genbench.metrics.checks import Float64s, Rows, require_at_least, require_rows
from genbench.metrics.pairs import Tile
from genbench.metrics.prepared import STEP, STEP_ON_DEVICE, PreparedRows

POLYNOMIAL = "polynomial"
RADIAL = ("rbf", "imq", "laplacian")
KERNELS = (POLYNOMIAL, *RADIAL)
MEDIAN = "median"
MEDIAN_ROWS = 2000  # reference rows whose distances the median is taken of
_AT_ONCE = 64  # rows of a tile, which stay in cache for all steps
_NEGLIGIBLE = 1e-13  # of b: beyond any digit of float32 and nearly any of float64
_LARGEST = 1e45  # of q and b: a variance takes their sixth power

Both: TypeAlias = tuple[PreparedRows, PreparedRows]


@dataclass(frozen=True, slots=True)
class KernelChoice:
    """One maximum mean discrepancy of all that there are; the defaults are KID's.

    Parameters
    ----------
    kernel
        One of `KERNELS`: ``polynomial`` is ``(x . y / d + 1)^3``; with the distance r and the
        bandwidth s, ``rbf`` is ``exp(-r^2 / 2 s^2)``, ``imq`` is ``(1 + r^2 / 2 s^2)^-1/2`` and
        ``laplacian`` is ``exp(-r / s)``.
    bandwidth
        s in the features' unit, or ``median``: of the distances of reference rows.
    biased
        Whether a row is also paired with itself (the V-statistic), which is never below 0.
    unit_length
        Whether each row is divided by its length first.
    scale
        A factor of the value.
    subsets, subset_size
        Random subsets that the value is the mean of, and rows of each set in one; 0 subsets are
        all rows at once.
    """

    kernel: str = POLYNOMIAL
    bandwidth: float | str = MEDIAN
    biased: bool = False
    unit_length: bool = False
    scale: float = 1.0
    subsets: int = 0
    subset_size: int = 1000

    def checked(self, n_real: int, n_fake: int) -> KernelChoice:
        """The choice as it will be used on so many rows; MetricError where it cannot be.

        Where there are fewer rows than the usual subset, the subset is all of the smaller set.
        """
        if self.kernel not in KERNELS:
            raise _failed(f"kernel is {self.kernel!r}: {did_you_mean(str(self.kernel), KERNELS)}")
        for name in ("biased", "unit_length"):
            if not isinstance(getattr(self, name), bool):
                raise _failed(f"{name} is {getattr(self, name)!r}: give true or false")
        if self.bandwidth != MEDIAN:
            if self.kernel == POLYNOMIAL:
                raise _failed(f"bandwidth is {self.bandwidth!r}: a polynomial has none, drop it")
            _require_positive("bandwidth", self.bandwidth, f" or {MEDIAN!r}")
        _require_positive("scale", self.scale)
        require_at_least("subsets", self.subsets, 0)
        size = min(self.subset_size, n_real, n_fake)
        require_at_least("subset_size", size, 2)
        require_rows("real", n_real, 2)
        require_rows("fake", n_fake, 2)
        return replace(self, subset_size=size)

    def prepared(self, real: Rows, fake: Rows) -> tuple[Rows, Rows]:
        """Both sets as their products are to be made."""
        return (_directions("real", real), _directions("fake", fake)) if self.unit_length else (
            real, fake)  # fmt: skip

    def kernel_of(self, both: Both) -> Kernel:
        """The kernel for rows of these sets."""
        if self.kernel == POLYNOMIAL:
            return Cubic(both)
        s = self.bandwidth
        return Radial(both, self.kernel, median_distance(both[0]) if isinstance(s, str) else s)


class Kernel(Protocol):
    """A kernel of pairs of rows, without whatever depends on one row alone: that cancels."""

    factor: float  # of all that `values` gives
    bandwidth: float | None

    def values(self, tile: Tile, left: int, right: int) -> Rows:
        """The tile's values, in its scratch room; 0 and 1 stand for the real and the fake set."""

    def clear_own(self, values: Rows) -> None:
        """Set the diagonal of a tile of rows with themselves, where it is known, without error."""

    def separable(self, members: list[Rows]) -> SeparableSums | None:
        """Sums of what `values` left out and does not cancel, if anything."""


class SeparableSums:
    """Sums of ``3 p_u p_v (2 base + p_u + p_v)`` over u and v from sums of powers of each.

    `powers` are, for real and for fake rows, sums of p, p^2, p^3 over the members, ``(3, columns)``
    """

    def __init__(self, base: float, powers: list[Float64s]) -> None:
        self._base = base
        self.powers = powers

    def of_pairs(self, left: Float64s, right: Float64s) -> Float64s:
        """Over all u of one column and v of the other."""
        sums = 2 * self._base * left[0] * right[0] + left[1] * right[0] + left[0] * right[1]
        return 3 * sums

    def of_same(self, powers: Float64s) -> Float64s:
        """Those of its terms in which v is u."""
        return 6 * (self._base * powers[1] + powers[2])


class Cubic:
    """``(x . y / d + 1)^3`` at any scale and any mean of the rows.

    With rows ``x = c + u`` around the rows' centre c, ``q = u . v / d``, ``p = u . c / d`` and
    ``b = 1 + c . c / d + p_u + p_v``, the kernel is ``(b + q)^3``. Whatever depends on one row
    alone cancels in the estimate. What is left is ``q (q^2 + 3 b q + 3 b^2)``, summed over tiles,
    and ``3 p_u p_v (2 (1 + c . c / d) + p_u + p_v)``, whose sums follow from those of p, p^2, p^3.
    """

    bandwidth: float | None = None

    def __init__(self, both: Both) -> None:
        """Bring q and b to a scale that float32 can hold."""
        real, _ = both
        d, xp = real.x.shape[1], arrays.namespace(real.x)
        self._base = 1 + float(real.centre @ real.centre) / d
        self._along = [_along_centre(prepared) for prepared in both]
        largest = self._base + 2 * max(float(abs(p).max()) for p in self._along)
        largest = max(largest, real.unit**2)  # coordinates are at most one unit
        if largest > _LARGEST:
            raise _failed(
                f"the cubic kernel overflows for features whose squares reach {largest:.2g}: "
                "scale them down"
            )
        q_per_g = real.unit**2 / d
        # One g counts as this much of b; where less, q vanishes beside b in any case.
        step = max(q_per_g, largest * _NEGLIGIBLE)
        share = [1.5 * (self._base / 2 + p) / step for p in self._along]
        self._half_b = [xp.astype(part, real.x.dtype) for part in share]
        self.factor = q_per_g * step**2

    def values(self, tile: Tile, left: int, right: int) -> Rows:
        """``g (q^2 + 3 b q + 3 b^2)`` of the tile, q and b in steps."""
        kernel, room = tile.scratch
        column, xp = self._half_b[right][tile.columns], arrays.namespace(kernel)
        step = arrays.at_once(kernel, _AT_ONCE, len(kernel))
        for start in range(0, len(kernel), step):
            part = slice(start, start + step)
            q, b, g = kernel[part], room[: len(kernel[part])], tile.products[part]
            # q^2 + 3 b q + 3 b^2 = (q + 3/2 b)^2 + (3/2 b)^2 / 3
            xp.add(self._half_b[left][tile.rows][part, None], column, out=b)
            xp.add(b, g, out=q)
            q *= q
            b *= b
            b *= 1 / 3
            q += b
            q *= g
        return kernel

    def clear_own(self, values: Rows) -> None:
        """Nothing: a row's value with itself is like any other."""

    def separable(self, members: list[Rows]) -> SeparableSums:
        """Sums of ``3 p_u p_v (2 base + p_u + p_v)``."""
        powers = [_sums_of_powers(*part) for part in zip(self._along, members, strict=True)]
        return SeparableSums(self._base, powers)


class Radial:
    """A kernel of the distance, less 1: that cancels, and small values keep their digits."""

    factor = 1.0

    def __init__(self, both: Both, kernel: str, bandwidth: float) -> None:
        xp, dtype = arrays.namespace(both[0].x), both[0].x.dtype
        self.bandwidth: float | None = bandwidth
        self._name = kernel
        ratio = both[0].unit / bandwidth
        if not 1e-150 < ratio < 1e150:  # its square is a number still
            raise _failed(
                f"bandwidth {bandwidth:.3g} is beside features of {both[0].unit:.3g} out of range: "
                "give one of their size"
            )
        self._ratio = ratio
        halves = [arrays.in_float64(part.lowered) + part.slack for part in both]
        self._half_squares = [xp.astype(half, dtype) for half in halves]

    def values(self, tile: Tile, left: int, right: int) -> Rows:
        """The kernel less 1 of the tile."""
        kernel, xp = tile.scratch[0], arrays.namespace(tile.products)
        xp.subtract(tile.products, self._half_squares[left][tile.rows, None], out=kernel)
        xp.subtract(kernel, self._half_squares[right][tile.columns], out=kernel)
        xp.abs(kernel, out=kernel)  # half squared distances: rounding alone makes any negative
        kernel *= self._ratio**2
        if self._name == "imq":
            kernel += 1
            xp.sqrt(kernel, out=kernel)
            xp.reciprocal(kernel, out=kernel)
            kernel -= 1
            return kernel
        if self._name == "laplacian":
            kernel *= 2
            xp.sqrt(kernel, out=kernel)
        xp.negative(kernel, out=kernel)
        xp.expm1(kernel, out=kernel)
        return kernel

    def clear_own(self, values: Rows) -> None:
        """A row lies at distance 0 from itself."""
        arrays.diagonal(values)[:] = 0

    def separable(self, members: list[Rows]) -> None:
        """Nothing."""


def median_distance(real: PreparedRows) -> float:
    """The median distance of pairs of the reference rows, or of `MEDIAN_ROWS` of them.

    Those are drawn by a seed of their own: a bandwidth belongs to the reference, not to a run.
    """
    rows = np.random.RandomState(0).permutation(len(real))[:MEDIAN_ROWS]
    x = real.centred(arrays.like(real.x, np.sort(rows)))
    half = arrays.row_squares(x) / 2
    gaps = arrays.to_host(half[:, None] + half - arrays.product(x, x.T))
    of_pairs = gaps[np.triu_indices(len(gaps), 1)]
    found = float(np.median(np.sqrt(2 * np.maximum(of_pairs, 0)))) * real.unit
    if found <= 0:
        raise MetricError(
            "half of the reference's distances are 0, and so is their median: give a bandwidth"
        )
    return found


def _directions(name: str, rows: Rows) -> Rows:
    """Each row over its length."""
    xp = arrays.namespace(rows)
    wide = arrays.in_float64(rows)
    length = xp.sqrt(arrays.row_squares(wide))
    if not (length > 0).all():
        row = int(arrays.to_host(length <= 0).argmax())
        raise _failed(f"{name} is 0 throughout row {row}: it has no unit length, leave that out")
    return xp.astype(wide / length[:, None], rows.dtype)


def _along_centre(prepared: PreparedRows) -> Float64s:
    """``(x - centre) . centre / d`` of each row, ``(n,)``."""
    step = arrays.at_once(prepared.x, STEP, STEP_ON_DEVICE)
    parts = [
        prepared.centred(slice(i, i + step)) @ (prepared.centre / prepared.x.shape[1])
        for i in range(0, len(prepared), step)
    ]
    return arrays.concat(parts) * prepared.unit


def _sums_of_powers(p: Float64s, members: Rows) -> Float64s:
    """Sums of p, p^2 and p^3 over each column's members, ``(3, columns)``."""
    return arrays.to_host(arrays.namespace(p).stack([p, p**2, p**3]) @ arrays.in_float64(members))


def _require_positive(name: str, value: Any, other: str = "") -> None:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise _failed(f"{name} is {value!r}: give a number above 0{other}")


def _failed(message: str) -> MetricError:
    return MetricError(message, status="failed")
