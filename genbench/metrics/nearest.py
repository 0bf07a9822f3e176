"""The nearest rows of each row of a set, kept up to date tile by tile."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.checks import Rows
from genbench.metrics.pairs import Cloud, Tile, split_evenly
from genbench.metrics.uncertainty import Blocks

_DENSE = 4  # candidates per row and neighbour from which partitioning the whole tile is cheaper


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The `k` nearest other rows of each row, nearest first.

    Parameters
    ----------
    h
        Minus half the squared distance, ``(n, k)``, descending.
    index
        Which row, ``(n, k)``.
    """

    h: Rows
    index: NDArray[np.int64]


class NearestWithin:
    """A `pairs.Reader` for `pairs.visit_within` that keeps each row's `k` nearest other rows.

    A tile's pairs compete only if they are nearer than the row's k-th so far, which soon leaves
    few. Where many remain (rows in an unlucky order) the whole tile is partitioned instead.
    """

    def __init__(self, n: int, k: int, dtype: np.dtype[np.floating]) -> None:
        self._k = k
        self._h: Rows = np.full((n, k), -np.inf, dtype)
        self._index = np.full((n, k), -1, np.int64)
        self._worst: Rows = np.full(n, -np.inf, dtype)
        self._locks = {part.start: threading.Lock() for part in split_evenly(0, n)}

    def __call__(self, tile: Tile) -> None:
        """See `pairs.Reader`."""
        if tile.rows == tile.columns:
            h = tile.scratch
            np.copyto(h, tile.h)
            np.fill_diagonal(h, -np.inf)
            self._offer(tile.rows, tile.columns, h, h > self._worst[tile.rows, None])
            return
        h = tile.h
        self._offer(tile.rows, tile.columns, h, h > self._worst[tile.rows, None])
        mask = h > self._worst[tile.columns]
        self._offer(tile.columns, tile.rows, h.T, mask.T)

    def result(self) -> Neighbours:
        """All rows' neighbours, after the last tile."""
        order = np.argsort(-self._h, axis=1, kind="stable")
        return Neighbours(
            np.take_along_axis(self._h, order, axis=1),
            np.take_along_axis(self._index, order, axis=1),
        )

    def _offer(self, rows: slice, columns: slice, h: Rows, mask: NDArray[np.bool_]) -> None:
        found = np.count_nonzero(mask)
        if found == 0:
            return
        if found > _DENSE * self._k * len(h):
            touched, new_h, new_index = self._densely(h)
        else:
            touched, new_h, new_index = self._sparsely(h, mask)
        with self._locks[rows.start]:
            self._merge(rows.start + touched, new_h, columns.start + new_index)

    def _densely(self, h: Rows) -> tuple[NDArray[np.int64], Rows, NDArray[np.int64]]:
        """The k best of every row of the tile."""
        k = min(self._k, h.shape[1])
        index = np.argpartition(h, h.shape[1] - k, axis=1)[:, -k:]
        return np.arange(len(h)), np.take_along_axis(h, index, axis=1), index

    def _sparsely(
        self, h: Rows, mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], Rows, NDArray[np.int64]]:
        """The k best candidates of every row that has any, padded with minus infinity."""
        if mask.flags.c_contiguous:
            row, column = np.divmod(np.flatnonzero(mask), h.shape[1])
        else:  # a transposed tile: search it the way it lies in memory
            column, row = np.divmod(np.flatnonzero(mask.T), h.shape[0])
        value = h[row, column]
        order = np.lexsort((-value, row))
        row, column, value = row[order], column[order], value[order]
        touched, start, count = np.unique(row, return_index=True, return_counts=True)
        rank = np.arange(len(row)) - np.repeat(start, count)
        best = rank < self._k
        slot = np.repeat(np.arange(len(touched)), count)[best], rank[best]
        new_h: Rows = np.full((len(touched), self._k), -np.inf, h.dtype)
        new_index = np.zeros((len(touched), self._k), np.int64)
        new_h[slot], new_index[slot] = value[best], column[best]
        return touched, new_h, new_index

    def _merge(self, rows: NDArray[np.int64], h: Rows, index: NDArray[np.int64]) -> None:
        all_h = np.concatenate([self._h[rows], h], axis=1)
        all_index = np.concatenate([self._index[rows], index], axis=1)
        keep = np.argpartition(all_h, all_h.shape[1] - self._k, axis=1)[:, -self._k :]
        self._h[rows] = np.take_along_axis(all_h, keep, axis=1)
        self._index[rows] = np.take_along_axis(all_index, keep, axis=1)
        self._worst[rows] = self._h[rows].min(axis=1)


@dataclass(frozen=True, slots=True)
class LeftOutRadii:
    """k-th neighbour radii of each row, as ``h``, with all rows and without a block.

    Parameters
    ----------
    full
        With all rows, ``(n,)``.
    block
        The blocks of the k nearest rows, ``(n, k)``; without any other block `full` holds.
    left_out
        Radius without that block, ``(n, k)``, never above `full` (the ball only grows).
    """

    full: Rows
    block: NDArray[np.int64]
    left_out: Rows


def radii_without_blocks(
    cloud: Cloud, neighbours: Neighbours, k: int, blocks: Blocks | None
) -> LeftOutRadii:
    """For each row, its k-th nearest row once any one block of rows is gone, exactly.

    Only blocks that hold one of the k nearest matter. Where too few of the kept neighbours lie
    outside such a block, the row's distances are computed again.
    """
    full = neighbours.h[:, k - 1].copy()
    n = len(cloud)
    if blocks is None:
        return LeftOutRadii(full, np.empty((n, 0), np.int64), np.empty((n, 0), full.dtype))
    of_position = blocks.of_position
    block = of_position[neighbours.index]  # (n, kept)
    near = block[:, :k]
    h: Rows = np.empty((n, k), neighbours.h.dtype)
    for place in range(k):
        outside = block != near[:, place, None]
        rank = np.cumsum(outside, axis=1)
        enough = rank[:, -1] >= k
        kth = (rank >= k).argmax(axis=1)
        h[:, place] = neighbours.h[np.arange(n), kth]
        for row in np.flatnonzero(~enough):
            h[row, place] = _kth_outside(cloud, int(row), k, of_position != near[row, place])
    return LeftOutRadii(full, near, h)


def _kth_outside(cloud: Cloud, row: int, k: int, outside: NDArray[np.bool_]) -> float:
    outside = outside.copy()
    outside[row] = False
    h = cloud.x @ cloud.x[row] - cloud.half_square - cloud.half_square[row]
    return float(np.partition(h[outside], -k)[-k])
