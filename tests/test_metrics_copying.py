"""Memorisation metrics against brute force, SciPy's Mann-Whitney test, and planted copies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from genbench.errors import MetricError
from genbench.metrics.authentic import authenticity
from genbench.metrics.copying import data_copying
from genbench.metrics.search import nearest_rows
from tests.oracles import copying


def cloud(n, d, seed, *, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, d)) + shift


# --- nearest rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 3000.0])
def test_nearest_rows_are_those_of_brute_force(dtype, offset):
    """Several tiles each way; far from the origin, where float32 products lose digits."""
    queries = (cloud(700, 9, 0) + offset).astype(dtype)
    rows = (cloud(2500, 9, 1) + offset).astype(dtype)
    cost = cdist(queries.astype(np.float64), rows.astype(np.float64))
    found = nearest_rows(queries, rows)
    assert (found.index == cost.argmin(axis=1)).all()
    np.testing.assert_allclose(found.distance, cost.min(axis=1), rtol=1e-12)


grid = st.integers(2, 30).flatmap(
    lambda n: arrays(np.float32, (n, 2), elements=st.integers(0, 3).map(float))
)


@settings(deadline=None)
@given(grid, grid)
def test_exact_ties_go_to_the_first_row(queries, rows):
    cost = cdist(queries, rows)
    found = nearest_rows(queries, rows)
    assert (found.index == cost.argmin(axis=1)).all()
    np.testing.assert_array_equal(found.distance, cost.min(axis=1))


@settings(deadline=None)
@given(grid)
def test_an_excluded_row_is_never_found(rows):
    cost = cdist(rows, rows)
    np.fill_diagonal(cost, np.inf)
    found = nearest_rows(rows, rows, exclude=np.arange(len(rows)))
    assert (found.index == cost.argmin(axis=1)).all()


def test_differences_below_float32_still_decide():
    """Both candidates round to the same float32 product; the second is nearer by 1e-9."""
    rows = np.array([[1.0, 1e-9], [1.0, 0.0], [5.0, 5.0]])
    found = nearest_rows(np.array([[1.0, 0.0]]), rows)
    assert (found.index[0], found.distance[0]) == (1, 0.0)
    assert nearest_rows(np.array([[1.0, 0.0]]), rows[[0, 2]]).distance[0] == pytest.approx(1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales_neither_overflow_nor_vanish(scale):
    queries, rows = cloud(20, 3, 0), cloud(30, 3, 1)
    found, expected = nearest_rows(queries * scale, rows * scale), nearest_rows(queries, rows)
    assert (found.index == expected.index).all()
    np.testing.assert_allclose(found.distance, expected.distance * scale)


# --- C_T ---------------------------------------------------------------------------------------

CENTRES = np.array([[0.0, 0.0], [90.0, 0.0], [0.0, 90.0]])


def clusters(counts, seed, *, spread=1.0):
    """`counts` rows around three centres so far apart that the cells are known."""
    noise = cloud(sum(counts), 2, seed) * spread
    return np.repeat(CENTRES, counts, axis=0) + noise


def mann_whitney(train, test, fake):
    """SciPy's z of the distances; without ties its variance is the paper's."""
    far = [cdist(rows, train).min(axis=1) for rows in (fake, test)]
    n, m = len(test), len(fake)
    u = scipy.stats.mannwhitneyu(*far).statistic
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    two_sided = scipy.stats.mannwhitneyu(*far, method="asymptotic", use_continuity=False).pvalue
    assert two_sided == pytest.approx(2 * scipy.stats.norm.sf(abs(z)))
    return z


def test_it_is_scipys_mann_whitney_in_each_cell_weighted_by_held_out_rows():
    train, test, fake = (
        clusters(c, s, spread=w)
        for s, (c, w) in enumerate([((200, 100, 150), 1), ((60, 30, 10), 1), ((40, 80, 25), 1.3)])
    )
    edges = [np.cumsum([0, *c]) for c in [(200, 100, 150), (60, 30, 10), (40, 80, 25)]]
    weights = [0.6, 0.3, 0.1]
    z = [mann_whitney(*(rows[e[i] : e[i + 1]]
         for rows, e in zip((train, test, fake), edges, strict=True)))
         for i in range(3)]  # fmt: skip
    result = data_copying(train, test, fake, seed=0)
    c_t = float(np.dot(weights, z))
    assert result.c_t == pytest.approx(c_t)
    assert result.z == pytest.approx(c_t / math.sqrt(0.6**2 + 0.3**2 + 0.1**2))
    assert result.skipped == 0
    assert sorted((c.n_test, c.n_fake) for c in result.cells) == [(10, 25), (30, 80), (60, 40)]
    assert sum(c.weight for c in result.cells) == pytest.approx(1.0)


def test_cells_with_at_most_20_generated_rows_are_skipped_and_counted():
    train, test = clusters((200, 100, 150), 0), clusters((60, 30, 10), 1)
    result = data_copying(train, test, clusters((40, 21, 20), 2), seed=0)
    assert result.skipped == 1
    by_size = {cell.n_test: cell for cell in result.cells}
    assert (by_size[10].z, by_size[10].weight) == (None, 0.0)
    assert by_size[60].weight == pytest.approx(60 / 90)
    with pytest.raises(MetricError, match="no cell has more than 20 generated rows"):
        data_copying(train, test, clusters((20, 20, 20), 2), seed=0)


def test_a_cell_without_held_out_rows_is_skipped():
    result = data_copying(
        clusters((50, 50, 50), 0), clusters((30, 30, 0), 1), clusters((30, 30, 30), 2), seed=0
    )
    assert result.skipped == 1


@pytest.mark.slow
def test_under_the_null_z_is_standard_normal():
    rng = np.random.default_rng(0)
    z = []
    for repeat in range(100):
        train, test, fake = (rng.standard_normal((n, 4)) for n in (300, 150, 200))
        z.append(data_copying(train, test, fake, seed=repeat).z)
    assert np.mean(z) == pytest.approx(0.0, abs=4 / math.sqrt(100))
    assert np.std(z) == pytest.approx(1.0, abs=4 / math.sqrt(200))


@pytest.mark.slow
def test_the_standard_error_is_the_spread_over_fresh_generated_rows():
    rng = np.random.default_rng(1)
    train, test = rng.standard_normal((300, 3)), rng.standard_normal((200, 3))
    results = [data_copying(train, test, rng.standard_normal((150, 3)) * 1.1, seed=0)
               for _ in range(80)]  # fmt: skip
    spread = np.std([r.c_t for r in results], ddof=1)
    assert np.mean([r.std_error for r in results]) == pytest.approx(spread, rel=0.3)


def test_copies_are_far_below_0_and_far_rows_far_above():
    train, test = cloud(500, 5, 0), cloud(300, 5, 1)
    assert data_copying(train, test, train[:300], seed=0).z < -10
    jittered = train[:300] + 0.05 * cloud(300, 5, 2)
    assert data_copying(train, test, jittered, seed=0).z < -10
    assert data_copying(train, test, cloud(300, 5, 3) * 2, seed=0).z > 10


def test_swapping_held_out_and_generated_rows_changes_the_sign():
    train, test, fake = cloud(400, 3, 0), cloud(200, 3, 1), cloud(200, 3, 2) * 1.5
    there = data_copying(train, test, fake, seed=0)
    back = data_copying(train, fake, test, seed=0)
    assert there.z > 3
    assert back.z < -3


def test_many_dimensions_are_reduced_to_the_training_rows_main_ones():
    """70 dimensions of which 6 are nearly constant: dropping those changes little, and copies
    hidden behind noise in them are still copies."""
    width = np.r_[np.ones(64), np.full(6, 1e-6)]
    train, test, fake = (cloud(n, 70, s) * width for s, n in enumerate((400, 200, 200)))
    wide = data_copying(train, test, fake, seed=0)
    narrow = data_copying(train[:, :64], test[:, :64], fake[:, :64], seed=0)
    assert wide.c_t == pytest.approx(narrow.c_t, abs=0.3)
    noisy = train[:200] + cloud(200, 70, 5) * np.r_[np.zeros(64), np.full(6, 1e-4)]
    assert data_copying(train, test, noisy, seed=0).z < -10


def test_row_order_seed_and_type_do_not_matter_where_cells_are_clear():
    sets = [clusters((90, 80, 70), s) for s in range(3)]
    result = data_copying(*sets, seed=0)
    rng = np.random.default_rng(0)
    shuffled = data_copying(*(rng.permutation(x) for x in sets), seed=5)
    assert shuffled.c_t == pytest.approx(result.c_t)
    tensors = data_copying(*(torch.from_numpy(x) for x in sets), seed=0)
    assert tensors == result
    assert data_copying(*(x * 1e30 for x in sets), seed=0).c_t == pytest.approx(result.c_t)


def test_constant_rows_are_neither_copies_nor_a_crash():
    ones = np.ones((30, 80))
    assert data_copying(ones, ones, ones, seed=0).c_t == 0.0
    assert authenticity(ones, ones) == 0.0


# --- authenticity ------------------------------------------------------------------------------


@settings(deadline=None)
@given(grid, grid)
def test_authenticity_is_its_definition(train, fake):
    assert authenticity(train, fake) == pytest.approx(copying.authenticity(train, fake))


def test_copies_are_never_authentic_and_far_rows_always():
    train = cloud(300, 20, 0).astype(np.float32) + 100
    assert authenticity(train, train[::2]) == 0.0
    assert authenticity(train, train[::2] + 50) == 1.0
    mixed = np.concatenate([train[:100], train[:100] + 50])
    assert authenticity(train, mixed) == 0.5


def test_authenticity_depends_on_which_set_is_which():
    train, fake = cloud(200, 2, 0), cloud(200, 2, 1) * 3
    assert authenticity(train, fake) > authenticity(fake, train) + 0.1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99))
def test_authenticity_ignores_order_rotation_scale_and_type(seed):
    train, fake = cloud(60, 4, seed), cloud(40, 4, seed + 1)
    value = authenticity(train, fake)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(cloud(4, 4, seed + 2))[0] * 7
    assert authenticity(rng.permutation(train), rng.permutation(fake)) == value
    assert authenticity(train @ turn + 3, fake @ turn + 3) == value
    assert authenticity(torch.from_numpy(train), torch.from_numpy(fake)) == value


def broken(value, row):
    rows = cloud(30, 3, 0)
    rows[row, 1] = value
    return rows


good = cloud(30, 3, 1)


@pytest.mark.parametrize(
    ("train", "test", "fake", "words"),
    [
        (broken(np.nan, 2), good, good, "train.*NaN.*row 2"),
        (good, broken(np.inf, 3), good, "test.*infinity.*row 3"),
        (good, good, broken(np.nan, 4), "fake.*NaN.*row 4"),
        (good, good[:, :2], good, "train has 3 dimensions and test has 2"),
        (good, good, good[:, :2], "train has 3 dimensions and fake has 2"),
        (good, good[0], good, "test has shape"),
        (good[:2], good, good, "train has 2 rows: at least 3"),
        (good, good[:0], good, "test has 0 rows"),
    ],
)
def test_bad_input_to_data_copying_is_a_typed_error(train, test, fake, words):
    with pytest.raises(MetricError, match=words):
        data_copying(train, test, fake, seed=0)


@pytest.mark.parametrize(
    ("train", "fake", "words"),
    [
        (broken(np.nan, 2), good, "train.*NaN.*row 2"),
        (good, broken(np.inf, 4), "fake.*infinity.*row 4"),
        (good, good[:, :2], "3 dimensions.*2"),
        (good[:1], good, "train has 1 rows: at least 2"),
        (good, good[:0], "fake has 0 rows"),
        (good[0], good, "train has shape"),
    ],
)
def test_bad_input_to_authenticity_is_a_typed_error(train, fake, words):
    with pytest.raises(MetricError, match=words):
        authenticity(train, fake)
