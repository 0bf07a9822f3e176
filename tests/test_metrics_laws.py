"""Laws that every metric of features obeys, on drawn sets: sizes, scales, ranks, repeated rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from genbench.errors import MetricError
from genbench.metrics.copying import data_copying
from genbench.metrics.frechet import (
    frechet_distance,
    frechet_distance_infinity,
    frechet_distance_per_class,
)
from genbench.metrics.inception import inception_score
from genbench.metrics.kernel import kernel_distance
from genbench.metrics.neighbours import density_coverage, precision_recall
from genbench.metrics.two_sample import classifier_two_sample

Rows = NDArray[Any]
Metric = Callable[[Rows, Rows], float]


def u_statistic(real: Rows, fake: Rows) -> float:
    size = min(len(real), len(fake))
    return kernel_distance(real, fake, subsets=1, subset_size=size).u_statistic


def per_class(real: Rows, fake: Rows) -> float:
    one = [np.zeros(len(rows), int) for rows in (real, fake)]
    mean = frechet_distance_per_class(real, fake, real_labels=one[0], fake_labels=one[1]).mean
    assert mean is not None
    return mean


METRICS: dict[str, Metric] = {
    "frechet": frechet_distance,
    "frechet per class": per_class,
    "kernel": u_statistic,
    "precision": lambda real, fake: precision_recall(real, fake).precision,
    "recall": lambda real, fake: precision_recall(real, fake).recall,
    "density": lambda real, fake: density_coverage(real, fake).density,
    "coverage": lambda real, fake: density_coverage(real, fake).coverage,
}
DISTANCES = ("frechet", "frechet per class", "kernel")
NEIGHBOURS = ("precision", "recall", "density", "coverage")


@dataclass(frozen=True)
class Pair:
    """Two drawn sets and the generator to draw more from."""

    real: Rows
    fake: Rows
    rng: np.random.Generator


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Gaussian sets of random size, dimension, rank and offset."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    d = draw(st.integers(1, 9))
    rank = draw(st.integers(1, d))
    mixing = rng.normal(size=(rank, d))
    offset = draw(st.sampled_from([0.0, 1.0, 30.0]))
    sizes = [draw(st.integers(8, 60)) for _ in range(2)]
    real, fake = (rng.normal(size=(n, rank)) @ mixing + offset for n in sizes)
    return Pair(real, fake * draw(st.floats(0.5, 2)) + draw(st.floats(-1, 1)), rng)


laws = settings(max_examples=12, deadline=None, derandomize=True)


def agree(a: float, b: float, pair: Pair) -> None:
    scale = float(np.square(pair.real).sum(axis=1).mean() + np.square(pair.fake).sum(axis=1).mean())
    assert_allclose(a, b, rtol=1e-6, atol=1e-6 * (1 + scale) ** 3)


@pytest.mark.parametrize("name", METRICS)
@laws
@given(pair=pairs())
def test_the_order_of_rows_does_not_matter(name: str, pair: Pair) -> None:
    metric = METRICS[name]
    real, fake = pair.rng.permutation(pair.real), pair.rng.permutation(pair.fake)
    agree(metric(real, fake), metric(pair.real, pair.fake), pair)


@pytest.mark.parametrize("name", METRICS)
@laws
@given(pair=pairs())
def test_values_are_finite_and_in_range_at_any_rank(name: str, pair: Pair) -> None:
    value = METRICS[name](pair.real, pair.fake)
    assert np.isfinite(value)
    if name != "kernel":
        assert value >= 0
    if name in ("precision", "recall", "coverage"):
        assert value <= 1


@pytest.mark.parametrize("name", METRICS)
@laws
@given(pair=pairs())
def test_a_rotation_of_both_sets_does_not_matter(name: str, pair: Pair) -> None:
    metric, d = METRICS[name], pair.real.shape[1]
    rotation = np.linalg.qr(pair.rng.normal(size=(d, d)))[0]
    agree(metric(pair.real @ rotation, pair.fake @ rotation), metric(pair.real, pair.fake), pair)


@pytest.mark.parametrize("name", ["frechet", "frechet per class", *NEIGHBOURS])
@laws
@given(pair=pairs(), shift=st.floats(-50, 50))
def test_a_shift_of_both_sets_does_not_matter(name: str, pair: Pair, shift: float) -> None:
    metric = METRICS[name]
    agree(metric(pair.real + shift, pair.fake + shift), metric(pair.real, pair.fake), pair)


@pytest.mark.parametrize("name", NEIGHBOURS)
@laws
@given(pair=pairs(), exponent=st.integers(-20, 20))
def test_neighbours_do_not_know_units(name: str, pair: Pair, exponent: int) -> None:
    metric, scale = METRICS[name], 2.0**exponent
    assert metric(pair.real * scale, pair.fake * scale) == metric(pair.real, pair.fake)


@laws
@given(pair=pairs(), exponent=st.integers(-20, 20))
def test_the_frechet_distance_scales_with_the_square(pair: Pair, exponent: int) -> None:
    scale = 2.0**exponent
    scaled = frechet_distance(pair.real * scale, pair.fake * scale) / scale**2
    agree(scaled, frechet_distance(pair.real, pair.fake), pair)


@pytest.mark.parametrize("name", DISTANCES)
@laws
@given(pair=pairs())
def test_distances_are_symmetric(name: str, pair: Pair) -> None:
    metric = METRICS[name]
    agree(metric(pair.fake, pair.real), metric(pair.real, pair.fake), pair)


@laws
@given(pair=pairs())
def test_swapping_the_sets_swaps_precision_and_recall(pair: Pair) -> None:
    one, other = precision_recall(pair.real, pair.fake), precision_recall(pair.fake, pair.real)
    assert (one.precision, one.recall) == (other.recall, other.precision)


@pytest.mark.parametrize("name", ["density", "coverage"])
def test_density_and_coverage_are_not_symmetric(name: str) -> None:
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(100, 3)), rng.normal(size=(100, 3)) * 0.3
    assert abs(METRICS[name](real, fake) - METRICS[name](fake, real)) > 0.2


@pytest.mark.parametrize("name", ["frechet", "frechet per class"])
@laws
@given(pair=pairs())
def test_a_set_is_at_no_distance_from_itself(name: str, pair: Pair) -> None:
    agree(METRICS[name](pair.real, pair.real), 0.0, pair)


@pytest.mark.parametrize("name", ["precision", "recall", "coverage"])
@laws
@given(pair=pairs())
def test_a_set_covers_itself(name: str, pair: Pair) -> None:
    assert METRICS[name](pair.real, pair.real) == 1.0


@pytest.mark.parametrize("name", METRICS)
@laws
@given(pair=pairs())
def test_a_far_shift_of_fake_is_bad_in_the_direction_of_the_metric(name: str, pair: Pair) -> None:
    metric = METRICS[name]
    near, far = metric(pair.real, pair.real + 1e-9), metric(pair.real, pair.real + 500.0)
    assert far > near if name in DISTANCES else far == 0 < near


@pytest.mark.parametrize("name", DISTANCES)
@laws
@given(pair=pairs())
def test_float32_and_float64_agree(name: str, pair: Pair) -> None:
    real, fake = (np.round(rows * 4) for rows in (pair.real, pair.fake))  # exact in both
    single = METRICS[name](real.astype(np.float32), fake.astype(np.float32))
    agree(single, METRICS[name](real, fake), Pair(real, fake, pair.rng))


# Metrics that draw or train: laws hold for the same seed, or in the way that their docstrings say.


@st.composite
def large_pairs(draw: st.DrawFn) -> Pair:
    """Sets of enough rows for FID infinity, the two-sample test and C_T."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    d = draw(st.integers(1, 5))
    mixing = rng.normal(size=(draw(st.integers(1, d)), d))
    sizes = [draw(st.integers(80, 160)) for _ in range(2)]
    real, fake = (rng.normal(size=(n, len(mixing))) @ mixing for n in sizes)
    return Pair(real, fake * draw(st.floats(0.5, 2)) + draw(st.floats(-1, 1)), rng)


