"""Facts of a data set that decide about its suite, and what to tell its author about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data import UNRELIABLE, Split, SplitName, counts_in_proportion
from genbench.generator import Space

FEW = 1000  # compared rows below which near generators cannot be told apart
NAMED = 20

Counts = Mapping[SplitName, NDArray[np.int64]]


def count_classes(splits: Mapping[SplitName, Split], space: Space) -> Counts:
    """Rows of each class in each split; all of them as one where there are no labels."""
    return {
        name: np.array([len(part.x)])
        if part.y is None
        else np.bincount(part.y, minlength=space.classes)
        for name, part in splits.items()
    }


def fewest(counts: Counts, n_samples: int) -> int:
    """Rows of the rarest class, in the test split or among samples in the train proportions."""
    asked = counts_in_proportion(counts["train"], n_samples)
    return int(min(counts["test"].min(), asked.min()))


def dropped(counts: Counts) -> int:
    """The first class that ``mode-dropped``, drawn of the valid split, can be seen to miss."""
    return int(np.argmax((counts["valid"] > 0) & (counts["test"] > 0)))


def absent(counts: Counts, classes: Sequence[str]) -> list[str]:
    """Notes on splits that have no row of a class."""
    return [
        f"class {name!r} has no row in the {split} split: it has too few"
        for split, n in counts.items()
        for name, rows in zip(classes, n, strict=False)
        if not rows
    ]


def copies_note(shared: float) -> str:
    """The note on a share of test rows that equal a training row; nothing if few do."""
    if shared < UNRELIABLE:
        return ""
    return (
        f"{shared:.1%} of the test rows equal a training row: C_T and authenticity cannot tell "
        "copies from fresh rows here."
    )


def without_spread(train: NDArray[Any], names: Sequence[str]) -> list[str]:
    """Notes on columns that are the same in every training row."""
    constant = np.flatnonzero(train.min(0) == train.max(0))
    if not len(constant):
        return []
    columns = ", ".join(repr(names[i]) if names else str(i + 1) for i in constant[:NAMED])
    more = f" and {len(constant) - NAMED} more" if len(constant) > NAMED else ""
    column, it = ("column", "it") if len(constant) == 1 else ("columns", "them")
    return [
        f"without spread in the train split, divided by 1 instead: {column} {columns}{more}; only "
        f"generators that vary {it} are told apart by {it} (--drop-column leaves {it} out)"
    ]


def power(n: int) -> list[str]:
    """Notes on a comparison of so few rows."""
    if n >= FEW:
        return []
    half = 100 * 1.96 * math.sqrt(0.25 / n)
    return [
        f"few rows: metrics compare {n} with {n}, so a share such as precision is known to about "
        f"±{half:.0f} points, and generators that are nearer than that will not be told apart; "
        "more rows, a larger test share (--split) or several seeds help"
    ]
