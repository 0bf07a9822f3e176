"""Products of all pairs of rows, once, tile by tile, for every metric that needs them.

A tile holds what kernel and neighbour metrics are made of: centred products ``g`` and
``h = g - |x|^2 / 2 - |y|^2 / 2 = -|x - y|^2 / 2``. Within one set only tiles on and above the
diagonal are made. Tiles run on as many threads as BLAS was allowed, each with one BLAS thread, and
live in cache: extra memory is a few tiles, whatever n.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.checks import Float64s, Rows, require_moderate
from genbench.metrics.threads import side_by_side

TILE = 512
_FLOAT32_IS_SAFE_BELOW = 1e6  # the cubic kernel takes the sixth power


@dataclass(frozen=True, slots=True)
class Cloud:
    """One set of rows, ready for products.

    Parameters
    ----------
    x
        Centred rows ``(n, d)``: distances lose fewer digits near the origin.
    half_square
        ``|x|^2 / 2`` of the centred rows, ``(n,)``, in x's dtype.
    kernel_shift
        Turns a centred product into the raw one: ``<raw_i, raw_j> = <x_i, x_j> + kernel_shift_i +
        kernel_shift_j``, ``(n,)``, in x's dtype.
    """

    x: Rows
    half_square: Rows
    kernel_shift: Rows

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True)
class Tile:
    """Pairs of `rows` and `columns`; its arrays are reused for the next tile.

    Parameters
    ----------
    rows, columns
        Where the tile lies.
    g
        Centred products.
    h
        Minus half the squared distances: the larger, the nearer.
    scratch
        Room of the same shape for whoever wants it.
    """

    rows: slice
    columns: slice
    g: Rows
    h: Rows
    scratch: Rows


class Reader(Protocol):
    """Takes what it needs from a tile. Called from several threads; it must not change `g`, `h`."""

    def __call__(self, tile: Tile) -> None: ...


def make_clouds(
    real: Rows, fake: Rows, order: NDArray[np.int64] | None = None
) -> tuple[Cloud, Cloud]:
    """Both sets centred on the real mean; fake rows taken in `order` if given.

    Falls back to float64 where float32 could overflow.
    """
    centre = real.mean(axis=0, dtype=np.float64)
    largest = max(require_moderate(rows) for rows in (real, fake))
    dtype = np.dtype(np.float64) if largest > _FLOAT32_IS_SAFE_BELOW else real.dtype
    return _cloud(real, centre, dtype, None), _cloud(fake, centre, dtype, order)


def _cloud(
    rows: Rows, centre: Float64s, dtype: np.dtype[Any], order: NDArray[np.int64] | None
) -> Cloud:
    n = len(rows)
    x = np.empty(rows.shape, dtype)
    half_square, shift = np.empty(n, dtype), np.empty(n, dtype)
    for start in range(0, n, TILE):
        part = slice(start, start + TILE)
        centred = (rows[part] if order is None else rows[order[part]]) - centre  # float64
        x[part] = centred
        half_square[part] = np.einsum("ij,ij->i", centred, centred) / 2
        shift[part] = centred @ centre + centre @ centre / 2
    return Cloud(x, half_square, shift)


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

    def run(job: tuple[slice, list[slice]]) -> None:
        rows, strip = job
        for columns in strip:
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            g, h, scratch = _buffers(local, left.x.dtype, shape)
            np.matmul(left.x[rows], right.x[columns].T, out=g)
            np.subtract(g, left.half_square[rows, None], out=h)
            np.subtract(h, right.half_square[columns], out=h)
            for reader in readers:
                reader(Tile(rows, columns, g, h, scratch))

    side_by_side(run, jobs)


def _buffers(local: threading.local, dtype: np.dtype[Any], shape: tuple[int, int]) -> list[Rows]:
    size = shape[0] * shape[1]
    if getattr(local, "size", 0) < size:
        local.size, local.data = size, np.empty((3, size), dtype)
    return [part[:size].reshape(shape) for part in local.data]
