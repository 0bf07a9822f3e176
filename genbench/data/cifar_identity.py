"""The identity of CIFAR-10's pictures: their numbers, and what is wrong with a set of them.

A picture's digest is the SHA-256 of its raw bytes, row by row, red, green and blue of each pixel. A
part is its pictures by class and, within a class, by digest: an order that every source gives. The
suite has the SHA-256 over all digests in hex, sorted and joined, and ships the first four bytes of
each in that order: the first decides, the list tells which picture is wrong.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError

PREFIX = 4  # bytes of a digest in the list
NAMED = 5  # pictures of each fault


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of one part as a source has them.

    Parameters
    ----------
    x
        uint8 ``(n, 32, 32, 3)``.
    y
        Their classes, int64 ``(n,)``.
    names
        What messages call each of them.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Part:
    """A part as the suite describes it.

    Parameters
    ----------
    name
        ``train`` or ``test``.
    classes
        The names of the classes, by number.
    identity
        SHA-256 over the sorted digests in hex.
    prefixes
        The first bytes of the digests, as big-endian numbers, uint32 ``(classes, n per class)``.
    """

    name: str
    classes: tuple[str, ...]
    identity: str
    prefixes: NDArray[np.uint32]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The class of each picture in the part's order, int64 ``(n,)``."""
        return np.repeat(np.arange(len(self.classes), dtype=np.int64), self.prefixes.shape[1])

    def in_order(self, pictures: Pictures, source: str) -> NDArray[np.uint8]:
        """These pictures in the part's order, uint8 ``(n, 32, 32, 3)``.

        `DataError`, which calls where they are from `source`, if they are not the part's.
        """
        digests = digests_of(pictures.x)
        labels = pictures.y.tolist()
        order = sorted(range(len(digests)), key=lambda i: (labels[i], digests[i]))
        same = identity_of(digests) == self.identity
        if same and np.array_equal(prefixes_of([digests[i] for i in order]), self.prefixes.ravel()):
            return pictures.x[order]
        faults = _Faults(self, pictures, digests).told()
        raise DataError(f"{source} is not the {self.name} part of the data set: {faults}")

    def holds(self, x: NDArray[np.uint8]) -> bool:
        """Whether these are the part's pictures, in its order."""
        digests = digests_of(x)
        return identity_of(digests) == self.identity and np.array_equal(
            prefixes_of(digests), self.prefixes.ravel()
        )


def digests_of(x: NDArray[np.uint8]) -> list[bytes]:
    """The digest of each picture of `x` ``(n, 32, 32, 3)``."""
    return [hashlib.sha256(row.data).digest() for row in np.ascontiguousarray(x)]


def identity_of(digests: Sequence[bytes]) -> str:
    """SHA-256 over the digests in hex, sorted and joined."""
    return hashlib.sha256("".join(sorted(d.hex() for d in digests)).encode()).hexdigest()


def prefixes_of(digests: Sequence[bytes]) -> NDArray[np.uint32]:
    """The digests' first bytes as numbers, uint32 ``(n,)``; big-endian bytes of them are a list."""
    content = b"".join(digest[:PREFIX] for digest in digests)
    return np.frombuffer(content, f">u{PREFIX}").astype(np.uint32)


class _Faults:
    """The account of pictures that are not a part's."""

    def __init__(self, part: Part, pictures: Pictures, digests: Sequence[bytes]) -> None:
        self._part, self._pictures, self._digests = part, pictures, digests
        self._listed = dict(zip(part.prefixes.ravel().tolist(), part.labels.tolist(), strict=True))
        self._found = prefixes_of(digests).tolist()

    def told(self) -> str:
        """All faults, in words."""
        n, wanted = len(self._found), self._part.prefixes.size
        told = [f"it has {n:,} pictures instead of {wanted:,}"] if n != wanted else []
        told += [
            *_named(self._strange(), "no picture of it"),
            *_named(self._moved(), "in another class than there"),
            *_named(self._doubled(), "there twice"),
        ]
        if missing := self._missing():
            told.append(f"missing {missing}")
        return "; ".join(told) or f"its pictures have the digest {identity_of(self._digests)}"

    def _strange(self) -> list[str]:
        """Pictures that the list does not have, and how they look if they are grey."""
        rows = [i for i, prefix in enumerate(self._found) if prefix not in self._listed]
        x = self._pictures.x
        grey = [bool((x[i] == x[i][..., :1]).all()) for i in rows]
        return [
            self._pictures.names[i] + (" (grey)" if without else "")
            for i, without in zip(rows, grey, strict=True)
        ]

    def _moved(self) -> list[str]:
        """Pictures of another class, with both."""
        found = []
        for i, (prefix, label) in enumerate(
            zip(self._found, self._pictures.y.tolist(), strict=True)
        ):
            listed = self._listed.get(prefix, label)
            if listed != label:
                found.append(f"{self._pictures.names[i]} ({self._part.classes[listed]})")
        return found

    def _doubled(self) -> list[str]:
        """Pictures that are there once more, with the first."""
        first: dict[bytes, int] = {}
        names = self._pictures.names
        pairs = [(first.setdefault(d, i), i) for i, d in enumerate(self._digests)]
        return [f"{names[j]} (as {names[i]})" for i, j in pairs if i != j]

    def _missing(self) -> str:
        """How many of each class are nowhere."""
        found = set(self._found)
        lacking = Counter(label for prefix, label in self._listed.items() if prefix not in found)
        return ", ".join(f"{n} of {self._part.classes[k]}" for k, n in sorted(lacking.items()))


def _named(names: Sequence[str], what: str) -> list[str]:
    """The first of the names and what they are; nothing for none."""
    if not names:
        return []
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return [f"{', '.join(names[:NAMED])}{more}: {what}"]
