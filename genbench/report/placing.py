"""Pictures as a page shows them: placed, or missing for a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from genbench.report.images import ArtefactError, Picture, grid_picture
from genbench.report.rows import Row
from genbench.results import Entry

Place = Callable[[Picture], str]


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture in the page, or the reason why it is not there (`src` empty)."""

    title: str
    src: str = ""
    width: int = 0
    height: int = 0
    missing: str = ""


@dataclass(frozen=True, slots=True)
class RowSamples:
    """The pictures of one generator at its first finished seed."""

    row: Row
    seed: int
    pictures: tuple[Shown, ...]


def grid(entry: Entry, role: str, title: str, place: Place) -> Shown:
    """One PNG artefact as it appears in a page."""
    try:
        picture = grid_picture(entry, role)
    except ArtefactError as error:
        return Shown(title, missing=f"Not shown: {error}.")
    return Shown(title, place(picture), picture.width, picture.height)
