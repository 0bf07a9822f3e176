"""Squared distances from the differences of coordinates, in float64: what rounding cannot spoil.

Every function adds the squares in the order of the columns, as scipy's `cdist` does, and gives the
square of their root: distances are equal where those of `cdist` are, and copies are at 0.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from genbench.metrics import arrays
from genbench.metrics.arrays import Array
from genbench.metrics.checks import Float64s
from genbench.metrics.prepared import PreparedRows

# Coordinates: what stays in cache while it is squared and turned, and half a GB on a device.
_AT_ONCE, _AT_ONCE_ON_DEVICE = 2**15, 2**26
_ROW_BY_ROW = 300  # dimensions from which a call for each row is cheaper than turning all gaps
_USUAL = 2.0**64  # units whose square may as well be divided by afterwards
_DENSE = 16  # from one pair in so many on, all pairs of a block are cheaper than a list

Indices = Array  # int64


def squares_of_pairs(left: PreparedRows, i: Indices, right: PreparedRows, j: Indices) -> Float64s:
    """``|left[i] - right[j]|^2`` over ``unit^2`` for each pair of ``(i, j)``, ``(pairs,)``."""
    squares = arrays.empty(left.x, (len(i),), arrays.namespace(left.x).float64)
    step = max(1, arrays.at_once(left.x, _AT_ONCE, _AT_ONCE_ON_DEVICE) // left.x.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        gap = arrays.in_float64(left.as_given(i[part]))
        gap -= right.as_given(j[part])
        gap /= left.unit
        gap *= gap
        squares[part] = arrays.sums_in_order(gap)
    return _of_roots(squares, left)


def squares_to_lists(prepared: PreparedRows, lists: Indices) -> Float64s:
    """Of each row to those rows of its set that ``lists (n, k)`` names, ``(n, k)``."""
    n, k = lists.shape
    usual = prepared.x.shape[1] >= _ROW_BY_ROW and 1 / _USUAL < prepared.unit < _USUAL
    if not (usual and arrays.on_host(lists)):
        row = arrays.namespace(lists).repeat(arrays.arange(lists, 0, n), k)
        return squares_of_pairs(prepared, row, prepared, lists.reshape(-1)).reshape(n, k)
    squares = np.empty((n, k))
    for i, others in enumerate(lists):
        x, y = (prepared.as_given(rows).astype(np.float64) for rows in ([i], others))
        squares[i] = cdist(x, y, "sqeuclidean")
    squares /= prepared.unit**2
    return _of_roots(squares, prepared)


def squares_of_block(
    left: PreparedRows, rows: Indices | slice, right: PreparedRows, columns: Indices | slice
) -> Float64s:
    """All pairs of `rows` and `columns`, ``(n, m)``; rows that repeat are measured once."""
    x, which = _distinct(left.rows(rows))
    y, other = _distinct(right.rows(columns))
    squares = _of_roots(arrays.squares_in_order(x, y), left)
    if len(x) < len(which):
        squares = squares[which]
    return squares if len(y) == len(other) else np.ascontiguousarray(squares[:, other])


def squares_within_tile(
    left: PreparedRows, rows: slice, right: PreparedRows, columns: slice, place: Indices
) -> Float64s:
    """Those pairs of a tile whose places in it, counted row by row, are `place`."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if len(place) * _DENSE > height * width:
        return squares_of_block(left, rows, right, columns).reshape(-1)[place]
    i, j = arrays.columns_of(place, width)
    return squares_of_pairs(left, i + rows.start, right, j + columns.start)


def _of_roots(squares: Float64s, prepared: PreparedRows) -> Float64s:
    """Squares that are equal where their roots are, in place.

    The root of a rounded square of x is x: nothing is lost. Whole numbers, which exact products are
    compared with, have different roots as they are.
    """
    if prepared.exact and not prepared.by_differences:
        return squares
    arrays.namespace(squares).sqrt(squares, out=squares)
    squares *= squares
    return squares


def _distinct(rows: Float64s) -> tuple[Float64s, Indices]:
    """The rows that differ, and which of them each row is; all of them on a device."""
    if not arrays.on_host(rows):
        return rows, rows
    rows = np.ascontiguousarray(rows)
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    if 2 * len(first) > len(rows):
        return rows, np.arange(len(rows))
    return rows[first], which
