"""Precision, recall, density, coverage: balls that reach a row's k-th nearest other row."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist


def radius(rows: Any, k: int) -> Any:
    """The distance of each row to its k-th nearest other row, ``(n,)``."""
    return np.sort(cdist(rows, rows), axis=1)[:, k]  # the 0th is the row itself


def precision(real: Any, fake: Any, *, k: int = 3) -> float:
    """The share of fake rows in any real row's closed ball."""
    inside = cdist(real, fake) <= radius(real, k)[:, None]
    return float(inside.any(axis=0).mean())


def recall(real: Any, fake: Any, *, k: int = 3) -> float:
    """The share of real rows in any fake row's closed ball."""
    inside = cdist(real, fake) <= radius(fake, k)
    return float(inside.any(axis=1).mean())


def density(real: Any, fake: Any, *, k: int = 5) -> float:
    """The mean number of real rows' open balls around a fake row, over k."""
    inside = cdist(real, fake) < radius(real, k)[:, None]
    return float(inside.sum() / (k * len(fake)))


def coverage(real: Any, fake: Any, *, k: int = 5) -> float:
    """The share of real rows whose open ball holds a fake row."""
    inside = cdist(real, fake) < radius(real, k)[:, None]
    return float(inside.any(axis=1).mean())
