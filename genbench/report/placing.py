"""Pictures as a page shows them: placed, or missing for a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from genbench.report.images import ArtefactError, Picture, grid_picture
from genbench.report.rows import Row
from genbench.results import Entry

Place = Callable[[Picture], str]


@dataclass(frozen=True, slots=True)
class ShownText:
    """One text with its class; the training row nearest to it by edits and how far that is, and
    the one nearest in features. "" or None for none.
    """

    text: str
    label: str = ""
    nearest: str | None = None
    distance: str = ""
    copy: bool = False
    alike: str | None = None


@dataclass(frozen=True, slots=True)
class ShownSound:
    """One clip with its class, and the training clip nearest to it, each with its spectrum.

    They are wav files in base64; "" for none.
    """

    wav: str
    picture: Shown
    label: str = ""
    nearest: str = ""
    nearest_picture: Shown | None = None
    distance: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture in the page, texts or sounds, or the reason why none of them is there."""

    title: str
    src: str = ""
    width: int = 0
    height: int = 0
    missing: str = ""
    texts: tuple[ShownText, ...] = ()
    sounds: tuple[ShownSound, ...] = ()


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
