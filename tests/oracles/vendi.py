"""Vendi score: the entropy of a kernel's spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from scipy.spatial.distance import cosine
from scipy.stats import entropy


def vendi(fake: Any) -> float:
    """``exp(-sum l ln l)`` over the eigenvalues of the n x n matrix of cosines over n."""
    kernel = 1 - np.array([[cosine(a, b) for b in fake] for a in fake])
    values = scipy.linalg.svdvals(kernel / len(fake))
    return float(np.exp(entropy(values[values > 1e-12])))
