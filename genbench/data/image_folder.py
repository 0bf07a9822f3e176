"""Image files in a folder or a zip, listed with their checksums in a table beside the suite.

The table is a CSV with the columns ``path,sha256,content,label``: the file relative to the data
set's ``folder``, the digests of the file and of its pixels, and its class number (empty where the
space has none). `content` decides the split, so that equal pictures lie in one.

``[dataset.options]`` may say what is done to each picture before: see `genbench.formats.Fitting`.
The pixels that come of it are held against `content`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from genbench.data.files import FileCheck, check_file, declared, read_checked
from genbench.data.readers import reader_of
from genbench.data.rows import places, row_range
from genbench.data.split import Split
from genbench.errors import DataError, UsageError
from genbench.formats import BadImage, Fitting, Folder, ImageFiles, decode, open_images
from genbench.generator import Space

ROLE = "table"
COLUMNS = ("path", "sha256", "content", "label")
UPRIGHT = 2  # the reader that turns images as their orientation tag says; 1 took them as stored
STRICT = 3  # the reader that refuses colours of 16 bits; those before cut them to 8
MIXED = 4  # the reader whose first rows are a fair sample; those before served class after class


@dataclass(frozen=True, slots=True)
class ImageEntry:
    """One image of the table."""

    path: str
    sha256: str
    content: str
    label: str


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The table's images, uint8 ``(n, C, H, W)``, whose content falls into the split's share.

    The table lists class after class; rows come in the order of their digests' other end, which is
    as good as a random one: what reads the first rows of a split sees all classes.
    """
    rows = row_range(dataset, split)
    entries = _table(dataset, rows.file)
    chosen = rows.chosen(len(entries), lambda: places(dataset, [e.content for e in entries]))
    served = list(enumerate(chosen))
    if reader_of(dataset) >= MIXED:
        # By the digests' other end: their beginning decides the split.
        served = list(enumerate(sorted(chosen, key=lambda i: entries[i].content[::-1])))
    x, y = np.empty((len(served), *space.shape), np.uint8), np.zeros(len(served), np.int64)
    fitting = fitting_of(dataset)
    with _opened(dataset) as files:
        for place, index in sorted(served, key=lambda pair: pair[1]):  # read as listed
            x[place] = _image(dataset, files, entries[index], space, fitting)
            y[place] = _label(entries[index]) if space.classes else 0
    return Split(x, y if space.classes else None)


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """The table, and every image that it lists."""
    entry = declared(dataset, ROLE)
    table = check_file(dataset, entry)
    if not table.ok:
        return [table]
    try:
        with _opened(dataset) as files:
            return [table, *(_check(dataset, files, e) for e in _table(dataset, ROLE))]
    except DataError as error:
        return [FileCheck(entry["path"], table.bytes, table.sha256, False, str(error))]


def sources(dataset: Mapping[str, Any]) -> list[Path]:
    """The class folders, or the images, that the table lists in the folder; or the zip."""
    root = _place(dataset)
    if root.is_file():
        return [root]
    entries = _table(dataset, ROLE)
    return sorted({root / PurePosixPath(entry.path).parts[0] for entry in entries})


def changed_by(dataset: Mapping[str, Any]) -> str:
    """What is done to the pictures before they are rows."""
    return fitting_of(dataset).signed


def write_table(entries: list[ImageEntry]) -> bytes:
    """The table as `read` reads it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([e.path, e.sha256, e.content, e.label] for e in entries)
    return buffer.getvalue().encode()


def _table(dataset: Mapping[str, Any], role: str) -> list[ImageEntry]:
    declared_ = declared(dataset, role)
    name = declared_["path"]
    text = read_checked(dataset, declared_).decode("utf-8", "replace")
    head, *lines = list(csv.reader(io.StringIO(text))) or [[]]
    if tuple(head) != COLUMNS or any(len(line) != len(COLUMNS) for line in lines):
        raise DataError(f"{name} is not a table of {','.join(COLUMNS)}: make the suite anew")
    entries = [ImageEntry(*line) for line in lines]
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.path:
            raise DataError(f"{name} lists {entry.path!r}, which leaves the folder: remove it")
    return entries


def _place(dataset: Mapping[str, Any]) -> Path:
    return Path(dataset["root"], dataset.get("folder", ""))


@contextmanager
def _opened(dataset: Mapping[str, Any]) -> Iterator[ImageFiles]:
    """The images of the folder, which is not listed for it, or of the zip."""
    place = _place(dataset)
    if place.is_file():
        with open_images(place) as files:
            yield files
    else:
        yield Folder(place)


def fitting_of(dataset: Mapping[str, Any]) -> Fitting:
    """What the suite says is done to each picture.

    `UsageError` if ``[dataset.options]`` hold anything else.
    """
    try:
        return Fitting.of(dataset.get("options", {}))
    except UsageError as error:
        raise UsageError(f"data set {dataset['name']!r}, [dataset.options]: {error}") from error


def _image(
    dataset: Mapping[str, Any],
    files: ImageFiles,
    entry: ImageEntry,
    space: Space,
    fitting: Fitting,
) -> Any:
    reader = reader_of(dataset)
    try:
        x = decode(
            _content(dataset, files, entry),
            space,
            upright=reader >= UPRIGHT,
            deep=reader < STRICT,
            fitting=fitting,
        )
    except BadImage as error:
        raise DataError(f"image {entry.path} of data set {dataset['name']!r} {error}") from error
    if fitting != Fitting() and hashlib.sha256(x.data).hexdigest() != entry.content:
        raise DataError(
            f"image {entry.path} of data set {dataset['name']!r} comes out in other pixels than "
            "when the suite was made: make the suite anew with this version of Pillow"
        )
    return x


def _content(dataset: Mapping[str, Any], files: ImageFiles, entry: ImageEntry) -> bytes:
    place = _place(dataset) / entry.path
    try:
        data = files.read(entry.path)
    except BadImage as error:
        raise DataError(
            f"image {place} {error}: put it back, or correct [dataset] folder"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise DataError(
            f"image {place} has sha256 {found}, expected {entry.sha256}: "
            "put the old one back, or make the suite anew"
        )
    return data


def _check(dataset: Mapping[str, Any], files: ImageFiles, entry: ImageEntry) -> FileCheck:
    try:
        data = _content(dataset, files, entry)
    except DataError as error:
        return FileCheck(entry.path, 0, "", False, str(error))
    return FileCheck(entry.path, len(data), entry.sha256, True)


def _label(entry: ImageEntry) -> int:
    if not entry.label.isdigit():
        raise DataError(f"image {entry.path} has the label {entry.label!r}, expected a number")
    return int(entry.label)
