"""The rows and the file of a split, as ``[dataset.split]`` writes them.

Either a range of rows, or a share: the rows whose content's digest, read as a number in [0, 1),
falls between two bounds, so that a row that is added moves no other. ``copies`` says what becomes
of equal rows: ``"together"`` in one split, so that none leaks into another, or ``"apart"`` as in a
random sample, which is what discrete rows need: kept together they skew the splits.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError, UsageError

COPIES, TOGETHER, APART = "copies", "together", "apart"
UNRELIABLE = 0.01  # of the reference rows that equal training rows: above it copies are not told


@dataclass(frozen=True, slots=True)
class RowRange:
    """Rows ``start .. stop - 1`` of a file (or pair of files) called `file`, or a share of them."""

    file: str
    start: int = 0
    stop: int | None = None
    share: tuple[float, float] | None = None

    def within(self, n: int) -> slice:
        """These rows of a file that has `n`; `DataError` if they are more."""
        stop = n if self.stop is None else self.stop
        if stop > n:
            raise DataError(
                f"rows {self.start} to {stop} of {self.file!r} are asked for and it has {n}: "
                "correct [dataset.split] or restore the file"
            )
        return slice(self.start, stop)

    def chosen(self, n: int, places: Callable[[], Sequence[float]]) -> NDArray[np.intp]:
        """The numbers of these rows, intp ``(m,)``, in a file that has `n`.

        `places` gives each row's place in [0, 1); asked for only where the split is a share.
        """
        if self.share is None:
            return np.arange(n, dtype=np.intp)[self.within(n)]
        at = np.asarray(places())
        return np.flatnonzero((at >= self.share[0]) & (at < self.share[1]))


def chosen_rows(dataset: Mapping[str, Any], rows: RowRange, x: NDArray[Any]) -> NDArray[np.intp]:
    """The numbers of the split's rows, intp ``(m,)``, in the file whose rows are `x`."""
    return rows.chosen(len(x), lambda: places(dataset, digests(x)))


def places(dataset: Mapping[str, Any], contents: Sequence[str]) -> list[float]:
    """The place of each row in [0, 1), decided by its content's SHA-256 and by ``copies``.

    With ``copies = "together"`` (the default) equal rows fall on one place. With ``"apart"`` the
    first of them does as it would alone, and each further one on a place of its own, drawn from the
    content and the copy's number: the split is a random sample also where rows repeat. Either way
    another row moves no other. `UsageError` if ``[dataset.split] copies`` is something else.
    """
    how = dataset["split"].get(COPIES, TOGETHER)
    if how not in (TOGETHER, APART):
        raise UsageError(
            f"data set {dataset['name']!r}: [dataset.split] copies is {how!r}: "
            f'write "{TOGETHER}" or "{APART}"'
        )
    if how == TOGETHER:
        return [_place(content) for content in contents]
    seen: Counter[str] = Counter()
    found = []
    for content in contents:
        number = seen[content]
        seen[content] += 1
        own = content if number == 0 else _digest(f"{content}:{number}".encode())
        found.append(_place(own))
    return found


def _place(content: str) -> float:
    """A SHA-256 in hex as a number in [0, 1)."""
    return int(content[:13], 16) / 2**52  # as many bits as a float holds exactly


def digests(x: NDArray[Any]) -> list[str]:
    """SHA-256 of each row's bytes, hex; `x` is ``(n, ...)`` of any dtype."""
    return [_digest(row.data) for row in np.ascontiguousarray(x)]


def _digest(content: bytes | memoryview) -> str:
    return hashlib.sha256(content).hexdigest()


def share_in(train: NDArray[Any], x: NDArray[Any]) -> float:
    """The share of the rows of `x` ``(n, ...)`` that equal a row of `train`, of the same dtype."""
    known = set(digests(train))
    return sum(row in known for row in digests(x)) / len(x)


def row_range(dataset: Mapping[str, Any], split: str) -> RowRange:
    """Read ``{ file = "train", rows = [0, 50000] }`` or ``{ file = "data", share = [0.0, 0.8] }``.

    With neither, the whole file. `UsageError` if the entry is not of this form.
    """
    entry = dataset["split"][split]
    form = 'write { file = "NAME", rows = [FIRST, LAST + 1] } or { ..., share = [0.0, 0.8] }'
    if not isinstance(entry, Mapping) or not isinstance(entry.get("file"), str):
        raise UsageError(f"data set {dataset['name']!r}, split {split} is {entry!r}: {form}")
    share = entry.get("share")
    if share is not None:
        if set(entry) != {"file", "share"} or not _is_share(share):
            raise UsageError(f"data set {dataset['name']!r}, split {split} is {entry!r}: {form}")
        return RowRange(entry["file"], share=(float(share[0]), float(share[1])))
    rows = entry.get("rows", [0, None])
    if set(entry) - {"file", "rows"} or not _is_range(rows):
        raise UsageError(f"data set {dataset['name']!r}, split {split} is {dict(entry)!r}: {form}")
    return RowRange(entry["file"], rows[0], rows[1])


def _is_share(share: Any) -> bool:
    if not isinstance(share, list) or len(share) != 2:
        return False
    return all(type(s) in (int, float) for s in share) and 0 <= share[0] < share[1] <= 1


def _is_range(rows: Any) -> bool:
    if not isinstance(rows, list) or len(rows) != 2 or type(rows[0]) is not int:
        return False
    return rows[1] is None or (type(rows[1]) is int and 0 <= rows[0] < rows[1])


def drawn_rows(dataset: Mapping[str, Any], split: str) -> tuple[int, int]:
    """How many rows a split ``{ n = 50000, seed = 1 }`` of made data has, and its seed.

    `UsageError` if it is written otherwise, or another split has the same seed.
    """
    entry = dataset["split"][split]
    good = isinstance(entry, Mapping) and set(entry) == {"n", "seed"}
    if not good or any(type(v) is not int or v < 0 for v in entry.values()):
        raise UsageError(
            f"data set {dataset['name']!r}, split {split} is {entry!r}: "
            "write { n = ROWS, seed = NUMBER }"
        )
    seeds = [body["seed"] for name, body in dataset["split"].items() if name != split]
    if entry["seed"] in seeds:
        raise UsageError(
            f"data set {dataset['name']!r}: two splits have seed {entry['seed']}, so they would "
            "share rows: give each its own"
        )
    return entry["n"], entry["seed"]
