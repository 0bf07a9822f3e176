"""The nearest rows of each row of a set, kept up to date tile by tile, then measured exactly."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np

from genbench.metrics import arrays
from genbench.metrics.balls import Indices, Mask, Radii, closeness_in_float64
from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.differences import squares_of_block, squares_of_pairs, squares_to_lists
from genbench.metrics.pairs import Tile, split_evenly, tile_of, visit_within
from genbench.metrics.prepared import WIDE, PreparedRows, sharpened
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import Blocks

_DENSE = 4  # candidates per row and neighbour from which partitioning the whole tile is cheaper
_FEW = 10  # a second look is worth it if no more than one row in so many needs it
_SECOND_LOOK, _ON_DEVICE = 128, 1024  # rows at a time that are compared with all others
_MANY = 16  # from one pair in so many on, all differences of a block are cheaper than a list


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest other rows of each row, nearest first, ``(n, kept)`` each.

    `squares`: squared distances over the rows' ``unit^2``, float64, exact, infinite from where
    another row might come before. `index`: which row.
    """

    squares: Float64s
    index: Indices


class NearestWithin:
    """A `pairs.Visitor` for `pairs.visit_within` that keeps the nearest other rows of each row.

    It finds `k` for certain and up to `spare` more. A tile's pairs compete only if they are nearer
    than the row's worst so far, which soon leaves few. Where many remain (rows in an unlucky order)
    the whole tile is partitioned instead.
    """

    def __init__(self, prepared: PreparedRows, k: int, spare: int) -> None:
        n, dtype, x = len(prepared), prepared.dtype, prepared.x
        self._prepared, self._certain = prepared, k
        self._k = min(k + spare, n - 1)
        self._closeness = arrays.full(x, (n, self._k), -math.inf, dtype)
        self._index = arrays.full(x, (n, self._k), -1, arrays.namespace(x).int64)
        self._worst = arrays.full(x, (n,), -math.inf, dtype)
        self._locks = {part.start: threading.Lock() for part in _parts(prepared)}

    def __call__(self, tile: Tile) -> None:
        """See `pairs.Visitor`."""
        if tile.rows == tile.columns:
            closeness = tile.scratch[0]
            closeness[:] = tile.closeness
            arrays.diagonal(closeness)[:] = -math.inf
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
        squares, index = _ordered(self._measured(), self._index)
        again = arrays.places(squares[:, self._certain - 1] == math.inf)
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
            return -2 * arrays.in_float64(self._closeness)
        squares = squares_to_lists(self._prepared, self._index)
        if kept < n - 1:
            # What was left out is no nearer than this: the worst that was kept beat it.
            squares[squares >= -2 * arrays.in_float64(self._worst[:, None])] = math.inf
        return squares

    def _offer(self, rows: slice, columns: slice, closeness: Rows, mask: Mask) -> None:
        found = arrays.count(mask)
        if found == 0:
            return
        if found > _DENSE * self._k * len(closeness) or not arrays.on_host(closeness):
            touched, new_closeness, new_index = self._densely(closeness)
        else:
            touched, new_closeness, new_index = self._sparsely(closeness, mask)
        with self._locks[rows.start]:
            self._merge(rows.start + touched, new_closeness, columns.start + new_index)

    def _densely(self, closeness: Rows) -> tuple[Indices, Rows, Indices]:
        """The k best of every row of the tile."""
        index = arrays.largest(closeness, min(self._k, closeness.shape[1]))
        nearest = arrays.namespace(closeness).take_along_axis(closeness, index, axis=1)
        return arrays.arange(closeness, 0, len(closeness)), nearest, index

    def _sparsely(self, closeness: Rows, mask: Mask) -> tuple[Indices, Rows, Indices]:
        """The k best candidates of every row that has any, padded with minus infinity.

        On the host alone, where few candidates are cheaper than partitioning all of the tile.
        """
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

    def _merge(self, rows: Indices, closeness: Rows, index: Indices) -> None:
        xp = arrays.namespace(closeness)
        all_closeness = arrays.concat([self._closeness[rows], closeness], axis=1)
        all_index = arrays.concat([self._index[rows], index], axis=1)
        keep = arrays.largest(all_closeness, self._k)
        self._closeness[rows] = kept = xp.take_along_axis(all_closeness, keep, axis=1)
        self._index[rows] = xp.take_along_axis(all_index, keep, axis=1)
        self._worst[rows] = xp.min(kept, axis=1)


def _parts(prepared: PreparedRows) -> list[slice]:
    return split_evenly(0, len(prepared), tile_of(prepared))


def _ordered(squares: Float64s, index: Indices) -> tuple[Float64s, Indices]:
    """Each row by its squares, ascending."""
    xp, order = arrays.namespace(squares), arrays.sort_order(squares)
    return xp.take_along_axis(squares, order, axis=1), xp.take_along_axis(index, order, axis=1)


