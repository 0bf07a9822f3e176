"""Optimal transport between two clouds of points: exact, in blocks, and sliced."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from genbench.errors import MetricError
from genbench.metrics.arrays import at_once, full, like, namespace, to_host
from genbench.metrics.checks import Rows, as_pair, require_at_least
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.uncertainty import Blocks, Estimate, block_jackknife, block_mean, longer_above

_SMALL = 256  # rows below which an assignment is solved faster than any preparation
_PLANAR = 3  # dimensions up to which the network simplex wins
_DIRECT_DIMENSIONS = 16  # above, distances come from a matrix product
_SLICES_AT_ONCE, _ON_DEVICE = 64, 256
_FOR_ERROR = 200  # directions that show the error of the rows

Float64s = NDArray[np.float64]


def earth_movers_distance(real: Any, fake: Any, *, p: float = 1) -> float:
    """Exact Wasserstein distance between two samples, each row of equal mass.

    ``W_p = (min_P sum_ij P_ij |real_i - fake_j|^p)^(1/p)`` over all P >= 0 whose rows sum to
    ``1 / n`` and columns to ``1 / m``; the ground distance is Euclidean.

    Parameters
    ----------
    real, fake
        Rows ``(n, d)`` and ``(m, d)``; the sizes may differ.
    p
        Order, at least 1.

    Returns
    -------
    float
        In ``[0, inf)``; 0 is best and means equal samples. Symmetric in `real` and `fake`.

    Raises
    ------
    MetricError
        On NaN, infinity, wrong rank, different dimensions, no rows, or ``p < 1``.

    Notes
    -----
    Biased upwards: two samples of one distribution are never at distance 0, and in d > 2
    dimensions the excess falls like ``n^(-1/d)`` only. Compare at equal n, with the real-against-
    real value beside it. Cost: n^2 d for the distances, about n^2.5 in practice for the
    transport, n m numbers of memory (five times over). The optimum is exact: dual prices from a
    few Sinkhorn steps only shift the costs by row and column, which changes no optimal
    assignment, but lets shortest augmenting paths end early. On the CPU wherever the rows are.

    References
    ----------
    Peyre & Cuturi 2019, Computational Optimal Transport, arXiv:1803.00567. Crouse 2016, On
    implementing 2D rectangular assignment algorithms. Bonneel et al. 2011, Displacement
    interpolation using Lagrangian mass transport (the network simplex).
    """
    rows = [to_host(side) for side in as_pair(real, fake)]
    _require_order(p)
    # Squares of large values would overflow, and those of tiny ones vanish; a power of two takes
    # no digits away.
    largest = max(float(np.abs(side).max()) for side in rows)
    scale = math.ldexp(1.0, math.frexp(largest)[1] - 1)
    x, y = (side.astype(np.float64) / scale for side in rows)
    cost = _distances(x, y)
    np.power(cost, p, out=cost)
    # The pairs that carry mass, and each one's share of it.
    mass: Any = 1 / len(x)
    if len(x) == len(y) and (len(x) <= _SMALL or x.shape[1] > _PLANAR):
        i, j = linear_sum_assignment(_reduced(cost))
    else:
        flow = _network_simplex(cost)
        i, j = np.nonzero(flow)
        mass = flow[i, j]
    # The pairs' own distances: those of a matrix product are inexact near 0.
    moved = np.linalg.norm(x[i] - y[j], axis=1)
    farthest = float(moved.max()) or 1.0
    mean = float(np.sum(mass * (moved / farthest) ** p))
    return float(scale * farthest * mean ** (1 / p))


def block_earth_movers_distances(
    real: Any, fake: Any, *, block: int = 2000, p: float = 1, seed: int
) -> Float64s:
    """`earth_movers_distance` of disjoint blocks of rows, ``(blocks,)``.

    Both sets are permuted by `seed` and cut into ``min(n, m) // block`` pairs of blocks; sets
    smaller than `block` make one block of ``min(n, m)`` rows.

    Parameters
    ----------
    real, fake
        Rows ``(n, d)`` and ``(m, d)``.
    block
        Rows per block: part of what the number means, since the bias depends on it.
    p
        Order, at least 1.
    seed
        Decides which rows form a block.

    Notes
    -----
    Compare their mean at equal rows per block. Naive form: ``tests.oracles.transport:emd``.
    """
    real, fake = (to_host(side) for side in as_pair(real, fake))
    _require_order(p)
    require_at_least("block", block, 1)
    smaller = min(len(real), len(fake))
    size = min(block, smaller)
    rng = np.random.default_rng(seed)
    real, fake = real[rng.permutation(len(real))], fake[rng.permutation(len(fake))]
    parts = [slice(i * size, (i + 1) * size) for i in range(smaller // size)]
    return np.array([earth_movers_distance(real[s], fake[s], p=p) for s in parts])


def sliced_wasserstein(
    real: Any, fake: Any, *, projections: int = 1000, p: float = 2, seed: int
) -> float:
    """Wasserstein distance of one-dimensional projections, averaged over random directions.

    ``SW_p = (mean_l W_p^p(real u_l, fake u_l))^(1/p)``, u_l uniform on the unit sphere; in one
    dimension ``W_p^p`` is the integral over (0, 1) of ``|F^-1(q) - G^-1(q)|^p``.

    Parameters
    ----------
    real, fake
        Rows ``(n, d)`` and ``(m, d)``; the sizes may differ.
    projections
        Number of directions.
    p
        Order, at least 1.
    seed
        Decides the directions: same seed, same value.

    Returns
    -------
    float
        In ``[0, inf)``; 0 is best. Symmetric. Close to ``1 / sqrt(d)`` times the distance that a
        shift of the mean has in full.

    Notes
    -----
    Biased upwards by an amount that falls with n and, unlike the exact distance's, hardly grows
    with d. Directions leave a Monte-Carlo error of about ``1 / sqrt(projections)`` of the spread
    over directions. Cost: projections times (n d + n log n). Naive form:
    ``tests.oracles.transport:sliced_wasserstein``.

    References
    ----------
    Bonneel et al. 2015, Sliced and Radon Wasserstein barycenters of measures,
    doi:10.1007/s10851-014-0506-3.
    """
    return sliced_wasserstein_estimate(real, fake, None, projections, p, seed).value


def sliced_wasserstein_estimate(
    real: Any, fake: Any, blocks: Blocks | None, projections: int, p: float, seed: int
) -> Estimate:
    """`sliced_wasserstein` with its interval: fresh rows and other directions.

    Two errors: that of the generated rows (jackknife over `blocks`) and that of the directions, the
    spread of ``W_p^p`` over them carried through the p-th root.
    """
    real, fake = as_pair(real, fake, at_least=1 if blocks is None else 2)
    slices = _slices(real, fake, projections, p, seed)
    value = float(slices.mean() ** (1 / p))
    if blocks is None:
        return Estimate(value)
    # Fewer directions than the value's are enough for the error of the rows.
    few = min(projections, _FOR_ERROR)
    left_out = sliced_wasserstein_left_out(real, fake, blocks, few, p, seed)
    slope = p * value ** (p - 1)
    of_directions = 0.0
    if projections > 1 and slope > 0:
        of_directions = float(slices.var(ddof=1)) / projections / slope**2
    estimate = block_jackknife(value, left_out, low=0.0, extra_variance=of_directions)
    return longer_above(estimate, value)


def sliced_wasserstein_left_out(
    real: Rows, fake: Rows, blocks: Blocks, projections: int, p: float, seed: int
) -> Float64s:
    """`sliced_wasserstein` without each block of fake rows, ``(blocks,)``, for a jackknife.

    Rows are sorted once per direction.
    """
    xp, of_row = namespace(real), like(real, blocks.of_row)
    total = full(real, (blocks.count,), 0.0, xp.float64)
    for directions in _directions(real, projections, seed):
        projected = xp.matmul(directions, fake.T)
        a = xp.sort(xp.matmul(directions, real.T), axis=1, stable=False)
        order = xp.argsort(projected, axis=1, stable=False)
        b, block = xp.take_along_axis(projected, order, axis=1), of_row[order]
        for index in range(blocks.count):
            total[index] += _powers(a, b[block != index].reshape(len(b), -1), p).sum()
    return np.asarray((to_host(total) / projections) ** (1 / p))


def _require_order(p: float) -> None:
    if not (isinstance(p, int | float) and 1 <= p < math.inf):
        raise MetricError(f"p is {p!r}: give a finite order of at least 1", status="failed")


def _distances(real: Float64s, fake: Float64s) -> Float64s:
    if real.shape[1] <= _DIRECT_DIMENSIONS:
        return np.asarray(cdist(real, fake))
    centre = real.mean(axis=0)  # differences of large equal numbers lose digits
    real, fake = real - centre, fake - centre
    square = real @ fake.T
    square *= -2
    square += np.einsum("ij,ij->i", real, real)[:, None]
    square += np.einsum("ij,ij->i", fake, fake)
    return np.sqrt(np.maximum(square, 0, out=square), out=square)


def _reduced(cost: Float64s, *, last: float = 3e-3, steps: int = 15) -> Float64s:
    """`cost` less near-optimal row and column prices: the same best assignment, found sooner.

    Prices come from Sinkhorn scaling in float32 at a temperature that is halved from a tenth of
    the mean cost down to `last` of it, absorbed into the prices at each level.
    """
    if len(cost) <= _SMALL:
        return cost
    above = cost - cost.min(axis=1, keepdims=True)
    mean = float(above.mean())
    if mean == 0:
        return cost
    unit = (above / mean).astype(np.float32)
    del above
    row, column = np.zeros(len(cost), np.float32), np.zeros(len(cost), np.float32)
    kernel = np.empty_like(unit)
    temperature = np.float32(0.1)
    while temperature > last:
        np.subtract(column, unit, out=kernel)
        kernel += row[:, None]
        kernel /= temperature
        np.exp(kernel, out=kernel)  # at most about 1: rows and columns sum to 1 at the last level
        v = np.ones(len(cost), np.float32)
        for _ in range(steps):
            u = 1 / np.maximum(kernel @ v, np.float32(1e-30))
            v = 1 / np.maximum(u @ kernel, np.float32(1e-30))
        row += temperature * np.log(u)
        column += temperature * np.log(v)
        temperature /= np.float32(2)
    reduced: Float64s = cost - mean * column.astype(np.float64)
    reduced -= reduced.min(axis=1, keepdims=True)
    reduced -= reduced.min(axis=0)
    return reduced


def _network_simplex(cost: Float64s) -> Float64s:
    """The mass that goes from each row of real to each of fake; all of it sums to 1."""
    import ot  # type: ignore[import-untyped]  # here, since it takes a second to import

    masses = [np.full(size, 1 / size) for size in cost.shape]
    flow, log = ot.emd(*masses, np.ascontiguousarray(cost), numItermax=2**40, log=True)
    if log["warning"] is not None:
        raise MetricError(f"the transport was not solved: {log['warning']}", status="failed")
    return np.asarray(flow)


def _directions(rows: Rows, projections: int, seed: int) -> list[Rows]:
    """Unit vectors ``(<= 64, d)``, so that one batch of projections stays small."""
    u = np.random.default_rng(seed).standard_normal((projections, rows.shape[1]))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    step = at_once(rows, _SLICES_AT_ONCE, _ON_DEVICE)
    return [like(rows, u[i : i + step]) for i in range(0, projections, step)]


def _slices(real: Rows, fake: Rows, projections: int, p: float, seed: int) -> Float64s:
    """``W_p^p`` along each random direction, ``(projections,)``."""
    _require_order(p)
    require_at_least("projections", projections, 1)
    xp, parts = namespace(real), []
    for u in _directions(real, projections, seed):
        a, b = (xp.sort(xp.matmul(u, rows.T), axis=1, stable=False) for rows in (real, fake))
        parts.append(to_host(_powers(a, b, p)))
    return np.concatenate(parts)


def _powers(a: Rows, b: Rows, p: float) -> Rows:
    """W_p^p of each slice of sorted values ``(slices, n)`` and ``(slices, m)``."""
    n, m = a.shape[1], b.shape[1]
    if n == m:
        return (abs(a - b) ** p).mean(axis=1)
    # Both quantile functions are constant between the multiples of 1/n and of 1/m: in units of
    # 1/(n m), whole numbers, so that steps that coincide are one.
    edges = np.union1d(np.arange(n + 1, dtype=np.int64) * m, np.arange(m + 1, dtype=np.int64) * n)
    start, width = edges[:-1], np.diff(edges) / (n * m)
    gap = abs(a[:, like(a, start // m)] - b[:, like(a, start // n)])
    return gap**p @ like(a, width)


def measure_emd(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The mean of `block_earth_movers_distances` with its interval: the maker of ``emd``."""
    real, fake = inputs.pair

    def in_blocks(rows: Rows) -> Float64s:
        return block_earth_movers_distances(real, rows, **parameters, seed=inputs.seed)

    found = in_blocks(fake)
    estimate = inputs.floored(block_mean(found), lambda rows: float(in_blocks(rows).mean()))
    used = {"block": min(parameters["block"], len(real), len(fake))}
    return Measurement(inputs.maybe(estimate), {"blocks": len(found)}, used)


def measure_sliced(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`sliced_wasserstein` with its interval: the maker of ``sliced_wasserstein``."""
    options: Any = {**parameters, "seed": inputs.seed}
    real, fake = inputs.pair
    found = sliced_wasserstein_estimate(real, fake, inputs.blocks, **options)
    return Measurement(
        inputs.floored(found, lambda rows: sliced_wasserstein(real, rows, **options))
    )
