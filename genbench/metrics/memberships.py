"""Pairs between the sets, counted against the radii of both: what P/R and D/C are made of."""

from __future__ import annotations

import threading
from functools import reduce

import numpy as np

from genbench.metrics import arrays
from genbench.metrics.balls import Indices, Mask, Radii, inside, near, reached
from genbench.metrics.nearest import LeftOutRadii
from genbench.metrics.pairs import TILE, TILE_ON_DEVICE, Tile, split_evenly
from genbench.metrics.uncertainty import Blocks, Estimate, block_jackknife, wider_of, wilson_share


class Memberships:
    """A `pairs.Visitor` for `pairs.visit_between` (real rows, fake columns) over `columns`.

    A pair is in a ball if its distance is at most (closed) or less than (open) the radius.
    `blocks` are of the `n_fake` generated rows, visited in their order (None for no intervals).
    Radii, or None: of real rows ``(n_real,)``, `real_closed` for precision and `real_open` for
    density, with its `k_open`, and coverage; `fake_closed` of generated rows for recall.
    """

    def __init__(
        self,
        n_fake: int,
        blocks: Blocks | None,
        *,
        real_closed: Radii | None,
        real_open: Radii | None,
        k_open: int,
        fake_closed: LeftOutRadii | None,
    ) -> None:
        self._blocks, self._k_open = blocks, k_open
        self._real_closed, self._real_open, self._fake_closed = real_closed, real_open, fake_closed
        self._edges = np.array([0, n_fake]) if blocks is None else blocks.edges
        low = [radii.low for radii in (real_closed, real_open) if radii is not None]
        x, xp = low[0], arrays.namespace(low[0])
        self._lowest = reduce(xp.minimum, low)
        block = np.repeat(np.arange(len(self._edges) - 1), np.diff(self._edges))
        self._block = arrays.like(x, block)
        self.columns = _columns(self._edges, arrays.at_once(x, TILE, TILE_ON_DEVICE))

        def none(*shape: int) -> Mask:
            return arrays.full(x, shape, False, xp.bool)

        by_block = len(x), len(self._edges) - 1
        self._precise, self._density = none(n_fake), arrays.full(x, (n_fake,), 0, xp.int64)
        self._covered, self._recalled = none(*by_block), none(*by_block)  # by balls of that block
        self._reaching = none(n_fake)  # generated rows whose ball holds a real one
        self._recalled_without = none(*by_block)  # only once that block is gone
        if fake_closed is not None:
            self._widest = reduce(xp.minimum, fake_closed.left_out.low.T, fake_closed.full.low)
        self._lock = threading.Lock()

    def __call__(self, tile: Tile) -> None:
        """See `pairs.Visitor`."""
        place = near(tile, self._lowest[tile.rows, None])
        if place is None:
            self._precise_and_dense_by_masks(tile)
        elif len(place):
            self._precise_and_dense(tile, place)
        if self._fake_closed is not None:
            self._recall(tile, self._fake_closed)

    def _precise_and_dense(self, tile: Tile, place: Indices) -> None:
        row, column = self._pairs(tile, place)
        if self._real_closed is not None:
            squares = self._real_closed.squares[row]
            hit = column[reached(tile, place, squares, closed=True)]
            with self._lock:
                self._precise[hit] = True
        if self._real_open is not None:
            found = reached(tile, place, self._real_open.squares[row], closed=False)
            hit = column[found]
            with self._lock:
                arrays.count_at(self._density, hit)
            self._covered[row[found], self._block[hit]] = True

    def _precise_and_dense_by_masks(self, tile: Tile) -> None:
        if self._real_closed is not None:
            mask = inside(tile, self._real_closed, of_rows=True, closed=True)
            with self._lock:
                self._precise[tile.columns] |= mask.any(axis=0)
        if self._real_open is not None:
            mask = inside(tile, self._real_open, of_rows=True, closed=False)
            with self._lock:
                self._density[tile.columns] += mask.sum(axis=0)
            self._any_by_block(mask, tile, self._covered)

    def _recall(self, tile: Tile, radii: LeftOutRadii) -> None:
        place = near(tile, self._widest[tile.columns])
        if place is None:
            whole = inside(tile, radii.full, of_rows=False, closed=True)
            self._any_by_block(whole, tile, self._recalled)
            with self._lock:
                self._reaching[tile.columns] |= whole.any(axis=0)
            place = arrays.places((tile.closeness >= self._widest[tile.columns]) & ~whole)
        elif len(place):
            row, column = self._pairs(tile, place)
            found = reached(tile, place, radii.full.squares[column], closed=True)
            self._recalled[row[found], self._block[column[found]]] = True
            with self._lock:
                self._reaching[column[found]] = True
            place = place[~found]
        if self._blocks is not None and len(place):
            self._recall_without(tile, radii, place)

    def _recall_without(self, tile: Tile, radii: LeftOutRadii, place: Indices) -> None:
        """Mark rows of the tile that a ball outside of which they lie reaches without a block."""
        row, column = self._pairs(tile, place)
        # Balls of two blocks settle a row: whichever block goes, another ball stays.
        open_ = arrays.places(self._recalled[tile.rows].sum(axis=1)[row - tile.rows.start] < 2)
        row, column, place = row[open_], column[open_], place[open_]
        for which in range(radii.block.shape[1]):
            gone = radii.block[column, which]
            elsewhere = arrays.places(gone != self._block[column])
            squares = radii.left_out.squares[column[elsewhere], which]
            there = elsewhere[reached(tile, place[elsewhere], squares, closed=True)]
            self._recalled_without[row[there], gone[there]] = True

    def _pairs(self, tile: Tile, place: Indices) -> tuple[Indices, Indices]:
        """Rows and columns, of all, of the pairs at `place` in the tile."""
        row, column = arrays.columns_of(place, tile.closeness.shape[1])
        return row + tile.rows.start, column + tile.columns.start

    def _any_by_block(self, mask: Mask, tile: Tile, out: Mask) -> None:
        """Mark in `out` which rows of the tile have a true pair in which block."""
        ends = tile.columns.start, tile.columns.stop - 1
        first, last = np.searchsorted(self._edges, ends, side="right") - 1
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
        inside = arrays.count(self._density)
        return self._share(self._covered, self._covered & False, inside)

    def density(self) -> Estimate:
        """Mean number of real balls around a generated row over k."""
        density = arrays.to_host(self._density)
        value = float(density.sum() / (self._k_open * len(density)))
        if self._blocks is None:
            return Estimate(value)
        sums = np.add.reduceat(density, self._edges[:-1])
        rest = len(density) - np.diff(self._edges)
        left_out = (sums.sum() - sums) / (self._k_open * rest)
        return block_jackknife(value, left_out, low=0.0, least=1 / len(density))

    def _share(self, by_block: Mask, only_without: Mask, deciding: int) -> Estimate:
        """The share of real rows with a hit; `deciding` generated rows make any."""
        by_block, only_without = arrays.to_host(by_block), arrays.to_host(only_without)
        hits = by_block.sum(axis=1)
        value = float((hits > 0).mean())
        if self._blocks is None:
            return Estimate(value)
        left_out = ((hits[:, None] - by_block > 0) | only_without).mean(axis=0)
        if value in (0.0, 1.0):
            # No block changes anything, which is no certainty: at an edge rows count as trials,
            # and one generated row can decide many real ones.
            trials = min(len(hits), deciding or len(self._block))
            return wilson_share(value * trials, trials)
        return block_jackknife(value, left_out, low=0.0, high=1.0, least=1 / len(hits))


def _columns(edges: Indices, tile: int) -> list[slice]:
    """Column slices of about `tile` rows: whole blocks together, or one block in parts."""
    columns: list[slice] = []
    start = 0
    for stop in edges[1:].tolist():
        if stop - start >= tile * 0.75 or stop == edges[-1]:
            columns.extend(split_evenly(start, stop, tile))
            start = stop
    return columns
