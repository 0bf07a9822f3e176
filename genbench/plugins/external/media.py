"""Samples as files of a medium, pictures or sounds, in a folder or a zip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError
from genbench.formats import BadFile, FileTypes, MediaFiles, open_files
from genbench.generator import Space
from genbench.plugins.external.labels import labels_by_file, labels_by_folder
from genbench.plugins.external.rows import StagedRows, reading_order
from genbench.tasks import Suite

OnBad = Literal["fail", "skip"]
Array = NDArray[Any]

NAMED = 100  # bad files that one message names


@dataclass(frozen=True, slots=True)
class Medium:
    """How the files of a medium become rows of a space.

    Parameters
    ----------
    types
        Which files are of it.
    decode
        The row of a file's bytes; raises `BadFile`.
    form
        The space in a few words.
    remarks
        What to tell of rows that are read, given them and the names of their files.
    """

    types: FileTypes
    decode: Callable[[bytes, Space], Array]
    form: Callable[[Space], str]
    remarks: Callable[[Array, Sequence[str]], list[str]]


@dataclass(frozen=True, slots=True)
class _Read:
    """The good rows in the order of their files' numbers, and a line for each bad file."""

    x: Array
    kept: NDArray[np.intp]
    bad: list[str]


def read_files(
    place: Path, suite: Suite, labels: Path | None, on_bad: OnBad, medium: Medium
) -> StagedRows:
    """The files that are scored, in the order of their names.

    Only as many files are read as the suite asks for; with `on_bad` ``skip``, others take the place
    of bad ones while there are any. `DataError` if the place is no folder or zip of such files, the
    labels do not fit, or files are not of the suite's space, each named with its reason.
    """
    form, many = medium.form(suite.space), medium.types.many
    with open_files(place, medium.types) as files:
        listing = files.listing
        if labels is None:
            found = labels_by_folder(listing.names, suite)
        else:
            found = labels_by_file(labels, listing.names, suite)
        order = reading_order(len(listing.names), suite)
        tried = order[: suite.n_samples] if on_bad == "fail" else order
        read = _read(files, tried, suite, medium)
    if read.bad and on_bad == "fail":
        raise DataError(
            f"{len(read.bad)} of {len(tried):,} files of {place.name} are not {many} of the "
            f"suite's space {form}: repair them, or leave them out with --on-bad skip",
            lines=first(read.bad),
        )
    if len(read.x) < 2:
        raise DataError(
            f"{place.name} holds {len(read.x)} {many} of the suite's space {form}, at least 2 "
            "are needed",
            lines=first(read.bad),
        )
    notes = [f"skipped: {line}" for line in first(read.bad)]
    notes += [*listing.notes(), *([found.note] if found.note else [])]
    notes += medium.remarks(read.x, [listing.names[i] for i in read.kept])
    y = None if found.labels is None else found.labels[read.kept]
    return StagedRows(read.x, y, len(listing.names), place.name, tuple(notes))


def _read(files: MediaFiles, tried: NDArray[np.intp], suite: Suite, medium: Medium) -> _Read:
    """The good files among those tried until there are enough."""
    most = min(suite.n_samples, len(tried))
    x = np.empty((most, *suite.space.shape), suite.space.dtype)
    kept: list[int] = []
    bad = []
    for index in tried:
        if len(kept) == most:
            break
        name = files.listing.names[index]
        try:
            x[len(kept)] = medium.decode(files.read(name), suite.space)
        except BadFile as error:
            bad.append(f"{name} {error}")
        else:
            kept.append(int(index))
    numbers = np.array(kept, np.intp)
    by_name = np.argsort(numbers)
    return _Read(x[: len(kept)][by_name], numbers[by_name], sorted(bad))


def first(lines: Sequence[str]) -> list[str]:
    """The first of many lines, and how many more there are."""
    more = [f"and {len(lines) - NAMED:,} more"] if len(lines) > NAMED else []
    return [*lines[:NAMED], *more]
