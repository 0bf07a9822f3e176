"""The nearest rows of each row of a set, kept up to date tile by tile, then measured exactly."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.balls import Radii, closeness_in_float64
from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.differences import squares_of_block, squares_of_pairs, squares_to_lists
from genbench.metrics.pairs import Tile, split_evenly, visit_within
from genbench.metrics.prepared import WIDE, PreparedRows, sharpened
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import Blocks

_DENSE = 4  # candidates per row and neighbour from which partitioning the whole tile is cheaper
_FEW = 10  # a second look is worth it if no more than one row in so many needs it
_SECOND_LOOK = 128  # rows at a time that are compared with all others
_MANY = 16  # from one pair in so many on, all differences of a block are cheaper than a list


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest other rows of each row, nearest first.

    Parameters
    ----------
    squares
        Squared distances over the rows' ``unit^2``, float64, exact, ``(n, kept)``, ascending;
        infinite from where another row might come before.
    index
        Which row, ``(n, kept)``.
    """

    squares: Float64s
    index: NDArray[np.int64]


class NearestWithin:
    """A `pairs.Visitor` for `pairs.visit_within` that keeps the nearest other rows of each row.

    It finds `k` for certain and up to `spare` more. A tile's pairs compete only if they are nearer
    than the row's worst so far, which soon leaves few. Where many remain (rows in an unlucky order)
    the whole tile is partitioned instead.
    """

    def __init__(self, prepared: PreparedRows, k: int, spare: int) -> None:
        n, dtype = len(prepared), prepared.dtype
        self._prepared, self._certain = prepared, k
        self._k = min(k + spare, n - 1)
        self._closeness: Rows = np.full((n, self._k), -np.inf, dtype)
        self._index = np.full((n, self._k), -1, np.int64)
        self._worst: Rows = np.full(n, -np.inf, dtype)
        self._locks = {part.start: threading.Lock() for part in split_evenly(0, n)}

    def __call__(self, tile: Tile) -> None:
        """See `pairs.Visitor`."""
        if tile.rows == tile.columns:
            closeness = tile.scratch[0]
            np.copyto(closeness, tile.closeness)
            np.fill_diagonal(closeness, -np.inf)
            self._offer(
                tile.rows, tile.columns, closeness, closeness > self._worst[tile.rows, None]
            )
            return
        closeness = tile.closeness
        self._offer(tile.rows, tile.columns, closeness, closeness > self._worst[tile.rows, None])
        mask = closeness > self._worst[tile.columns]
        self._offer(tile.columns, tile.rows, closeness.T, mask.T)

    def result(self) -> tuple[Neighbours, PreparedRows]:
        """All rows' neighbours, after the last tile, and the rows in the form that settled it.

        Rows whose neighbours rounding leaves open are looked at again; where they are many, all
        pairs are visited again in a finer form.
        """
        n, kept = self._closeness.shape
        squares = self._measured()
        order = np.argsort(squares, axis=1, kind="stable")
        squares = np.take_along_axis(squares, order, axis=1)
        index = np.take_along_axis(self._index, order, axis=1)
        again = np.flatnonzero(np.isinf(squares[:, self._certain - 1]))
        finer = sharpened(self._prepared) if len(again) * _FEW > n else self._prepared
        if finer is not self._prepared:
            retry = NearestWithin(finer, self._certain, kept - self._certain)
            visit_within(finer, [retry])
            return retry.result()
        squares[again], index[again] = nearest_by_differences(self._prepared, again, kept)
        return Neighbours(squares, index), self._prepared

    def _measured(self) -> Float64s:
        """Squared distances to the rows kept, infinite where one left out might be nearer."""
        n, kept = self._closeness.shape
        if self._prepared.exact:
            return np.asarray(-2 * self._closeness.astype(np.float64))
        squares = squares_to_lists(self._prepared, self._index)
        if kept < n - 1:
            # What was left out is no nearer than this: the worst that was kept beat it.
            squares[squares >= -2 * self._worst[:, None].astype(np.float64)] = np.inf
        return squares

    def _offer(self, rows: slice, columns: slice, closeness: Rows, mask: NDArray[np.bool_]) -> None:
        found = np.count_nonzero(mask)
        if found == 0:
            return
        if found > _DENSE * self._k * len(closeness):
            touched, new_closeness, new_index = self._densely(closeness)
        else:
            touched, new_closeness, new_index = self._sparsely(closeness, mask)
        with self._locks[rows.start]:
            self._merge(rows.start + touched, new_closeness, columns.start + new_index)

    def _densely(self, closeness: Rows) -> tuple[NDArray[np.int64], Rows, NDArray[np.int64]]:
        """The k best of every row of the tile."""
        k = min(self._k, closeness.shape[1])
        index = np.argpartition(closeness, closeness.shape[1] - k, axis=1)[:, -k:]
        return np.arange(len(closeness)), np.take_along_axis(closeness, index, axis=1), index

    def _sparsely(
        self, closeness: Rows, mask: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], Rows, NDArray[np.int64]]:
        """The k best candidates of every row that has any, padded with minus infinity."""
        if mask.flags.c_contiguous:
            row, column = np.divmod(np.flatnonzero(mask), closeness.shape[1])
        else:  # a transposed tile: search it the way it lies in memory
            column, row = np.divmod(np.flatnonzero(mask.T), closeness.shape[0])
        value = closeness[row, column]
        order = np.lexsort((-value, row))
        row, column, value = row[order], column[order], value[order]
        touched, start, count = np.unique(row, return_index=True, return_counts=True)
        rank = np.arange(len(row)) - np.repeat(start, count)
        best = rank < self._k
        slot = np.repeat(np.arange(len(touched)), count)[best], rank[best]
        new_closeness: Rows = np.full((len(touched), self._k), -np.inf, closeness.dtype)
        new_index = np.zeros((len(touched), self._k), np.int64)
        new_closeness[slot], new_index[slot] = value[best], column[best]
        return touched, new_closeness, new_index

    def _merge(self, rows: NDArray[np.int64], closeness: Rows, index: NDArray[np.int64]) -> None:
        all_closeness = np.concatenate([self._closeness[rows], closeness], axis=1)
        all_index = np.concatenate([self._index[rows], index], axis=1)
        keep = np.argpartition(all_closeness, all_closeness.shape[1] - self._k, axis=1)[
            :, -self._k :
        ]
        self._closeness[rows] = np.take_along_axis(all_closeness, keep, axis=1)
        self._index[rows] = np.take_along_axis(all_index, keep, axis=1)
        self._worst[rows] = self._closeness[rows].min(axis=1)


