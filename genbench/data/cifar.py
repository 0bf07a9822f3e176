"""CIFAR-10, from whatever layout a person has it in.

Not all of them keep the official order of rows, so a part has one of its own: by class, then by the
digest of the picture (`cifar_identity`). ``[dataset.split]`` counts in it:
``{ file = "train", each_class = [0, 4000] }`` are the first 4,000 of every class. A split is served
in the order of the digests' other end, which is as good as a random one: what reads the first rows
of a split sees all classes.

Sources that are slow to read are kept once more as a prepared copy in the data home: the pictures
in the part's order, nothing else, believed for their identity like any other source.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.cifar_identity import PREFIX, Part
from genbench.data.cifar_sources import BATCHES, EXPECTED, Source, find, layout_of
from genbench.data.files import (
    FileCheck,
    candidates,
    check_file,
    declared,
    gunzipped,
    places,
    read_checked,
)
from genbench.data.split import Split
from genbench.errors import DataError, StoreError, UsageError
from genbench.formats import CIFAR_SIDE
from genbench.generator import Space
from genbench.system import data_home, write_bytes

ARCHIVE = "archive"
DIGESTS = "digests-{}"


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's rows, uint8 ``(n, 3, 32, 32)``, and their classes."""
    name, rows = _asked(dataset, split)
    part = _part(dataset, name)
    if rows.stop > part.prefixes.shape[1]:
        raise UsageError(
            f"data set {dataset['name']!r}, split {split} asks for rows {rows.start} to {rows.stop}"
            f" of each class, {name} has {part.prefixes.shape[1]}: correct [dataset.split]"
        )
    n = part.prefixes.size
    chosen = np.arange(n).reshape(part.prefixes.shape)[:, rows.start : rows.stop].ravel()
    # By their last byte first: where a tail begins, and so its first bytes, differ between classes.
    chosen = chosen[np.argsort(part.prefixes.ravel()[chosen].byteswap(), kind="stable")]
    x = np.ascontiguousarray(_pictures(dataset, part)[chosen].transpose(0, 3, 1, 2))
    return Split(x, part.labels[chosen] if space.classes else None)


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """The lists of digests, and both parts as their sources have them."""
    lists = [check_file(dataset, declared(dataset, DIGESTS.format(name))) for name in BATCHES]
    if not all(check.ok for check in lists):
        return lists
    return [*lists, *(_check(dataset, _part(dataset, name)) for name in BATCHES)]


def located(dataset: Mapping[str, Any]) -> list[Path | None]:
    """The file or folder that each part is read from; None for one that is not here."""
    return [_place(dataset, name) for name in BATCHES]


def sources(dataset: Mapping[str, Any]) -> list[Path]:
    """The files and folders of both parts, so far as they are here."""
    return [path for path in located(dataset) if path is not None]


def same_rows(dataset: Mapping[str, Any], entry: Mapping[str, Any], data: bytes) -> bytes | None:
    """The unpacked content of an archive whose pictures are CIFAR-10's, whatever its own hash.

    None for a file that is no archive of them by name; `DataError` with what is wrong if it is one.
    """
    name = Path(entry["path"]).name
    if (layout := layout_of(name)) is None:
        return None
    content = gunzipped(data, name)
    for kind in BATCHES:
        _part(dataset, kind).in_order(layout.of_tar(content, kind, name), name)
    return content


def _asked(dataset: Mapping[str, Any], split: str) -> tuple[str, slice]:
    """The part, and the rows of each class, that ``[dataset.split]`` names."""
    entry = dataset["split"][split]
    match entry:
        case {"file": "train" | "test" as name, "each_class": [int(first), int(stop)], **others}:
            if not others and 0 <= first < stop:
                return name, slice(first, stop)
    raise UsageError(
        f"data set {dataset['name']!r}, split {split} is {entry!r}: "
        'write { file = "train" or "test", each_class = [FIRST, LAST + 1] }'
    )


