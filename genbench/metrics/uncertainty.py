"""Estimates with intervals: block jackknife, normal, Wilson, block error, trainings.

An interval's target is the metric's expectation at the stated n over fresh generated samples, the
reference fixed. Rows are never resampled with replacement: for distances and neighbour metrics the
bootstrap adds the metric's bias a second time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from genbench.metrics.arrays import copied
from genbench.metrics.checks import Float64s, Rows
from genbench.metrics.values import Interval

BLOCKS = 20
LEVEL = 0.95
_ROUNDING = 1e-9  # relative error of sums in float64, generously


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its sampling uncertainty.

    `interval` is None where none could be made; `no_interval` says why, if it is known.
    """

    value: float
    std_error: float | None = None
    interval: Interval | None = None
    no_interval: str = ""


@dataclass(frozen=True, slots=True)
class Blocks:
    """A random partition of n rows into blocks of (nearly) equal size.

    `order`, int64 ``(n,)``, permutes the rows so that each block is contiguous; with `edges`, int64
    ``(blocks + 1,)``, block b is ``order[edges[b]:edges[b + 1]]``.
    """

    order: NDArray[np.int64]
    edges: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of blocks."""
        return len(self.edges) - 1

    @property
    def of_row(self) -> NDArray[np.int64]:
        """Block of each row, in the rows' original order, ``(n,)``."""
        block = np.empty(len(self.order), np.int64)
        block[self.order] = self.of_position
        return block

    @property
    def of_position(self) -> NDArray[np.int64]:
        """Block of each position of `order`, ``(n,)``."""
        return np.repeat(np.arange(self.count), np.diff(self.edges))


def make_blocks(n: int, *, count: int = BLOCKS, seed: int = 0) -> Blocks | None:
    """`count` random blocks of `n` rows, or None where a block would have fewer than two rows.

    Random, so that rows sorted by class do not turn deleting a block into deleting a class.
    """
    if n < 2 * count:
        return None
    return one_at_least(n, count=count, seed=seed)


def block_jackknife(
    value: float,
    left_out: Float64s,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    extra_variance: float = 0.0,
    least: float = 0.0,
    method: str = "block-jackknife",
) -> Estimate:
    """``value +- t(B - 1) * se`` with ``se^2 = (B - 1) / B * sum (left_out - mean)^2``.

    `value` is the metric on all rows, `left_out` ``(B,)`` without each of B blocks. The interval is
    cut to the metric's range, `low` to `high`. `extra_variance` comes from elsewhere, such as
    random subsets; the error is at `least` one row for a share whose blocks may count the same.

    Notes
    -----
    Efron & Stein 1981: the jackknife's variance is biased upwards, if at all.
    """
    count = len(left_out)
    std_error = max(least, math.sqrt(jackknife_variance(left_out) + extra_variance))
    return student(value, std_error, count - 1, method, low=low, high=high)


