"""Filters of drawn rows: duplicates, copies of training rows and doubtful labels go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.formats import Vocabulary
from genbench.metrics import nearest_rows, nearest_sounds, nearest_texts

Array = NDArray[Any]
# From rows and training rows to how far each of the former is from the nearest of the latter.
Distance = Callable[[Array, Array], NDArray[np.float64]]
NEAR_QUANTILE = 0.01

REASONS = ("duplicate", "copy of a training row", "near copy of a training row", "low confidence")


@dataclass
class Filters:
    """The filters of one data set and how many rows each has removed.

    No row may repeat one of `train`; `near` is the greatest distance at which a row counts as a
    near copy, None to look for exact ones, and `distance` that of rows to their nearest training
    rows: by default `pixel_distance`. `kept` gives rows as the files of the data set will hold
    them, where that is not as they are drawn. `classify` gives class probabilities
    ``(n, classes)``; `confidence` is the least of a row's label, and rows without one get the
    likeliest class.
    """

    train: Array
    near: float | None = None
    classify: Callable[[Array], NDArray[np.float32]] | None = None
    confidence: float = 0.0
    distance: Distance | None = None
    kept: Callable[[Array], Array] | None = None
    removed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    drawn: int = 0
    _seen: set[bytes] = field(default_factory=set)
    _train: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._train = {row.tobytes() for row in self._as_kept(self.train)}

    def apply(
        self, x: Array, y: NDArray[np.int64] | None
    ) -> tuple[Array, NDArray[np.int64] | None]:
        """The rows that stay, and their labels; each removed row is counted under one reason."""
        self.drawn += len(x)
        x = self._as_kept(x)
        stays = np.ones(len(x), bool)
        for i, row in enumerate(x):
            key = row.tobytes()
            if key in self._train:
                stays[i] = self._count("copy of a training row")
            elif key in self._seen:
                stays[i] = self._count("duplicate")
            self._seen.add(key)
        if self.near is not None and stays.any():
            rows = np.flatnonzero(stays)
            close = (self.distance or pixel_distance)(x[rows], self.train) <= self.near
            stays[rows[close]] = False
            self.removed["near copy of a training row"] += int(close.sum())
        x, y = x[stays], None if y is None else y[stays]
        if self.classify is None or not len(x):
            return x, y
        probabilities = self.classify(x)
        y = probabilities.argmax(1).astype(np.int64) if y is None else y
        sure = probabilities[np.arange(len(y)), y] >= self.confidence
        self.removed["low confidence"] += int((~sure).sum())
        return x[sure], y[sure]

    def _as_kept(self, x: Array) -> Array:
        return x if self.kept is None else self.kept(x)

    def _count(self, reason: str) -> bool:
        self.removed[reason] += 1
        return False


def near_threshold(distances: NDArray[np.float64], quantile: float = NEAR_QUANTILE) -> float:
    """The distance below which only a share `quantile` of held-out rows lie to training rows.

    `distances` are theirs, ``(n,)``.

    A generated row that is nearer to a training row than almost all real rows that nobody trained
    on is nearer than chance explains.
    """
    return float(np.quantile(distances, quantile))


def text_distance(words: Vocabulary) -> Distance:
    """The function from token ids of rows and of training rows to edits over the longer length."""

    def distance(x: Array, train: Array) -> NDArray[np.float64]:
        known = list(dict.fromkeys(words.decode(train)))
        return nearest_texts(words.decode(x), known).distance.astype(np.float64)

    return distance


def sound_distance(x: Array, train: Array) -> NDArray[np.float64]:
    """Distance of each waveform ``(T,)`` to its nearest training row, in dB of spectrograms."""
    return nearest_sounds(x, train).distance


def pixel_distance(x: Array, train: Array) -> NDArray[np.float64]:
    """Euclidean distance of each row to its nearest training row, in grey levels."""
    flat = (len(x), -1)
    rows = train.reshape(len(train), -1).astype(np.float32)
    found: NDArray[np.float64] = nearest_rows(x.reshape(flat).astype(np.float32), rows).distance
    return found
