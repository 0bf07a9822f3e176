"""The rows of one split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Split:
    """Rows and labels of one split.

    Parameters
    ----------
    x
        ``(n, *space.shape)`` of the space's dtype (images uint8, points float32).
    y
        int64 ``(n,)``, or None where the space has no classes.
    """

    x: NDArray[Any]
    y: NDArray[np.int64] | None


def proportional(y: NDArray[np.int64], classes: int, n: int) -> NDArray[np.int64]:
    """The rows of each class among `n`, in the proportions of `y` (largest remainder).

    From int64 labels ``(m,)`` to int64 counts ``(classes,)``, whose sum is `n`.
    """
    return counts_in_proportion(np.bincount(y, minlength=classes), n)


def counts_in_proportion(rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """`proportional` where the classes' rows are counted already, int64 ``(classes,)``."""
    share = rows / rows.sum() * n
    counts: NDArray[np.int64] = np.floor(share).astype(np.int64)
    remainder = np.argsort(-(share - counts), kind="stable")[: n - counts.sum()]
    counts[remainder] += 1
    return counts
