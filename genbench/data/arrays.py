"""Rows from ``.npz`` files with an array ``x`` and, for labelled data, an array ``y``.

Without ``[dataset.options] labels``, `y` holds the numbers of the classes; with it, their names in
the order of their numbers: ``labels = ["3", "7", "40"]``.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench import kinds
from genbench.data.files import check_files, declared, read_checked
from genbench.data.rows import chosen_rows, row_range
from genbench.data.split import Split
from genbench.errors import DataError, UsageError
from genbench.formats import StoredArray, as_float32, names_of_labels, one_set
from genbench.generator import Space

verify = check_files


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's rows of the npz file whose role its entry names, of the space's dtype."""
    rows = row_range(dataset, split)
    entry = declared(dataset, rows.file)
    arrays = _arrays(read_checked(dataset, entry), entry["path"], space.classes > 0)
    x = arrays["x"]
    if kinds.of(space.kind).columns and x.dtype == np.float64:
        x = as_float32(x, f"data file {entry['path']}")
    part = chosen_rows(dataset, rows, x)
    if space.classes == 0:
        return Split(x[part], None)
    y = arrays["y"]
    by_name = "labels" in dataset.get("options", {})
    if y.shape != (len(x),) or not (by_name or y.dtype.kind in "iu"):
        raise DataError(
            f"data file {entry['path']} has y of {y.dtype} and shape {y.shape}, expected "
            f"whole numbers of shape ({len(x)},): save one label per row of x"
        )
    if by_name:
        return Split(x[part], _numbers(dataset, y, entry["path"], space.classes)[part])
    return Split(x[part], y[part].astype(np.int64))


def _numbers(
    dataset: Mapping[str, Any], y: NDArray[Any], name: str, classes: int
) -> NDArray[np.int64]:
    """The number of the class that each label names."""
    labels = dataset["options"]["labels"]
    if not isinstance(labels, list) or len({str(v) for v in labels}) != classes:
        raise UsageError(
            f"data set {dataset['name']!r} has options labels {labels!r}: name each of its "
            f"{classes} classes once"
        )
    try:
        named, where = np.unique(names_of_labels(y), return_inverse=True)
    except TypeError as error:
        raise DataError(f"data file {name}: y {error}") from error
    number = {str(label): i for i, label in enumerate(labels)}
    strange = [str(v) for v in named if str(v) not in number]
    if strange:
        raise DataError(
            f"data file {name} has the label {strange[0]!r}, which is none of [dataset.options] "
            "labels: correct it"
        )
    return np.array([number[str(v)] for v in named], np.int64)[where.reshape(-1)]


def _arrays(content: bytes, name: str, labelled: bool) -> dict[str, NDArray[Any]]:
    """``x`` and, where there are classes, ``y``; of a data set in splits those of all of them."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"data file {name} is one array: save it with numpy.savez(x=...)")
            found = one_set({key: _stored(file, key) for key in file.files}, f"data file {name}")
            wanted = [found.x, found.y] if labelled else [found.x]
            if None in wanted:
                raise DataError(
                    f"data file {name} has arrays {', '.join(file.files)}, lacks y: save it under "
                    "this name with numpy.savez"
                )
            arrays = [array.all() for array in wanted if array is not None]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"data file {name} is not a plain npz file: {error}") from error
    return dict(zip(("x", "y"), arrays, strict=False))


def _stored(file: np.lib.npyio.NpzFile, key: str) -> StoredArray:
    header = file[key]
    if header.ndim == 0:
        raise DataError(f"data file has a single number as {key}: save an array of rows")
    array = header.astype(header.dtype.newbyteorder("="), copy=False)
    return StoredArray(array.shape, array.dtype, lambda rows: array[rows])
