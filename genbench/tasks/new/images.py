"""A user's folder of images, looked at once."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from genbench.data import ROLE, ListedFile, stated, write_table
from genbench.errors import DataError
from genbench.formats import (
    IMAGE_FILES,
    IMAGES,
    BadFile,
    Fitting,
    MediaFiles,
    decode,
    header,
    open_files,
    unscaled,
)
from genbench.generator import Space
from genbench.tasks.new.classfolders import class_folders, files_of_set, numbered
from genbench.tasks.new.copies import find_copies
from genbench.tasks.new.flaws import Flaw, GreyAmongColour, image_refusal, listed
from genbench.tasks.new.sources import LEVELS, Source, file_entry, relative_to_suite, require_utf8

Head = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True, slots=True)
class _Look:
    """The images that can be used, their labels as given; the others; the brightest level."""

    entries: list[ListedFile]
    flaws: list[Flaw]
    brightest: int


def image_source(
    name: str, place: Path, folder: Path, *, skip_bad: bool, fitting: Fitting, rgb: bool
) -> Source:
    """A folder or a zip of images; one folder per class where they are labelled.

    The space has the size that most images have, or that of `fitting`; it is RGB if most are in
    colour, or if `rgb` says so. `DataError` names each file that is no image of it.
    """
    if not place.is_dir() and place.suffix.lower() != ".zip":
        raise DataError(f"no folder and no zip of images at {place}: unpack it first")
    place, splits = files_of_set(place, IMAGES)
    with open_files(place, IMAGE_FILES) as files:
        names = files.listing.names
        require_utf8(relative_to_suite(folder, place), *names)
        heads = _headers(files)
        known = [head for head in heads.values() if not isinstance(head, str)]
        if not known:
            raise DataError(f"{place} holds no readable image ({names[0]} {heads[names[0]]})")
        space = _space(known, fitting, rgb)
        labels, remarks = class_folders(names, splits, place, IMAGE_FILES)
        look = _look(files, heads, space, labels, fitting, rgb)
    if look.flaws and not skip_bad:
        raise DataError(image_refusal(place, look.flaws, known, len(names)))
    if (problem := unscaled(np.array([look.brightest], np.uint8), LEVELS)) is not None:
        raise DataError(f"{place} {problem}")
    entries, classes, lost = numbered(look.entries, labels, IMAGE_FILES)
    table = f"{name}.files.csv"
    content = write_table(entries)
    dataset = {
        "name": name,
        "loader": "image-folder",
        **stated("image-folder"),
        "folder": relative_to_suite(folder, place),
        "class_names": classes,
        **({"options": fitting.options} if fitting.options else {}),
        "files": [file_entry(ROLE, table, content)],
    }
    used = [head for e in entries if not isinstance(head := heads[e.path], str)]
    skipped = [f"skipped: {line}" for line in listed(look.flaws)]
    notes = (*skipped, *files.listing.notes(), *remarks, *lost, *_changed(used, space, fitting))
    return Source(
        replace(space, classes=len(classes)),
        dataset,
        ROLE,
        find_copies([e.content for e in entries], [e.label for e in entries]),
        {table: content},
        notes,
        fitting.told,
    )


def _headers(files: MediaFiles) -> dict[str, Head | str]:
    found: dict[str, Head | str] = {}
    for name in files.listing.names:
        try:
            found[name] = header(files.read(name))
        except BadFile as error:
            found[name] = str(error)
    return found


def _space(heads: Sequence[Head], fitting: Fitting, rgb: bool) -> Space:
    """The space of most of the images, without classes."""
    ((height, width), _), *_ = Counter(head[1:] for head in heads).most_common(1)
    alike = [head[0] for head in heads if fitting.side or head[1:] == (height, width)]
    channels = 3 if rgb or 2 * alike.count(3) >= len(alike) else 1
    if fitting.side is not None:
        height = width = fitting.side
    return Space("image", (channels, height, width), levels=LEVELS)


def _look(
    files: MediaFiles,
    heads: Mapping[str, Head | str],
    space: Space,
    labels: Sequence[str],
    fitting: Fitting,
    rgb: bool,
) -> _Look:
    look = _Look([], [], 0)
    brightest = 0
    for name, label in zip(files.listing.names, labels, strict=True):
        try:
            data = files.read(name)
            x = decode(data, space, fitting=fitting)
            if space.shape[0] == 3 and not rgb and heads[name][0] == 1:
                raise GreyAmongColour
        except BadFile as error:
            look.flaws.append(Flaw(name, error))
        else:
            brightest = max(brightest, int(x.max()))
            content = hashlib.sha256(x.data).hexdigest()
            file = hashlib.sha256(data).hexdigest()
            look.entries.append(ListedFile(name, file, content, label))
    return replace(look, brightest=brightest)


def _changed(heads: Sequence[Head], space: Space, fitting: Fitting) -> list[str]:
    """Notes on what becomes of images that are not of the space as they are."""
    notes = []
    side = fitting.side
    if side is not None:
        oblong = sum(height != width for _, height, width in heads)
        small = sum(min(height, width) < side for _, height, width in heads)
        if oblong and fitting.fit == "crop":
            notes.append(
                f"{oblong:,} of {len(heads):,} images are no squares: the centre of each is kept "
                "(--fit stretch squeezes them instead)"
            )
        if small:
            notes.append(f"{small:,} of {len(heads):,} images are enlarged to {side} x {side}")
    grey = sum(channels == 1 for channels, _, _ in heads)
    if grey and space.shape[0] == 3:
        notes.append(f"{grey:,} of {len(heads):,} images are grey and taken as RGB")
    return notes
