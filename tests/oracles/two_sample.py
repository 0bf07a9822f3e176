"""Properties of a classifier two-sample test, whose classifiers have no naive form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np


def holds(accuracy: Callable[[Any, Any], float], real: Any, fake: Any) -> None:
    """Chance for one distribution, certainty for sets far apart, more for more of a difference."""
    fresh = np.random.default_rng(0).permutation(np.concatenate([real, fake]))
    half, rest = fresh[: len(real)], fresh[len(real) :]
    assert abs(accuracy(half, rest) - 0.5) < 4 * math.sqrt(1 / (4 * min(len(real), len(fake))))
    far = 100 * np.abs(real).max()
    assert accuracy(real, fake + far) == 1.0
    spread = real.std(axis=0)
    near, nearer = (accuracy(half, half + shift * spread) for shift in (1.0, 0.1))
    assert near > nearer
