"""Samples as sound files in a folder or a zip.

Files of another rate or length or of several channels are no rows of the suite. Clipped and silent
ones are: a generator that makes such clips is scored by them, and their owner is told which.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genbench.formats import SOUND_FILES, hear
from genbench.generator import Space
from genbench.metrics import clipped, silent
from genbench.plugins.external.media import Array, Medium, OnBad, first, read_files
from genbench.plugins.external.rows import StagedRows
from genbench.tasks import Suite


def read_sounds(place: Path, suite: Suite, labels: Path | None, on_bad: OnBad) -> StagedRows:
    """The sounds that are scored; as `genbench.plugins.external.media.read_files`."""
    return read_files(place, suite, labels, on_bad, Medium(SOUND_FILES, hear, _form, poor_sounds))


def _form(space: Space) -> str:
    return f"({space.shape[0]:,} samples at {space.rate:,} Hz, one channel)"


def poor_sounds(x: Array, names: Sequence[str]) -> list[str]:
    """A line for each sound that is clipped or silent."""
    lines = [
        f"{name} is {what} and counts as it is: {remedy} if its generator did not make it so"
        for what, remedy, rows in (
            ("clipped", "lower its gain and write it again", clipped(x)),
            ("silent", "write it again", silent(x)),
        )
        for name in (names[int(i)] for i in rows.nonzero()[0])
    ]
    return first(lines)
