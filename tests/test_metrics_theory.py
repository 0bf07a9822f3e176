"""Closed forms, nulls, and directions: what the numbers must be by mathematics alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from genbench.errors import MetricError
from genbench.metrics.frechet import (
    frechet_distance,
    frechet_distance_infinity,
    frechet_distance_per_class,
)
from genbench.metrics.inception import inception_score
from genbench.metrics.kernel import kernel_distance
from genbench.metrics.moments import Moments, distance
from genbench.metrics.neighbours import density_coverage, precision_recall
from tests.oracles.kernel import u_statistic_in_fractions


def normal(n: int, d: int, seed: int, scale: float = 1.0) -> NDArray[Any]:
    return np.random.default_rng(seed).normal(size=(n, d)) * scale


def test_frechet_distance_of_known_gaussians() -> None:
    d = 5
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    a, b = np.linspace(0.5, 3, d), np.linspace(2, 0, d)  # commuting; the second is singular
    real = Moments(100, np.zeros(d), basis * a @ basis.T)
    fake = Moments(100, np.ones(d), basis * b @ basis.T)
    expected = d + np.square(np.sqrt(a) - np.sqrt(b)).sum()
    assert_allclose(distance(real, fake), expected, rtol=1e-7)


def test_frechet_distance_of_a_shift_is_its_square() -> None:
    rows = normal(200, 6, 1)
    assert_allclose(frechet_distance(rows, rows + 2.0), 6 * 4.0, rtol=1e-9)


def test_frechet_distance_counts_variance_with_n_minus_one() -> None:
    real, fake = np.array([[0.0], [2.0]]), np.array([[0.0], [0.0], [3.0]])
    # variances 2 and 3, means 1 and 1
    assert_allclose(frechet_distance(real, fake), (np.sqrt(2) - np.sqrt(3)) ** 2, rtol=1e-9)


def test_frechet_floor_follows_its_formula() -> None:
    n, d = 400, 10
    values = [frechet_distance(normal(n, d, 2 * s), normal(n, d, 2 * s + 1)) for s in range(40)]
    c = 2 / n
    floor = c * d + c / 2 * (d * d + d) / 2
    assert_allclose(np.mean(values), floor, rtol=0.06)


def test_frechet_infinity_removes_the_floor() -> None:
    real, fake = normal(4000, 8, 1), normal(4000, 8, 2) + 0.1
    found = frechet_distance_infinity(real, fake, seed=0)
    assert found.interval is not None
    assert found.interval.low < 8 * 0.01 < found.interval.high
    assert found.value < frechet_distance(real, fake)


def test_per_class_frechet_sees_what_the_whole_hides() -> None:
    labels = np.arange(600) % 2
    real = normal(600, 3, 0) + 4 * labels[:, None]
    swapped = frechet_distance_per_class(real, real, real_labels=labels, fake_labels=1 - labels)
    assert frechet_distance(real, real) < 1e-9
    assert swapped.mean is not None
    assert swapped.mean > 40


def test_per_class_frechet_shows_a_dropped_class_as_none() -> None:
    labels = np.arange(600) % 3
    real = normal(600, 3, 0)
    kept = labels != 1
    found = frechet_distance_per_class(
        real, real[kept], real_labels=labels, fake_labels=labels[kept]
    )
    assert found.mean is None
    assert found.by_class[1] is None
    assert found.by_class[0] is not None


def test_kernel_distance_equals_its_definition_written_out() -> None:
    real, fake = normal(7, 3, 0), normal(9, 3, 1) + 1
    ours = kernel_distance(real, fake, subsets=1, subset_size=7)
    assert_allclose(ours.u_statistic, float(u_statistic_in_fractions(real, fake)), rtol=1e-9)


def test_kernel_distance_is_unbiased_and_can_be_negative() -> None:
    values = [
        kernel_distance(normal(60, 4, 2 * s), normal(60, 4, 2 * s + 1), subsets=1, subset_size=60)
        for s in range(60)
    ]
    found = np.array([value.u_statistic for value in values])
    assert found.min() < 0 < found.max()
    assert abs(found.mean()) < 3 * found.std() / np.sqrt(len(found))


def test_nulls_of_density_and_coverage() -> None:
    found = [density_coverage(normal(500, 4, 2 * s), normal(500, 4, 2 * s + 1)) for s in range(12)]
    assert_allclose(np.mean([one.density for one in found]), 1, atol=0.04)
    assert_allclose(np.mean([one.coverage for one in found]), 1 - 2**-5, atol=0.01)


def test_identity() -> None:
    rows = normal(300, 8, 0)
    assert frechet_distance(rows, rows) < 1e-9
    pr, dc = precision_recall(rows, rows), density_coverage(rows, rows)
    assert (pr.precision, pr.recall, dc.coverage) == (1.0, 1.0, 1.0)
    assert_allclose(dc.density, 1.0, atol=0.2)  # open balls: ties at the radius may fall either way


def test_inception_score_extremes() -> None:
    sure_and_even = np.eye(10)[np.arange(1000) % 10]
    assert_allclose(inception_score(sure_and_even, splits=1).mean, 10)
    assert_allclose(inception_score(np.full((100, 10), 0.1)).mean, 1)
    assert_allclose(inception_score(np.eye(10)[np.zeros(100, int)]).mean, 1)


def test_precision_asks_about_fake_rows_and_recall_about_real_ones() -> None:
    real = np.concatenate([normal(100, 3, 0, 0.1), normal(100, 3, 1, 0.1) + 10])
    half = real[:100] + 1e-3  # one of two modes
    pr, dc = precision_recall(real, half), density_coverage(real, half)
    assert pr.precision > 0.95
    assert 0.45 < pr.recall < 0.55
    assert 0.45 < dc.coverage < 0.55
    swapped = precision_recall(half, real)
    assert_allclose([swapped.precision, swapped.recall], [pr.recall, pr.precision])
    assert abs(density_coverage(half, real).coverage - dc.coverage) > 0.3


def test_membership_is_closed_for_precision_and_open_for_density() -> None:
    real = np.array([[0.0], [1.0]])  # with k = 1 both balls have radius 1
    fake = np.array([[2.0], [-1.0], [-9.0]])
    assert precision_recall(real, fake, k=1).precision == pytest.approx(2 / 3)
    assert density_coverage(real, fake, k=1).density == 0.0


def test_constant_features() -> None:
    rows = np.full((50, 4), 3.0, np.float32)
    assert frechet_distance(rows, rows) == 0
    dc = density_coverage(rows, rows)
    assert (dc.density, dc.coverage) == (0, 0)
    pr = precision_recall(rows, rows)
    assert (pr.precision, pr.recall) == (1, 1)


def test_four_rows_in_four_dimensions_are_finite() -> None:
    for seed in range(20):
        assert np.isfinite(frechet_distance(normal(4, 4, seed), normal(4, 4, seed + 100)))


def test_large_float32_features_do_not_overflow_neighbourhoods() -> None:
    real, fake = normal(60, 4, 0), normal(60, 4, 1)
    large = precision_recall((real * 1e25).astype(np.float32), (fake * 1e25).astype(np.float32))
    small = precision_recall(real.astype(np.float32), fake.astype(np.float32))
    assert large == small


def test_a_kernel_that_overflows_is_an_error_and_not_infinity() -> None:
    rows = normal(60, 4, 0) * 1e60
    with pytest.raises(MetricError, match="overflows"):
        kernel_distance(rows, rows, subset_size=60)
