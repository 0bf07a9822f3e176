"""Versions of the loaders that read a user's own files.

A loader that begins to read the same files otherwise gets a new version here. `genbench new suite`
writes it as ``[dataset] reader``, and as part of that table it is in the task hash: rows of two
readings never stand on one board. A suite without the key was made for version 1; its loader reads
it as before, or refuses it by `superseded` where it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench.errors import DataError, UsageError

READERS: Mapping[str, int] = {
    "arrays": 1,
    "audio-folder": 1,
    "csv": 2,  # 2: doubtful headings, columns and numbers are refused; 1 read them as data
    # 2: images are turned upright; 1 took the pixels as they are stored. 3: colours of 16 bits are
    # refused, and options are read; 1 and 2 cut them to 8. 4: rows are served mixed; those before
    # served them class after class.
    "image-folder": 4,
    "text": 1,
}


def reader_of(dataset: Mapping[str, Any]) -> int:
    """The version of its loader that a data set was made for; 1 where its suite names none.

    `UsageError` if this genbench has no such version, or the loader has none at all.
    """
    asked, loader = dataset.get("reader", 1), dataset["loader"]
    if "reader" in dataset and loader not in READERS:
        raise UsageError(
            f"data set {dataset['name']!r}: loader {loader!r} has no versions: leave reader out"
        )
    newest = READERS.get(loader, 1)
    if not 1 <= asked <= newest:
        raise UsageError(
            f"data set {dataset['name']!r} asks for reader {asked} of loader {loader!r}, this "
            f"genbench has 1 to {newest}: install a newer one, or make the suite anew"
        )
    return int(asked)


def stated(loader: str) -> dict[str, int]:
    """The version entry of a new suite's ``[dataset]``: the loader's newest, unless it is 1.

    Suites of version 1 never named it, and equal readings keep equal hashes.
    """
    newest = READERS.get(loader, 1)
    return {"reader": newest} if newest > 1 else {}


def superseded(dataset: Mapping[str, Any], what: str) -> DataError:
    """The refusal of a suite that cannot be read as it was made: `what` its loader read then."""
    return DataError(
        f"data set {dataset['name']!r} was made for reader {reader_of(dataset)} of loader "
        f"{dataset['loader']!r}, which {what}: make the suite anew with `genbench new suite`"
    )
