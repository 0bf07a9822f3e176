"""Paired differences over replicates, their intervals, and what may be said of them.

Imports no torch: the report and `synthesize` read the verdicts too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from genbench.metrics import crossed, quantile, satterthwaite
from genbench.results import holm

LEAST = 3  # replicates: with two, one degree of freedom tells next to nothing
METHOD = "t-over-replicates-and-rows"
Rights = Sequence[NDArray[np.float64]]
Verdict = Literal["helps", "hurts", "no evidence"]


@dataclass(frozen=True, slots=True)
class Gain:
    """The mean of paired differences, in accuracy (0 to 1).

    Parameters
    ----------
    low, high
        95 % interval over other replicates and other test rows, not corrected for several
        comparisons.
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


def paired(values: Rights, against: Rights) -> Gain:
    """The gain of `values` over `against`: paired by replicate and by test row (Student's t).

    Replicates are tested on the same rows, so their spread alone says nothing of other rows. The
    variance is that between replicates plus that between rows, of each row's mean difference, less
    what chance alone would make of the latter (see `genbench.metrics.uncertainty.crossed`).

    Parameters
    ----------
    values, against
        For each replicate, at least two, a score per test row whose mean is the accuracy: 1 where
        the row is named rightly, ``(rows,)``. The same rows in the same order throughout.

    Notes
    -----
    An accuracy moves in steps of ``1 / rows``; a variance below what that rounding alone makes is
    taken to be that, so that differences which happen to be equal prove nothing.
    """
    differences = np.asarray(values, np.float64) - np.asarray(against, np.float64)
    count, rows = differences.shape
    mean = float(differences.mean())
    found = crossed(differences)
    least = 1 / (6 * rows**2) / count
    error, df = satterthwaite((max(found.trained, least), count - 1), (found.tested, rows - 1))
    half = quantile(df) * error
    p_value = 2 * float(special.stdtr(df, -abs(mean) / error))
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