def one_at_least(n: int, *, count: int = BLOCKS, seed: int = 0) -> Blocks:
    """Like `make_blocks` with fewer blocks of single rows where there are fewer than `count`."""
    order = np.random.default_rng(seed).permutation(n).astype(np.int64)
    count = min(count, n)
    return Blocks(order, np.arange(count + 1, dtype=np.int64) * n // count)


def jackknife_variance(left_out: Float64s) -> float:
    """``(B - 1) / B * sum (left_out - mean)^2`` over the B values without a block each."""
    count = len(left_out)
    return (count - 1) / count * float(np.square(left_out - left_out.mean()).sum())


def below(most: float, value: float, left_out: Float64s) -> Estimate:
    """Jackknife interval of a value below its greatest possible one, by the logarithm of the gap.

    ``most - (most - value) exp(-+ t(B - 1) se / (most - value))``. Where the gap is much larger
    than the error this is ``value +- t se``. Near `most` the value's slope vanishes, the error that
    the blocks show is too small as often as not, and the gap is skewed: its logarithm less so.
    """
    gap, std_error = most - value, math.sqrt(jackknife_variance(left_out))
    factor = math.exp(min(quantile(len(left_out) - 1) * std_error / gap, 50.0))
    interval = Interval(
        max(1.0, most - gap * factor), most - gap / factor, LEVEL, "block-jackknife"
    )
    return Estimate(value, std_error, interval)


def one_row_at_least(
    estimate: Estimate,
    rows: Rows,
    other: Callable[[], Rows],
    again: Callable[[Rows], float],
    *,
    low: float = -math.inf,
) -> Estimate:
    """The estimate, its error at least the effect of one row where blocks show none at all.

    Where every block of rows counts the same (all rows are equal, say), the jackknife's error is 0
    or rounding, and yet other rows may come. One row in n is about what n rows cannot rule out.
    `other` makes what replaces the first of `rows` ``(n, d)``, `again` is the metric of others.
    """
    error = estimate.std_error
    if error is None or error > _ROUNDING * abs(estimate.value):
        return estimate
    changed = copied(rows)
    changed[0] = other()
    effect = abs(again(changed) - estimate.value)
    if effect <= _ROUNDING * abs(estimate.value):
        reason = f"all {len(rows)} rows count the same, and so would another"
        return Estimate(estimate.value, no_interval=reason)
    return student(estimate.value, effect, BLOCKS - 1, "one-row", low=low)


def longer_above(estimate: Estimate, room: float) -> Estimate:
    """The upper end on a logarithmic scale whose 0 lies `room` below the value.

    Squared distances of few rows are skewed, and their error grows with them: where the value comes
    out low, so does its error, and a symmetric interval ends too soon above. With `room` much
    larger than the error nothing changes.
    """
    if estimate.interval is None or not room > 0:
        return estimate
    half = estimate.interval.high - estimate.value
    high = estimate.value + room * math.expm1(min(half / room, 50.0))
    return replace(estimate, interval=replace(estimate.interval, high=high))


def normal_mean(values: Float64s) -> Estimate:
    """The mean of independent per-row terms with its normal interval; none for a single row."""
    value, n = float(values.mean()), len(values)
    if n < 2:
        return Estimate(value)
    return normal(value, float(values.std(ddof=1)) / math.sqrt(n))


def normal(value: float, std_error: float) -> Estimate:
    """A value with the normal interval of its standard error."""
    return student(value, std_error, math.inf, "normal")


def student(
    value: float,
    std_error: float,
    df: float,
    method: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> Estimate:
    """A value with Student's interval of its standard error, cut to ``low .. high``."""
    half = quantile(df) * std_error
    interval = Interval(max(low, value - half), min(high, value + half), LEVEL, method)
    return Estimate(value, std_error, interval)


def quantile(df: float) -> float:
    """The number of standard errors that a two-sided 95 % interval reaches to either side."""
    upper = (1 + LEVEL) / 2
    return float(ndtri(upper) if math.isinf(df) else stdtrit(df, upper))


def satterthwaite(*parts: tuple[float, float]) -> tuple[float, float]:
    """Standard error and degrees of freedom of a sum of independent variances.

    Parameters
    ----------
    parts
        Each an estimated variance and its degrees of freedom (infinite where it is known).

    Notes
    -----
    Satterthwaite 1946: ``df = (sum v)^2 / sum (v^2 / df)``.
    """
    total = math.fsum(variance for variance, _ in parts)
    if total == 0:
        return 0.0, min(df for _, df in parts)
    spread = math.fsum((variance / total) ** 2 / df for variance, df in parts)
    return math.sqrt(total), 1 / spread if spread else math.inf


def wider_of(one: Estimate, other: Estimate) -> Estimate:
    """The first estimate with the outer ends and the larger error of both."""
    if one.interval is None or other.interval is None:
        return one
    low = min(one.interval.low, other.interval.low)
    high = max(one.interval.high, other.interval.high)
    error = max(one.std_error or 0.0, other.std_error or 0.0)
    return replace(one, std_error=error, interval=replace(one.interval, low=low, high=high))


def wilson_share(successes: float, n: int) -> Estimate:
    """A share of independent rows with Wilson's interval, which stays sensible at 0 and 1.

    The standard error is the interval's half width over its quantile: not 0 at the edges, where
    ``sqrt(p (1 - p) / n)`` would claim certainty.
    """
    share, z = successes / n, quantile(math.inf)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Exactly 0 and 1 at the edges, where the formula's rounding would miss them.
    low = max(0.0, centre - half) if successes else 0.0
    high = min(1.0, centre + half) if successes < n else 1.0
    return Estimate(share, half / z, Interval(low, high, LEVEL, "wilson"))


def block_mean(values: Float64s) -> Estimate:
    """The mean of a metric over disjoint blocks with a t interval; none for a single block."""
    value, count = float(values.mean()), len(values)
    if count < 2:
        return Estimate(value, no_interval="a single block of rows: nothing shows its spread")
    std_error = float(values.std(ddof=1)) / math.sqrt(count)
    return student(value, std_error, count - 1, "block-error")


@dataclass(frozen=True, slots=True)
class Crossed:
    """Variances of the mean of values ``(trainings, rows)``: see `crossed`."""

    trained: float
    tested: float


def crossed(values: Float64s) -> Crossed:
    """The shares of other trainings and of other rows in the variance of the mean of all values.

    With ``MS`` the mean squares of an analysis of variance without repetition, `trained` is
    ``MS_trainings / (T R)``, which holds the noise of single answers, and `tested` is
    ``(MS_rows - MS_rest) / (T R)``, which therefore must not hold it again; at least 0. Together
    they are the unbiased estimate for trainings and rows that are both drawn (Searle, Casella and
    McCulloch 1992, section 4.3).

    Parameters
    ----------
    values
        ``(trainings, rows)``, at least two of each.
    """
    count, rows = values.shape
    of_training, of_row = values.mean(axis=1), values.mean(axis=0)
    rest = values - of_training[:, None] - of_row + values.mean()
    noise = float(np.square(rest).sum()) / ((count - 1) * (rows - 1)) / (count * rows)
    trained = float(of_training.var(ddof=1)) / count
    return Crossed(trained, max(0.0, float(of_row.var(ddof=1)) / rows - noise))


def trainings_mean(
    values: NDArray[np.float64], method: str = "trainings", *, low: float = 0.0, high: float = 1.0
) -> Estimate:
    """The mean over the rows that several trainings were tested on, and over the trainings.

    Its variance is that of the trainings' means (Student's t: there are few of them) plus that of
    the rows' means (normal), which differ for rows that are hard whatever the training. The half
    widths add as squares: `Zou and Donner 2008 <https://doi.org/10.1002/sim.3095>`_. The noise of
    single answers is in both, unlike in `crossed`: with three trainings or so it cannot be told
    well enough to be taken out.

    Parameters
    ----------
    values
        ``(trainings, rows)``, at least two of each: 1 where a row is right, or a paired difference.
    method
        What the interval is called in a record.
    low, high
        The interval is cut to this range.

    Notes
    -----
    The standard error is at least that of one row, were nothing spread at all.
    """
    count, rows = values.shape
    value = float(values.mean())
    trained = float(values.mean(axis=1).std(ddof=1)) / math.sqrt(count)
    tested = float(values.mean(axis=0).std(ddof=1)) / math.sqrt(rows)
    if trained + tested <= _ROUNDING:
        tested = 1 / rows
    half = math.hypot(quantile(count - 1) * trained, quantile(math.inf) * tested)
    interval = Interval(max(low, value - half), min(high, value + half), LEVEL, method)
    return Estimate(value, math.hypot(trained, tested), interval)
