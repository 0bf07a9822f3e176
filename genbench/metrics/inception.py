"""Inception score (called classifier score where the classifier is not Inception)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.metrics.arrays import Array, arange, in_float64, like, namespace, on_host, to_host
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
    shape = (splits, block_count)
    counts = np.bincount(cell, minlength=splits * block_count).astype(np.float64)
    sums, information = (_sums_by(cell, x, len(counts)) for x in (p, _information(p)))
    return counts.reshape(shape), sums.reshape(*shape, -1), information.reshape(shape)


def _information(p: Array) -> Array:
    """``sum p ln p`` over the last axis, 0 ln 0 being 0."""
    xp = namespace(p)
    return xp.where(p > 0, p * xp.log(xp.where(p > 0, p, 1.0)), 0.0).sum(axis=-1)


def _sums_by(cell: NDArray[np.int64], x: Array, cells: int) -> NDArray[np.float64]:
    """The sum in each cell of the rows of `x`, ``(n,)`` or ``(n, c)``, on the host."""
    if not on_host(x):  # adding at places in no order would give other sums each time
        return to_host(in_float64(arange(x, 0, cells)[:, None] == like(x, cell)) @ x)
    if x.ndim == 1:
        return np.asarray(np.bincount(cell, weights=x, minlength=cells), np.float64)
    counts, sums = np.bincount(cell, minlength=cells), np.zeros((cells, x.shape[1]))
    starts = (np.cumsum(counts) - counts)[counts > 0]
    sums[counts > 0] = np.add.reduceat(x[np.argsort(cell, kind="stable")], starts, axis=0)
    return sums


def _split_scores(counts: Float64s, sums: Float64s, information: Float64s) -> Float64s:
    """exp(mean KL) per variant and split, ``(b, s)``, from sums per split and variant."""
    return np.exp(information / counts - _information(sums / counts[..., None])).T


def measure_score(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`inception_score` with its interval, and the real rows' score beside it."""
    p = as_probabilities("probabilities", inputs.fake_probabilities)

    def sure() -> Rows:
        """A row that is sure of the least likely class, in place of the first."""
        return like(p, np.eye(p.shape[1])[int(p.mean(axis=0).argmin())])

    def score(rows: Any) -> float:
        return inception_score(rows, splits=parameters["splits"], seed=inputs.seed).mean

    result, estimate = inception_estimate(p, inputs.blocks, **parameters, seed=inputs.seed)
    estimate = longer_above(estimate, result.mean - 1.0)  # 1 is the least a score can be
    if estimate.std_error is not None and estimate.value - 1.0 < 1 / len(p):
        # Less than one sure row would add: blocks that hold no such row cannot tell its error.
        estimate = replace(estimate, std_error=0.0)
    details = {"split_std": result.std}
    if inputs.real_probabilities is not None:
        details["real"] = score(inputs.real_probabilities)
    return Measurement(one_row_at_least(estimate, p, sure, score, low=1.0), details)
