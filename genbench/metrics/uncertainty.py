"""Estimates with intervals: block jackknife, normal, Wilson, block error, trainings.

An interval's target is the metric's expectation at the stated n over fresh generated samples, the
reference fixed. Rows are never resampled with replacement: for distances and neighbour metrics the
bootstrap adds the metric's bias a second time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from genbench.metrics.checks import Float64s
from genbench.records import Interval

BLOCKS = 20
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its sampling uncertainty; `interval` is None where none could be made."""

    value: float
    std_error: float | None = None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Blocks:
    """A random partition of n rows into blocks of (nearly) equal size.

    Parameters
    ----------
    order
        int64 ``(n,)``: the rows, permuted so that each block is contiguous.
    edges
        int64 ``(blocks + 1,)``: block b is ``order[edges[b]:edges[b + 1]]``.
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
    order = np.random.default_rng(seed).permutation(n).astype(np.int64)
    return Blocks(order, np.arange(count + 1, dtype=np.int64) * n // count)


def block_jackknife(
    value: float,
    left_out: Float64s,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    extra_variance: float = 0.0,
    method: str = "block-jackknife",
) -> Estimate:
    """``value +- t(B - 1) * se`` with ``se^2 = (B - 1) / B * sum (left_out - mean)^2``.

    Parameters
    ----------
    value
        The metric on all rows.
    left_out
        The metric without block b, for each of the B blocks, ``(B,)``.
    low, high
        The metric's range; the interval is cut to it.
    extra_variance
        Variance from elsewhere to add, such as the Monte-Carlo error of random subsets.

    Notes
    -----
    Efron & Stein 1981: the jackknife's variance is biased upwards, if at all.
    """
    count = len(left_out)
    spread = float(np.square(left_out - left_out.mean()).sum())
    std_error = math.sqrt((count - 1) / count * spread + extra_variance)
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * std_error
    interval = Interval(max(low, value - half), min(high, value + half), LEVEL, method)
    return Estimate(value, std_error, interval)


def normal_mean(values: Float64s) -> Estimate:
    """The mean of independent per-row terms with its normal interval; none for a single row."""
    value, n = float(values.mean()), len(values)
    if n < 2:
        return Estimate(value)
    return normal(value, float(values.std(ddof=1)) / math.sqrt(n))


def normal(value: float, std_error: float) -> Estimate:
    """A value with the normal interval of its standard error."""
    half = float(ndtri((1 + LEVEL) / 2)) * std_error
    return Estimate(value, std_error, Interval(value - half, value + half, LEVEL, "normal"))


def wilson_share(successes: int, n: int) -> Estimate:
    """A share of independent rows with Wilson's interval, which stays sensible at 0 and 1."""
    share, z = successes / n, float(ndtri((1 + LEVEL) / 2))
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Exactly 0 and 1 at the edges, where the formula's rounding would miss them.
    low = max(0.0, centre - half) if successes else 0.0
    high = min(1.0, centre + half) if successes < n else 1.0
    interval = Interval(low, high, LEVEL, "wilson")
    return Estimate(share, math.sqrt(share * (1 - share) / n), interval)


def block_mean(values: Float64s) -> Estimate:
    """The mean of a metric over disjoint blocks with a t interval; none for a single block."""
    return t_mean(values, "block-error")


def t_mean(
    values: Sequence[float] | Float64s,
    method: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> Estimate:
    """The mean of independent values with Student's interval cut to ``low .. high``.

    A single value gets no interval.
    """
    values = np.asarray(values, np.float64)
    value, count = float(values.mean()), len(values)
    if count < 2:
        return Estimate(value)
    std_error = float(values.std(ddof=1)) / math.sqrt(count)
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * std_error
    interval = Interval(max(low, value - half), min(high, value + half), LEVEL, method)
    return Estimate(value, std_error, interval)


def trainings_mean(
    values: NDArray[np.float64], method: str = "trainings", *, low: float = 0.0, high: float = 1.0
) -> Estimate:
    """The mean over the rows that several trainings were tested on, and over the trainings.

    Its variance is that of the trainings' means (Student's t: there are few of them) plus that of
    the rows' means (normal), which differ for rows that are hard whatever the training. The half
    widths add as squares: `Zou and Donner 2008 <https://doi.org/10.1002/sim.3095>`_.

    Parameters
    ----------
    values
        ``(trainings, rows)``, at least two of each: 1 where a row is right, or a paired difference.
    method
        What the interval is called in a record.
    low, high
        The interval is cut to this range.
    """
    count, rows = values.shape
    value = float(values.mean())
    trained = float(values.mean(axis=1).std(ddof=1)) / math.sqrt(count)
    tested = float(values.mean(axis=0).std(ddof=1)) / math.sqrt(rows)
    half = math.hypot(
        float(stdtrit(count - 1, (1 + LEVEL) / 2)) * trained, float(ndtri((1 + LEVEL) / 2)) * tested
    )
    interval = Interval(max(low, value - half), min(high, value + half), LEVEL, method)
    return Estimate(value, math.hypot(trained, tested), interval)
