"""The arrays of a file as one set of rows, also of a data set in splits as `synthesize` writes it.

A synthesised data set is a folder with `ARRAYS`, whose arrays are ``x_SPLIT``, ``y_SPLIT`` and,
where its classes have names, ``classes``; `METADATA`; and the same rows as pictures in `IMAGES`,
as wav files in `SOUNDS` or as JSON lines in `TEXTS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError
from genbench.formats.arrayfiles import StoredArray

ARRAYS, METADATA = "data.npz", "metadata.json"
IMAGES, SOUNDS, TEXTS = "images", "sounds", "texts"
CLASSES = "classes"

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ArraySet:
    """Rows, their labels (None without any; names where the file has them), what to tell."""

    x: StoredArray
    y: StoredArray | None
    note: str = ""


def synthesised(place: Path) -> bool:
    """Whether a folder is a data set as `genbench synthesize` writes it."""
    return (place / ARRAYS).is_file() and (place / METADATA).is_file()


def one_set(arrays: Mapping[str, StoredArray], file: str) -> ArraySet:
    """``x`` and ``y`` of a file; of arrays ``x_SPLIT`` the rows of all splits, one after another.

    `DataError` if there is neither, or the splits do not fit one another.
    """
    if "x" in arrays:
        return ArraySet(arrays["x"], arrays.get("y"))
    splits = [name.removeprefix("x_") for name in arrays if name.startswith("x_")]
    if not splits:
        names = ", ".join(arrays) or "nothing"
        raise DataError(f"{file} has no array 'x' (it holds {names}): name it x")
    x = _joined([arrays[f"x_{split}"] for split in splits], f"{file}: arrays x_SPLIT")
    labelled = [split for split in splits if f"y_{split}" in arrays]
    if labelled and labelled != splits:
        raise DataError(f"{file} has labels of splits {', '.join(labelled)} alone: label all")
    y = None
    if labelled:
        y = _joined(
            [arrays[f"y_{split}"] for split in splits], f"{file}: arrays y_{splits[0]}, ..."
        )
        y = _named(y, arrays[CLASSES].all(), file) if CLASSES in arrays else y
    return ArraySet(x, y, f"splits {', '.join(splits)} of {file} are read as one set")


def _joined(parts: Sequence[StoredArray], what: str) -> StoredArray:
    first = parts[0]
    if any(p.shape[1:] != first.shape[1:] or p.dtype != first.dtype for p in parts):
        forms = ", ".join(f"{p.dtype} {p.shape}" for p in parts)
        raise DataError(f"{what} do not fit one another ({forms}): save them as one x")
    starts = np.cumsum([0, *(p.shape[0] for p in parts)])

    def take(rows: Array) -> Array:
        wanted = [
            part.take(rows[(rows >= start) & (rows < start + part.shape[0])] - start)
            for part, start in zip(parts, starts, strict=False)
        ]
        return np.concatenate(wanted)

    return StoredArray((int(starts[-1]), *first.shape[1:]), first.dtype, take)


def _named(y: StoredArray, names: Array, file: str) -> StoredArray:
    """Labels by name in place of numbers."""

    def take(rows: Array) -> Array:
        numbers = y.take(rows)
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(names):
            raise DataError(f"{file}: labels in {numbers.min()}..{numbers.max()}, {CLASSES} names "
                            f"{len(names)}: correct it")  # fmt: skip
        return names[numbers]

    return StoredArray(y.shape, names.dtype, take)
