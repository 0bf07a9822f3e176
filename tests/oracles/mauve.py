"""Properties of MAUVE, whose quantisation has no naive form; the curve and its area do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import entropy


def holds(area: Callable[[Any, Any], float], real: Any, fake: Any) -> None:
    """1 for the same rows, less for more of a difference, nearly nothing without overlap."""
    assert abs(area(real, real) - 1) < 1e-12
    far = 100 * np.abs(real).max()
    values = [area(real, real + shift) for shift in (0.1, 1.0, far)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.01
    assert area(real, fake) > 0.3
    one = real[:, :1] < np.median(real[:, :1])
    assert area(real, real[one[:, 0]]) < area(real, real[::2])


def curve(real: Sequence[float], fake: Sequence[float], scale: float, points: int) -> Any:
    """The curve's points, divergence by divergence."""
    p, q = np.array(real), np.array(fake)
    found = [(1.0, 0.0)]
    for w in np.linspace(1e-6, 1 - 1e-6, points):
        mixed = w * p + (1 - w) * q
        found.append((np.exp(-scale * entropy(q, mixed)), np.exp(-scale * entropy(p, mixed))))
    return np.array([*found, (0.0, 1.0)])


def integral(real: Sequence[float], fake: Sequence[float]) -> float:
    """Twice the integral of the weighed divergences over all weights."""
    p, q = np.array(real), np.array(fake)
    nodes, weights = np.polynomial.legendre.leggauss(80)
    t = (nodes + 1) / 2
    w = t * t * (3 - 2 * t)  # crowded at the ends, where the slope is not finite
    mixed = w[:, None] * p + (1 - w[:, None]) * q
    weighed = w * entropy(p[None], mixed, axis=1) + (1 - w) * entropy(q[None], mixed, axis=1)
    return float(2 * np.sum(weights / 2 * 6 * t * (1 - t) * weighed))
