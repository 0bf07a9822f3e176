"""Rows made elsewhere, once they have been read and found to be of the suite's space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.seeds import derive_seed
from genbench.suite import Suite


@dataclass(frozen=True, slots=True)
class Rows:
    """What will be scored.

    Parameters
    ----------
    x, y
        Of the suite's space; labels int64 or None.
    total
        Rows that there were.
    origin
        The file's or folder's name.
    notes
        What their owner should know: files skipped or ignored, labels not found.
    """

    x: NDArray[Any]
    y: NDArray[np.int64] | None
    total: int
    origin: str
    notes: tuple[str, ...] = ()


def reading_order(total: int, suite: Suite) -> NDArray[np.intp]:
    """A permutation of `total` rows that the task alone decides; its beginning is the subset."""
    seed = derive_seed(0, "subset", suite.task_hash)
    return np.random.default_rng(seed).permutation(total)
