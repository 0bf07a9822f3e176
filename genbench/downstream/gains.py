"""Paired differences over replicates, their intervals, and what may be said of them.

Imports no torch: the report and `synthesize` read the verdicts too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scipy import special

from genbench.aggregation import quantile
from genbench.ranking import holm

LEAST = 3  # replicates: with two, one degree of freedom tells next to nothing
Verdict = Literal["helps", "hurts", "no evidence"]


@dataclass(frozen=True, slots=True)
class Gain:
    """The mean of paired differences, in accuracy (0 to 1).

    Parameters
    ----------
    low, high
        95 % t interval over the replicates, not corrected for several comparisons.
    p_value
        Two-sided, of a mean of 0.
    """

    mean: float
    std_error: float
    low: float
    high: float
    p_value: float
    replicates: int

    def to_json(self) -> dict[str, Any]:
        """As a record's `details` hold it."""
        return {"mean": self.mean, "std_error": self.std_error, "low": self.low,
                "high": self.high, "p_value": self.p_value}  # fmt: skip


def paired(values: Sequence[float], against: Sequence[float], rows: int) -> Gain:
    """The gain of `values` over `against`, replicate by replicate (Student's t).

    Parameters
    ----------
    values, against
        Shares of `rows` test rows, one per replicate, at least two.
    rows
        A share moves in steps of ``1 / rows``; a variance below what that rounding alone makes is
        taken to be that, so that differences which happen to be equal prove nothing.
    """
    differences = [a - b for a, b in zip(values, against, strict=True)]
    count = len(differences)
    mean = math.fsum(differences) / count
    variance = math.fsum((d - mean) ** 2 for d in differences) / (count - 1)
    error = math.sqrt(max(variance, 1 / (6 * rows**2)) / count)
    half = quantile(count - 1) * error
    p_value = 2 * float(special.stdtr(count - 1, -abs(mean) / error))
    return Gain(mean, error, mean - half, mean + half, p_value, count)


def verdicts(gains: Sequence[Gain]) -> list[Verdict]:
    """``helps`` or ``hurts`` where 0 is excluded after Holm's correction over all `gains`.

    Fewer than three replicates are no evidence, whatever they show.
    """
    found: list[Verdict] = []
    for gain, rejected in zip(gains, holm([g.p_value for g in gains]), strict=True):
        shown = rejected and gain.replicates >= LEAST
        found.append("no evidence" if not shown else "helps" if gain.mean > 0 else "hurts")
    return found