def nearest_by_differences(
    prepared: PreparedRows, rows: Indices, k: int
) -> tuple[Float64s, Indices]:
    """Squared distances, ascending, to the `k` nearest other rows of `rows`, and their indices."""

    # Rows at the same distance in no order of theirs: blocks of rows are contiguous.
    mixed = arrays.like(prepared.x, np.random.default_rng(0).permutation(len(prepared)))
    xp = arrays.namespace(prepared.x)

    def look(part: Indices) -> tuple[Float64s, Indices]:
        squares = _near_squares(prepared, part, k)
        squares[arrays.arange(part, 0, len(part)), part] = math.inf
        index = mixed[arrays.smallest(squares[:, mixed], k)]
        return _ordered(xp.take_along_axis(squares, index, axis=1), index)

    found = side_by_side(look, _chunks(rows), on=rows)
    if not found:
        none = arrays.full(prepared.x, (0, k), 0, xp.float64)
        return none, xp.astype(none, xp.int64)
    return arrays.concat([f[0] for f in found]), arrays.concat([f[1] for f in found])


def _chunks(rows: Indices) -> list[Indices]:
    step = arrays.at_once(rows, _SECOND_LOOK, _ON_DEVICE)
    return [rows[i : i + step] for i in range(0, len(rows), step)]


def _near_squares(prepared: PreparedRows, rows: Indices, k: int) -> Float64s:
    """Squared distances ``(len(rows), n)`` of the k nearest others at least, else infinity."""
    if prepared.x.shape[1] <= WIDE:
        return _all_squares(prepared, rows)
    x, xp = prepared.centred(rows), arrays.namespace(prepared.x)
    upper, slack = arrays.empty(x, (2, len(rows), len(prepared)), xp.float64)
    for columns in _parts(prepared):
        upper[:, columns], slack[:, columns] = closeness_in_float64(x, prepared.centred(columns))
    lower = upper - 2 * slack
    lower[arrays.arange(rows, 0, len(rows)), rows] = -math.inf
    kth = -arrays.kth_smallest(-lower, k)[:, None]
    row, column = xp.nonzero(upper >= kth)
    if len(row) * _MANY > arrays.size(upper):
        return _all_squares(prepared, rows)
    squares = arrays.full(x, tuple(upper.shape), math.inf, xp.float64)
    squares[row, column] = squares_of_pairs(prepared, rows[row], prepared, column)
    return squares


def _all_squares(prepared: PreparedRows, rows: Indices) -> Float64s:
    """Squared distances of `rows` to all rows, ``(len(rows), n)``."""
    parts = _parts(prepared)
    return arrays.concat(
        [squares_of_block(prepared, rows, prepared, part) for part in parts], axis=1
    )


@dataclass(frozen=True, slots=True)
class LeftOutRadii:
    """Radii to the k-th neighbour of each row: `full` ``(n,)`` with all rows, and without a block.

    `block` ``(n, k)`` are the blocks of the k nearest rows: without any other `full` holds.
    `left_out` ``(n, k)`` is the radius without that block, never below `full` (balls only grow).
    """

    full: Radii
    block: Indices
    left_out: Radii


def radii_without_blocks(
    prepared: PreparedRows, neighbours: Neighbours, k: int, blocks: Blocks | None
) -> LeftOutRadii:
    """For each row, its k-th nearest row once any one block of rows is gone, exactly.

    Only blocks that hold one of the k nearest matter. Where too few of the kept neighbours lie
    outside such a block, the row's distances are computed again.
    """
    whole = Radii.of(neighbours.squares[:, k - 1], prepared)
    n, xp = len(prepared), arrays.namespace(prepared.x)
    if blocks is None:
        none = arrays.empty(prepared.x, (n, 0), xp.float64)
        return LeftOutRadii(whole, xp.astype(none, xp.int64), Radii.of(none, prepared))
    of_position = arrays.like(prepared.x, blocks.of_position)
    block = of_position[neighbours.index]  # (n, kept)
    near = block[:, :k]
    squares = arrays.empty(prepared.x, (n, k), xp.float64)
    for place in range(k):
        outside = (block != near[:, place, None]) & xp.isfinite(neighbours.squares)
        rank = outside.cumsum(axis=1)
        kth = arrays.first_true(rank >= k)
        squares[:, place] = neighbours.squares[arrays.arange(block, 0, n), kth]
        squares[rank[:, -1] < k, place] = math.inf
    again = arrays.places((squares == math.inf).any(axis=1))
    squares[again] = _kth_outside(prepared, again, k, near[again], of_position)
    return LeftOutRadii(whole, near, Radii.of(squares, prepared))


def _kth_outside(
    prepared: PreparedRows, rows: Indices, k: int, gone: Indices, of_position: Indices
) -> Float64s:
    """Squared distance to the k-th (or last) row outside each block of `gone`, ``(rows, k)``."""
    x, xp = prepared.x, arrays.namespace(prepared.x)

    def look(part: Indices) -> Float64s:
        squares = _all_squares(prepared, rows[part])
        squares[arrays.arange(x, 0, len(part)), rows[part]] = math.inf
        found = arrays.empty(x, (len(part), k), xp.float64)
        for place in range(k):
            same = arrays.places((gone[part, :place] == gone[part, place, None]).all(axis=0))
            if len(same):
                found[:, place] = found[:, same[0]]
                continue
            masked = xp.where(of_position == gone[part, place, None], math.inf, squares)
            found[:, place] = arrays.kth_smallest(masked, k)
            few = found[:, place] == math.inf
            last = xp.max(xp.where(masked[few] == math.inf, -1.0, masked[few]), axis=1)
            found[few, place] = last
        return found

    parts = _chunks(arrays.arange(x, 0, len(rows)))
    return arrays.concat([arrays.empty(x, (0, k), xp.float64), *side_by_side(look, parts, on=x)])
