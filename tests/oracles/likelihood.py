"""Negative log-likelihood."""

from __future__ import annotations

import math
from typing import Any


def nll(log_prob: Any, dims: int | None) -> float:
    """``-mean(log_prob)`` in nats, or over ``dims ln 2`` in bits per dimension."""
    nats = -sum(map(float, log_prob)) / len(log_prob)
    return nats if dims is None else nats / (dims * math.log(2))
