"""The nearest row of a large set for each of many queries, exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from genbench.metrics import arrays
from genbench.metrics.arrays import Array
from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.differences import squares_of_block, squares_of_pairs
from genbench.metrics.prepared import PreparedRows, prepare, sharpened
from genbench.metrics.threads import side_by_side

_QUERIES, _COLUMNS, _ON_DEVICE = 512, 1024, 4096
_MANY = 16  # from one pair in so many on, all differences are cheaper than a list

Indices = Array  # int64


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
    search = _Search(queries, rows, None if exclude is None else arrays.like(rows, exclude))
    found = side_by_side(search, _slices(queries, _QUERIES), on=queries)
    return Nearest(
        arrays.concat([f.distance for f in found]), arrays.concat([f.index for f in found])
    )


def _slices(rows: Rows, host: int) -> list[slice]:
    step = arrays.at_once(rows, host, _ON_DEVICE)
    return [slice(i, min(i + step, len(rows))) for i in range(0, len(rows), step)]


class _Search:
    """Both sets, and the search for a slice of queries."""

    def __init__(self, queries: Rows, rows: Rows, exclude: Indices | None) -> None:
        self._rows, self._queries = prepare(rows, queries, dtype=arrays.namespace(rows).float32)
        self._exclude, self._columns = exclude, _slices(rows, _COLUMNS)

    def __call__(self, part: slice) -> Nearest:
        pairs = self._candidates(part, self._queries, self._rows)
        if pairs is None and not self._finer[0].by_differences:
            pairs = self._candidates(part, *self._finer)
        squares, index = self._all(part) if pairs is None else self._listed(*pairs)
        return Nearest(arrays.namespace(squares).sqrt(squares) * self._rows.unit, index)

    @cached_property
    def _finer(self) -> tuple[PreparedRows, PreparedRows]:
        return sharpened(self._queries), sharpened(self._rows)

    def _candidates(
        self, part: slice, queries: PreparedRows, rows: PreparedRows
    ) -> tuple[Indices, Indices] | None:
        """Pairs of query and row that may be nearest, each query with one; None for very many."""
        x, xp = queries.x, arrays.namespace(queries.x)
        query = arrays.arange(x, part.start, part.stop)
        best = arrays.empty(x, (len(query), len(self._columns)), queries.dtype)
        limit = arrays.full(x, (len(query),), -math.inf, xp.float64)
        for tile, columns in enumerate(self._columns):
            closeness = self._tile(queries, query, rows, columns)
            nearest = closeness.argmax(axis=1)
            best[:, tile] = closeness[query - part.start, nearest]
            slack = queries.slack[query] + rows.slack[columns][nearest]
            limit = xp.maximum(limit, best[:, tile] - 2 * slack)
        pairs, count = [], 0
        for tile, columns in enumerate(self._columns):
            near = arrays.places(best[:, tile] >= limit)
            if len(near) == 0:
                continue
            closeness = self._tile(queries, query[near], rows, columns)
            # Products of fewer queries may round differently: by no more than `limit` allows.
            of, row = xp.nonzero(
                closeness >= (limit[near] - 2 * queries.slack[query[near]])[:, None]
            )
            pairs.append((query[near[of]], row + columns.start))
            count += len(of)
            if count * _MANY > len(query) * len(rows):
                return None
        return arrays.concat([p[0] for p in pairs]), arrays.concat([p[1] for p in pairs])

    def _tile(
        self, queries: PreparedRows, query: Indices, rows: PreparedRows, columns: slice
    ) -> Rows:
        """Upper bounds of closeness."""
        closeness = arrays.product(queries.x[query], rows.x[columns].T)
        closeness -= queries.lowered[query, None]
        closeness -= rows.lowered[columns]
        self._leave_out(closeness, query, columns)
        return closeness

    def _leave_out(
        self, closeness: Rows, query: Indices, columns: slice, *, to: float = -math.inf
    ) -> None:
        if self._exclude is not None:
            column = self._exclude[query] - columns.start
            there = arrays.places((column >= 0) & (column < closeness.shape[1]))
            closeness[there, column[there]] = to

    def _listed(self, query: Indices, row: Indices) -> tuple[Float64s, Indices]:
        squares = squares_of_pairs(self._queries, query, self._rows, row)
        order = arrays.order_by(query, squares, row)
        first = order[arrays.starts(query[order])]
        return squares[first], row[first]

    def _all(self, part: slice) -> tuple[Float64s, Indices]:
        x, xp = self._queries.x, arrays.namespace(self._queries.x)
        query = arrays.arange(x, part.start, part.stop)
        nearest = arrays.full(x, (len(query),), math.inf, xp.float64)
        index = arrays.full(x, (len(query),), 0, xp.int64)
        for columns in self._columns:
            squares = squares_of_block(self._queries, query, self._rows, columns)
            self._leave_out(squares, query, columns, to=math.inf)
            column = squares.argmin(axis=1)
            found = squares[query - part.start, column]
            nearer = found < nearest
            nearest[nearer], index[nearer] = found[nearer], column[nearer] + columns.start
        return nearest, index
