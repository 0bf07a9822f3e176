"""Frechet distance of Gaussians fitted to features: at n, per class, and extrapolated over n."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genbench.errors import MetricError
from genbench.metrics.arrays import like
from genbench.metrics.checks import (
    Float64s,
    Labels,
    Rows,
    as_labels,
    as_pair,
    require_rows,
)
from genbench.metrics.inputs import IncompleteError, Inputs, Measurement
from genbench.metrics.moments import (
    EXACT_UP_TO,
    distance,
    distances_without_blocks,
    moments,
)
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import (
    BLOCKS,
    Blocks,
    Estimate,
    block_jackknife,
    jackknife_variance,
    make_blocks,
)

SIZES = 15


@dataclass(frozen=True, slots=True)
class FrechetPerClass:
    """Frechet distances `by_class`, None where either set has fewer than two rows, and their mean.

    None if a class has too few rows: a mean over fewer classes would compare with nothing.
    """

    mean: float | None
    by_class: Mapping[int, float | None]


def frechet_distance(real: Any, fake: Any) -> float:
    """Distance between the Gaussians fitted to real and to generated features.

    ``|m_r - m_f|^2 + tr(C_r + C_f - 2 (C_r^1/2 C_f C_r^1/2)^1/2)``, covariances with ddof=1.

    Parameters
    ----------
    real, fake
        Features ``(n_real, d)`` and ``(n_fake, d)``; at least two rows each.

    Returns
    -------
    float
        At least 0, lower is better.

    Raises
    ------
    MetricError
        If a set has one row, or an input is broken.

    Notes
    -----
    Biased up by about ``c tr C + c/2 sum (1 + [i=j]) l_i l_j / (l_i + l_j)``, ``c = 1/n_real +
    1/n_fake``, even for equal distributions: compare at equal n, and see
    `frechet_distance_infinity`. In float64 without a ridge; finite for singular covariances.
    Symmetric in its arguments. O(n d^2 + d^3). Naive form: ``tests.oracles.frechet:fid``.

    References
    ----------
    Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, arXiv:1706.08500.
    """
    real, fake = as_pair(real, fake, at_least=2)
    return distance(moments(real), moments(fake))


def frechet_estimate(real: Rows, fake: Rows, blocks: Blocks | None) -> Estimate:
    """`frechet_distance` of checked rows, and its interval by leaving out each block of fake."""
    if blocks is None:
        return Estimate(distance(moments(real), moments(fake)))
    found = distances_without_blocks(moments(real), fake, blocks)
    return block_jackknife(found.value, found.left_out, low=0.0)


def frechet_distance_per_class(
    real: Any, fake: Any, *, real_labels: Any, fake_labels: Any, classes: int | None = None
) -> FrechetPerClass:
    """Frechet distance between real and generated rows of the same class, and the mean.

    Parameters
    ----------
    real, fake
        Features ``(n_real, d)`` and ``(n_fake, d)``.
    real_labels, fake_labels
        int ``(n_real,)`` and ``(n_fake,)`` in ``0 .. classes - 1``.
    classes
        Number of classes; the greatest real label plus one if left out.

    Returns
    -------
    FrechetPerClass
        At least 0 each, lower is better; a dropped class shows as None, not as a lower mean.

    Raises
    ------
    MetricError
        If an input is broken or a label out of range.

    Notes
    -----
    Fewer rows per class: its bias is about `classes` times that of the plain distance. Naive form:
    ``tests.oracles.frechet:fid_per_class``.

    References
    ----------
    Miyato & Koyama 2018, cGANs with Projection Discriminator, arXiv:1802.05637.
    """
    real, fake = as_pair(real, fake)
    labels = _label_pair(real, fake, real_labels, fake_labels, classes)
    return per_class_estimate(real, fake, *labels, blocks=None)[0]


def _label_pair(
    real: Rows, fake: Rows, real_labels: Any, fake_labels: Any, classes: int | None
) -> tuple[Labels, Labels, int]:
    of_real = as_labels("real_labels", real_labels, n=len(real), classes=classes)
    count = int(of_real.max()) + 1 if classes is None else classes
    return of_real, as_labels("fake_labels", fake_labels, n=len(fake), classes=count), count


def per_class_estimate(
    real: Rows,
    fake: Rows,
    real_labels: Labels,
    fake_labels: Labels,
    classes: int,
    *,
    blocks: Blocks | None,
) -> tuple[FrechetPerClass, Estimate | None]:
    """The distances by class, and the mean with its interval (None if there is no mean)."""

    def compare(label: int) -> _Compared:
        of_real = real[like(real, real_labels == label)]
        of_fake = fake[like(fake, fake_labels == label)]
        if min(len(of_real), len(of_fake)) < 2:
            return _Compared(None, None)
        own = None if blocks is None else _restrict(blocks, fake_labels == label)
        return _compare(of_real, of_fake, own)

    found = _each(compare, range(classes), real.shape[1])
    by_class = {label: one.value for label, one in enumerate(found)}
    values = [one.value for one in found if one.value is not None]
    if len(values) < classes:
        return FrechetPerClass(None, by_class), None
    mean = float(np.mean(values))
    left_out = [one.left_out for one in found if one.left_out is not None]
    if len(left_out) < classes:
        return FrechetPerClass(mean, by_class), Estimate(mean)
    estimate = block_jackknife(mean, np.mean(left_out, axis=0), low=0.0)
    return FrechetPerClass(mean, by_class), estimate


@dataclass(frozen=True, slots=True)
class _Compared:
    """A distance, and the distances without each block; None where there are too few rows.

    `of_draw` is its variance over draws of the real rows.
    """

    value: float | None
    left_out: Float64s | None
    of_draw: float = 0.0


def _compare(real: Rows, fake: Rows, blocks: Blocks | None) -> _Compared:
    reference = moments(real)
    if blocks is None:
        return _Compared(distance(reference, moments(fake)), None)
    found = distances_without_blocks(reference, fake, blocks)
    return _Compared(found.value, found.left_out)


def _each(function: Callable[[int], _Compared], jobs: Iterable[int], d: int) -> list[_Compared]:
    """Side by side where matrices are small; large ones keep all of BLAS's threads."""
    if d > EXACT_UP_TO:
        return [function(job) for job in jobs]
    return side_by_side(function, jobs)


