"""The sample contract: what a space accepts, and what it says about everything else."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genbench.generator import Space, to_uint8
from genbench.plugins.contract import label_violation
from genbench.plugins.driver import requested_labels

IMAGE = Space("image", (1, 4, 4), levels=17, classes=10)
POINTS = Space("points", (2,))


def test_a_sound_batch_passes() -> None:
    assert IMAGE.violation(torch.full((3, 1, 4, 4), 16, dtype=torch.uint8), 3) is None
    assert POINTS.violation(torch.zeros(5, 2), 5) is None
    assert Space("sequence", (7,), levels=9).violation(torch.full((2, 7), 8), 2) is None
    assert Space("waveform", (9,)).violation(torch.full((2, 9), -1.0), 2) is None


@pytest.mark.parametrize(
    ("space", "x", "n", "message"),
    [
        (POINTS, [[0.0, 1.0]], 1, "not a torch.Tensor"),
        (POINTS, torch.zeros(3, 3), 3, r"shape \(3, 3\), expected \(3, 2\)"),
        (POINTS, torch.zeros(2, 2), 3, r"shape \(2, 2\), expected \(3, 2\)"),
        (POINTS, torch.zeros(3, 2).double(), 3, "torch.float64, expected torch.float32"),
        (POINTS, torch.tensor([[0.0, 0.0], [0.0, torch.nan]]), 2, "1 of 2 rows .first: row 1"),
        (POINTS, torch.tensor([[torch.inf, 0.0]]), 1, "NaN or infinity"),
        (IMAGE, torch.zeros(1, 1, 4, 4), 1, "to_uint8"),
        (IMAGE, torch.full((1, 1, 4, 4), 17, dtype=torch.uint8), 1, r"17\.\.17, expected 0\.\.16"),
        (Space("waveform", (2,)), torch.tensor([[0.0, 1.5]]), 1, r"leaves \[-1, 1\]"),
        (Space("sequence", (2,), levels=5), torch.tensor([[0, -1]]), 1, "expected 0..4"),
    ],
)
def test_a_breach_is_named(space: Space, x: object, n: int, message: str) -> None:
    found = space.violation(x, n)
    assert found is not None
    assert re.search(message, found), found


@given(st.floats(-2, 2), st.integers(2, 256))
def test_to_uint8_rounds_and_clips(value: float, levels: int) -> None:
    got = int(to_uint8(torch.tensor([value]), -1.0, 1.0, levels)[0])
    exact = (value + 1) / 2 * (levels - 1)
    assert 0 <= got <= levels - 1
    assert abs(got - min(max(exact, 0), levels - 1)) <= 0.5 + 1e-3


def test_to_uint8_neither_truncates_nor_wraps() -> None:
    x = torch.tensor([-1.2, -1.0, 0.999, 1.0, 1.2])
    assert to_uint8(x, -1, 1).tolist() == [0, 0, 255, 255, 255]


@given(st.integers(1, 300), st.integers(0, 99))
def test_requested_labels_keep_the_training_proportions(n: int, seed: int) -> None:
    train = np.repeat(np.arange(3), [70, 20, 10])
    labels = requested_labels(train, 3, n, seed)
    counts = np.bincount(labels, minlength=3)
    assert labels.dtype == np.int64
    assert len(labels) == n
    assert np.all(np.abs(counts - n * np.array([0.7, 0.2, 0.1])) < 1)


def test_requested_labels_are_permuted_by_the_seed() -> None:
    train = np.repeat(np.arange(10), 10)
    one, two = requested_labels(train, 10, 50, 1), requested_labels(train, 10, 50, 2)
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(np.sort(one), np.sort(two))


def test_labels_out_of_range_are_named() -> None:
    assert label_violation(torch.tensor([0, 9]), 2, 10) is None
    assert "0..9" in str(label_violation(torch.tensor([0, 10]), 2, 10))
    assert "int64" in str(label_violation(torch.tensor([0.0]), 1, 10))
