"""Optimal transport against oracles that share no code with it."""

from __future__ import annotations

import math

import numpy as np
import ot
import pytest
import scipy.optimize
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from genbench.errors import MetricError
from genbench.metrics.evaluation import evaluate
from genbench.metrics.transport import (
    block_earth_movers_distances,
    earth_movers_distance,
    sliced_wasserstein,
    sliced_wasserstein_left_out,
)
from genbench.metrics.uncertainty import make_blocks
from tests.oracles.transport import by_linear_programme, by_permutations


def cloud(n, d, seed=0, *, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


def sliced(real, fake, **options):
    return sliced_wasserstein(real, fake, projections=50, seed=0, **options)


# --- exact -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.sampled_from([1, 2, 3.5]), st.integers(0, 99))
def test_it_is_the_best_of_all_permutations(n, d, p, seed):
    real, fake = cloud(n, d, seed), cloud(n, d, seed + 1000)
    value = earth_movers_distance(real, fake, p=p)
    assert value == pytest.approx(by_permutations(real, fake, p), rel=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.sampled_from([1, 2]))
def test_unequal_sizes_solve_the_linear_programme(n, m, d, p):
    real, fake = cloud(n, d, 1), cloud(m, d, 2)
    value = earth_movers_distance(real, fake, p=p)
    assert value == pytest.approx(by_linear_programme(real, fake, p), rel=1e-7)


@settings(deadline=None, max_examples=30)
@given(arrays(np.float64, (40, 1), elements=st.floats(-9, 9)), st.integers(1, 60))
def test_in_one_dimension_it_is_scipys(real, m):
    fake = cloud(m, 1, 3)
    expected = scipy.stats.wasserstein_distance(real[:, 0], fake[:, 0])
    assert earth_movers_distance(real, fake) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("d", "p"), [(5, 1), (5, 2), (40, 1)])
def test_large_sets_are_solved_exactly_like_pot(d, p):
    """Large enough that prices are taken off the costs first."""
    real, fake = cloud(500, d, 1), cloud(500, d, 2, shift=0.3)
    expected = ot.emd2([], [], cdist(real, fake) ** p, numItermax=10**7) ** (1 / p)
    assert earth_movers_distance(real, fake, p=p) == pytest.approx(expected, rel=1e-12)


def test_large_planar_sets_are_solved_exactly_like_scipy():
    """Large and planar goes to the network simplex, whose oracle is the assignment solver."""
    real, fake = cloud(400, 2, 1), cloud(400, 2, 2, shift=0.3)
    cost = cdist(real, fake)
    expected = cost[scipy.optimize.linear_sum_assignment(cost)].mean()
    assert earth_movers_distance(real, fake) == pytest.approx(expected, rel=1e-12)


def test_unequal_sizes_agree_with_equal_ones_made_of_copies():
    real, fake = cloud(40, 6, 1), cloud(60, 6, 2)
    repeated = earth_movers_distance(np.repeat(real, 3, axis=0), np.repeat(fake, 2, axis=0))
    assert earth_movers_distance(real, fake) == pytest.approx(repeated, rel=1e-9)


@pytest.mark.parametrize("d", [2, 40])
@pytest.mark.parametrize("n", [10, 300])
def test_a_set_is_at_distance_0_from_itself_in_any_order(n, d):
    real = cloud(n, d) + 1000
    assert earth_movers_distance(real, real[::-1]) == 0.0


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("d", [2, 40])
def test_a_shifted_copy_is_as_far_as_the_shift(d, p):
    real = cloud(300, d)
    shift = np.full(d, 0.25)
    value = earth_movers_distance(real, real + shift, p=p)
    assert value == pytest.approx(0.25 * math.sqrt(d), rel=1e-9)


def test_duplicated_rows_and_constants_are_fine():
    real, fake = np.ones((300, 20)), np.zeros((300, 20))
    fake[:150] = 1.0
    assert earth_movers_distance(real, fake) == pytest.approx(math.sqrt(20) / 2)
    assert earth_movers_distance(real, np.ones((300, 20))) == 0.0