def _restrict(blocks: Blocks, mask: Any) -> Blocks | None:
    """The same blocks among the masked rows only; None if one would leave fewer than two rows."""
    position = np.cumsum(mask) - 1
    chosen = mask[blocks.order]
    sizes = np.add.reduceat(chosen, blocks.edges[:-1], dtype=np.int64)
    if chosen.sum() - sizes.max() < 2:
        return None
    return Blocks(position[blocks.order[chosen]], np.concatenate([[0], np.cumsum(sizes)]))


def frechet_distance_infinity(real: Any, fake: Any, *, seed: int) -> Estimate:
    """Frechet distance extrapolated to infinitely many rows: the intercept of a line in 1/n.

    Both sets are cut to the same n; `SIZES` sizes equally spaced in 1/n, from max(n / 10, 2 d) to
    n, each drawn without replacement; least squares of the distance on 1/size, read at 0.

    Parameters
    ----------
    real, fake
        Features ``(n_real, d)`` and ``(n_fake, d)``.
    seed
        Of the draws.

    Returns
    -------
    Estimate
        Lower is better; may come out below 0 by noise. The interval is a jackknife over blocks of
        generated rows (the sizes overlap, so the line's own error is not one), widened by the
        error of the draws of real rows; it costs 40 times the value. None with fewer than 40 rows.

    Raises
    ------
    MetricError
        If either set has fewer than ``4 d`` rows, or an input is broken.

    Notes
    -----
    Naive form: ``tests.oracles.frechet:fid_infinity``.

    References
    ----------
    Chong & Forsyth 2020, Effectively Unbiased FID and Inception Score, arXiv:1911.07023.
    """
    real, fake = as_pair(real, fake, at_least=2)
    return infinity_estimate(real, fake, make_blocks(len(fake)), seed=seed)


