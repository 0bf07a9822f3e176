"""The nearest row of a large set for each of many queries, exactly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.differences import squares_of_block, squares_of_pairs
from genbench.metrics.prepared import PreparedRows, prepare, sharpened
from genbench.metrics.threads import side_by_side

_QUERIES, _COLUMNS = 512, 1024
_MANY = 16  # from one pair in so many on, all differences are cheaper than a list

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Nearest:
    """For each query the nearest row: Euclidean `distance` in float64 and its `index`, ``(n,)``.

    Of rows at exactly the same distance the first counts.
    """

    distance: Float64s
    index: Indices


def nearest_rows(queries: Rows, rows: Rows, *, exclude: Indices | None = None) -> Nearest:
    """The nearest of `rows` to each of `queries`, without row ``exclude[i]`` for query i.

    Tile by tile in float32 products; every row that rounding could have hidden behind the best is
    measured again in float64 from the coordinates' differences, so that copies are at distance 0
    and near ties fall right. Rows ``(n, d)`` and ``(m, d)``; at least one row that is not excluded.
    """
    search = _Search(queries, rows, exclude)
    parts = [slice(i, min(i + _QUERIES, len(queries))) for i in range(0, len(queries), _QUERIES)]
    found = side_by_side(search, parts)
    return Nearest(
        np.concatenate([part.distance for part in found]),
        np.concatenate([part.index for part in found]),
    )


class _Search:
    """Both sets, and the search for a slice of queries."""

    def __init__(self, queries: Rows, rows: Rows, exclude: Indices | None) -> None:
        self._rows, self._queries = prepare(rows, queries, dtype=np.dtype(np.float32))
        self._exclude = exclude
        self._columns = [
            slice(i, min(i + _COLUMNS, len(rows))) for i in range(0, len(rows), _COLUMNS)
        ]

    def __call__(self, part: slice) -> Nearest:
        pairs = self._candidates(part, self._queries, self._rows)
        if pairs is None and not self._finer[0].by_differences:
            pairs = self._candidates(part, *self._finer)
        squares, index = self._all(part) if pairs is None else self._listed(*pairs)
        return Nearest(np.sqrt(squares) * self._rows.unit, index)

    @cached_property
    def _finer(self) -> tuple[PreparedRows, PreparedRows]:
        return sharpened(self._queries), sharpened(self._rows)

    def _candidates(
        self, part: slice, queries: PreparedRows, rows: PreparedRows
    ) -> tuple[Indices, Indices] | None:
        """Pairs of query and row that may be nearest, each query with one; None for very many."""
        query = np.arange(part.start, part.stop)
        best = np.empty((len(query), len(self._columns)), queries.dtype)
        limit = np.full(len(query), -np.inf)
        for tile, columns in enumerate(self._columns):
            closeness = self._tile(queries, query, rows, columns)
            nearest = closeness.argmax(axis=1)
            best[:, tile] = closeness[np.arange(len(closeness)), nearest]
            slack = queries.slack[query] + rows.slack[columns][nearest]
            np.maximum(limit, best[:, tile] - 2 * slack, out=limit)
        pairs, count = [], 0
        for tile, columns in enumerate(self._columns):
            near = np.flatnonzero(best[:, tile] >= limit)
            if len(near) == 0:
                continue
            closeness = self._tile(queries, query[near], rows, columns)
            # Products of fewer queries may round differently: by no more than `limit` allows.
            of, row = np.nonzero(
                closeness >= (limit[near] - 2 * queries.slack[query[near]])[:, None]
            )
            pairs.append((query[near[of]], row + columns.start))
            count += len(of)
            if count * _MANY > len(query) * len(rows):
                return None
        return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])

    def _tile(
        self, queries: PreparedRows, query: Indices, rows: PreparedRows, columns: slice
    ) -> Rows:
        """Upper bounds of closeness."""
        closeness: Rows = queries.x[query] @ rows.x[columns].T
        closeness -= queries.lowered[query, None]
        closeness -= rows.lowered[columns]
        self._leave_out(closeness, query, columns)
        return closeness

    def _leave_out(
        self, closeness: Rows, query: Indices, columns: slice, *, to: float = -np.inf
    ) -> None:
        if self._exclude is not None:
            column = self._exclude[query] - columns.start
            there = np.flatnonzero((column >= 0) & (column < closeness.shape[1]))
            closeness[there, column[there]] = to

    def _listed(self, query: Indices, row: Indices) -> tuple[Float64s, Indices]:
        squares = squares_of_pairs(self._queries, query, self._rows, row)
        order = np.lexsort((row, squares, query))
        _, first = np.unique(query[order], return_index=True)
        return squares[order][first], row[order][first]

    def _all(self, part: slice) -> tuple[Float64s, Indices]:
        query = np.arange(part.start, part.stop)
        nearest, index = np.full(len(query), np.inf), np.zeros(len(query), np.int64)
        for columns in self._columns:
            squares = squares_of_block(self._queries, query, self._rows, columns)
            self._leave_out(squares, query, columns, to=np.inf)
            column = squares.argmin(axis=1)
            found = squares[np.arange(len(query)), column]
            nearer = found < nearest
            nearest[nearer], index[nearer] = found[nearer], column[nearer] + columns.start
        return nearest, index
