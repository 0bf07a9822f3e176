"""The difference of two rows' numbers, with its interval and p-value.

Numbers compare only where they are the same number: one task and profile, one signature, one kind
of likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.metrics import Interval
from genbench.results.aggregation import LEVEL, Basis, Summary, cumulative, t_interval


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of one row minus that of another; `estimate` is None when they do not compare.

    `basis` is ``seeds`` (Welch on the seeds' values), ``sampling`` (at least one side has one
    seed or is a control: its training spread is unknown) or ``unknown`` (no standard error; never
    significant).
    """

    estimate: float | None
    std_error: float | None = None
    df: float = math.inf
    interval: Interval | None = None
    p_value: float = 1.0
    basis: Basis = "unknown"
    reason: str | None = None

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0 (before any correction for several comparisons)."""
        return self.estimate is not None and self.p_value < 1 - LEVEL


def difference(a: Summary, b: Summary) -> Difference:
    """Mean of `a` minus mean of `b`, with a 95 % interval and a two-sided p-value.

    Welch's t with the Welch-Satterthwaite degrees of freedom. The standard errors are those of
    the seeds' values where there are at least two seeds (sampling error is in them: it is never
    added again), else the sampling errors alone.
    """
    reason = incomparable(a, b)
    if a.mean is None or b.mean is None or reason is not None:
        return Difference(None, reason=reason)
    estimate = a.mean - b.mean
    if a.std_error is None or b.std_error is None:
        return Difference(estimate, reason="no standard error is known for one of the two")
    basis: Basis = "seeds" if a.basis == b.basis == "seeds" else "sampling"
    first, second = a.std_error**2, b.std_error**2
    error = math.sqrt(first + second)
    if error == 0.0:
        p_value = 1.0 if estimate == 0.0 else 0.0
        point = Interval(estimate, estimate, LEVEL, basis)
        return Difference(estimate, 0.0, math.inf, point, p_value, basis)
    # Shares of the variance, so that squares of tiny errors do not vanish.
    share = first / error / error, second / error / error
    df = 1 / spread if (spread := share[0] ** 2 / a.df + share[1] ** 2 / b.df) else math.inf
    p_value = 2 * cumulative(df, -abs(estimate) / error)
    interval = t_interval(estimate, error, df, "welch" if basis == "seeds" else "sampling")
    return Difference(estimate, error, df, interval, p_value, basis)


def paired_difference(a: Summary, b: Summary) -> Difference | None:
    """Like `difference`, seed by seed (Student's t).

    None unless both have the same seeds, at least two, and their gaps spread.

    Only where both rows were made in one environment is a seed the same trial in both: see
    `genbench.results.comparison.same_environment`.
    """
    if a.mean is None or b.mean is None or incomparable(a, b) is not None:
        return None
    if len(a.values) < 2 or set(a.values) != set(b.values):
        return None
    gaps = [a.values[seed] - b.values[seed] for seed in sorted(a.values)]
    mean, error, df = mean_of(gaps)
    if error == 0.0:  # equal gaps that are not 0 prove nothing: `difference` knows sampling error
        point = Interval(0.0, 0.0, LEVEL, "paired")
        return Difference(0.0, 0.0, df, point, 1.0, "seeds") if mean == 0.0 else None
    p_value = 2 * cumulative(df, -abs(mean) / error)
    return Difference(mean, error, df, t_interval(mean, error, df, "paired"), p_value, "seeds")


def mean_of(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, its standard error and the degrees of freedom; NaN for the last two of one value."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, math.nan, math.nan
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
    return mean, math.sqrt(variance / n), float(n - 1)


def incomparable(a: Summary, b: Summary) -> str | None:
    """The reason that two numbers must not be compared, or None if they may."""
    for side in (a, b):
        if side.mean is None:
            return f"{side.row.name} has no {side.metric}: {side.reason}"
    if a.metric != b.metric:
        return f"{a.metric} and {b.metric} are different metrics"
    if a.likelihood != b.likelihood:
        return f"other likelihood kind: {a.likelihood} against {b.likelihood}"
    if a.signature != b.signature:
        return f"other signature: {a.signature} against {b.signature}"
    return None
