"""Reconstruction error."""

from __future__ import annotations

from typing import Any

import numpy as np


def reconstruction_mse(real: Any, fake: Any) -> float:
    """The squared difference number by number, of the first rows of both."""
    n, d = min(len(real), len(fake)), len(real[0])
    off = [(float(real[i][j]) - float(fake[i][j])) ** 2 for i in range(n) for j in range(d)]
    return float(np.mean(off))
