"""Squared maximum mean discrepancies: that of a cubic kernel, and of any."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist, pdist


def kid(real: Any, fake: Any, *, seed: int, subsets: int = 100, subset_size: int = 1000) -> float:
    """The mean over random subsets, generated rows drawn first, of `u_statistic`."""
    rng = np.random.RandomState(seed)
    size = min(subset_size, len(real), len(fake))
    values = []
    for _ in range(subsets):
        some_fake = fake[rng.choice(len(fake), size, replace=False)]
        some_real = real[rng.choice(len(real), size, replace=False)]
        values.append(u_statistic(some_real, some_fake))
    return float(np.mean(values))


def u_statistic(real: Any, fake: Any) -> float:
    """Mean kernel of pairs within real, plus within fake, less twice that between them."""

    def within(rows: Any) -> float:
        kernel = (rows @ rows.T / rows.shape[1] + 1) ** 3
        return float((kernel.sum() - np.trace(kernel)) / (len(rows) * (len(rows) - 1)))

    between = ((real @ fake.T / real.shape[1] + 1) ** 3).mean()
    return within(real) + within(fake) - 2 * float(between)


def u_statistic_in_fractions(real: Any, fake: Any) -> Fraction:
    """The same without any rounding."""
    x, y = ([[Fraction(float(v)) for v in row] for row in rows] for rows in (real, fake))

    def kernel(a: list[Fraction], b: list[Fraction]) -> Fraction:
        return (sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0)) / len(a) + 1) ** 3

    def within(rows: list[list[Fraction]]) -> Fraction:
        pairs = [kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j]
        return sum(pairs, Fraction(0)) / len(pairs)

    between = sum((kernel(a, b) for a in x for b in y), Fraction(0)) / (len(x) * len(y))
    return within(x) + within(y) - 2 * between


def mmd(
    real: Any,
    fake: Any,
    *,
    seed: int,
    kernel: str = "rbf",
    bandwidth: Any = "median",
    biased: bool = False,
    unit_length: bool = False,
    scale: float = 1,
    subsets: int = 0,
    subset_size: int = 1000,
) -> float:
    """The double sums, all pairs at once, of all rows or of random subsets."""
    if unit_length:
        real, fake = (rows / np.linalg.norm(rows, axis=1)[:, None] for rows in (real, fake))
    if bandwidth == "median":
        bandwidth = np.median(pdist(real))
    k = KERNELS[kernel]

    def value(x: Any, y: Any) -> float:
        within = 0.0
        for rows in (x, y):
            pairs, n = k(rows, rows, bandwidth), len(rows)
            within += pairs.mean() if biased else (pairs.sum() - np.trace(pairs)) / (n * (n - 1))
        return float(within - 2 * k(x, y, bandwidth).mean())

    if not subsets:
        return scale * value(real, fake)
    rng, found = np.random.RandomState(seed), []
    size = min(subset_size, len(real), len(fake))
    for _ in range(subsets):
        some = fake[rng.choice(len(fake), size, replace=False)]
        found.append(value(real[rng.choice(len(real), size, replace=False)], some))
    return scale * float(np.mean(found))


KERNELS = {
    "polynomial": lambda x, y, s: (x @ y.T / x.shape[1] + 1) ** 3,
    "rbf": lambda x, y, s: np.exp(-cdist(x, y, "sqeuclidean") / (2 * s**2)),
    "imq": lambda x, y, s: (1 + cdist(x, y, "sqeuclidean") / (2 * s**2)) ** -0.5,
    "laplacian": lambda x, y, s: np.exp(-cdist(x, y) / s),
}
