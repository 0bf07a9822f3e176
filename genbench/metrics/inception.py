"""Inception score (called classifier score where the classifier is not Inception)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genbench.metrics.checks import Float64s, Rows, as_probabilities, require_at_least
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.uncertainty import (
    Blocks,
    Estimate,
    block_jackknife,
    longer_above,
    one_row_at_least,
)


@dataclass(frozen=True, slots=True)
class InceptionScore:
    """`mean` and `std` (ddof=0) over the splits. The std is not a standard error of the mean."""

    mean: float
    std: float


def inception_score(probabilities: Any, *, splits: int = 10, seed: int = 0) -> InceptionScore:
    """The inception score: how surely and how evenly a classifier names generated rows.

    ``exp(E_x KL(p(y | x) || p(y)))`` within each of `splits` parts of the permuted rows, ``p(y)``
    being the part's mean; then mean and std over the parts.

    Parameters
    ----------
    probabilities
        Class probabilities of the generated rows, ``(n, classes)``, rows summing to 1.
    splits
        Parts; part i is ``[i * n // splits : (i + 1) * n // splits]`` of the permuted rows.
    seed
        Of the permutation.

    Returns
    -------
    InceptionScore
        `mean` in ``[1, classes]``, higher is better.

    Raises
    ------
    MetricError
        If there are fewer rows than splits, or a row is no distribution.

    Notes
    -----
    It never looks at real rows: classifiers' favourite inputs beat real data. Biased down at few
    rows per split. O(n classes). Computed in float64. Naive form:
    ``tests.oracles.inception:classifier_score``.

    References
    ----------
    Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498.
    """
    return inception_estimate(probabilities, None, splits=splits, seed=seed)[0]


def inception_estimate(
    probabilities: Any, blocks: Blocks | None, *, splits: int = 10, seed: int = 0
) -> tuple[InceptionScore, Estimate]:
    """`inception_score` and its interval by deleting each of `blocks` from the splits."""
    parts = _sums(probabilities, splits, seed, blocks)
    totals = [part.sum(axis=1, keepdims=True) for part in parts]
    scores = _split_scores(*totals)[0]
    result = InceptionScore(float(scores.mean()), float(scores.std()))
    rest = [total - part for total, part in zip(totals, parts, strict=True)]
    if blocks is None or rest[0].min() < 1:
        return result, Estimate(result.mean)
    return result, block_jackknife(result.mean, _split_scores(*rest).mean(axis=1), low=1.0)


def _sums(
    probabilities: Any, splits: int, seed: int, blocks: Blocks | None
) -> tuple[Float64s, Float64s, Float64s]:
    """Per split and block: rows, sum of p, sum of p log p. Shapes (s, b), (s, b, c), (s, b)."""
    require_at_least("splits", splits, 1)
    p = as_probabilities("probabilities", probabilities, at_least=splits)
    n, block_count = len(p), 1 if blocks is None else blocks.count
    split = np.empty(n, np.int64)
    order = np.random.RandomState(seed % 2**32).permutation(n)  # the field's draws
    edges = np.arange(splits + 1) * n // splits
    split[order] = np.repeat(np.arange(splits), np.diff(edges))
    cell = split * block_count + (0 if blocks is None else blocks.of_row)
    cells = splits * block_count
    entropy = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(axis=1)
    by_cell = np.argsort(cell, kind="stable")
    counts = np.bincount(cell, minlength=cells)
    sums = np.zeros((cells, p.shape[1]))
    filled = counts > 0
    starts = (np.cumsum(counts) - counts)[filled]
    sums[filled] = np.add.reduceat(p[by_cell], starts, axis=0)
    information = np.bincount(cell, weights=entropy, minlength=cells)
    shape = (splits, block_count)
    return (
        counts.reshape(shape).astype(np.float64),
        sums.reshape(*shape, -1),
        information.reshape(shape).astype(np.float64),
    )


def _split_scores(counts: Float64s, sums: Float64s, information: Float64s) -> Float64s:
    """exp(mean KL) per variant and split, ``(b, s)``, from sums per split and variant."""
    q = sums / counts[..., None]
    entropy = np.where(q > 0, q * np.log(np.where(q > 0, q, 1.0)), 0.0).sum(axis=-1)
    scores: Float64s = np.exp(information / counts - entropy).T
    return scores


def measure_score(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`inception_score` with its interval, and the real rows' score beside it."""
    splits = parameters["splits"]
    blocks = inputs.blocks
    result, estimate = inception_estimate(
        inputs.fake_probabilities, blocks, splits=splits, seed=inputs.seed
    )
    estimate = longer_above(estimate, result.mean - 1.0)  # 1 is the least a score can be
    estimate = _floored_score(estimate, inputs.fake_probabilities, splits, inputs.seed)
    details = {"split_std": result.std}
    if inputs.real_probabilities is not None:
        real = inception_score(inputs.real_probabilities, splits=splits, seed=inputs.seed)
        details["real"] = real.mean
    return Measurement(estimate, details)


def _floored_score(estimate: Estimate, given: Any, splits: int, seed: int) -> Estimate:
    """A row that is sure of the least likely class, in place of the first."""
    p = as_probabilities("probabilities", given)

    def sure() -> Rows:
        row: Rows = np.eye(p.shape[1])[p.mean(axis=0).argmin()]
        return row

    def again(rows: Rows) -> float:
        return inception_score(rows, splits=splits, seed=seed).mean

    if estimate.std_error is not None and estimate.value - 1.0 < 1 / len(p):
        # Less than one sure row would add: blocks that hold no such row cannot tell its error.
        estimate = replace(estimate, std_error=0.0)
    return one_row_at_least(estimate, p, sure, again, low=1.0)