def infinity(real: Rows, fake: Rows) -> float:
    return frechet_distance_infinity(real, fake, seed=3).value


def two_sample(real: Rows, fake: Rows) -> float:
    return classifier_two_sample(real, fake, seed=3).accuracy


def copying(real: Rows, fake: Rows) -> float:
    """C_T of generated rows, half of the real ones held out."""
    half = len(real) // 2
    return c_t(real[:half], real[half:], fake)


def c_t(train: Rows, test: Rows, fake: Rows) -> float:
    """C_T; a draw that fills no cell with more than 20 generated rows is not one of the law's."""
    try:
        return data_copying(train, test, fake, seed=3).c_t
    except MetricError:
        reject()


def score(probabilities: Rows, splits: int = 1) -> float:
    return inception_score(probabilities, splits=splits).mean


SEEDED: dict[str, Metric] = {
    "fid infinity": infinity, "two-sample": two_sample, "C_T": copying,
}  # fmt: skip


@pytest.mark.parametrize("name", SEEDED)
@laws
@given(pair=large_pairs(), exponent=st.integers(-10, 10))
def test_seeded_metrics_know_their_units(name: str, pair: Pair, exponent: int) -> None:
    scale = 2.0**exponent
    found = SEEDED[name](pair.real * scale, pair.fake * scale)
    expected = SEEDED[name](pair.real, pair.fake)
    agree(found / (scale**2 if name == "fid infinity" else 1), expected, pair)


