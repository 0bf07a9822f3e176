"""Image files in a folder or a zip, listed in a table as `genbench.data.listed` reads it.

``[dataset.options]`` may say what is done to each picture before: see `genbench.formats.Fitting`.
The pixels that come of it are held against the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from genbench.data.files import FileCheck
from genbench.data.listed import Medium, read_listed, verify_listed
from genbench.data.listed import sources as sources  # the folders, as every loader tells them
from genbench.data.readers import reader_of
from genbench.data.split import Split
from genbench.errors import UsageError
from genbench.formats import IMAGE_FILES, Fitting, decode
from genbench.generator import Space

UPRIGHT = 2  # the reader that turns images as their orientation tag says; 1 took them as stored
STRICT = 3  # the reader that refuses colours of 16 bits; those before cut them to 8
MIXED = 4  # the reader whose first rows are a fair sample; those before served class after class


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The images, uint8 ``(n, C, H, W)``, whose content falls into the split's share."""
    reader, fitting = reader_of(dataset), fitting_of(dataset)
    pixels = partial(
        decode, space=space, upright=reader >= UPRIGHT, deep=reader < STRICT, fitting=fitting
    )
    medium = Medium(
        IMAGE_FILES,
        pixels,
        fitting != Fitting(),
        "in other pixels than when the suite was made: make the suite anew with this version of "
        "Pillow",
    )
    return read_listed(dataset, space, split, medium, mixed=reader >= MIXED)


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """The table, and every image that it lists."""
    return verify_listed(dataset, IMAGE_FILES)


def changed_by(dataset: Mapping[str, Any]) -> str:
    """What is done to the pictures before they are rows."""
    return fitting_of(dataset).signed


def fitting_of(dataset: Mapping[str, Any]) -> Fitting:
    """What the suite says is done to each picture.

    `UsageError` if ``[dataset.options]`` hold anything else.
    """
    try:
        return Fitting.of(dataset.get("options", {}))
    except UsageError as error:
        raise UsageError(f"data set {dataset['name']!r}, [dataset.options]: {error}") from error