def infinity_estimate(real: Rows, fake: Rows, blocks: Blocks | None, *, seed: int) -> Estimate:
    """`frechet_distance_infinity` of checked rows with given blocks (None: no interval)."""
    sizes = infinity_sizes(len(real), len(fake), real.shape[1])

    def compare(size: int) -> _Compared:
        rng = np.random.default_rng((seed, size))
        chosen = np.zeros(len(fake), bool)
        of_real = real[like(real, rng.permutation(len(real))[:size])]
        chosen[rng.permutation(len(fake))[:size]] = True
        of_fake = fake[like(fake, chosen)]
        own = None if blocks is None else _restrict(blocks, chosen)
        compared = _compare(of_real, of_fake, own)
        if own is None:
            return compared
        return replace(compared, of_draw=_draw_variance(of_fake, of_real, len(real)))

    found = _each(compare, sizes, real.shape[1])
    left_out = [one.left_out for one in found if one.left_out is not None]
    # The intercept is linear in the distances.
    design = np.stack([np.ones(len(sizes)), 1 / np.array(sizes)], axis=1)
    weights = np.linalg.pinv(design)[0]
    value = float(weights @ np.array([one.value for one in found]))
    if len(left_out) < len(sizes):
        return Estimate(value)
    # Each size draws its own real rows, which fresh generated rows do not show.
    drawn = float(np.square(weights) @ np.array([one.of_draw for one in found]))
    return block_jackknife(value, weights @ np.stack(left_out), extra_variance=drawn)


def _draw_variance(fake: Rows, chosen: Rows, n_real: int) -> float:
    """Variance of the distance over draws of ``len(chosen)`` of `n_real` rows without replacement.

    A jackknife over blocks of the chosen rows, times the share of the rows that was not drawn.
    """
    blocks = make_blocks(len(chosen), count=min(BLOCKS, len(chosen) // 2))
    if blocks is None or len(chosen) == n_real:
        return 0.0
    left_out = distances_without_blocks(moments(fake), chosen, blocks).left_out
    return (1 - len(chosen) / n_real) * jackknife_variance(left_out)


def infinity_sizes(n_real: int, n_fake: int, d: int) -> list[int]:
    """The sizes of `frechet_distance_infinity`, ascending; MetricError below ``4 d`` rows."""
    n = min(n_real, n_fake)
    if n < max(4 * d, SIZES):
        raise MetricError(
            f"FID infinity needs at least {max(4 * d, SIZES)} rows of each set at {d} dimensions: "
            f"{n_real} real and {n_fake} generated were given"
        )
    inverse = np.linspace(1 / max(n / 10, 2 * d), 1 / n, SIZES)
    return [min(n, round(1 / x)) for x in inverse.tolist()]


def measure_frechet(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`frechet_distance` with its interval: the maker of ``fid``."""
    real, fake = inputs.pair
    require_rows("real", len(real), 2)
    require_rows("fake", len(fake), 2)
    found = frechet_estimate(real, fake, inputs.blocks)
    return Measurement(inputs.floored(found, lambda rows: frechet_distance(real, rows)))


def measure_infinity(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`frechet_distance_infinity` with its interval: the maker of ``fid_infinity``."""
    real, fake = inputs.pair

    def again(rows: Rows) -> float:
        return infinity_estimate(real, rows, None, seed=inputs.seed).value

    found = infinity_estimate(real, fake, inputs.blocks, seed=inputs.seed)
    return Measurement(inputs.floored(found, again, low=-math.inf))


def measure_per_class(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`frechet_distance_per_class` with its interval: the maker of ``fid_per_class``."""
    (real, fake), labels = inputs.pair, inputs.labels
    result, estimate = per_class_estimate(
        real, fake, labels.real, labels.fake, labels.classes, blocks=inputs.blocks
    )
    details = {"by_class": {str(label): value for label, value in result.by_class.items()}}
    if estimate is None:
        absent = ", ".join(str(label) for label, v in result.by_class.items() if v is None)
        raise IncompleteError(f"fewer than two real or generated rows of class {absent}", details)

    def again(rows: Rows) -> float:
        one = per_class_estimate(real, rows, labels.real, labels.fake, labels.classes, blocks=None)
        return one[0].mean or 0.0

    return Measurement(inputs.floored(estimate, again), details)
