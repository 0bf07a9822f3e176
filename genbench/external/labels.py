"""Labels of samples made elsewhere: the folders they lie in, or a file beside them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.arrayfiles import open_arrays
from genbench.errors import DataError, did_you_mean
from genbench.suite import Suite

Labels = NDArray[np.int64]

MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Found:
    """Labels in the order of the files, or None; and what to tell about it."""

    labels: Labels | None
    note: str = ""


def labels_by_folder(names: Sequence[str], suite: Suite) -> Found:
    """The class that each file's folder is named after; folders that all files share are skipped.

    Raises
    ------
    DataError
        If some folders are named after classes and others, or the top, are not.
    """
    classes = _classes(suite)
    if not classes:
        return Found(None)
    paths = [PurePosixPath(name).parts for name in names]
    while len({p[0] for p in paths}) == 1 and len(paths[0]) > 1 and paths[0][0] not in classes:
        paths = [p[1:] for p in paths]
    tops = {p[0] if len(p) > 1 else "" for p in paths}
    strange = sorted(tops - set(classes))
    if strange == [""] and len(tops) == 1:
        return Found(None, "no labels: neither class folders nor --labels")
    if len(strange) == len(tops):
        return Found(None, f"no labels: folder {strange[-1]!r} is no class of {suite.name}")
    if strange:
        what = "files outside class folders" if strange == [""] else f"folder {strange[-1]!r}"
        raise DataError(
            f"{what} beside class folders of {suite.name}: {did_you_mean(strange[-1], classes)}"
        )
    return Found(np.array([classes[p[0]] for p in paths], np.int64))


def labels_by_file(file: Path, names: Sequence[str], suite: Suite) -> Found:
    """The class that a ``file,label`` table gives each file.

    Raises
    ------
    DataError
        If the table cannot be read, names a file that is not there or leaves one out, or a label
        is no class.
    """
    classes = _required(file, suite)
    rows = _table(file)
    if rows and rows[0][:1] == ["file"]:
        rows = rows[1:]
    known, given = set(names), {}
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise DataError(f"{file.name}, row {number}: {row!r} is not file,label")
        name = PurePosixPath(row[0]).as_posix()
        if name not in known:
            raise DataError(f"{file.name}, row {number}: there is no image {row[0]!r}")
        given[name] = _class(row[1], classes, f"{file.name}, row {number}")
    missing = [name for name in names if name not in given]
    if missing:
        raise DataError(f"{file.name} has no label for {len(missing):,} images ({missing[0]}, ...)")
    return Found(np.array([given[name] for name in names], np.int64))


def labels_per_row(file: Path, suite: Suite) -> Any:
    """Labels of arrays: an ``.npy``, or a text with one label per line.

    Raises
    ------
    DataError
        If the file cannot be read, or a label is no class.
    """
    classes = _required(file, suite)
    if file.suffix.lower() == ".npy":
        with open_arrays(file) as arrays:
            return arrays["x"].all()
    rows = _table(file)
    for number, row in enumerate(rows, start=1):
        if len(row) != 1:
            raise DataError(f"{file.name}, row {number}: {row!r} is not one label")
    return np.array(
        [_class(row[0], classes, f"{file.name}, row {i}") for i, row in enumerate(rows, 1)],
        np.int64,
    )


def _classes(suite: Suite) -> dict[str, int]:
    """Class numbers by name; without names, the numbers themselves."""
    names = suite.document["dataset"].get("class_names")
    return {str(n): i for i, n in enumerate(names or range(suite.space.classes))}


def _required(file: Path, suite: Suite) -> dict[str, int]:
    classes = _classes(suite)
    if not classes:
        raise DataError(f"{file.name} holds labels, suite {suite.name!r} has no classes")
    return classes


def _class(text: str, classes: dict[str, int], where: str) -> int:
    if text.strip() not in classes:
        raise DataError(f"{where}: {text!r} is no class: {did_you_mean(text, classes)}")
    return classes[text.strip()]


def _table(file: Path) -> list[list[str]]:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise DataError(f"{file.name} has more than {MOST_BYTES >> 20} MiB: not a label file")
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read the labels in {file}: {error}") from error
