"""Kernel distance: unbiased squared maximum mean discrepancy with a cubic kernel."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np


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
