"""Products of all pairs of rows, once, tile by tile, for every metric that needs them.

A tile holds what kernel and neighbour metrics are made of: centred products ``x . y`` and an upper
bound of the closeness ``-|x - y|^2 / 2 = x . y - |x|^2 / 2 - |y|^2 / 2``, namely that plus what
rounding may have taken off (see `prepared`). Within one set only tiles on and above the diagonal
are made. Tiles run on as many threads as BLAS was allowed, each with one BLAS thread, and live in
cache: extra memory is a few tiles, whatever n.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from genbench.metrics.arrays import at_once, empty, namespace, product
from genbench.metrics.checks import Rows
from genbench.metrics.differences import squares_of_block
from genbench.metrics.prepared import PreparedRows
from genbench.metrics.threads import side_by_side

TILE, TILE_ON_DEVICE = 512, 4096


@dataclass(frozen=True, slots=True)
class Tile:
    """Pairs of `rows` of `left` and `columns` of `right`; its arrays are reused for the next tile.

    `products` are centred, in the rows' unit (nothing where closeness is made of differences).
    `closeness` is minus half the squared distances, if `exact`, or an upper bound of it: the
    larger, the nearer. `scratch` is two rooms of the same shape for whoever wants them.
    """

    left: PreparedRows
    right: PreparedRows
    rows: slice
    columns: slice
    exact: bool
    products: Rows
    closeness: Rows
    scratch: tuple[Rows, Rows]


class Visitor(Protocol):
    """Takes what it needs from a tile, whose arrays it must not change; called by many threads."""

    def __call__(self, tile: Tile) -> None: ...


def visit_within(prepared: PreparedRows, visitors: Sequence[Visitor]) -> None:
    """Show every tile on or above the diagonal, the nearest to the diagonal first."""
    parts = split_evenly(0, len(prepared), tile_of(prepared))
    jobs = [
        (parts[i], [parts[i + step]])
        for step in range(len(parts))
        for i in range(len(parts) - step)
    ]
    _visit(prepared, prepared, jobs, visitors)


def visit_between(
    left: PreparedRows,
    right: PreparedRows,
    visitors: Sequence[Visitor],
    columns: list[slice] | None = None,
) -> None:
    """Show all left rows against the right `columns`; one strip of rows stays on one thread."""
    tile = tile_of(left)
    columns = split_evenly(0, len(right), tile) if columns is None else columns
    jobs = [(rows, columns) for rows in split_evenly(0, len(left), tile)]
    _visit(left, right, jobs, visitors)


def tile_of(prepared: PreparedRows) -> int:
    """Rows of a tile, about."""
    return at_once(prepared.x, TILE, TILE_ON_DEVICE)


def split_evenly(start: int, stop: int, tile: int) -> list[slice]:
    """Slices of about `tile` rows that make up ``start .. stop``."""
    n = stop - start
    count = max(1, round(n / tile))
    edges = [start + n * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _visit(
    left: PreparedRows,
    right: PreparedRows,
    jobs: list[tuple[slice, list[slice]]],
    visitors: Sequence[Visitor],
) -> None:
    if not visitors:
        return
    local, xp = threading.local(), namespace(left.x)
    exact = left.exact and right.exact

    def run(job: tuple[slice, list[slice]]) -> None:
        rows, strip = job
        for columns in strip:
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            products, closeness, *scratch = _buffers(local, left, shape)
            if left.by_differences:
                xp.multiply(squares_of_block(left, rows, right, columns), -0.5, out=closeness)
            else:
                product(left.x[rows], right.x[columns].T, out=products)
                xp.subtract(products, left.lowered[rows, None], out=closeness)
                xp.subtract(closeness, right.lowered[columns], out=closeness)
            tile = Tile(
                left, right, rows, columns, exact, products, closeness, (scratch[0], scratch[1])
            )
            for visitor in visitors:
                visitor(tile)

    side_by_side(run, jobs, on=left.x)


def _buffers(local: Any, rows: PreparedRows, shape: tuple[int, int]) -> list[Rows]:
    size = shape[0] * shape[1]
    if getattr(local, "size", 0) < size:
        local.size, local.data = size, empty(rows.x, (4, size), rows.dtype)
    return [part[:size].reshape(shape) for part in local.data]