def test_an_outlier_far_away_is_paid_for():
    real = cloud(300, 8)
    fake = real.copy()
    fake[0] += 1e6
    assert earth_movers_distance(real, fake) == pytest.approx(1e6 * math.sqrt(8) / 300, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_extreme_scales_neither_overflow_nor_vanish(scale):
    real, fake = cloud(20, 3, 1), cloud(20, 3, 2)
    expected = scale * earth_movers_distance(real, fake, p=2)
    assert earth_movers_distance(real * scale, fake * scale, p=2) == pytest.approx(expected)


# --- laws of both ------------------------------------------------------------------------------

pairs = st.tuples(st.integers(1, 15), st.integers(1, 15), st.integers(1, 5), st.integers(0, 99))


@pytest.mark.parametrize("distance", [earth_movers_distance, sliced])
@settings(deadline=None, max_examples=40)
@given(pairs, st.sampled_from([1, 2]))
def test_laws_of_a_distance(distance, shape, p):
    n, m, d, seed = shape
    real, fake, third = cloud(n, d, seed), cloud(m, d, seed + 1), cloud(n + 1, d, seed + 2)
    value = distance(real, fake, p=p)
    rng = np.random.default_rng(seed)
    assert distance(real, real, p=p) == pytest.approx(0.0, abs=1e-12)
    assert distance(fake, real, p=p) == pytest.approx(value)
    assert distance(rng.permutation(real), rng.permutation(fake), p=p) == pytest.approx(value)
    assert distance(3 * real + 1, 3 * fake + 1, p=p) == pytest.approx(3 * value)
    assert distance(np.tile(real, (2, 1)), fake, p=p) == pytest.approx(value)
    assert value <= distance(real, third, p=p) + distance(third, fake, p=p) + 1e-9
    assert distance(real, fake, p=1) <= distance(real, fake, p=2) + 1e-9


@pytest.mark.parametrize("distance", [earth_movers_distance, sliced])
def test_it_grows_with_the_shift(distance):
    real = cloud(300, 4, 1)
    values = [distance(real, cloud(300, 4, 2, shift=s)) for s in (0.0, 0.5, 1.0, 2.0)]
    assert values == sorted(values)


@pytest.mark.parametrize("distance", [earth_movers_distance, sliced])
def test_tensors_arrays_and_dtypes_agree(distance):
    real, fake = cloud(50, 6, 1).astype(np.float32), cloud(50, 6, 2).astype(np.float32)
    value = distance(real, fake)
    assert distance(torch.from_numpy(real), torch.from_numpy(fake)) == value
    assert distance(real.astype(np.float64), fake.astype(np.float64)) == pytest.approx(
        value, rel=1e-6
    )


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99))
def test_exact_transport_is_invariant_under_rotation(seed):
    real, fake = cloud(12, 4, seed), cloud(9, 4, seed + 1)
    rotation = np.linalg.qr(cloud(4, 4, seed + 2))[0]
    value = earth_movers_distance(real, fake)
    assert earth_movers_distance(real @ rotation, fake @ rotation) == pytest.approx(value)


def broken(value, row):
    rows = cloud(5, 3)
    rows[row, 1] = value
    return rows


@pytest.mark.parametrize("distance", [earth_movers_distance, sliced])
@pytest.mark.parametrize(
    ("real", "fake", "p", "words"),
    [
        (broken(np.nan, 2), cloud(5, 3), 1, "real.*NaN.*row 2"),
        (cloud(5, 3), broken(np.inf, 4), 1, "fake.*infinity.*row 4"),
        (cloud(5, 3), cloud(5, 4), 1, "3 dimensions.*4"),
        (cloud(5, 3)[0], cloud(5, 3), 1, "real has shape"),
        (cloud(0, 3), cloud(5, 3), 1, "real has 0 rows"),
        (cloud(5, 3), cloud(0, 3), 1, "fake has 0 rows"),
        (cloud(5, 3), cloud(5, 3), 0.5, "p is 0.5"),
        (cloud(5, 3), cloud(5, 3), math.inf, "p is inf"),
    ],
)
def test_bad_input_is_a_typed_error(distance, real, fake, p, words):
    with pytest.raises(MetricError, match=words):
        distance(real, fake, p=p)


