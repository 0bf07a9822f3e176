"""Samples as arrays: in a file, of which only the rows that are scored are read, or in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench import kinds
from genbench.errors import DataError
from genbench.formats import (
    StoredArray,
    arranged,
    array_of,
    assumed_layout,
    in_native_order,
    masked_fill,
    no_numbers,
    one_set,
    open_arrays,
    scale_hint,
    unclear_layout,
    unscaled,
    without_mask,
)
from genbench.generator import Space
from genbench.plugins.external.labels import Found, class_numbers, labels_per_row
from genbench.plugins.external.rows import StagedRows, points_of, reading_order, require_in_space
from genbench.plugins.external.sounds import poor_sounds
from genbench.tasks import Suite

Array = NDArray[Any]


def read_arrays(file: Path, suite: Suite, labels: Path | None) -> StagedRows:
    """The rows of a file that are scored.

    `DataError` if it cannot be read, has no array ``x``, or its rows are not of the suite's space.
    """
    with open_arrays(file) as arrays:
        found = one_set(arrays, file.name)
        y = found.y
        if y is not None and "x" not in arrays:  # what `genbench synthesize` wrote
            y = _named(y, suite)
        if labels is not None and y is not None:
            raise DataError(f"{file.name} has labels y already: leave --labels out")
        if labels is not None:
            y = _stored(labels_per_row(labels, suite), f"{labels.name}: the array")
        rows = _chosen(found.x, y, suite, file.name)
    return replace(rows, notes=(found.note, *rows.notes)) if found.note else rows


def rows_of(samples: Array | tuple[Array, Array | None], suite: Suite, name: str) -> StagedRows:
    """The rows of arrays in memory (NumPy's or torch's) that are scored; checked like a file's."""
    x, y = samples if isinstance(samples, tuple) else (samples, None)
    labels = None if y is None else _stored(y, f"{name}: array y")
    return _chosen(_stored(x, f"{name}: array x"), labels, suite, name)


def _named(y: StoredArray, suite: Suite) -> StoredArray:
    """Labels that are positions, as the names that a suite has for its classes."""
    names = np.array([str(n) for n in suite.document["dataset"].get("class_names", ())])

    def take(rows: Array) -> Array:
        given = y.take(rows)
        inside = given.min() >= 0 and given.max() < len(names)
        return names[given] if inside else given

    return replace(y, take=take) if len(names) and y.dtype.kind in "iu" else y


def _stored(x: Any, what: str) -> StoredArray:
    try:
        array = without_mask(array_of(x) if hasattr(x, "detach") else x)
    except ValueError as error:
        raise DataError(f"{what} {error}") from error
    return in_native_order(StoredArray(array.shape, array.dtype, lambda rows: array[rows]))


def _chosen(x: StoredArray, y: StoredArray | None, suite: Suite, name: str) -> StagedRows:
    space, total = suite.space, x.shape[0] if x.shape else 0
    if (problem := no_numbers(x.dtype)) is not None:
        raise DataError(f"{name}: array x {problem}")
    if total < 2:
        raise DataError(f"{name} holds {total} rows of dtype {x.dtype}: at least 2 rows of numbers")
    if y is not None and (len(y.shape) != 1 or y.shape[0] != total):
        raise DataError(f"{name}: y has shape {y.shape}, x has {total} rows: one label per row")
    if y is not None and not space.classes:
        raise DataError(f"{name} has labels, the suite has no classes: leave y out")
    rows = np.sort(reading_order(total, suite)[: suite.n_samples])
    _check_shape(x, space, name)
    found = arranged(x.take(rows), space)
    rounding = ""
    if kinds.of(space.kind).columns and found.dtype.kind == "f":
        found, rounding = points_of(found, suite, name)
    if kinds.of(space.kind).sounds:
        found = _waveforms(found, name)
    _check(found, space, name)
    chosen = Found(None) if y is None else class_numbers(y.take(rows), suite, name)
    notes = [note for note in (assumed_layout(x.shape, space), chosen.note, rounding) if note]
    if kinds.of(space.kind).sounds:
        notes += poor_sounds(found, [f"row {i}" for i in rows])
    return StagedRows(found, chosen.labels, total, name, tuple(notes))


def _waveforms(x: Array, name: str) -> Array:
    """Samples in float32; `DataError` for whole numbers, whose full scale nobody knows for sure."""
    if x.dtype.kind == "f":
        return x.astype(np.float32)
    what = "the samples as float32"
    if x.dtype.kind == "i":  # 16-bit samples often come in wider integers
        loudest = int(np.abs(x.astype(np.float64)).max(initial=0))
        own = 8 * x.dtype.itemsize - 1
        full = next((2**bits for bits in (15, 23, 31) if loudest <= 2**bits and bits < own), 2**own)
        what = f"(x / {full}).astype(numpy.float32) if full scale is {full:,}"
    raise DataError(f"{name}: array x is {x.dtype}, expected floats in [-1, 1]: save {what}")


def _check_shape(x: StoredArray, space: Space, name: str) -> None:
    """Before any row is read: a wrong shape may be a large one."""
    if (problem := unclear_layout(x.shape, space)) is not None:
        raise DataError(f"{name}: array x {problem}")
    probe = np.empty((0, *x.shape[1:]), x.dtype)
    if arranged(probe, space).shape[1:] != space.shape:
        raise DataError(
            f"{name}: array x has shape {x.shape}, expected {(x.shape[0], *space.shape)}"
        )


def _check(x: Array, space: Space, name: str) -> None:
    pictures = kinds.of(space.kind).pictures
    if pictures and x.dtype != np.uint8:
        raise DataError(f"{name}: array x {scale_hint(x, space.levels)}")
    require_in_space(x, space, f"{name}: array x")
    problem = unscaled(x, space.levels) if pictures else masked_fill(x)
    if problem is not None:
        raise DataError(f"{name}: array x {problem}")
