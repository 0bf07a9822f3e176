"""Rows from ``.npz`` files with an array ``x`` and, for labelled data, an array ``y``."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.files import FileCheck, check_files, declared, read_checked
from genbench.data.rows import chosen_rows, row_range
from genbench.data.split import Split
from genbench.errors import DataError
from genbench.generator import Space
from genbench.precision import as_float32


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's rows of the npz file whose role its entry names."""
    rows = row_range(dataset, split)
    entry = declared(dataset, rows.file)
    arrays = _arrays(read_checked(dataset, entry), entry["path"], space.classes > 0)
    x = arrays["x"]
    if space.kind == "points" and x.dtype == np.float64:
        x = as_float32(x, f"data file {entry['path']}")
    part = chosen_rows(dataset, rows, x)
    if space.classes == 0:
        return Split(x[part], None)
    y = arrays["y"]
    if y.shape != (len(x),) or y.dtype.kind not in "iu":
        raise DataError(
            f"data file {entry['path']} has y of {y.dtype} and shape {y.shape}, expected "
            f"whole numbers of shape ({len(x)},): save one label per row of x"
        )
    return Split(x[part], y[part].astype(np.int64))


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """See `genbench.data.verify_files`."""
    return check_files(dataset)


def _arrays(content: bytes, name: str, labelled: bool) -> dict[str, NDArray[Any]]:
    wanted = ("x", "y") if labelled else ("x",)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"data file {name} is one array: save it with numpy.savez(x=...)")
            missing = [key for key in wanted if key not in file.files]
            if missing:
                raise DataError(
                    f"data file {name} has arrays {', '.join(file.files) or 'none'}, lacks "
                    f"{', '.join(missing)}: save them under these names with numpy.savez"
                )
            arrays = {key: file[key] for key in wanted}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"data file {name} is not a plain npz file: {error}") from error
    if arrays["x"].ndim == 0:
        raise DataError(f"data file {name} has a single number as x: save an array of rows")
    return arrays