def _part(dataset: Mapping[str, Any], name: str) -> Part:
    """A part as the suite describes it."""
    entry = declared(dataset, DIGESTS.format(name))
    identity = dataset.get("options", {}).get(name)
    classes = tuple(dataset.get("class_names", ()))
    if not isinstance(identity, str) or not classes:
        lacking = f"[dataset.options] {name}" if classes else "[dataset] class_names"
        raise UsageError(f"data set {dataset['name']!r} lacks {lacking}: add it")
    listed = np.frombuffer(read_checked(dataset, entry), f">u{PREFIX}").astype(np.uint32)
    if len(listed) % len(classes):
        raise DataError(
            f"data file {entry['path']} lists {len(listed)} pictures, no multiple of the "
            f"{len(classes)} classes: correct class_names or the file"
        )
    return Part(name, classes, identity, listed.reshape(len(classes), -1))


def _pictures(dataset: Mapping[str, Any], part: Part) -> NDArray[np.uint8]:
    """The part's pictures in its order, uint8 ``(n, 32, 32, 3)``: prepared, or from their source.

    `DataError` if they are not here or are not CIFAR-10's.
    """
    if (prepared := _prepared(dataset, part)) is not None:
        return prepared
    source = _find(dataset, part.name)
    if source is None:
        raise DataError(_absence(dataset, part))
    x = _of_source(dataset, part, source)
    if source.slow:
        with contextlib.suppress(StoreError):  # a place that is full or not ours: read it again
            write_bytes(_copy(dataset, part), x.tobytes(), sync=False)
    return x


def _of_source(dataset: Mapping[str, Any], part: Part, source: Source) -> NDArray[np.uint8]:
    """The part's pictures in its order, uint8 ``(n, 32, 32, 3)``, from their source."""
    pictures = source.read()
    try:
        return part.in_order(pictures, str(source.path))
    except DataError as error:
        raise DataError(
            f"{error}: mend it, or remove it and run `genbench data fetch {dataset['name']}`"
        ) from error


def _prepared(dataset: Mapping[str, Any], part: Part) -> NDArray[np.uint8] | None:
    """The prepared copy, if there is one and it is right."""
    shape = (part.prefixes.size, CIFAR_SIDE, CIFAR_SIDE, 3)
    try:
        x = np.fromfile(_copy(dataset, part), np.uint8).reshape(shape)
    except (OSError, ValueError):
        return None
    return x if part.holds(x) else None


def _copy(dataset: Mapping[str, Any], part: Part) -> Path:
    return data_home() / str(dataset["name"]) / f"prepared-{part.name}-{part.identity[:16]}.rgb"


def _place(dataset: Mapping[str, Any], name: str) -> Path | None:
    """The source of a part; its prepared copy where there is none any more."""
    source, copy = _find(dataset, name), _copy(dataset, _part(dataset, name))
    if source is None:
        return copy if copy.is_file() else None
    return source.path


def _find(dataset: Mapping[str, Any], name: str) -> Source | None:
    beside = [path.parent for path in candidates(dataset, declared(dataset, ARCHIVE))]
    return find(list(dict.fromkeys(beside)), name, dataset.get("class_names", ()))


def _check(dataset: Mapping[str, Any], part: Part) -> FileCheck:
    """The state of a part's source, of its prepared copy where there is none any more."""
    source = _find(dataset, part.name)
    if source is None and _prepared(dataset, part) is not None:
        path = _copy(dataset, part)
        return FileCheck(path.name, path.stat().st_size, part.identity, True)
    if source is None:
        return FileCheck(f"{part.name} part", 0, "", False, _absence(dataset, part), True)
    name = f"{source.path.name} ({part.name} part)"
    try:
        x = _of_source(dataset, part, source)
    except DataError as error:
        return FileCheck(name, 0, "", False, str(error))
    return FileCheck(name, x.nbytes, part.identity, True)


def _absence(dataset: Mapping[str, Any], part: Part) -> str:
    folders = ", ".join(map(str, places(dataset)))
    return (
        f"the {part.name} part of data set {dataset['name']!r} is not here: run `genbench data "
        f"fetch {dataset['name']}`, or put {EXPECTED.format(part.name)} into one of {folders}"
    )
