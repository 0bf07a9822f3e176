"""Laws that every metric of features obeys, on drawn sets: sizes, scales, ranks, repeated rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from genbench.metrics import (
    density_coverage,
    frechet_distance,
    frechet_distance_per_class,
    kernel_distance,
    precision_recall,
)

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
