"""Loaders by name: a split is read by its data set's, and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast, get_args

import numpy as np
from numpy.typing import NDArray

from genbench import kinds
from genbench.data.files import FileCheck, candidates, locate, places, unpacked
from genbench.data.readers import reader_of
from genbench.data.split import Split
from genbench.data.splitnames import SplitName, further_splits
from genbench.errors import DataError, UsageError, did_you_mean
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.system import extensions

Truth = Callable[[NDArray[Any]], NDArray[np.float64]]

LOADERS = {
    "arrays": "genbench.data.arrays",
    "audio-folder": "genbench.data.audio_folder",
    "cifar10": "genbench.data.cifar",
    "csv": "genbench.data.csv_table",
    "fsdd": "genbench.data.fsdd",
    "idx": "genbench.data.idx",
    "image-folder": "genbench.data.image_folder",
    "language": "genbench.data.language",
    "sklearn-digits": "genbench.data.digits",
    "snips": "genbench.data.snips",
    "text": "genbench.data.texts",
    "tones": "genbench.data.tones",
    "toy": "genbench.data.toy",
}


class Loader(Protocol):
    """The functions of a loader module."""

    def read(self, dataset: Mapping[str, Any], space: Space, split: str) -> Split:
        """The rows of one split and no others: ``x`` of the space, ``y`` int64 ``(n,)`` or None."""

    def verify(self, dataset: Mapping[str, Any]) -> list[FileCheck]:
        """The state of every file (or other source) the data set is made of."""


def load_split(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """One split of a data set; no row of another split is kept.

    Parameters
    ----------
    dataset
        A suite's ``[dataset]`` table, with ``root`` as the absolute folder its paths start from.
    space
        What the rows must be.
    split
        ``train``, ``valid`` or ``test``, or a further one that the suite names.

    Returns
    -------
    Split
        ``x`` ``(n, *space.shape)`` of the space's dtype, ``y`` int64 ``(n,)`` or None.

    Raises
    ------
    UsageError
        If the loader, its version or the split is unknown, or the table lacks what the loader
        needs.
    DataError
        If a file is missing, altered or malformed, or the rows are not of this space.
    """
    loader = _loader(dataset)
    reader_of(dataset)
    known = [name for name in get_args(SplitName) if name in dataset.get("split", {})]
    known += further_splits(dataset)
    if split not in known:
        raise UsageError(
            f"data set {dataset['name']!r} has no split {split!r}: {did_you_mean(split, known)}"
        )
    rows = loader.read(dataset, space, split)
    _check(rows, space, f"{split} split of data set {dataset['name']!r}")
    return rows


def verify_files(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """Check every file of a data set against its checksums, without raising."""
    loader = _loader(dataset)
    reader_of(dataset)
    return loader.verify(dataset)


def sources(dataset: Mapping[str, Any]) -> list[Path]:
    """Files and folders that hold a data set's rows, as far as its loader tells.

    A loader of another package tells by a function ``sources(dataset)``, if it has one.
    """
    found = [path for entry in dataset.get("files", ()) for path in candidates(dataset, entry)]
    tells = getattr(_loader(dataset), "sources", None)
    return [*found, *places(dataset), *(tells(dataset) if tells else ())]


def located(dataset: Mapping[str, Any]) -> list[Path | None]:
    """What each part of a data set is read from; None for a part that is not on this machine.

    The declared files, unless the loader has a function ``located(dataset)`` that knows better.
    """
    tells = getattr(_loader(dataset), "located", None)
    if tells is not None:
        return list(tells(dataset))
    found = (locate(dataset, entry) for entry in dataset.get("files", ()))
    return [path if path.is_file() else None for path in found]


def kept_content(dataset: Mapping[str, Any], entry: Mapping[str, Any], data: bytes) -> bytes | None:
    """The bytes to keep of what was got for a declared file; None if it is something else.

    It is the file if its hash says so, or if the loader has a function ``same_rows(dataset, entry,
    data)`` and finds the same rows in it: a `DataError` of that one tells what is wrong.
    """
    content = unpacked(data, entry)
    tells = getattr(_loader(dataset), "same_rows", None)
    if content is None and tells is not None:
        content = tells(dataset, entry, data)
    return content


def changed_by(dataset: Mapping[str, Any]) -> str:
    """What a data set's loader does to the rows of its files, as signatures say it; mostly nothing.

    A loader of another package tells by a function ``changed_by(dataset)``, if it has one.
    """
    tells = getattr(_loader(dataset), "changed_by", None)
    return str(tells(dataset)) if tells else ""


def vocabulary_of(dataset: Mapping[str, Any]) -> Vocabulary | None:
    """The vocabulary of a data set of texts; None of any other.

    A loader tells by a function ``vocabulary(dataset)``, if it has one.
    """
    tells = getattr(_loader(dataset), "vocabulary", None)
    return tells(dataset) if tells else None


def truth_of(dataset: Mapping[str, Any]) -> Truth | None:
    """The log-probabilities of rows under what a data set was drawn from; None if nobody knows.

    A loader tells by a function ``truth(dataset, x)``, nats ``(n,)``, if it has one.
    """
    tells = getattr(_loader(dataset), "truth", None)
    return partial(tells, dataset) if tells else None


def _loader(dataset: Mapping[str, Any]) -> Loader:
    name = dataset["loader"]
    if name in LOADERS:
        return cast(Loader, import_module(LOADERS[name]))
    known = extensions.announced(extensions.LOADERS)
    if name not in known:
        raise UsageError(
            f"data set {dataset['name']!r} asks for loader {name!r}: "
            f"{did_you_mean(name, {*LOADERS, *known})}"
        )
    return cast(Loader, extensions.load(extensions.LOADERS, name, ("read", "verify")))


def _check(rows: Split, space: Space, where: str) -> None:
    x, y = rows.x, rows.y
    if x.shape[1:] != space.shape or x.dtype != np.dtype(space.dtype):
        raise DataError(
            f"{where} holds {x.dtype} rows of shape {x.shape[1:]}, the suite's space says "
            f"{space.dtype} of shape {space.shape}: correct [dataset.space] or the data"
        )
    if len(x) == 0:
        raise DataError(f"{where} is empty: give more rows or other shares")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise DataError(f"{where} holds NaN or infinity: remove those rows")
    if space.levels and (int(x.min()) < 0 or int(x.max()) >= space.levels):
        raise DataError(
            f"{where} has values in {x.min()}..{x.max()}, the space has levels "
            f"0..{space.levels - 1}: correct [dataset.space] levels or the data"
        )
    if (left := kinds.of(space.kind).outside(x)) is not None:
        raise DataError(f"{where} leaves {left}: scale or clip the data")
    if (wrong := kinds.of(space.kind).broken(space, x)) is not None:
        raise DataError(f"{where} {wrong}")
    if space.classes == 0:
        return
    if y is None:
        raise DataError(f"{where} has no labels, the space has {space.classes} classes: add them")
    if y.shape != (len(x),) or int(y.min()) < 0 or int(y.max()) >= space.classes:
        raise DataError(
            f"{where} has labels of shape {y.shape} in {y.min()}..{y.max()}, expected "
            f"({len(x)},) in 0..{space.classes - 1}: correct [dataset.space] classes or the data"
        )
