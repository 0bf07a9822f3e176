"""Samples as arrays: in a file, of which only the rows that are scored are read, or in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.arrayfiles import StoredArray, open_arrays
from genbench.errors import DataError
from genbench.external.labels import labels_per_row
from genbench.external.rows import Rows, reading_order
from genbench.generator import Space
from genbench.layout import arranged
from genbench.suite import Suite

Array = NDArray[Any]


def read_arrays(file: Path, suite: Suite, labels: Path | None) -> Rows:
    """The rows of a file that are scored.

    Raises
    ------
    DataError
        If the file cannot be read, has no array ``x``, or its rows are not of the suite's space.
    """
    with open_arrays(file) as arrays:
        if "x" not in arrays:
            names = ", ".join(arrays) or "nothing"
            raise DataError(f"{file.name} has no array 'x' (it holds {names}): name it x")
        if labels is not None and "y" in arrays:
            raise DataError(f"{file.name} has labels y already: leave --labels out")
        x = arrays["x"]
        y = arrays.get("y")
        if labels is not None:
            y = _stored(labels_per_row(labels, suite))
        return _chosen(x, y, suite, file.name)


def rows_of(samples: Array | tuple[Array, Array | None], suite: Suite, name: str) -> Rows:
    """The rows of arrays in memory (NumPy's or torch's) that are scored; checked like a file's."""
    x, y = samples if isinstance(samples, tuple) else (samples, None)
    return _chosen(_stored(x), None if y is None else _stored(y), suite, name)


def _stored(x: Any) -> StoredArray:
    if hasattr(x, "detach"):
        x = x.detach().cpu().numpy()
    array = np.asarray(x)
    return StoredArray(array.shape, array.dtype, lambda rows: array[rows])


def _chosen(x: StoredArray, y: StoredArray | None, suite: Suite, name: str) -> Rows:
    total = x.shape[0] if x.shape else 0
    if total < 2 or x.dtype.kind not in "iufb":
        raise DataError(f"{name} holds {total} rows of dtype {x.dtype}: at least 2 rows of numbers")
    if y is not None and (len(y.shape) != 1 or y.shape[0] != total):
        raise DataError(f"{name}: y has shape {y.shape}, x has {total} rows: one label per row")
    if y is not None and not suite.space.classes:
        raise DataError(f"{name} has labels, the suite has no classes: leave y out")
    rows = np.sort(reading_order(total, suite)[: suite.n_samples])
    _check_shape(x, suite.space, name)
    found = arranged(x.take(rows), suite.space)
    if suite.space.kind == "points" and found.dtype == np.float64:
        found = found.astype(np.float32)
    _check(found, suite.space, name)
    chosen = None if y is None else _labels(y.take(rows), suite.space, name)
    return Rows(found, chosen, total, name)


def _check_shape(x: StoredArray, space: Space, name: str) -> None:
    """Before any row is read: a wrong shape may be a large one."""
    probe = np.empty((0, *x.shape[1:]), x.dtype)
    if arranged(probe, space).shape[1:] != space.shape:
        raise DataError(
            f"{name}: array x has shape {x.shape}, expected {(x.shape[0], *space.shape)}"
        )


def _check(x: Array, space: Space, name: str) -> None:
    import torch

    try:
        problem = space.violation(torch.from_numpy(np.ascontiguousarray(x)), len(x))
    except TypeError as error:
        problem = f"has a dtype that is no tensor's ({error})"
    if problem is not None:
        raise DataError(f"{name}: array x {problem}")


def _labels(y: Array, space: Space, name: str) -> NDArray[np.int64]:
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"{name}: array y is {y.dtype}, expected int64 labels")
    if int(y.min()) < 0 or int(y.max()) >= space.classes:
        raise DataError(
            f"{name}: labels in {y.min()}..{y.max()}, the suite's are 0..{space.classes - 1}"
        )
    return np.asarray(y, np.int64)
