"""The classifier two-sample test: chance under equality, power where there is a difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

from genbench.errors import MetricError
from genbench.metrics.two_sample import classifier_two_sample, two_sample_splits


def cloud(n, d, seed, *, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).standard_normal((n, d)) * scale + shift


def test_equal_distributions_score_like_coin_flips():
    """25 tests: their mean deviates from 1/2 by chance only, and so does each by its null."""
    results = [classifier_two_sample(cloud(60, 3, 2 * s), cloud(60, 3, 2 * s + 1), seed=s)
               for s in range(25)]  # fmt: skip
    accuracy = np.array([r.accuracy for r in results])
    assert accuracy.mean() == pytest.approx(0.5, abs=4 * math.sqrt(1 / (4 * 60 * 25)))
    outside = sum(not r.null.low <= r.accuracy <= r.null.high for r in results)
    assert outside <= 5  # binomial(25, .05): 1.25, sd 1.1
    assert 0.5 < accuracy.std(ddof=1) * math.sqrt(4 * 60) < 1.5


def test_separable_sets_are_told_apart():
    result = classifier_two_sample(cloud(200, 4, 0), cloud(200, 4, 1, shift=5.0), seed=0)
    assert result.accuracy == 1.0
    assert result.p_value < 1e-20


def test_a_difference_of_means_reaches_the_best_possible_accuracy():
    """Two Gaussians one sd apart: no classifier beats Phi(1/2)."""
    result = classifier_two_sample(cloud(4000, 1, 0), cloud(4000, 1, 1, shift=1.0), seed=0)
    assert result.accuracy == pytest.approx(0.6915, abs=4 * math.sqrt(1 / (4 * 4000)))


def test_what_no_line_separates_is_left_to_the_network():
    result = classifier_two_sample(cloud(1000, 2, 0), cloud(1000, 2, 1, scale=3.0), seed=0)
    assert result.classifier == "network"
    assert result.accuracy > 0.75


def test_more_difference_is_more_accuracy():
    real = cloud(600, 5, 0)
    values = [classifier_two_sample(real, cloud(600, 5, 1, shift=s), seed=0).accuracy
              for s in (0.0, 0.3, 0.8, 2.0)]  # fmt: skip
    assert values == sorted(values)


def test_classes_are_cut_to_equal_size():
    """Always answering with the larger class would score 10/11."""
    result = classifier_two_sample(cloud(1100, 3, 0), cloud(110, 3, 1), seed=0)
    assert result.n_test == 110
    assert result.accuracy < 0.7
    assert result.correct == round(result.accuracy * result.n_test)


def test_the_null_interval_is_that_of_a_fair_coin():
    result = classifier_two_sample(cloud(40, 2, 0), cloud(40, 2, 1), seed=0)
    half = 1.959964 * math.sqrt(1 / (4 * 40))
    assert (result.null.low, result.null.high) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-6)


def test_rows_sorted_by_class_are_permuted():
    """Half of each set is at 0 and half at 9, in order: unpermuted, train would not look like
    test."""
    both = np.repeat([[0.0], [9.0]], 200, axis=0)
    real, fake = both + cloud(400, 1, 0), both + cloud(400, 1, 1)
    assert classifier_two_sample(real, fake, seed=0).accuracy < 0.6


def test_the_same_seed_gives_the_same_result_and_leaves_global_randomness_alone():
    real, fake = cloud(300, 6, 0), cloud(300, 6, 1, shift=0.2)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (classifier_two_sample(real, fake, seed=s) for s in (3, 3, 4))
    assert first == again
    assert first != other
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_scale_offset_and_type_of_features_do_not_matter():
    real, fake = cloud(200, 3, 0), cloud(200, 3, 1, shift=0.7)
    result = classifier_two_sample(real, fake, seed=0)
    stretch = np.array([1e-3, 1.0, 1e4])
    moved = classifier_two_sample(real * stretch + 5, fake * stretch + 5, seed=0)
    assert moved.accuracy == pytest.approx(result.accuracy, abs=0.02)
    tensors = classifier_two_sample(torch.from_numpy(real), torch.from_numpy(fake), seed=0)
    assert tensors == result


def test_constant_duplicated_and_extreme_features_are_chance_or_certainty_never_a_crash():
    ones = np.ones((50, 3))
    assert classifier_two_sample(ones, ones, seed=0).accuracy == 0.5
    assert classifier_two_sample(ones, 0 * ones, seed=0).accuracy == 1.0
    half = np.column_stack([ones, cloud(50, 1, 0, shift=9.0)])
    assert classifier_two_sample(half, half * [1, 1, 1, -1], seed=0).accuracy == 1.0
    assert classifier_two_sample(ones * 1e200, ones * -1e200, seed=0).accuracy == 1.0


def broken(value, row):
    rows = cloud(30, 3, 0)
    rows[row, 1] = value
    return rows


@pytest.mark.parametrize(
    ("real", "fake", "words"),
    [
        (broken(np.nan, 2), cloud(30, 3, 1), "real.*NaN.*row 2"),
        (cloud(30, 3, 0), broken(np.inf, 4), "fake.*infinity.*row 4"),
        (cloud(30, 3, 0), cloud(30, 4, 1), "3 dimensions.*4"),
        (cloud(30, 3, 0)[0], cloud(30, 3, 1), "real has shape"),
        (cloud(19, 3, 0), cloud(30, 3, 1), "real has 19 rows: at least 20"),
        (cloud(30, 3, 0), cloud(1, 3, 1), "fake has 1 rows: at least 20"),
    ],
)
def test_bad_input_is_a_typed_error(real, fake, words):
    with pytest.raises(MetricError, match=words):
        classifier_two_sample(real, fake, seed=0)


def test_splits_side_by_side_say_nothing_of_convergence_and_agree_with_splits_in_turn() -> None:
    """Warning filters belong to the process: threads must not set and restore them each."""
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(60, 3)), rng.normal(size=(60, 3)) + 1.0
    with threadpool_limits(1):
        in_turn = two_sample_splits(real, fake, 5, seed=0)
    assert in_turn[0] == classifier_two_sample(real, fake, seed=0)
    with threadpool_limits(4):
        for _ in range(3):
            assert two_sample_splits(real, fake, 5, seed=0) == in_turn