# --- blocks ------------------------------------------------------------------------------------


def test_blocks_are_disjoint_and_averaged():
    real, fake = cloud(1000, 3, 1), cloud(900, 3, 2)
    values, again, other = (
        block_earth_movers_distances(real, fake, block=200, seed=seed) for seed in (0, 0, 1)
    )
    assert len(values) == 4
    assert (values == again).all()
    assert (values != other).all()
    emd = evaluate(real, fake, ["emd"], parameters={"emd": {"block": 200}})["emd"]
    assert emd.value == pytest.approx(values.mean())
    assert emd.std_error == pytest.approx(scipy.stats.sem(values))


def test_each_row_is_in_at_most_one_block():
    """Rows at 0, 1, 2, ... against zeros: with all rows used, block means average to the mean."""
    real = np.arange(60.0)[:, None]
    values = block_earth_movers_distances(real, np.zeros((60, 1)), block=20, seed=3)
    assert values.mean() == pytest.approx(29.5)


def test_small_sets_make_one_block_without_an_error():
    real, fake = cloud(50, 3, 1), cloud(40, 3, 2)
    emd = evaluate(real, fake, ["emd"])["emd"]
    assert (emd.details["blocks"], emd.std_error) == (1, None)
    assert "block=40" in emd.signature


@pytest.mark.parametrize("block", [0, -1, 2.5])
def test_a_block_needs_rows(block):
    with pytest.raises(MetricError, match="block is"):
        block_earth_movers_distances(cloud(5, 2), cloud(5, 2), block=block, seed=0)


# --- sliced ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_one_dimension_needs_no_directions(n, m, seed):
    real, fake = cloud(n, 1, seed), cloud(m, 1, seed + 1)
    expected = scipy.stats.wasserstein_distance(real[:, 0], fake[:, 0])
    assert sliced(real, fake, p=1) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("p", [1, 2])
def test_sliced_agrees_with_pot_on_the_same_directions(p):
    real, fake = cloud(60, 5, 1), cloud(45, 5, 2)
    u = np.random.default_rng(0).standard_normal((50, 5))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    expected = ot.sliced_wasserstein_distance(real, fake, projections=u.T, p=p)
    assert sliced(real, fake, p=p) == pytest.approx(expected, rel=1e-9)


def test_a_shift_scores_its_length_over_root_d():
    real = cloud(100, 9)
    value = sliced_wasserstein(real, real + 2.0, projections=4000, seed=0)
    assert value == pytest.approx(2.0, rel=0.05)  # |shift| = 2 sqrt(9), over sqrt(9)


def test_directions_come_from_the_seed():
    real, fake = cloud(50, 4, 1), cloud(50, 4, 2)
    values = [sliced_wasserstein(real, fake, projections=9, seed=s) for s in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("projections", [0, 1.5])
def test_projections_are_a_count(projections):
    with pytest.raises(MetricError, match="projections is"):
        sliced_wasserstein(cloud(5, 2), cloud(5, 2), projections=projections, seed=0)


def test_left_out_values_are_those_of_the_remaining_rows():
    real, fake = cloud(70, 3, 1), cloud(90, 3, 2)
    blocks = make_blocks(90, count=20, seed=0)
    values = sliced_wasserstein_left_out(real, fake, blocks, 50, 2, seed=0)
    for block in (0, 7, 19):
        kept = fake[blocks.of_row != block]
        assert values[block] == pytest.approx(sliced(real, kept), rel=1e-12)
