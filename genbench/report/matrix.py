"""Generators by suites: each one's place, primary value and samples, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench.report.images import ArtefactError, artefact, thumbnail
from genbench.report.page import Page
from genbench.report.placing import Place, Shown
from genbench.report.rows import Row, Value

WIDEST = 132  # pixels of a picture as the matrix shows it


@dataclass(frozen=True, slots=True)
class Spot:
    """One row of one suite's board: its value on the primary metric, None if there is no metric;
    its samples, if they can be shown; its version, where that tells it from others of the line.
    """

    page: Page
    row: Row
    value: Value | None
    samples: Shown | None
    version: str


@dataclass(frozen=True, slots=True)
class Line:
    """One generator over all suites; a suite has none, one, or several rows of the name."""

    label: str
    spots: tuple[tuple[Spot, ...], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The boards as columns, the generators and the controls as lines, by name."""

    pages: tuple[Page, ...]
    generators: tuple[Line, ...]
    controls: tuple[Line, ...]


def matrix(pages: Sequence[Page], place: Place) -> Matrix:
    """Lay the boards side by side; `place` stores a picture and returns its address."""
    return Matrix(
        tuple(pages),
        _lines([page.table.generators for page in pages], pages, place),
        _lines([page.table.controls for page in pages], pages, place),
    )


def _lines(
    boards: Sequence[Sequence[Row]], pages: Sequence[Page], place: Place
) -> tuple[Line, ...]:
    labels = sorted({row.label for rows in boards for row in rows}, key=lambda s: (s.casefold(), s))
    return tuple(_line(label, boards, pages, place) for label in labels)


def _line(label: str, boards: Sequence[Sequence[Row]], pages: Sequence[Page], place: Place) -> Line:
    found = [[row for row in rows if row.label == label] for rows in boards]
    versions = {row.version for rows in found for row in rows}
    return Line(
        label,
        tuple(
            tuple(
                Spot(
                    page,
                    row,
                    row.values[page.table.columns[0].id] if page.table.columns else None,
                    _samples(row, page, place),
                    row.version if len(versions) > 1 else "",
                )
                for row in rows
            )
            for page, rows in zip(pages, found, strict=True)
        ),
    )


def _samples(row: Row, page: Page, place: Place) -> Shown | None:
    """The first samples of the row, or the cloud of its points; None if neither can be shown."""
    drawn = next((e for e in row.done if artefact(e, "grid")), None)
    if drawn is not None:
        try:
            picture = thumbnail(drawn, _side(page.suite))
        except ArtefactError:
            return None  # the board's gallery says why
        return _small(Shown("samples", place(picture), picture.width, picture.height))
    clouds = [s.pictures[0] for s in page.samples if s.row.id == row.id and s.pictures]
    return next((_small(shown) for shown in clouds if shown.src), None)


def _side(suite: Mapping[str, Any]) -> int:
    """Pixels of a side of the suite's images, whose file may be anybody's; 0 if it does not say."""
    space = suite.get("space")
    shape = space.get("shape") if isinstance(space, Mapping) else None
    last = shape[-1] if isinstance(shape, list) and shape else 0
    return last if type(last) is int and last > 0 else 0


def _small(shown: Shown) -> Shown:
    scale = min(1.0, WIDEST / max(shown.width, 1))
    size = round(shown.width * scale), max(1, round(shown.height * scale))
    return Shown(shown.title, shown.src, *size)
