"""The nearest row of a large set for each of many queries, exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.threads import side_by_side

_QUERIES, _COLUMNS = 512, 1024
_ROUNDING = 2.0**-24  # float32


@dataclass(frozen=True, slots=True)
class Nearest:
    """For each query the nearest row: Euclidean `distance` in float64 and its `index`, ``(n,)``.

    Of rows at exactly the same distance the first counts.
    """

    distance: Float64s
    index: NDArray[np.int64]


def nearest_rows(queries: Rows, rows: Rows, *, exclude: NDArray[np.int64] | None = None) -> Nearest:
    """The nearest of `rows` to each of `queries`, without row ``exclude[i]`` for query i.

    Tile by tile in float32 products; every row that rounding could have hidden behind the best is
    measured again in float64 from the coordinates' differences, so that copies are at distance 0
    and near ties fall right. Rows ``(n, d)`` and ``(m, d)``; at least one row that is not excluded.
    """
    search = _Search(queries, rows, exclude)
    parts = [slice(i, i + _QUERIES) for i in range(0, len(queries), _QUERIES)]
    found = side_by_side(search, parts)
    return Nearest(
        np.concatenate([part.distance for part in found]),
        np.concatenate([part.index for part in found]),
    )


class _Search:
    """Everything about `rows` that is computed once, and the search for a slice of queries."""

    def __init__(self, queries: Rows, rows: Rows, exclude: NDArray[np.int64] | None) -> None:
        self._queries, self._rows, self._exclude = queries, rows, exclude
        self._centre = rows.mean(axis=0, dtype=np.float64)
        largest = max(float(np.abs(x).max()) for x in (queries, rows, self._centre[None]))
        # Squares of large values would overflow; a power of two takes no digits away.
        self._scale = math.ldexp(1.0, math.frexp(largest)[1] - 1)
        unit = self._unit(rows)
        half_square = np.einsum("ij,ij->i", unit, unit) / 2
        # One more column turns the product x.y into x.y - |y|^2 / 2: the larger, the nearer.
        self._wide = np.column_stack([unit, -half_square]).astype(np.float32)
        self._longest = float(np.sqrt(2 * half_square.max()))
        self._columns = [slice(i, i + _COLUMNS) for i in range(0, len(rows), _COLUMNS)]

    def _unit(self, x: Rows) -> Float64s:
        return np.asarray(x / self._scale - self._centre / self._scale, dtype=np.float64)

    def __call__(self, part: slice) -> Nearest:
        given = self._queries[part]
        unit = self._unit(given)
        wide = np.column_stack([unit, np.ones(len(unit))]).astype(np.float32)
        skip = None if self._exclude is None else self._exclude[part]
        best = np.stack([self._tile(wide, c, skip).max(axis=1) for c in self._columns], axis=1)
        limit = (best.max(axis=1) - 2 * self._error(unit)).astype(np.float32)
        query, row = self._candidates(wide, skip, best, limit)
        gap = given[query].astype(np.float64) - self._rows[row]
        distance = np.linalg.norm(gap / self._scale, axis=1) * self._scale
        order = np.lexsort((row, distance, query))
        _, first = np.unique(query[order], return_index=True)
        return Nearest(distance[order][first], row[order][first])

    def _tile(self, wide: Rows, columns: slice, skip: NDArray[np.int64] | None) -> Rows:
        h: Rows = wide @ self._wide[columns].T
        if skip is not None:
            column = skip - columns.start
            inside = np.flatnonzero((column >= 0) & (column < h.shape[1]))
            h[inside, column[inside]] = -np.inf
        return h

    def _error(self, unit: Float64s) -> Float64s:
        """A bound on how far rounding moves an entry of `_tile`."""
        terms = unit.shape[1] + 4
        length = np.sqrt(np.einsum("ij,ij->i", unit, unit))
        bound = 2 * terms * _ROUNDING * self._longest * (length + self._longest)
        return np.asarray(bound + 1e-37)

    def _candidates(
        self, wide: Rows, skip: NDArray[np.int64] | None, best: Rows, limit: Rows
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of query and row that may be nearest; each query has at least one."""
        queries, rows = [], []
        for tile, columns in enumerate(self._columns):
            near = np.flatnonzero(best[:, tile] >= limit)
            if len(near) == 0:
                continue
            # Products of fewer queries may round differently than before: `limit` allows for it.
            h = self._tile(wide[near], columns, None if skip is None else skip[near])
            query, row = np.nonzero(h >= limit[near, None])
            queries.append(near[query])
            rows.append(row + columns.start)
        return np.concatenate(queries), np.concatenate(rows)
