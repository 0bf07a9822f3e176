"""Samples as image files in a folder or a zip."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genbench import kinds
from genbench.errors import DataError
from genbench.formats import IMAGE_FILES, decode, unscaled
from genbench.generator import Space
from genbench.plugins.external.forms import forms
from genbench.plugins.external.media import Array, Medium, OnBad, read_files
from genbench.plugins.external.rows import StagedRows
from genbench.tasks import Suite


def read_images(place: Path, suite: Suite, labels: Path | None, on_bad: OnBad) -> StagedRows:
    """The images that are scored; as `genbench.plugins.external.media.read_files`."""
    space = suite.space
    if "images" not in kinds.of(space.kind).scored_from:
        raise DataError(
            f"{place.name} is a folder or zip, suite {suite.name!r} holds {space.kind}: give "
            f"{forms(space.kind)}"
        )
    rows = read_files(place, suite, labels, on_bad, Medium(IMAGE_FILES, decode, _form, _no_remarks))
    if (problem := unscaled(rows.x, space.levels)) is not None:
        raise DataError(f"{place.name} {problem}")
    return rows


def _form(space: Space) -> str:
    return f"({' x '.join(map(str, space.shape))}, {space.levels} levels)"


def _no_remarks(x: Array, names: Sequence[str]) -> list[str]:
    return []
