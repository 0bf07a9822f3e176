"""Sums of a kernel over all pairs of rows, and the discrepancy with its interval made of them."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from genbench.metrics import arrays
from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.kernels import KernelChoice
from genbench.metrics.pairs import Tile, visit_between, visit_within
from genbench.metrics.prepared import PreparedRows, prepare
from genbench.metrics.uncertainty import Blocks, Estimate, block_jackknife, longer_above


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """The value, without `KernelChoice.scale`: of all rows, or the mean over subsets.

    `std` (ddof=0) is over subsets, 0 without any; `u_statistic` the unbiased estimate of all rows.
    """

    value: float
    std: float
    u_statistic: float


class KernelSums:
    """Sums of kernel values over subsets and blocks; its three methods are `pairs.Visitor`s.

    Both sets are those that will be visited, fake in the order of `blocks` (None: no error).
    """

    def __init__(
        self,
        both: tuple[PreparedRows, PreparedRows],
        blocks: Blocks | None,
        choice: KernelChoice,
        seed: int,
    ) -> None:
        real, fake = both
        self._n = len(real), len(fake)
        self._subsets, self._size = choice.subsets, choice.subset_size
        self._biased = choice.biased
        self._block_sizes = np.array([len(fake)]) if blocks is None else np.diff(blocks.edges)
        self._kernel = choice.kernel_of(both)
        self.bandwidth = self._kernel.bandwidth
        xp, members = arrays.namespace(real.x), self._members_of(blocks, seed)
        self._members = [xp.astype(arrays.like(real.x, m), real.x.dtype) for m in members]
        subsets, count = self._subsets, len(self._block_sizes)
        # real-real, fake-fake, real-fake; the real rows are one block
        zeros = [(3, subsets), (subsets + 1,), (subsets + count,), (1, 1), (count, count),
                 (1, count)]  # fmt: skip
        sums = [arrays.like(real.x, np.zeros(shape)) for shape in zeros]
        self._of_subset, *rest = sums
        self._own, self._by_block = rest[:2], rest[2:]
        self._lock = threading.Lock()
        self.within_real, self.within_fake = (partial(self._within, which) for which in (0, 1))

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
        picked = arrays.product(self._kernel.values(tile, 0, 1), self._members[1][tile.columns])
        of_subset, by_block = self._contract(picked, self._members[0][tile.rows])
        with self._lock:
            self._of_subset[2] += of_subset
            self._by_block[2] += by_block

    def _within(self, which: int, tile: Tile) -> None:
        """A tile off the diagonal stands for its mirror image too."""
        kernel = self._kernel.values(tile, which, which)
        on_diagonal = tile.rows == tile.columns
        members = self._members[which]
        if on_diagonal:
            self._kernel.clear_own(kernel)
            own = arrays.in_float64(arrays.diagonal(kernel))
            with self._lock:
                self._own[which] += own @ arrays.in_float64(members[tile.rows])
            arrays.diagonal(kernel)[:] = 0
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

    def _complete(self) -> None:
        """Once, on the host: undo the scaling of the tiles' sums, add those of separable terms."""
        factor = self._kernel.factor
        self._of_subset = arrays.to_host(self._of_subset) * factor
        self._own = [arrays.to_host(part) * factor for part in self._own]
        self._by_block = [arrays.to_host(part) * factor for part in self._by_block]
        terms = self._kernel.separable(self._members)
        if terms is None:
            return
        subsets = [part[:, : self._subsets] for part in terms.powers]
        blocks = [part[:, self._subsets :] for part in terms.powers]
        for which in (0, 1):
            self._of_subset[which] += terms.of_pairs(subsets[which], subsets[which])
            self._of_subset[which] -= terms.of_same(subsets[which])
            self._by_block[which] += terms.of_pairs(blocks[which][:, :, None], blocks[which])
            self._by_block[which] -= np.diag(terms.of_same(blocks[which]))
            self._own[which] += terms.of_same(terms.powers[which])
        self._of_subset[2] += terms.of_pairs(*subsets)
        self._by_block[2] += terms.of_pairs(blocks[0][:, :, None], blocks[1])

    def result(self) -> tuple[Discrepancy, Estimate]:
        """Once, after the last tile."""
        self._complete()
        value, std, extra = self._of_all(self._biased), 0.0, 0.0
        if self._subsets:
            values = self._subset_values()
            value, std = float(values.mean()), float(values.std())
            extra = std**2 / self._subsets
        estimate = Estimate(value)
        if len(self._block_sizes) > 1:
            low = 0.0 if self._biased else -math.inf
            estimate = block_jackknife(value, self._left_out(), low=low, extra_variance=extra)
            # The form that pairs rows with themselves is never below 0.
            above = value if self._biased else value + self._own_share
            estimate = longer_above(estimate, max(above, estimate.std_error or 0.0))
        return Discrepancy(value, std, self._of_all(False)), estimate

    @property
    def _own_share(self) -> float:
        """The part of pairs of a generated row with itself in the form that has them."""
        n, within = self._n[1], float(self._by_block[1].sum())
        own = float(self._own[1][self._subsets :].sum())
        return float(own / n - within / (n * (n - 1))) / n

    def _subset_values(self) -> Float64s:
        m = self._size
        real, fake, between = self._of_subset
        within, pairs = real + fake, m * (m - 1)
        if self._biased:
            own = [part[: self._subsets] for part in self._own]
            within, pairs = within + own[0] + own[1], m * m
        return within / pairs - 2 * between / m**2

    def _of_all(self, biased: bool) -> float:
        within, between = self._by_block[1].sum(), self._by_block[2].sum()
        own = self._own[1][self._subsets :].sum()
        return float(self._statistic(within, between, own, 0, biased))

    def _left_out(self) -> Float64s:
        """The statistic of all rows without each block of generated ones."""
        within, between = self._by_block[1], self._by_block[2][0]
        rest_within = within.sum() - 2 * within.sum(axis=1) + np.diagonal(within)
        own = self._own[1][self._subsets :]
        rest = between.sum() - between, own.sum() - own
        return self._statistic(rest_within, *rest, self._block_sizes, self._biased)

    def _statistic(
        self, within: Any, between: Any, own: Any, removed: Any, biased: bool
    ) -> Float64s:
        """From sums over generated rows, `removed` of which are gone."""
        n_real, n_fake = self._n[0], self._n[1] - removed
        real, twice = float(self._by_block[0][0, 0]), 2 * between / (n_real * n_fake)
        if biased:
            of_real = (real + float(self._own[0][-1])) / n_real**2
            return of_real + (within + own) / n_fake**2 - twice
        return real / (n_real * (n_real - 1)) + within / (n_fake * (n_fake - 1)) - twice


def sums_of(
    real: Rows, fake: Rows, blocks: Blocks | None, choice: KernelChoice, seed: int
) -> KernelSums:
    """The sums of one kernel over checked rows, all pairs visited."""
    both = prepare(*choice.prepared(real, fake), None if blocks is None else blocks.order)
    sums = KernelSums(both, blocks, choice, seed)
    visit_within(both[0], [sums.within_real])
    visit_within(both[1], [sums.within_fake])
    visit_between(*both, [sums.between])
    return sums
