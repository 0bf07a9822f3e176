"""Memorisation: distances to the nearest training row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist


def c_t(train: Any, real: Any, fake: Any) -> float:
    """The Mann-Whitney z of each of three cells, weighted by their held-out rows.

    For training rows in three clear groups, which every k-means start finds: a cell is all that is
    nearest to one group.
    """
    far = [cdist(rows, train).min(axis=1) for rows in (real, fake)]
    cell = [cdist(rows, _centres(train)).argmin(axis=1) for rows in (real, fake)]
    weights, values = [], []
    for k in range(3):
        test, made = (of[which == k] for of, which in zip(far, cell, strict=True))
        n, m = len(test), len(made)
        if n > 0 and m > 20:
            u = (made[:, None] > test).sum() + (made[:, None] == test).sum() / 2
            values.append((u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12))
            weights.append(n)
    return float(np.average(values, weights=weights))


def _centres(train: Any) -> Any:
    """The means of three groups, each begun by the row farthest from those before."""
    seeds = train[:1]
    for _ in range(2):
        seeds = np.concatenate([seeds, train[[cdist(train, seeds).min(axis=1).argmax()]]])
    group = cdist(train, seeds).argmin(axis=1)
    return np.array([train[group == k].mean(axis=0) for k in range(3)])


def authenticity(train: Any, fake: Any) -> float:
    """The share of fake rows farther from their nearest training row than its own neighbour is."""
    within, to_fake = cdist(train, train), cdist(fake, train)
    np.fill_diagonal(within, np.inf)
    own = within.min(axis=1)[to_fake.argmin(axis=1)]
    return float((own < to_fake.min(axis=1)).mean())
