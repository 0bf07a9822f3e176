"""Inception score of class probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import entropy


def classifier_score(probabilities: Any, *, seed: int, splits: int = 10) -> float:
    """The mean over parts of the permuted rows of ``exp(mean KL(p(y | x) || p(y)))``."""
    p = probabilities[np.random.RandomState(seed).permutation(len(probabilities))]
    scores = []
    for i in range(splits):
        part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
        scores.append(np.exp(np.mean([entropy(row, part.mean(axis=0)) for row in part])))
    return float(np.mean(scores))
