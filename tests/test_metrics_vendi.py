"""The Vendi score against its definition (the n x n kernel) and against counts of groups."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from genbench.errors import MetricError
from genbench.metrics.vendi import vendi_score
from tests.oracles.vendi import vendi

rows = st.tuples(st.integers(1, 12), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-5, 5))
).filter(lambda x: (np.abs(x).max(axis=1) > 1e-3).all())  # fmt: skip


@settings(deadline=None)
@given(rows)
def test_it_is_the_entropy_of_the_kernels_spectrum(x):
    assert vendi_score(x) == pytest.approx(vendi(x), rel=1e-6)


@settings(deadline=None)
@given(rows, st.floats(0.01, 100), st.integers(0, 99))
def test_order_scale_repetition_and_rotation_do_not_matter(x, scale, seed):
    score = vendi_score(x)
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.standard_normal((x.shape[1], x.shape[1])))[0]
    assert vendi_score(rng.permutation(x) * scale) == pytest.approx(score, rel=1e-6)
    assert vendi_score(np.concatenate([x, x])) == pytest.approx(score, rel=1e-6)
    assert vendi_score(x @ rotation) == pytest.approx(score, rel=1e-6)
    assert 1 - 1e-9 <= score <= min(x.shape) + 1e-6


@pytest.mark.parametrize("modes", [1, 3, 7])
def test_equal_orthogonal_groups_are_counted(modes):
    assert vendi_score(np.repeat(np.eye(8)[:modes], 40, axis=0)) == pytest.approx(modes)


def test_a_rare_mode_counts_for_less_than_one():
    x = np.repeat(np.eye(2), [99, 1], axis=0)
    assert vendi_score(x) == pytest.approx(np.exp(-0.99 * np.log(0.99) - 0.01 * np.log(0.01)))


def test_constant_and_single_rows_are_one_mode():
    assert vendi_score(np.ones((9, 4))) == pytest.approx(1.0)
    assert vendi_score([[3.0, -1.0]]) == pytest.approx(1.0)


def test_extreme_values_stay_finite():
    x = np.eye(3) * 1e-200 + 1e-201
    assert vendi_score(x) == pytest.approx(vendi_score(x * 1e300 * 1e99), rel=1e-9)


def test_float32_tensors_and_float64_arrays_agree():
    x = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
    assert vendi_score(x) == pytest.approx(vendi_score(x.double().numpy()), rel=1e-6)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        ([[1.0], [np.nan]], "features.*NaN.*row 1"),
        ([1.0, 2.0], "shape"),
        (np.zeros((0, 3)), "0 rows"),
        ([[1.0, 0.0], [0.0, 0.0]], "zero in 1 of 2 rows.*row 1"),
    ],
)
def test_bad_input_is_a_typed_error(x, words):
    with pytest.raises(MetricError, match=words):
        vendi_score(x)
