"""Which rows of which file a split is, as ``[dataset.split]`` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genbench.errors import DataError, UsageError


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows ``start .. stop - 1`` of a file (or pair of files) called `file`."""

    file: str
    start: int
    stop: int | None

    def within(self, n: int) -> slice:
        """These rows of a file that has `n`.

        Raises
        ------
        DataError
            If the file has fewer rows.
        """
        stop = n if self.stop is None else self.stop
        if stop > n:
            raise DataError(
                f"rows {self.start} to {stop} of {self.file!r} are asked for and it has {n}: "
                "correct [dataset.split] or restore the file"
            )
        return slice(self.start, stop)


def row_range(dataset: Mapping[str, Any], split: str) -> RowRange:
    """Read ``split = { file = "train", rows = [0, 50000] }``; without rows, the whole file.

    Raises
    ------
    UsageError
        If the entry is not of this form.
    """
    entry = dataset["split"][split]
    form = 'write { file = "NAME", rows = [FIRST, LAST + 1] }'
    if not isinstance(entry, Mapping) or not isinstance(entry.get("file"), str):
        raise UsageError(f"data set {dataset['name']!r}, split {split} is {entry!r}: {form}")
    rows = entry.get("rows", [0, None])
    if set(entry) - {"file", "rows"} or not _is_range(rows):
        raise UsageError(f"data set {dataset['name']!r}, split {split} is {dict(entry)!r}: {form}")
    return RowRange(entry["file"], rows[0], rows[1])


def _is_range(rows: Any) -> bool:
    if not isinstance(rows, list) or len(rows) != 2 or type(rows[0]) is not int:
        return False
    return rows[1] is None or (type(rows[1]) is int and 0 <= rows[0] < rows[1])
