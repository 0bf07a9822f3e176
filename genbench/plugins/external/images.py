"""Samples as image files in a folder or a zip."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from genbench import kinds
from genbench.errors import DataError
from genbench.formats import BadImage, ImageFiles, decode, open_images, unscaled
from genbench.generator import Space
from genbench.plugins.external.labels import labels_by_file, labels_by_folder
from genbench.plugins.external.rows import StagedRows, reading_order
from genbench.tasks import Suite

OnBad = Literal["fail", "skip"]

NAMED = 100  # bad files that one message names


def read_images(place: Path, suite: Suite, labels: Path | None, on_bad: OnBad) -> StagedRows:
    """The images that are scored, in the order of their names.

    Only as many files are read as the suite asks for; with `on_bad` ``skip``, others take the place
    of bad ones while there are any. `DataError` if the place is no folder or zip of images, the
    labels do not fit, or files are not images of the suite's space, each named with its reason.
    """
    space = suite.space
    if "images" not in kinds.of(space.kind).scored_from:
        raise DataError(f"{place.name} holds images, suite {suite.name!r} holds {space.kind}")
    with open_images(place) as files:
        listing = files.listing
        if labels is None:
            found = labels_by_folder(listing.names, suite)
        else:
            found = labels_by_file(labels, listing.names, suite)
        order = reading_order(len(listing.names), suite)
        tried = order[: suite.n_samples] if on_bad == "fail" else order
        x, kept, bad = _read(files, tried, suite)
    if bad and on_bad == "fail":
        listed = "\n  ".join(_named(bad))
        raise DataError(
            f"{len(bad)} of {len(tried):,} files of {place.name} are not images of the suite's "
            f"space {_form(space)}:\n  {listed}\nrepair them, or leave them out with --on-bad skip"
        )
    if len(x) < 2:
        raise DataError(
            f"{place.name} holds {len(x)} images of the suite's space {_form(space)}, at least 2 "
            "are needed" + "".join(f"\n  {line}" for line in _named(bad))
        )
    if (problem := unscaled(x, space.levels)) is not None:
        raise DataError(f"{place.name} {problem}")
    notes = [f"skipped: {line}" for line in _named(bad)]
    notes += [*listing.notes(), *([found.note] if found.note else [])]
    y = None if found.labels is None else found.labels[kept]
    return StagedRows(x, y, len(listing.names), place.name, tuple(notes))


def _read(
    files: ImageFiles, tried: NDArray[np.intp], suite: Suite
) -> tuple[NDArray[np.uint8], NDArray[np.intp], list[str]]:
    """The good images among those tried until there are enough, their numbers, the bad ones."""
    most = min(suite.n_samples, len(tried))
    x = np.empty((most, *suite.space.shape), np.uint8)
    kept: list[int] = []
    bad = []
    for index in tried:
        if len(kept) == most:
            break
        name = files.listing.names[index]
        try:
            x[len(kept)] = decode(files.read(name), suite.space)
        except BadImage as error:
            bad.append(f"{name} {error}")
        else:
            kept.append(int(index))
    numbers = np.array(kept, np.intp)
    by_name = np.argsort(numbers)
    return x[: len(kept)][by_name], numbers[by_name], sorted(bad)


def _named(bad: list[str]) -> list[str]:
    more = [f"and {len(bad) - NAMED:,} more"] if len(bad) > NAMED else []
    return [*bad[:NAMED], *more]


def _form(space: Space) -> str:
    return f"({' x '.join(map(str, space.shape))}, {space.levels} levels)"
