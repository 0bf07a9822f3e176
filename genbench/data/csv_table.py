"""Points from a CSV: one row per point, every column a number.

``[dataset.options]`` hold ``header``, ``drop`` and ``keep``: see `csvfiles.Layout`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.files import check_files, declared, read_checked
from genbench.data.readers import READERS, reader_of, superseded
from genbench.data.rows import chosen_rows, row_range
from genbench.data.split import Split
from genbench.errors import DataError, UsageError
from genbench.formats import Layout, as_float32, parse_csv
from genbench.generator import Space

verify = check_files


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's rows of the CSV whose role its entry names, float32 ``(n, d)``.

    Version 1 of this reader took doubtful files for data. A suite of that version is read where its
    file leaves no doubt, to the same rows, and refused where it does.
    """
    rows = row_range(dataset, split)
    entry = declared(dataset, rows.file)
    content = read_checked(dataset, entry)
    try:
        x = points(content, entry["path"], layout_of(dataset))
    except DataError as error:
        if reader_of(dataset) < READERS["csv"]:
            raise superseded(dataset, f"did not see this: {error}") from error
        raise
    return Split(x[chosen_rows(dataset, rows, x)], None)


def points(content: bytes, file: str, layout: Layout) -> NDArray[np.float32]:
    """The numbers of a CSV, float32 ``(n, d)``; DataError where a column would not survive that."""
    found = parse_csv(content, file, layout)
    return as_float32(found.x, file, found.names)


def layout_of(dataset: Mapping[str, Any]) -> Layout:
    """The layout of the file as the suite's author stated it.

    `UsageError` if ``[dataset.options]`` hold anything else.
    """
    options = dataset.get("options", {})
    header, drop, keep = (options.get(key, empty) for key, empty in _OPTIONS.items())
    lists = all(isinstance(v, list) and all(isinstance(c, str) for c in v) for v in (drop, keep))
    if set(options) - set(_OPTIONS) or not isinstance(header, bool | None) or not lists:
        raise UsageError(
            f"data set {dataset['name']!r}: [dataset.options] is {dict(options)!r}: a CSV knows "
            'header = true or false, drop = ["COLUMN"] and keep = ["COLUMN"]'
        )
    return Layout(header, tuple(drop), tuple(keep))


_OPTIONS: Mapping[str, Any] = {"header": None, "drop": [], "keep": []}
