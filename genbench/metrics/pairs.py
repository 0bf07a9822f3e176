"""Products of all pairs of rows, once, tile by tile, for every metric that needs them.

A tile holds what kernel and neighbour metrics are made of: centred products ``g`` and an upper
bound of ``h = -|x - y|^2 / 2``, namely ``g - |x|^2 / 2 - |y|^2 / 2`` plus what rounding may have
taken off (see `clouds`). Within one set only tiles on and above the diagonal are made. Tiles run on
as many threads as BLAS was allowed, each with one BLAS thread, and live in cache: extra memory is a
few tiles, whatever n.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from genbench.metrics.checks import Rows
from genbench.metrics.clouds import Cloud
from genbench.metrics.differences import squares_of_block
from genbench.metrics.threads import side_by_side

TILE = 512


@dataclass(frozen=True, slots=True)
class Tile:
    """Pairs of `rows` and `columns`; its arrays are reused for the next tile.

    Parameters
    ----------
    left, right
        Whose rows and whose columns.
    rows, columns
        Where the tile lies.
    exact
        Whether `h` is exact.
    g
        Centred products, in the clouds' unit; nothing where h is made of differences.
    h
        Minus half the squared distances, or an upper bound: the larger, the nearer.
    scratch
        Two rooms of the same shape for whoever wants them.
    """

    left: Cloud
    right: Cloud
    rows: slice
    columns: slice
    exact: bool
    g: Rows
    h: Rows
    scratch: tuple[Rows, Rows]


class Reader(Protocol):
    """Takes what it needs from a tile. Called from several threads; it must not change `g`, `h`."""

    def __call__(self, tile: Tile) -> None: ...


def visit_within(cloud: Cloud, readers: Sequence[Reader]) -> None:
    """Show every tile on or above the diagonal, the nearest to the diagonal first."""
    parts = split_evenly(0, len(cloud))
    jobs = [
        (parts[i], [parts[i + step]])
        for step in range(len(parts))
        for i in range(len(parts) - step)
    ]
    _visit(cloud, cloud, jobs, readers)


def visit_between(
    left: Cloud, right: Cloud, readers: Sequence[Reader], columns: list[slice] | None = None
) -> None:
    """Show all left rows against the right `columns`; one strip of rows stays on one thread."""
    columns = split_evenly(0, len(right)) if columns is None else columns
    jobs = [(rows, columns) for rows in split_evenly(0, len(left))]
    _visit(left, right, jobs, readers)


def split_evenly(start: int, stop: int) -> list[slice]:
    """Slices of about `TILE` rows that make up ``start .. stop``."""
    n = stop - start
    count = max(1, round(n / TILE))
    edges = [start + n * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def _visit(
    left: Cloud, right: Cloud, jobs: list[tuple[slice, list[slice]]], readers: Sequence[Reader]
) -> None:
    local = threading.local()
    exact = left.exact and right.exact

    def run(job: tuple[slice, list[slice]]) -> None:
        rows, strip = job
        for columns in strip:
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            g, h, *scratch = _buffers(local, left.dtype, shape)
            if left.by_differences:
                np.multiply(squares_of_block(left, rows, right, columns), -0.5, out=h)
            else:
                np.matmul(left.x[rows], right.x[columns].T, out=g)
                np.subtract(g, left.lowered[rows, None], out=h)
                np.subtract(h, right.lowered[columns], out=h)
            tile = Tile(left, right, rows, columns, exact, g, h, (scratch[0], scratch[1]))
            for reader in readers:
                reader(tile)

    side_by_side(run, jobs)


def _buffers(local: threading.local, dtype: np.dtype[Any], shape: tuple[int, int]) -> list[Rows]:
    size = shape[0] * shape[1]
    if getattr(local, "size", 0) < size:
        local.size, local.data = size, np.empty((4, size), dtype)
    return [part[:size].reshape(shape) for part in local.data]
