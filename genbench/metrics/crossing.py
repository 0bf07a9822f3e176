"""Pairs between the sets, counted against the radii of both: what P/R and D/C are made of."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.nearest import LeftOutRadii
from genbench.metrics.pairs import TILE, Tile, split_evenly
from genbench.metrics.uncertainty import Blocks, Estimate, block_jackknife, wider_of, wilson_share

Mask = NDArray[np.bool_]


class Crossing:
    """A `pairs.Reader` for `pairs.visit_between` (real rows, fake columns) over `columns`.

    Radii come as ``h`` (minus half the squared distance): a pair is inside a ball if its ``h`` is
    at least (closed) or above (open) that of the radius.

    Parameters
    ----------
    n_fake
        Generated rows.
    blocks
        Of generated rows, which are visited in their order; None for no intervals.
    real_closed, real_open
        Radii of the real rows for precision and for density and coverage, ``(n_real,)``, or None.
    k_open
        k of density.
    fake_closed
        Radii of the generated rows for recall, or None.
    """

    def __init__(
        self,
        n_fake: int,
        blocks: Blocks | None,
        *,
        real_closed: Rows | None,
        real_open: Rows | None,
        k_open: int,
        fake_closed: LeftOutRadii | None,
    ) -> None:
        self._blocks, self._k_open = blocks, k_open
        self._real_closed, self._real_open, self._fake_closed = real_closed, real_open, fake_closed
        self._edges = np.array([0, n_fake]) if blocks is None else blocks.edges
        self._block = np.repeat(np.arange(len(self._edges) - 1), np.diff(self._edges))
        self.columns = _columns(self._edges)
        shape = self._n_real, len(self._edges) - 1
        self._precise: Mask = np.zeros(n_fake, bool)
        self._density = np.zeros(n_fake, np.int64)
        self._covered: Mask = np.zeros(shape, bool)
        self._recalled: Mask = np.zeros(shape, bool)  # by a ball of that block, all rows present
        self._reaching: Mask = np.zeros(n_fake, bool)  # generated rows whose ball holds a real one
        self._recalled_without: Mask = np.zeros(shape, bool)  # only once that block is gone
        if fake_closed is not None:
            widest = fake_closed.left_out.min(axis=1, initial=np.inf)
            self._widest: Rows = np.minimum(fake_closed.full, widest)
        self._lock = threading.Lock()

    @property
    def _n_real(self) -> int:
        radii = self._real_closed if self._real_closed is not None else self._real_open
        return 0 if radii is None else len(radii)

    def __call__(self, tile: Tile) -> None:
        """See `pairs.Reader`."""
        if self._real_closed is not None:
            inside = (tile.h >= self._real_closed[tile.rows, None]).any(axis=0)
            with self._lock:
                self._precise[tile.columns] |= inside
        if self._fake_closed is not None:
            self._recall(tile, self._fake_closed)
        if self._real_open is not None:
            self._dense_and_covered(tile, self._real_open[tile.rows])

    def _dense_and_covered(self, tile: Tile, radii: Rows) -> None:
        mask = tile.h > radii[:, None]
        count = _count_columns(mask)
        with self._lock:
            self._density[tile.columns] += count
        self._any_by_block(mask, tile, self._covered)

    def _recall(self, tile: Tile, radii: LeftOutRadii) -> None:
        mask = tile.h >= self._widest[tile.columns]
        if not mask.any():
            return
        full = tile.h >= radii.full[tile.columns]
        self._any_by_block(full, tile, self._recalled)
        with self._lock:
            self._reaching[tile.columns] |= full.any(axis=0)
        if self._blocks is None:
            return
        # Balls of two blocks settle a row: whichever block goes, another ball stays.
        settled = self._recalled[tile.rows].sum(axis=1) > 1
        mask &= ~full
        mask[settled] = False
        row, column = np.divmod(np.flatnonzero(mask), mask.shape[1])
        h = tile.h[row, column]
        row, column = row + tile.rows.start, column + tile.columns.start
        for place in range(radii.block.shape[1]):
            gone = radii.block[column, place]
            reached = (h >= radii.left_out[column, place]) & (gone != self._block[column])
            self._recalled_without[row[reached], gone[reached]] = True

    def _any_by_block(self, mask: Mask, tile: Tile, out: Mask) -> None:
        """Mark in `out` which rows of the tile have a true pair in which block."""
        first, last = self._block[tile.columns.start], self._block[tile.columns.stop - 1]
        for block in range(first, last + 1):
            start = max(self._edges[block], tile.columns.start) - tile.columns.start
            stop = min(self._edges[block + 1], tile.columns.stop) - tile.columns.start
            out[tile.rows, block] |= mask[:, start:stop].any(axis=1)

    def precision(self) -> Estimate:
        """Rows count independently, the reference being fixed: Wilson."""
        return wilson_share(int(self._precise.sum()), len(self._precise))

    def recall(self) -> Estimate:
        """Without a block, the radii of rows that had neighbours in it are larger.

        Conservative: its interval is about 1.6 times as wide as it should be, since the jackknife
        counts the interplay of blocks (one ball takes another's place) more than once.
        """
        reaching = int(self._reaching.sum())
        found = self._share(self._recalled, self._recalled_without, reaching)
        if found.interval is None or reaching == 0:
            return found
        # Where few rows reach far, blocks show too little: these rows as trials show more.
        share = wilson_share(found.value * reaching, reaching)
        return wider_of(found, share)

    def coverage(self) -> Estimate:
        """Share of real rows with a generated row in their ball."""
        inside = int(np.count_nonzero(self._density))
        return self._share(self._covered, np.zeros_like(self._covered), inside)

    def density(self) -> Estimate:
        """Mean number of real balls around a generated row over k."""
        value = float(self._density.sum() / (self._k_open * len(self._density)))
        if self._blocks is None:
            return Estimate(value)
        sums = np.add.reduceat(self._density, self._edges[:-1])
        rest = len(self._density) - np.diff(self._edges)
        left_out: Float64s = (sums.sum() - sums) / (self._k_open * rest)
        return block_jackknife(value, left_out, low=0.0, least=1 / len(self._density))

    def _share(self, by_block: Mask, only_without: Mask, deciding: int) -> Estimate:
        """The share of real rows with a hit; `deciding` generated rows make any."""
        hits = by_block.sum(axis=1)
        value = float((hits > 0).mean())
        if self._blocks is None:
            return Estimate(value)
        left_out: Float64s = ((hits[:, None] - by_block > 0) | only_without).mean(axis=0)
        if value in (0.0, 1.0):
            # No block changes anything, which is no certainty: at an edge rows count as trials,
            # and one generated row can decide many real ones.
            trials = min(len(hits), deciding or len(self._block))
            return wilson_share(value * trials, trials)
        return block_jackknife(value, left_out, low=0.0, high=1.0, least=1 / len(hits))


def _count_columns(mask: Mask) -> NDArray[np.int64]:
    """True values per column; most tiles have few."""
    found = np.count_nonzero(mask)
    if found * 16 > mask.size:
        dense: NDArray[np.int64] = mask.sum(axis=0, dtype=np.int64)
        return dense
    column = np.flatnonzero(mask) % mask.shape[1]
    count: NDArray[np.int64] = np.bincount(column, minlength=mask.shape[1])
    return count


def _columns(edges: NDArray[np.int64]) -> list[slice]:
    """Column slices of about `TILE` rows: whole blocks together, or one block in parts."""
    columns: list[slice] = []
    start = 0
    for stop in edges[1:].tolist():
        if stop - start >= TILE * 0.75 or stop == edges[-1]:
            columns.extend(split_evenly(start, stop))
            start = stop
    return columns
