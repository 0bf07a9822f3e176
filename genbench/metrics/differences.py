"""Squared distances from the differences of coordinates, in float64: what rounding cannot spoil.

Every function adds the squares in the order of the columns, as scipy's `cdist` does. So a distance
has one value wherever it is computed, equal distances are equal, and copies are at 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from genbench.metrics.checks import Float64s
from genbench.metrics.clouds import Cloud

_AT_ONCE = 2**15  # coordinates: what stays in cache while it is squared and turned
_DENSE = 16  # from one pair in so many on, all pairs of a block are cheaper than a list

Indices = NDArray[np.int64]


def squares_of_pairs(left: Cloud, i: Indices, right: Cloud, j: Indices) -> Float64s:
    """``|left[i] - right[j]|^2`` over ``unit^2`` for each pair of ``(i, j)``."""
    squares = np.empty(len(i))
    step = max(1, _AT_ONCE // left.x.shape[1])
    for start in range(0, len(i), step):
        part = slice(start, start + step)
        gap = left.rows(i[part]) - right.rows(j[part])
        gap *= gap
        # Turned, so that numpy adds whole columns one after the other instead of by halves.
        squares[part] = np.add.reduce(np.ascontiguousarray(gap.T), axis=0)
    return squares


def squares_of_block(left: Float64s, right: Float64s) -> Float64s:
    """All pairs of rows ``(n, d)`` and ``(m, d)``; rows that repeat are measured once."""
    first, which = _distinct(left)
    second, other = _distinct(right)
    squares: Float64s = cdist(first, second, "sqeuclidean")
    if len(first) < len(left):
        squares = squares[which]
    return squares if len(second) == len(right) else np.ascontiguousarray(squares[:, other])


def squares_within_tile(
    left: Cloud, rows: slice, right: Cloud, columns: slice, place: Indices
) -> Float64s:
    """Those pairs of a tile whose places in it, counted row by row, are `place`."""
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if len(place) * _DENSE > height * width:
        return squares_of_block(left.rows(rows), right.rows(columns)).ravel()[place]
    i, j = np.divmod(place, width)
    return squares_of_pairs(left, i + rows.start, right, j + columns.start)


def _distinct(rows: Float64s) -> tuple[Float64s, Indices]:
    """The rows that differ, and which of them each row is."""
    rows = np.ascontiguousarray(rows)
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    if 2 * len(first) > len(rows):
        return rows, np.arange(len(rows))
    return rows[first], which
