"""scikit-learn's handwritten digits: 1,797 images of 8x8 pixels and 17 grey levels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.files import FileCheck
from genbench.data.split import Split
from genbench.errors import DataError, UsageError
from genbench.generator import Space

SPLITS = ("train", "valid", "test")


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's rows: a stratified share of a permutation fixed by the split table's seed.

    Images are uint8 ``(n, 1, 8, 8)`` in 0 .. 16, labels int64 ``(n,)``, for
    ``[dataset.split] seed = 0, train = 1000, valid = 397, test = 400``.
    """
    everything, found = _everything()
    expected = dataset.get("content_sha256")
    if expected is not None and found != expected:
        raise DataError(_problem(found, expected))
    rows = _rows(dataset, everything.y, split)
    y = None if everything.y is None or space.classes == 0 else everything.y[rows]
    return Split(everything.x[rows], y)


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """Check that the installed scikit-learn ships the digits that the suite was made with."""
    everything, found = _everything()
    expected = dataset.get("content_sha256", found)
    problem = "" if found == expected else _problem(found, expected)
    name = "sklearn.datasets.load_digits"
    return [FileCheck(name, everything.x.nbytes, found, not problem, problem)]


def sources(dataset: Mapping[str, Any]) -> list[Path]:
    """The folder of scikit-learn that holds the digits."""
    return [_file().parent]


def _problem(found: str, expected: str) -> str:
    return (
        f"scikit-learn's digits have sha256 {found}, expected {expected}: this release ships "
        "other data; install one between 1.4 and 1.8"
    )


def _file() -> Path:
    """The table in the installed scikit-learn, which itself takes seconds to import."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError("scikit-learn, which holds the digits, is not installed: install it")
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _everything() -> tuple[Split, str]:
    """All rows, and the hash of their bytes (images as uint8, then labels as int64)."""
    table = np.loadtxt(_file(), delimiter=",")  # as scikit-learn reads it
    x = table[:, :-1].reshape(-1, 1, 8, 8).astype(np.uint8)
    y = table[:, -1].astype("<i8")
    return Split(x, y), hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()


def _rows(
    dataset: Mapping[str, Any], labels: NDArray[np.int64] | None, split: str
) -> NDArray[np.intp]:
    table = dataset["split"]
    sizes = [table.get(name, 0) for name in SPLITS]
    seed = table.get("seed")
    if labels is None or any(type(v) is not int or v < 0 for v in [*sizes, seed]):
        raise UsageError(
            f"data set {dataset['name']!r}: [dataset.split] is {dict(table)!r}: "
            "write whole numbers: seed, train, valid, test"
        )
    if sum(sizes) > len(labels):
        raise UsageError(
            f"data set {dataset['name']!r}: splits of {' + '.join(map(str, sizes))} rows are asked "
            f"for and there are {len(labels)}: make them smaller"
        )
    first = SPLITS.index(split)
    return stratified_order(labels, seed)[sum(sizes[:first]) : sum(sizes[: first + 1])]


def stratified_order(labels: NDArray[np.int64], seed: int) -> NDArray[np.intp]:
    """A permutation of the rows in which every stretch holds the classes in their proportions.

    Of `labels` int64 ``(n,)`` it is intp ``(n,)``. Each class's rows are permuted and spread evenly
    over the whole length, so any cut of the permutation into splits is stratified to within one row
    per class and boundary.
    """
    # RandomState's stream is frozen across NumPy releases; Generator's is not.
    random = np.random.RandomState(seed)
    position = np.empty(len(labels))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        spread = (np.arange(len(rows)) + random.uniform()) / len(rows)
        position[random.permutation(rows)] = spread
    return np.argsort(position, kind="stable")
