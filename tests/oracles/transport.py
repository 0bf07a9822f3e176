"""Optimal transport: exact on blocks of rows, and along random directions."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import scipy.optimize
from scipy.spatial.distance import cdist


def emd(real: Any, fake: Any, *, seed: int, p: float = 1, block: int = 2000) -> float:
    """The mean over disjoint blocks of permuted rows of the best assignment's cost."""
    rng = np.random.default_rng(seed)
    real, fake = real[rng.permutation(len(real))], fake[rng.permutation(len(fake))]
    size = min(block, len(real), len(fake))
    values = []
    for start in range(0, min(len(real), len(fake)) // size * size, size):
        cost = cdist(real[start : start + size], fake[start : start + size]) ** p
        best = scipy.optimize.linear_sum_assignment(cost)
        values.append(cost[best].mean() ** (1 / p))
    return float(np.mean(values))


def by_permutations(real: Any, fake: Any, p: float) -> float:
    """The best of all n! assignments."""
    cost = cdist(real, fake) ** p
    n = len(cost)
    best = min(cost[range(n), order].sum() for order in itertools.permutations(range(n)))
    return float((best / n) ** (1 / p))


def by_linear_programme(real: Any, fake: Any, p: float) -> float:
    """The transport problem as written in a textbook, solved by HiGHS; sizes may differ."""
    n, m = len(real), len(fake)
    equal = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    mass = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    cost = (cdist(real, fake) ** p).ravel()
    result = scipy.optimize.linprog(cost, A_eq=equal, b_eq=mass, method="highs")
    assert result.success
    return float(max(result.fun, 0.0) ** (1 / p))


def sliced_wasserstein(
    real: Any, fake: Any, *, seed: int, projections: int = 1000, p: float = 2
) -> float:
    """``(mean_u W_p^p(real . u, fake . u))^(1/p)``; sorted rows, repeated to a common number."""
    directions = np.random.default_rng(seed).standard_normal((projections, real.shape[1]))
    n, m = len(real), len(fake)
    powers = []
    for u in directions:
        u = u / np.linalg.norm(u)
        a = np.repeat(np.sort(real @ u), math.lcm(n, m) // n)
        b = np.repeat(np.sort(fake @ u), math.lcm(n, m) // m)
        powers.append((np.abs(a - b) ** p).mean())
    return float(np.mean(powers) ** (1 / p))
