"""One metric of one row, a baseline's against a candidate's: pass, regression or inconclusive.

A metric that has no number at some seed is lost, and one that was measured differently is never a
pass: neither is noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from genbench.errors import shorten
from genbench.results.aggregation import Summary, cumulative, quantile
from genbench.results.differences import Difference, difference, incomparable, paired_difference
from genbench.results.power import Trial
from genbench.results.records import Record

Verdict = Literal["pass", "regression", "inconclusive"]
Aspect = Literal["coverage", "quality", "cost"]

ONE_SEED = (
    "one seed: the spread between trainings is unknown, so it could have seen no change of any "
    "size; at least 3 seeds would settle it"
)

EQUAL = "equal at every seed"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The change for the worse that is still fine: absolute, or a share of the baseline's value."""

    amount: float
    relative: bool

    def of(self, value: float) -> float:
        """In the metric's unit, where the baseline has `value`."""
        return self.amount * abs(value) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{100 * self.amount:g} %" if self.relative else f"{self.amount:g}"


QUALITY_TOLERANCE = Tolerance(0.05, True)
COST_TOLERANCE = Tolerance(0.25, True)
# Worse by this share of the value at every seed is twice as bad where low is good, half as good
# where high is: no metric may pass with it, however few seeds there are to prove it.
_GROSS = 0.5
# Up to this, values are the same: sums over several threads differ in their last digits.
_SAME_VALUE = 1e-6


@dataclass(frozen=True, slots=True)
class Judgement:
    """One thing judged.

    Parameters
    ----------
    aspect, task, generator, what
        What was judged: a metric, a cost, or for coverage ``cells`` and metric ids.
    verdict
        None where it is told but counts for nothing: controls, metrics without a direction.
    baseline, candidate
        The two means.
    harm, low, high
        By how much the candidate is worse (below 0: better), and its 95 % interval.
    tolerance
        In the same unit.
    p_value
        One-sided, of harm beyond the tolerance.
    note
        Why there is no number, or how it was compared; of what is inconclusive, also the smallest
        change that could have been seen and the seeds that would settle it.
    trial
        The error behind `low` and `high`.
    decides
        Whether an inconclusive verdict here makes the whole inconclusive: coverage, and the
        suite's primary metric. A regression counts wherever it is found.
    """

    aspect: Aspect
    task: str
    generator: str
    what: str
    verdict: Verdict
    baseline: float | None = None
    candidate: float | None = None
    harm: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float | None = None
    p_value: float = 1.0
    note: str = ""
    decides: bool = False
    trial: Trial | None = None


def lost_seeds(a: Summary, b: Summary, after: Sequence[Record]) -> str:
    """At which seeds the candidate has no number where the baseline had one, and why; or nothing.

    Cells that failed as a whole are judged apart.
    """
    ok = {record.seed for record in after if record.status == "ok"}
    without = {seed: why for seed, why in b.problems.items() if seed in ok}
    lost = {seed: why for seed, why in without.items() if seed in a.values}
    if len(without) > len(a.problems):
        lost = without
    return "; ".join(f"seed {seed}: {shorten(why, 200)}" for seed, why in sorted(lost.items()))


def judge_metric(
    task: str, name: str, metric: str, up: bool | None, a: Summary, b: Summary, same: bool,
    tolerances: Mapping[str, Tolerance], decides: bool,
) -> Judgement:  # fmt: skip
    judgement = Judgement(
        "quality", task, name, metric, "inconclusive", a.mean, b.mean, decides=decides
    )
    if not b.values:  # all its cells failed: told as such
        note = b.reason or "no number"
        return replace(judgement, aspect="coverage", verdict="regression", note=note)
    other = _other_number(a, b)
    if other:
        return replace(judgement, note=f"{other}; no seeds help, score both with one version",
                       decides=True)  # fmt: skip
    if up is None:
        return replace(judgement, verdict="pass", note="has no direction", decides=False)
    base = tolerances.get(metric, tolerances.get("quality", QUALITY_TOLERANCE))
    judgement = replace(judgement, tolerance=base.of(a.mean or 0.0))
    if equal(a, b):
        return replace(judgement, verdict="pass", harm=0.0, note=EQUAL)
    sign = -1.0 if up else 1.0
    judgement = replace(
        judgement, decides=decides or _gross(a, b, sign, judgement.tolerance or 0.0)
    )
    return _compared(judgement, a, b, sign, paired_difference(b, a) if same else None)


def _compared(
    judgement: Judgement, a: Summary, b: Summary, sign: float, matched: Difference | None
) -> Judgement:
    if matched is not None and matched.estimate is not None:
        trial = Trial(matched.std_error or 0.0, matched.df, a.n_seeds, True)
        return weighed(judgement, sign * matched.estimate, trial, "paired by seed")
    change = difference(b, a)
    harm = sign * (change.estimate or 0.0)
    seeds = min(a.n_seeds, b.n_seeds)
    if seeds < 2:
        # One seed shows its sampling error and nothing of the spread between trainings.
        return replace(judgement, harm=harm, note=ONE_SEED)
    if change.std_error is None:
        return replace(judgement, harm=harm, note=change.reason or "")
    how = "Welch over seeds" if change.basis == "seeds" else "no spread over seeds: sampling error"
    return weighed(judgement, harm, Trial(change.std_error, change.df, seeds, False), how)


def _other_number(a: Summary, b: Summary) -> str:
    """The reason that the two were not measured alike, or nothing."""
    for side, whose in ((a, "baseline"), (b, "candidate")):
        if side.mean is None:
            return f"{whose}: {side.reason}"
    return incomparable(b, a) or ""


def equal(a: Summary, b: Summary) -> bool:
    """Whether each seed has the same value in both: then no machine and no thread count matters."""
    return set(a.values) == set(b.values) and all(
        math.isclose(value, b.values[seed], rel_tol=_SAME_VALUE, abs_tol=1e-12)
        for seed, value in a.values.items()
    )


def _gross(a: Summary, b: Summary, sign: float, tolerance: float) -> bool:
    """Whether every seed is worse by half of the baseline's value, and by more than is allowed."""
    matched = set(a.values) == set(b.values)
    mean = a.mean or 0.0
    pairs = [(a.values[seed] if matched else mean, value) for seed, value in b.values.items()]
    harms = [(sign * (after - before), _GROSS * abs(before)) for before, after in pairs]
    return all(harm > tolerance and harm >= gross for harm, gross in harms)


def weighed(judgement: Judgement, harm: float, trial: Trial, how: str) -> Judgement:
    """With interval, p-value and, before correction, a verdict of pass or inconclusive."""
    tolerance, error, df = judgement.tolerance or 0.0, trial.std_error, trial.df
    half = error * quantile(df)
    if error > 0:
        p_value = cumulative(df, (tolerance - harm) / error)
    else:
        p_value = 1.0 if harm <= tolerance else 0.0
    verdict: Verdict = "pass" if harm + half <= tolerance else "inconclusive"
    return replace(
        judgement, verdict=verdict, harm=harm, low=harm - half, high=harm + half, p_value=p_value,
        note=how, trial=trial,
    )  # fmt: skip
