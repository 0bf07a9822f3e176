"""Sound files in a folder or a zip, listed in a table as `genbench.data.listed` reads it.

``[dataset.options]`` may say what is done to each sound before: see
`genbench.formats.SoundFitting`. The samples that come of it are held against the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from genbench.data.files import FileCheck
from genbench.data.listed import Medium, read_listed, verify_listed
from genbench.data.listed import sources as sources  # the folders, as every loader tells them
from genbench.data.split import Split
from genbench.errors import UsageError
from genbench.formats import SOUND_FILES, SoundFitting, hear
from genbench.generator import Space


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The sounds, float32 ``(n, T)``, whose content falls into the split's share."""
    fitting = fitting_of(dataset)
    medium = Medium(
        SOUND_FILES,
        partial(hear, space=space, fitting=fitting),
        fitting != SoundFitting(),
        "in other samples than when the suite was made: make the suite anew with this version of "
        "SciPy",
    )
    return read_listed(dataset, space, split, medium)


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """The table, and every sound that it lists."""
    return verify_listed(dataset, SOUND_FILES)


def changed_by(dataset: Mapping[str, Any]) -> str:
    """What is done to the sounds before they are rows."""
    return fitting_of(dataset).signed


def fitting_of(dataset: Mapping[str, Any]) -> SoundFitting:
    """What the suite says is done to each sound.

    `UsageError` if ``[dataset.options]`` hold anything else.
    """
    try:
        return SoundFitting.of(dataset.get("options", {}))
    except UsageError as error:
        raise UsageError(f"data set {dataset['name']!r}, [dataset.options]: {error}") from error