def nearest_by_differences(
    prepared: PreparedRows, rows: NDArray[np.int64], k: int
) -> tuple[Float64s, NDArray[np.int64]]:
    """Squared distances, ascending, to the `k` nearest other rows of `rows`, and their indices."""

    def look(part: NDArray[np.int64]) -> tuple[Float64s, NDArray[np.int64]]:
        squares = _near_squares(prepared, part, k)
        squares[np.arange(len(part)), part] = np.inf
        # Rows at the same distance in no order of theirs: blocks of rows are contiguous.
        mixed = np.random.default_rng(0).permutation(len(prepared))
        index = mixed[np.argpartition(squares[:, mixed], k - 1, axis=1)[:, :k]]
        squares = np.take_along_axis(squares, index, axis=1)
        order = np.argsort(squares, axis=1, kind="stable")
        return np.take_along_axis(squares, order, axis=1), np.take_along_axis(index, order, axis=1)

    found = side_by_side(look, _chunks(rows))
    if not found:
        return np.empty((0, k)), np.empty((0, k), np.int64)
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def _chunks(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[i : i + _SECOND_LOOK] for i in range(0, len(rows), _SECOND_LOOK)]


def _near_squares(prepared: PreparedRows, rows: NDArray[np.int64], k: int) -> Float64s:
    """Squared distances ``(len(rows), n)`` of the k nearest others at least, else infinity."""
    if prepared.x.shape[1] <= WIDE:
        return _all_squares(prepared, rows)
    x = prepared.centred(rows)
    upper, slack = np.empty((2, len(rows), len(prepared)))
    for columns in split_evenly(0, len(prepared)):
        upper[:, columns], slack[:, columns] = closeness_in_float64(x, prepared.centred(columns))
    lower = upper - 2 * slack
    lower[np.arange(len(rows)), rows] = -np.inf
    kth = np.partition(lower, len(prepared) - k, axis=1)[:, -k, None]
    row, column = np.nonzero(upper >= kth)
    if len(row) * _MANY > upper.size:
        return _all_squares(prepared, rows)
    squares = np.full(upper.shape, np.inf)
    squares[row, column] = squares_of_pairs(prepared, rows[row], prepared, column)
    return squares


