"""A user's data, looked at once: its space, its files' checksums, its copies."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench import kinds
from genbench.data import digests, stated
from genbench.errors import DataError, shorten
from genbench.formats import (
    Layout,
    as_float32,
    in_order,
    masked_fill,
    names_of_labels,
    no_numbers,
    one_set,
    open_arrays,
    parse_csv,
    scale_hint,
    unscaled,
)
from genbench.generator import Space
from genbench.tasks.new.copies import Copies, find_copies

NAMED = 100
LEVELS = 256


@dataclass(frozen=True, slots=True)
class Source:
    """Data as a suite names them: the ``[dataset]`` table without its split, the equal rows.

    `role` is that of the file that the splits are shares of; `files` have to be written beside the
    suite: name -> content. `told` says what is done to the rows as they are read, if anything;
    texts are compared `by_words` where they have several.
    """

    space: Space
    dataset: dict[str, Any]
    role: str
    copies: Copies
    files: dict[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    told: str = ""
    by_words: bool = False


def npz_source(name: str, file: Path, folder: Path) -> Source:
    """An ``.npz`` with ``x``: uint8 ``(n, C, H, W)`` or floats ``(n, d)``, and perhaps ``y``.

    The classes are the different labels of `y`, whole numbers or texts, each under its own name.
    `DataError` if it holds something else.
    """
    if file.suffix.lower() != ".npz":
        raise DataError(f"{file.name} is no .npz: save it with numpy.savez(FILE, x=..., y=...)")
    with open_arrays(file) as arrays:
        found = one_set(arrays, file.name)
        x = found.x.all()
        y = None if found.y is None else found.y.all()
    space, remarks = _space_of(file.name, x)
    if kinds.of(space.kind).columns:
        x = as_float32(x, file.name)
    dataset: dict[str, Any] = {"name": name, "loader": "arrays", **stated("arrays")}
    if y is not None:
        space, named, more = _with_classes(file.name, space, y, len(x))
        dataset, remarks = {**dataset, **named}, (*remarks, *more)
    copies = find_copies(digests(x), None if y is None else [str(v) for v in y])
    notes = (*((found.note,) if found.note else ()), *remarks)
    return Source(space, *one_file(dataset, file, folder), copies, notes=notes)


def csv_source(name: str, file: Path, folder: Path, layout: Layout) -> Source:
    """A CSV of points; what its owner says of it stands in the suite.

    `DataError` as by `genbench.formats.parse_csv` and `genbench.formats.as_float32`.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    table = parse_csv(content, file.name, layout)
    x = as_float32(table.x, file.name, table.names)
    space = Space("points", (x.shape[1],))
    dataset: dict[str, Any] = {"name": name, "loader": "csv", **stated("csv")}
    if table.names:
        dataset["column_names"] = list(table.names)
    options = {"header": layout.header, "drop": list(layout.drop), "keep": list(layout.keep)}
    options = {key: value for key, value in options.items() if value not in (None, [])}
    if options:
        dataset["options"] = options
    copies = find_copies(digests(x), None)
    return Source(space, *one_file(dataset, file, folder), copies, notes=table.notes)


def require_utf8(*names: str) -> None:
    """A suite and its table are UTF-8, and could not name a file of another coding.

    Nor do they name one with a backslash, which is a folder's end elsewhere.
    """
    for name in names:
        if "\\" in name:
            raise DataError(f"{shorten(name)} has a backslash in its name: rename it")
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{shorten(name)} is not named in UTF-8: rename it") from error


def one_file(dataset: dict[str, Any], file: Path, folder: Path) -> tuple[dict[str, Any], str]:
    """The ``[dataset]`` table with a user's file in it, where it lies; and the file's role."""
    require_utf8(relative_to_suite(folder, file.parent), file.name)
    entry = file_entry("data", file.name, file.read_bytes())
    if file.resolve().parent != folder.resolve():
        dataset = {**dataset, "folder": relative_to_suite(folder, file.parent)}
    return {**dataset, "files": [entry]}, "data"


def file_entry(role: str, name: str, content: bytes) -> dict[str, Any]:
    """The entry of ``[[dataset.files]]`` of a file with this content."""
    digest = hashlib.sha256(content).hexdigest()
    return {"role": role, "path": name, "bytes": len(content), "sha256": digest}


def relative_to_suite(folder: Path, place: Path) -> str:
    """`place` relative to `folder` where it lies in it, so that both can be moved together."""
    there, here = place.resolve(), folder.resolve()
    return there.relative_to(here).as_posix() if there.is_relative_to(here) else os.fspath(there)


def _space_of(name: str, x: NDArray[Any]) -> tuple[Space, tuple[str, ...]]:
    """The space that an array's rows are of, without classes, and how its axes were read."""
    problem = no_numbers(x.dtype) or _of_no_image(x) or _of_no_points(x)
    if problem is not None:
        raise DataError(f"{name}: x {problem}")
    if x.ndim == 2:
        return Space("points", (x.shape[1],)), ()
    read = f"x of shape {x.shape} is read with its channels first, as (n, C, H, W)"
    return Space("image", x.shape[1:], levels=LEVELS), (read,) if x.shape[3] in (1, 3) else ()


def _of_no_image(x: NDArray[Any]) -> str | None:
    if x.ndim == 2 and x.dtype.kind == "f":
        return None
    remarks = (
        f"is {x.dtype} of shape {x.shape}: save images as uint8 (n, C, H, W) with 1 or 3 channels"
    )
    if x.ndim == 3:
        return f"{remarks}, such as x[:, None]"
    if x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        return f"{remarks}, such as x.transpose(0, 3, 1, 2)"
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        return f"{remarks}, points as float32 (n, d)"
    if x.size == 0:
        return f"has shape {x.shape}: no rows"
    return unscaled(x, LEVELS) if x.dtype == np.uint8 else scale_hint(x, LEVELS)


def _of_no_points(x: NDArray[Any]) -> str | None:
    if x.ndim != 2:
        return None
    if x.dtype not in (np.float32, np.float64):
        return f"is {x.dtype} of shape {x.shape}: save points as x.astype(numpy.float64)"
    return masked_fill(x)


def _with_classes(
    name: str, space: Space, y: NDArray[Any], n: int
) -> tuple[Space, dict[str, Any], tuple[str, ...]]:
    """The space with the classes that the labels name; what the data set says of them; notes."""
    if not kinds.of(space.kind).labelled:
        raise DataError(f"{name}: {space.kind} have no labels: leave y out")
    try:
        names = names_of_labels(y)
    except TypeError as error:
        raise DataError(f"{name}: y {error}") from error
    if len(names) != n:
        raise DataError(f"{name}: y has {len(names)} labels, x {n} rows: one label per row")
    classes = in_order(set(names.tolist()))
    if len(classes) == 1:
        return space, {}, (f"no labels: all rows are of class {classes[0]!r}",)
    if len(classes) > n / 2:
        raise DataError(
            f"{name}: y holds {len(classes)} different labels for {n} rows: leave y out, or save "
            "the classes"
        )
    entries: dict[str, Any] = {"class_names": classes}
    notes: tuple[str, ...] = ()
    if y.dtype.kind not in "iu" or classes != [str(i) for i in range(len(classes))]:
        entries["options"] = {"labels": classes}
        notes = (f"{len(classes)} classes: {', '.join(map(repr, classes[:NAMED]))}",)
    return replace(space, classes=len(classes)), entries, notes
