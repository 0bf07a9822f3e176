"""Points from a CSV: one row per point, every column a number."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.files import FileCheck, check_files, declared, read_checked
from genbench.data.rows import positions, row_range
from genbench.data.split import Split
from genbench.errors import DataError
from genbench.generator import Space


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's rows of the CSV whose role its entry names, float32 ``(n, d)``."""
    rows = row_range(dataset, split)
    entry = declared(dataset, rows.file)
    x = parse_csv(read_checked(dataset, entry), entry["path"])
    return Split(x[rows.chosen(len(x), lambda: positions(x))], None)


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """See `genbench.data.verify_files`."""
    return check_files(dataset)


def parse_csv(content: bytes, name: str) -> NDArray[np.float32]:
    """The numbers of a CSV, float32 ``(n, d)``; a first line that is no numbers is a heading.

    Raises
    ------
    DataError
        Naming the line and the column of what is no finite number, or a line of another length.
    """
    try:
        lines = list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{name} is not a CSV in UTF-8: {error}") from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line]
    names = None
    if numbered and any(_number(cell) is None for cell in numbered[0][1]):
        names = numbered.pop(0)[1]
    if not numbered:
        raise DataError(f"{name} has no rows of numbers")
    width = len(names or numbered[0][1])
    return np.array([_row(name, n, line, width, names) for n, line in numbered], np.float32)


def _row(
    name: str, number: int, line: list[str], width: int, names: list[str] | None
) -> list[float]:
    if len(line) != width:
        raise DataError(f"{name}, line {number}: {len(line)} columns, expected {width}")
    values = []
    for column, cell in enumerate(line):
        value = _number(cell)
        if value is None or not abs(value) <= float(np.finfo(np.float32).max):
            title = repr(names[column]) if names else str(column + 1)
            raise DataError(
                f"{name}, line {number}, column {title}: {cell!r} is no finite number: "
                "remove or fill it"
            )
        values.append(value)
    return values


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if not math.isnan(value) else math.inf