def _all_squares(prepared: PreparedRows, rows: NDArray[np.int64]) -> Float64s:
    """Squared distances of `rows` to all rows, ``(len(rows), n)``."""
    parts = split_evenly(0, len(prepared))
    return np.concatenate(
        [squares_of_block(prepared, rows, prepared, part) for part in parts], axis=1
    )


@dataclass(frozen=True, slots=True)
class LeftOutRadii:
    """Radii to the k-th neighbour of each row, with all rows and without a block.

    Parameters
    ----------
    full
        With all rows, ``(n,)``.
    block
        The blocks of the k nearest rows, ``(n, k)``; without any other block `full` holds.
    left_out
        Radius without that block, ``(n, k)``, never below `full` (the ball only grows).
    """

    full: Radii
    block: NDArray[np.int64]
    left_out: Radii


def radii_without_blocks(
    prepared: PreparedRows, neighbours: Neighbours, k: int, blocks: Blocks | None
) -> LeftOutRadii:
    """For each row, its k-th nearest row once any one block of rows is gone, exactly.

    Only blocks that hold one of the k nearest matter. Where too few of the kept neighbours lie
    outside such a block, the row's distances are computed again.
    """
    full = Radii.of(neighbours.squares[:, k - 1], prepared)
    n = len(prepared)
    if blocks is None:
        return LeftOutRadii(full, np.empty((n, 0), np.int64), Radii.of(np.empty((n, 0)), prepared))
    of_position = blocks.of_position
    block = of_position[neighbours.index]  # (n, kept)
    near = block[:, :k]
    squares = np.empty((n, k))
    for place in range(k):
        outside = (block != near[:, place, None]) & np.isfinite(neighbours.squares)
        rank = np.cumsum(outside, axis=1)
        kth = (rank >= k).argmax(axis=1)
        squares[:, place] = neighbours.squares[np.arange(n), kth]
        squares[rank[:, -1] < k, place] = np.inf
    again = np.flatnonzero(np.isinf(squares).any(axis=1))
    squares[again] = _kth_outside(prepared, again, k, near[again], of_position)
    return LeftOutRadii(full, near, Radii.of(squares, prepared))


def _kth_outside(
    prepared: PreparedRows,
    rows: NDArray[np.int64],
    k: int,
    gone: NDArray[np.int64],
    of_position: NDArray[np.int64],
) -> Float64s:
    """Squared distance to the k-th (or last) row outside each block of `gone`, ``(rows, k)``."""

    def look(part: NDArray[np.int64]) -> Float64s:
        squares = _all_squares(prepared, rows[part])
        squares[np.arange(len(part)), rows[part]] = np.inf
        found = np.empty((len(part), k))
        for place in range(k):
            same = np.flatnonzero((gone[part, :place] == gone[part, place, None]).all(axis=0))
            if len(same):
                found[:, place] = found[:, same[0]]
                continue
            masked = np.where(of_position == gone[part, place, None], np.inf, squares)
            found[:, place] = np.partition(masked, k - 1, axis=1)[:, k - 1]
            few = np.isinf(found[:, place])
            found[few, place] = np.where(np.isinf(masked[few]), -1, masked[few]).max(axis=1)
        return found

    parts = _chunks(np.arange(len(rows)))
    return np.concatenate([np.empty((0, k)), *side_by_side(look, parts)])
