"""The power of a comparison: the smallest change it could see, and the seeds that settle it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from genbench.results.aggregation import quantile

MAX_SEEDS = 1000
_TAIL = 0.025  # of a one-sided test


@dataclass(frozen=True, slots=True)
class Trial:
    """The error of a difference: `std_error`, `df`, and the `seeds` of the side that has fewer.

    `paired` differences spread over seeds once, others on both sides.
    """

    std_error: float
    df: float
    seeds: int
    paired: bool


def smallest_seen(trial: Trial, tolerance: float, tests: int) -> float:
    """The harm from which on it is a regression, if `tests` things are judged together.

    The first step of Holm's correction: ``tolerance + t(1 - 0.025 / tests, df) * std_error``.
    """
    return tolerance - quantile(trial.df, _TAIL / max(tests, 1)) * trial.std_error


def seeds_to_settle(trial: Trial, harm: float, tolerance: float, tests: int) -> int | None:
    """The seeds on each side at which `harm` would be told from `tolerance`, if both stay.

    None if that takes more than `MAX_SEEDS`.
    """
    gap = abs(tolerance - harm)
    tail = _TAIL if harm <= tolerance else _TAIL / max(tests, 1)
    for seeds in range(max(trial.seeds + 1, 2), MAX_SEEDS + 1):
        df = (1.0 if trial.paired else 2.0) * (seeds - 1)
        error = trial.std_error * math.sqrt(trial.seeds / seeds)
        if -quantile(df, tail) * error <= gap:
            return seeds
    return None


def outlook(trial: Trial, harm: float, tolerance: float, tests: int) -> str:
    """Both in words, for the line of an inconclusive comparison."""
    seen = smallest_seen(trial, tolerance, tests)
    seeds = seeds_to_settle(trial, harm, tolerance, tests)
    enough = f"more than {MAX_SEEDS}" if seeds is None else f"about {seeds}"
    return f"could have seen {seen:+.3g} or more; {enough} seeds would settle it"
