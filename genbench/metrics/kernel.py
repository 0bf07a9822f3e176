"""Kernel distance (KID): unbiased squared maximum mean discrepancy with a cubic kernel."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from genbench.errors import MetricError
from genbench.metrics import arrays
from genbench.metrics.checks import Float64s, Rows, as_pair, require_at_least, require_rows
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.pairs import Tile, visit_between, visit_within
from genbench.metrics.prepared import STEP, STEP_ON_DEVICE, PreparedRows, prepare
from genbench.metrics.uncertainty import (
    Blocks,
    Estimate,
    block_jackknife,
    longer_above,
    make_blocks,
)

_AT_ONCE = 64  # rows of a tile, which stay in cache for all steps
_NEGLIGIBLE = 1e-13  # of b: beyond any digit of float32 and nearly any of float64
_LARGEST = 1e45  # of q and b: a variance takes their sixth power


@dataclass(frozen=True, slots=True)
class KernelDistance:
    """Mean and std over subsets, and what the std is not: a standard error.

    `mean` over the subsets is the value that is reported; `std` (ddof=0) tells how much KID of
    `subset_size` rows varies. `std_error` of the mean: jackknife of the U-statistic over blocks of
    generated rows and the Monte-Carlo error of the subsets; None with fewer than 40 generated rows.
    `u_statistic` is the unbiased estimate from all pairs, without subsets.
    """

    mean: float
    std: float
    std_error: float | None
    u_statistic: float


def kernel_distance(
    real: Any, fake: Any, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> KernelDistance:
    """Squared maximum mean discrepancy with the kernel ``(x . y / d + 1)^3``, unbiased.

    ``mean_{i != j} k(r_i, r_j) + mean_{i != j} k(f_i, f_j) - 2 mean_{i, j} k(r_i, f_j)`` of each
    random subset, then mean and std over the subsets.

    Parameters
    ----------
    real, fake
        Features ``(n_real, d)`` and ``(n_fake, d)``, float32 or float64.
    subsets, subset_size
        Number of subsets and rows of each set in one, drawn without replacement.
    seed
        Of the draws (first from `fake`, then from `real`, as torch-fidelity's input 1 and 2).

    Returns
    -------
    KernelDistance
        `mean` is 0 in expectation for equal distributions and may be negative; lower is better.

    Raises
    ------
    MetricError
        If a set has fewer rows than `subset_size`, or an input is broken.

    Notes
    -----
    Unbiased at any n. All pairs are multiplied once, O(n^2 d); subsets are sums within that.
    Products in the input's dtype, sums over tiles in float64. Terms of the kernel that depend on
    one row alone cancel and are left out, so that means far from 0 cost no digits. Naive form:
    ``tests.oracles.kernel:kid``.

    References
    ----------
    Binkowski et al. 2018, Demystifying MMD GANs, arXiv:1801.01401.
    """
    require_at_least("subset_size", subset_size, 2)
    real, fake = as_pair(real, fake, at_least=subset_size)
    blocks = make_blocks(len(fake))
    both = prepare(real, fake, None if blocks is None else blocks.order)
    sums = KernelSums(*both, blocks, subsets=subsets, subset_size=subset_size, seed=seed)
    visit_within(both[0], [sums.within_real])
    visit_within(both[1], [sums.within_fake])
    visit_between(*both, [sums.between])
    return sums.result()[0]


class KernelSums:
    """Sums of kernel values over subsets and blocks; its three methods are `pairs.Visitor`s.

    With rows ``x = c + u`` around the rows' centre c, ``q = u . v / d``, ``p = u . c / d`` and
    ``b = 1 + c . c / d + p_u + p_v``, the kernel is ``(b + q)^3``. Whatever depends on one row
    alone cancels in the estimate. What is left is ``q (q^2 + 3 b q + 3 b^2)``, summed over tiles,
    and ``3 p_u p_v (2 (1 + c . c / d) + p_u + p_v)``, whose sums follow from those of p, p^2, p^3.

    Both sets are those that will be visited, fake in the order of `blocks` (None: no error).
    """

    def __init__(
        self,
        real: PreparedRows,
        fake: PreparedRows,
        blocks: Blocks | None,
        *,
        subsets: int,
        subset_size: int,
        seed: int,
    ) -> None:
        require_at_least("subsets", subsets, 1)
        self._n = len(real), len(fake)
        self._subsets, self._size = subsets, subset_size
        self._block_sizes = np.array([len(fake)]) if blocks is None else np.diff(blocks.edges)
        self._scale_kernel(real, fake)
        xp, members = arrays.namespace(real.x), self._members_of(blocks, seed)
        self._members = [xp.astype(arrays.like(real.x, m), real.x.dtype) for m in members]
        count = len(self._block_sizes)
        # real-real, fake-fake, real-fake; the real rows are one block
        zeros = [(3, subsets), (2,), (1, 1), (count, count), (1, count)]
        sums = [arrays.like(real.x, np.zeros(shape)) for shape in zeros]
        self._of_subset, self._diagonal, *self._by_block = sums
        self._lock = threading.Lock()
        self.within_real, self.within_fake = (partial(self._within, which) for which in (0, 1))

    def _scale_kernel(self, real: PreparedRows, fake: PreparedRows) -> None:
        """Bring q and b to a scale that float32 can hold."""
        d, xp = real.x.shape[1], arrays.namespace(real.x)
        self._base = 1 + float(real.centre @ real.centre) / d
        self._along = [_along_centre(prepared) for prepared in (real, fake)]
        largest = self._base + 2 * max(float(abs(p).max()) for p in self._along)
        largest = max(largest, real.unit**2)  # coordinates are at most one unit
        if largest > _LARGEST:
            raise MetricError(
                f"the cubic kernel overflows for features whose squares reach {largest:.2g}: "
                "scale them down",
                status="failed",
            )
        self._q_per_g = real.unit**2 / d
        # One g counts as this much of b; where less, q vanishes beside b in any case.
        self._step = max(self._q_per_g, largest * _NEGLIGIBLE)
        share = [1.5 * (self._base / 2 + p) / self._step for p in self._along]
        self._half_b = [xp.astype(part, real.x.dtype) for part in share]

    def _members_of(self, blocks: Blocks | None, seed: int) -> list[Rows]:
        """0/1 columns that pick rows: each set's subsets, then the blocks of fake, all of real."""
        rng = np.random.RandomState(seed % 2**32)  # the field's draws
        n_real, n_fake = self._n
        real = np.zeros((n_real, self._subsets + 1), np.float32)
        fake = np.zeros((n_fake, self._subsets + len(self._block_sizes)), np.float32)
        position = np.arange(n_fake) if blocks is None else np.argsort(blocks.order)
        for subset in range(self._subsets):
            fake[position[rng.choice(n_fake, self._size, replace=False)], subset] = 1
            real[rng.choice(n_real, self._size, replace=False), subset] = 1
        real[:, -1] = 1
        block = np.zeros(n_fake, np.int64) if blocks is None else blocks.of_position
        fake[np.arange(n_fake), self._subsets + block] = 1
        return [real, fake]

    def between(self, tile: Tile) -> None:
        """See `pairs.Visitor`."""
        picked = arrays.product(self._kernel(tile, 0, 1), self._members[1][tile.columns])
        of_subset, by_block = self._contract(picked, self._members[0][tile.rows])
        with self._lock:
            self._of_subset[2] += of_subset
            self._by_block[2] += by_block

    def _within(self, which: int, tile: Tile) -> None:
        """A tile off the diagonal stands for its mirror image too."""
        kernel = self._kernel(tile, which, which)
        on_diagonal = tile.rows == tile.columns
        if on_diagonal:
            with self._lock:
                self._diagonal[which] += arrays.in_float64(arrays.diagonal(kernel)).sum()
            arrays.diagonal(kernel)[:] = 0
        members = self._members[which]
        picked = arrays.product(kernel, members[tile.columns])
        of_subset, by_block = self._contract(picked, members[tile.rows])
        with self._lock:
            self._of_subset[which] += of_subset if on_diagonal else 2 * of_subset
            self._by_block[which] += by_block if on_diagonal else by_block + by_block.T

    def _contract(self, picked: Rows, members: Rows) -> tuple[Float64s, Float64s]:
        """Sums over the tile's rows: by subset, and by block of rows and block of columns."""
        count, xp = self._subsets, arrays.namespace(picked)
        of_subset = (picked[:, :count] * members[:, :count]).sum(axis=0, dtype=xp.float64)
        by_block = arrays.in_float64(members[:, count:].T) @ arrays.in_float64(picked[:, count:])
        return of_subset, by_block

    def _kernel(self, tile: Tile, left: int, right: int) -> Rows:
        """``g (q^2 + 3 b q + 3 b^2)`` of the tile, q and b in steps, in its scratch room."""
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

    def _complete(self) -> None:
        """Once, on the host: undo the scaling of the tiles' sums, add those of separable terms."""
        factor = self._q_per_g * self._step**2
        self._of_subset = arrays.to_host(self._of_subset) * factor
        self._diagonal = arrays.to_host(self._diagonal)
        self._by_block = [arrays.to_host(part) * factor for part in self._by_block]
        powers = [_sums_of_powers(*part) for part in zip(self._along, self._members, strict=True)]
        subsets = [part[:, : self._subsets] for part in powers]
        blocks = [part[:, self._subsets :] for part in powers]
        for which in (0, 1):
            self._of_subset[which] += self._separable(subsets[which], subsets[which])
            self._of_subset[which] -= self._of_same(subsets[which])
            self._by_block[which] += self._separable(blocks[which][:, :, None], blocks[which])
            same = self._of_same(blocks[which])
            self._by_block[which] -= np.diag(same)
            self._diagonal[which] = self._diagonal[which] * factor + same.sum()
        self._of_subset[2] += self._separable(*subsets)
        self._by_block[2] += self._separable(blocks[0][:, :, None], blocks[1])

    def _separable(self, left: Float64s, right: Float64s) -> Float64s:
        """Sums of ``3 p_u p_v (2 base + p_u + p_v)`` over u and v from sums of powers of each."""
        sums = 2 * self._base * left[0] * right[0] + left[1] * right[0] + left[0] * right[1]
        return 3 * sums

    def _of_same(self, powers: Float64s) -> Float64s:
        """Those of its terms in which v is u."""
        return 6 * (self._base * powers[1] + powers[2])

    def result(self) -> tuple[KernelDistance, Estimate]:
        """Once, after the last tile. The estimate's value is the mean over subsets."""
        self._complete()
        values = self._subset_values()
        mean, std = float(values.mean()), float(values.std())
        total = self._u_statistic(self._by_block[1].sum(), self._by_block[2].sum(), 0)
        estimate = Estimate(mean)
        if len(self._block_sizes) > 1:
            estimate = block_jackknife(
                mean, self._left_out(), extra_variance=std**2 / self._subsets
            )
            room = max(mean + self._own_share, estimate.std_error or 0.0)
            estimate = longer_above(estimate, room)
        return KernelDistance(mean, std, estimate.std_error, float(total)), estimate

    @property
    def _own_share(self) -> float:
        """The part of pairs of a row with itself: the form that has them is never below 0."""
        n, within = self._n[1], float(self._by_block[1].sum())
        return float(self._diagonal[1] / n - within / (n * (n - 1))) / n

    def _subset_values(self) -> Float64s:
        m = self._size
        real, fake, between = self._of_subset
        return (real + fake) / (m * (m - 1)) - 2 * between / m**2

    def _left_out(self) -> Float64s:
        """The U-statistic without each block of generated rows."""
        within, between = self._by_block[1], self._by_block[2][0]
        rest_within = within.sum() - 2 * within.sum(axis=1) + np.diagonal(within)
        return self._u_statistic(rest_within, between.sum() - between, self._block_sizes)

    def _u_statistic(self, within: Any, between: Any, removed: Any) -> Float64s:
        n_real, n_fake = self._n[0], self._n[1] - removed
        real = float(self._by_block[0][0, 0]) / (n_real * (n_real - 1))
        return real + within / (n_fake * (n_fake - 1)) - 2 * between / (n_real * n_fake)


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


def check_subsets(inputs: Inputs, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as they will be used; MetricError where they cannot be.

    Where there are fewer rows than the usual subset, the subset is all of the smaller set.
    """
    real, fake = inputs.pair
    used = dict(parameters)
    used["subset_size"] = min(used["subset_size"], len(real), len(fake))
    require_at_least("subset_size", used["subset_size"], 2)
    require_at_least("subsets", used["subsets"], 1)
    require_rows("real", len(real), 2)
    require_rows("fake", len(fake), 2)
    return used


def measure_kernel(sums: KernelSums, inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The kernel distance of the sums of a pass that is over: the maker of ``kid``."""
    result, estimate = sums.result()

    def again(rows: Rows) -> float:
        return kernel_distance(inputs.pair[0], rows, seed=inputs.seed, **parameters).mean

    estimate = inputs.floored(estimate, again, low=-math.inf)
    details = {"subset_std": result.std, "u_statistic": result.u_statistic}
    return Measurement(estimate, details, parameters)