@pytest.mark.parametrize("name", SEEDED)
@laws
@given(pair=large_pairs())
def test_seeded_metrics_repeat_and_take_any_dtype(name: str, pair: Pair) -> None:
    real, fake = (np.round(rows * 64) / 64 for rows in (pair.real, pair.fake))  # exact in both
    value = SEEDED[name](real, fake)
    assert SEEDED[name](real, fake) == value
    agree(SEEDED[name](real.astype(np.float32), fake.astype(np.float32)), value, pair)


@pytest.mark.parametrize("name", SEEDED)
@laws
@given(pair=large_pairs())
def test_seeded_metrics_are_finite_and_worse_for_far_rows(name: str, pair: Pair) -> None:
    fresh = pair.rng.permutation(pair.real) + 1e-9
    near, far = SEEDED[name](pair.real, fresh), SEEDED[name](pair.real, fresh + 500.0)
    assert np.isfinite([near, far, SEEDED[name](pair.real, pair.fake)]).all()
    assert far > near
    if name == "two-sample":
        assert 0 <= near <= 1 == far


@laws
@given(pair=large_pairs(), shift=st.floats(-50, 50))
def test_fid_infinity_ignores_a_common_rotation_and_shift(pair: Pair, shift: float) -> None:
    d = pair.real.shape[1]
    rotation = np.linalg.qr(pair.rng.normal(size=(d, d)))[0]
    moved = (rows @ rotation + shift for rows in (pair.real, pair.fake))
    agree(infinity(*moved), infinity(pair.real, pair.fake), pair)


@laws
@given(pair=large_pairs())
def test_copying_ignores_the_order_of_held_out_and_generated_rows(pair: Pair) -> None:
    half = len(pair.real) // 2
    train, test = pair.real[:half], pair.real[half:]
    mixed = [pair.rng.permutation(rows) for rows in (test, pair.fake)]
    one, other = (c_t(train, *rows) for rows in ((test, pair.fake), mixed))
    agree(one, other, pair)
    assert c_t(train, test, train) < min(0.0, one + 1e-9)


@laws
@given(pair=large_pairs())
def test_what_is_no_law_of_seeded_metrics_is_none(pair: Pair) -> None:
    """C_T has a direction: held-out rows against generated ones changes its sign."""
    half = len(pair.real) // 2
    train, test, spread = pair.real[:half], pair.real[half:], pair.fake * 3 + 9
    assert c_t(train, test, spread) > 0 > c_t(train, spread, test)


@st.composite
def distributions(draw: st.DrawFn) -> Rows:
    """Class probabilities, some of them certain."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(20, 60)), draw(st.integers(2, 8)))
    logits = rng.normal(size=shape) * draw(st.sampled_from([0.0, 1.0, 5.0, 800.0]))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True))


@laws
@given(p=distributions(), seed=st.integers(0, 99))
def test_laws_of_the_classifier_score(p: Rows, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, classes = p.shape
    for splits in (1, 10):
        assert 1 - 1e-12 <= score(p, splits) <= classes + 1e-9
        assert_allclose(score(p[:, rng.permutation(classes)], splits), score(p, splits))
    assert_allclose(score(rng.permutation(p)), score(p))
    assert_allclose(score(np.concatenate([p, p])), score(p))
    assert_allclose(score(np.repeat(p[:1], n, axis=0)), 1)
    assert_allclose(score(np.tile(np.eye(classes), (10, 1))), classes)
    # Less sure, the same mix of classes: never more.
    assert score((p + p.mean(axis=0)) / 2) <= score(p) + 1e-12
    assert_allclose(score(p.astype(np.float32).astype(np.float64)), score(p), rtol=1e-5)
