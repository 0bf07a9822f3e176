"""Files of a medium in a folder or a zip, listed with their checksums in a table beside the suite.

The table is a CSV with the columns ``path,sha256,content,label``: the file relative to the data
set's ``folder``, the digests of the file and of its row, and its class number (empty where the
space has none). `content` decides the split, so that equal rows lie in one.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.files import FileCheck, check_file, declared, read_checked
from genbench.data.rows import places, row_range
from genbench.data.split import Split
from genbench.errors import DataError
from genbench.formats import BadFile, FileTypes, Folder, MediaFiles, open_files
from genbench.generator import Space

ROLE = "table"
COLUMNS = ("path", "sha256", "content", "label")

Dataset = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file of the table."""

    path: str
    sha256: str
    content: str
    label: str


@dataclass(frozen=True, slots=True)
class Medium:
    """How the files of a medium become rows.

    Parameters
    ----------
    types
        Which files are of it.
    decode
        The row of a file's bytes; raises `BadFile`.
    changed
        Whether rows are not what the files hold, so that they have to be what they were when the
        suite was made.
    remedy
        What makes them that again.
    """

    types: FileTypes
    decode: Callable[[bytes], NDArray[Any]]
    changed: bool
    remedy: str


def read_listed(
    dataset: Dataset, space: Space, split: str, medium: Medium, *, mixed: bool = True
) -> Split:
    """The rows ``(n, *shape)`` of the table's files whose content falls into the split's share.

    The table lists class after class. Where they are `mixed`, rows come in the order of their
    digests' other end, which is as good as a random one: what reads the first rows of a split sees
    all classes.
    """
    rows = row_range(dataset, split)
    entries = _table(dataset, rows.file)
    chosen = rows.chosen(len(entries), lambda: places(dataset, [e.content for e in entries]))
    served = list(enumerate(chosen))
    if mixed:
        # By the digests' other end: their beginning decides the split.
        served = list(enumerate(sorted(chosen, key=lambda i: entries[i].content[::-1])))
    x = np.empty((len(served), *space.shape), space.dtype)
    y = np.zeros(len(served), np.int64)
    with _opened(dataset, medium.types) as files:
        for place, index in sorted(served, key=lambda pair: pair[1]):  # read as listed
            x[place] = _row(dataset, files, entries[index], medium)
            y[place] = _label(entries[index], medium.types) if space.classes else 0
    return Split(x, y if space.classes else None)


def verify_listed(dataset: Dataset, types: FileTypes) -> list[FileCheck]:
    """The table, and every file that it lists."""
    entry = declared(dataset, ROLE)
    table = check_file(dataset, entry)
    if not table.ok:
        return [table]
    try:
        with _opened(dataset, types) as files:
            entries = _table(dataset, ROLE)
            return [table, *(_check(dataset, files, e, types) for e in entries)]
    except DataError as error:
        return [FileCheck(entry["path"], table.bytes, table.sha256, False, str(error))]


def sources(dataset: Dataset) -> list[Path]:
    """The class folders, or the files, that the table lists in the folder; or the zip."""
    root = _place(dataset)
    if root.is_file():
        return [root]
    entries = _table(dataset, ROLE)
    return sorted({root / PurePosixPath(entry.path).parts[0] for entry in entries})


def write_table(entries: Sequence[ListedFile]) -> bytes:
    """The table as `read_listed` reads it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([e.path, e.sha256, e.content, e.label] for e in entries)
    return buffer.getvalue().encode()


def _table(dataset: Dataset, role: str) -> list[ListedFile]:
    declared_ = declared(dataset, role)
    name = declared_["path"]
    text = read_checked(dataset, declared_).decode("utf-8", "replace")
    head, *lines = list(csv.reader(io.StringIO(text))) or [[]]
    if tuple(head) != COLUMNS or any(len(line) != len(COLUMNS) for line in lines):
        raise DataError(f"{name} is not a table of {','.join(COLUMNS)}: make the suite anew")
    entries = [ListedFile(*line) for line in lines]
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.path:
            raise DataError(f"{name} lists {entry.path!r}, which leaves the folder: remove it")
    return entries


def _place(dataset: Dataset) -> Path:
    return Path(dataset["root"], dataset.get("folder", ""))


@contextmanager
def _opened(dataset: Dataset, types: FileTypes) -> Iterator[MediaFiles]:
    """The files of the folder, which is not listed for it, or of the zip."""
    place = _place(dataset)
    if place.is_file():
        with open_files(place, types) as files:
            yield files
    else:
        yield Folder(place, types=types)


def _row(dataset: Dataset, files: MediaFiles, entry: ListedFile, medium: Medium) -> NDArray[Any]:
    what = f"{medium.types.one} {entry.path} of data set {dataset['name']!r}"
    try:
        x = medium.decode(_content(dataset, files, entry, medium.types))
    except BadFile as error:
        raise DataError(f"{what} {error}") from error
    if medium.changed and hashlib.sha256(x.data).hexdigest() != entry.content:
        raise DataError(f"{what} comes out {medium.remedy}")
    return x


def _content(dataset: Dataset, files: MediaFiles, entry: ListedFile, types: FileTypes) -> bytes:
    what = f"{types.one} {_place(dataset) / entry.path}"
    try:
        data = files.read(entry.path)
    except BadFile as error:
        raise DataError(f"{what} {error}: put it back, or correct [dataset] folder") from error
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise DataError(
            f"{what} has sha256 {found}, expected {entry.sha256}: "
            "put the old one back, or make the suite anew"
        )
    return data


def _check(dataset: Dataset, files: MediaFiles, entry: ListedFile, types: FileTypes) -> FileCheck:
    try:
        data = _content(dataset, files, entry, types)
    except DataError as error:
        return FileCheck(entry.path, 0, "", False, str(error))
    return FileCheck(entry.path, len(data), entry.sha256, True)


def _label(entry: ListedFile, types: FileTypes) -> int:
    if not entry.label.isdigit():
        what = f"{types.one} {entry.path}"
        raise DataError(f"{what} has the label {entry.label!r}, expected a number")
    return int(entry.label)
