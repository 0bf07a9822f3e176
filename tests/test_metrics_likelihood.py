"""Likelihood units against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from genbench.errors import MetricError
from genbench.metrics.likelihood import bits_per_dim, nll_bits_per_dim, nll_nats


def test_uniform_pixels_cost_exactly_8_bits():
    assert bits_per_dim(np.full(5, -784 * math.log(256)), 784) == pytest.approx(8.0, rel=1e-14)


def test_gaussian_points_cost_their_entropy():
    x = np.random.default_rng(0).standard_normal((50_000, 2))
    result = nll_nats(scipy.stats.norm.logpdf(x).sum(axis=1))
    assert result.value == pytest.approx(2 * 1.418939, abs=4 * result.std_error)


def test_the_interval_is_the_normal_one_of_a_mean():
    log_prob = np.array([-1.0, -2.0, -6.0])
    result = nll_nats(log_prob)
    low, high = scipy.stats.norm.interval(0.95, 3.0, scipy.stats.sem(log_prob))
    assert (result.interval.low, result.interval.high) == pytest.approx((low, high))
    bits = nll_bits_per_dim(log_prob, 4)
    assert bits.std_error == pytest.approx(result.std_error / (4 * math.log(2)))
    assert bits.interval.high == pytest.approx(high / (4 * math.log(2)))


def test_a_single_example_has_a_value_and_no_interval():
    assert bits_per_dim(-math.log(2) * 3, 3) == pytest.approx(1.0)
    assert nll_nats([-2.0]).interval is None


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=9), st.integers(1, 999))
def test_halving_the_dimensions_doubles_the_bits(log_prob, dims):
    assert bits_per_dim(log_prob, dims) == pytest.approx(2 * bits_per_dim(log_prob, 2 * dims))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tensors_and_arrays_agree(dtype):
    values = torch.linspace(-9, -1, 7, dtype=dtype)
    assert bits_per_dim(values, 3) == pytest.approx(bits_per_dim(values.numpy(), 3), rel=1e-15)


@pytest.mark.parametrize(
    ("log_prob", "dims", "words"),
    [
        ([0.0, float("nan")], 1, "NaN.*row 1"),
        ([0.0, -float("inf")], 1, "infinity.*row 1"),
        (float("nan"), 1, "NaN"),
        ([], 1, "0 rows"),
        ([[1.0]], 1, "shape"),
        ([1.0], 0, "dims is 0"),
        ([1.0], 1.5, "dims is 1.5"),
    ],
)
def test_bad_input_is_a_typed_error(log_prob, dims, words):
    with pytest.raises(MetricError, match=words):
        bits_per_dim(log_prob, dims)
