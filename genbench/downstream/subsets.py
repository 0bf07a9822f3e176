"""The real rows of a replicate: stratified draws, and classes cut to a few rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from genbench.data import proportional
from genbench.errors import MetricError

Labels = NDArray[np.int64]


def stratified(y: Labels, classes: int, n: int, seed: int) -> NDArray[np.int64]:
    """`n` row numbers without replacement, classes in the proportions of `y`, order by the seed.

    Largest remainder; a class that `y` has gets at least one row if `n` allows.

    Raises
    ------
    MetricError
        ``undefined`` if `y` has fewer than `n` rows.
    """
    if n > len(y):
        raise MetricError(f"{n} real rows are asked for and there are {len(y)}: lower n")
    rng = np.random.default_rng(seed)
    counts = proportional(y, classes, n)
    if n >= classes:  # a rare class gets a row of the most frequent one's
        for c in np.flatnonzero((counts == 0) & (np.bincount(y, minlength=classes) > 0)):
            counts[c] += 1
            counts[counts.argmax()] -= 1
    chosen = [rng.permutation(np.flatnonzero(y == c))[: counts[c]] for c in range(classes)]
    rows: NDArray[np.int64] = rng.permutation(np.concatenate(chosen))
    return rows


def cut(y: Labels, classes: tuple[int, ...], keep: float, seed: int) -> NDArray[np.int64]:
    """Row numbers, ascending, of which the given classes have only a share `keep` left.

    At least one row of each stays.
    """
    rng = np.random.default_rng(seed)
    stays = np.ones(len(y), bool)
    for c in classes:
        rows = rng.permutation(np.flatnonzero(y == c))
        stays[rows[max(1, round(keep * len(rows))) :]] = False
    return np.flatnonzero(stays)


def missing(y: Labels, classes: tuple[int, ...]) -> dict[int, int]:
    """The rows that each of these classes lacks to be as frequent as the mean of the others."""
    counts = np.bincount(y, minlength=max(classes) + 1)
    others = np.delete(counts, list(classes))
    target = round(float(others[others > 0].mean()))
    return {c: max(0, target - int(counts[c])) for c in classes}
