"""Labels of samples made elsewhere: the folders they lie in, or a file beside them.

A label is the name of a class: of a suite whose classes are called 3, 7 and 40, the label 7 is the
second class. Suites that name no classes have the names 0, 1, 2 and so on.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError, did_you_mean, shorten
from genbench.formats import is_number, names_of_labels, open_arrays
from genbench.tasks import Suite

Labels = NDArray[np.int64]

MOST_BYTES = 1 << 30
NAMED = 5


@dataclass(frozen=True, slots=True)
class Found:
    """Labels in the order of the files, or None; and what to tell about it."""

    labels: Labels | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a table of labels; numbered as an editor does it."""

    number: int
    cells: list[str]


def labels_by_folder(names: Sequence[str], suite: Suite) -> Found:
    """The class that each file's folder is named after; folders that all files share are skipped.

    `DataError` if some folders are named after classes and others, or the top, are not.
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

    `DataError` if the table cannot be read, names a file that is not there or names one twice,
    leaves one out, or a label is no class.
    """
    classes = _required(file, suite)
    lines = _table(file)
    if lines and lines[0].cells[:1] == ["file"]:
        lines = lines[1:]
    known = set(names)
    given: dict[str, tuple[int, int]] = {}  # class and line
    for line in lines:
        where = f"{file.name}, line {line.number}"
        if len(line.cells) != 2:
            raise DataError(f"{where}: {line.cells!r} is not file,label")
        name = PurePosixPath(line.cells[0]).as_posix()
        if name not in known:
            raise DataError(f"{where}: there is no file {line.cells[0]!r}")
        if name in given:
            raise DataError(
                f"{file.name} labels {name!r} in line {given[name][1]} and again in line "
                f"{line.number}: keep one"
            )
        given[name] = (_class(line.cells[1], classes, where), line.number)
    missing = [name for name in names if name not in given]
    if missing:
        raise DataError(f"{file.name} has no label for {len(missing):,} files ({missing[0]}, ...)")
    return Found(np.array([given[name][0] for name in names], np.int64))


def labels_per_row(file: Path, suite: Suite) -> Any:
    """Labels of arrays as they are written: an ``.npy``, or a text with one label per line.

    `DataError` if the file cannot be read, or a line of a text is no class.
    """
    classes = _required(file, suite)
    if file.suffix.lower() == ".npy":
        with open_arrays(file) as arrays:
            return arrays["x"].all()
    lines = _table(file)
    for line in lines:
        where = f"{file.name}, line {line.number}"
        if len(line.cells) != 1:
            raise DataError(f"{where}: {line.cells!r} is not one label")
        _class(line.cells[0], classes, where)
    return np.array([line.cells[0].strip() for line in lines], np.str_)


def class_numbers(
    y: NDArray[Any], suite: Suite, name: str, lines: Sequence[int] | None = None
) -> Found:
    """The classes that an array of labels names, and what to tell of how it was read.

    They are whole numbers, texts or truth values, ``(n,)``. Whole numbers are the names of classes,
    too. Only where no class is called by a number can they be meant as positions in the suite's
    list of classes, and that is told. `DataError`, with the file's `name` and the first of `lines`
    that has one, if there is a label that is no class.
    """
    classes = _classes(suite)
    try:
        values, where = np.unique(names_of_labels(y), return_inverse=True)
    except TypeError as error:
        raise DataError(f"{name}: array y {error}") from error
    strange = sorted({str(v) for v in values} - set(classes), key=_order)
    if not strange:
        numbers = np.array([classes[str(v)] for v in values], np.int64)
        return Found(numbers[where.reshape(-1)], _classes_note(classes))
    numbered = y.dtype.kind in "iu" and not any(map(is_number, classes))
    if numbered and int(y.min()) >= 0 and int(y.max()) < len(classes):
        order = ", ".join(list(classes)[:NAMED]) + (", ..." if len(classes) > NAMED else "")
        return Found(np.asarray(y, np.int64), f"labels 0, 1, ... are read in the order {order}")
    if lines is not None:
        name += f", line {lines[int(np.isin(values, strange)[where.reshape(-1)].argmax())]}"
    raise DataError(f"{name}: {_listed(strange)} no class of {suite.name}: {_all(classes)}")


def _classes(suite: Suite) -> dict[str, int]:
    """Class numbers by name; without names, the numbers themselves.

    Labels that the data themselves have stay names after somebody renamed the classes.
    """
    dataset = suite.document["dataset"]
    names = dataset.get("class_names") or range(suite.space.classes)
    own = dataset.get("options", {}).get("labels", ())
    return {str(n): i for labels in (own, names) for i, n in enumerate(labels)}


def _classes_note(classes: dict[str, int]) -> str:
    """That labels are names, where somebody might take them for positions."""
    if list(classes) == list(map(str, range(len(classes)))) or not any(map(is_number, classes)):
        return ""
    return f"labels are names of classes: {_all(classes)}"


def _all(classes: dict[str, int]) -> str:
    names = list(classes)
    if len(names) > 2 * NAMED:
        return f"its {len(names)} classes are {', '.join(names[:NAMED])}, ..., {names[-1]}"
    return f"its classes are {', '.join(names)}"


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(repr(shorten(label, 40)) for label in labels[:NAMED])
    if len(labels) == 1:
        return f"label {shown} is"
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return f"labels {shown}{more} are"


def _order(label: str) -> tuple[int, str]:
    return (int(label), label) if is_number(label) else (0, label)


def _required(file: Path, suite: Suite) -> dict[str, int]:
    classes = _classes(suite)
    if not classes:
        raise DataError(f"{file.name} holds labels, suite {suite.name!r} has no classes")
    return classes


def _class(text: str, classes: dict[str, int], where: str) -> int:
    if text.strip() not in classes:
        raise DataError(f"{where}: {text!r} is no class: {did_you_mean(text, classes)}")
    return classes[text.strip()]


def _table(file: Path) -> list[_Line]:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise DataError(f"{file.name} has more than {MOST_BYTES >> 20} MiB: not a label file")
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            return [_Line(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file.name} is not UTF-8 (byte {error.object[error.start]:#04x}): save it as UTF-8"
        ) from error
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot read the labels in {file}: {error}") from error
