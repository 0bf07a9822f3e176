"""Intervals: the fast leave-a-block-out values equal leaving rows out and starting again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from genbench.metrics import moments as moments_module
from genbench.metrics.evaluation import evaluate
from genbench.metrics.frechet import frechet_distance, frechet_distance_per_class
from genbench.metrics.inception import inception_estimate, inception_score
from genbench.metrics.kernel import kernel_distance
from genbench.metrics.moments import distances_without_blocks, moments
from genbench.metrics.neighbours import density_coverage, precision_recall
from genbench.metrics.uncertainty import (
    BLOCKS,
    block_jackknife,
    block_mean,
    make_blocks,
    normal_mean,
    trainings_mean,
    wilson_share,
)

N, D = 420, 5
T19 = 2.093024054408263


def rows(seed: int, n: int = N, shift: float = 0.0) -> NDArray[Any]:
    return np.random.default_rng(seed).normal(size=(n, D)) + shift


def leave_out_by_hand(metric: Callable[[Any], float], n: int = N) -> NDArray[Any]:
    blocks = make_blocks(n)
    assert blocks is not None
    return np.array([metric(blocks.of_row != block) for block in range(BLOCKS)])


REAL, FAKE = rows(0), rows(1, shift=0.6)
LEFT_OUT: dict[str, Callable[[Any], float]] = {
    "fid": lambda kept: frechet_distance(REAL, FAKE[kept]),
    "recall": lambda kept: precision_recall(REAL, FAKE[kept]).recall,
    "density": lambda kept: density_coverage(REAL, FAKE[kept]).density,
    "coverage": lambda kept: density_coverage(REAL, FAKE[kept]).coverage,
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_jackknife_intervals_equal_those_made_by_hand(name: str) -> None:
    left_out = leave_out_by_hand(LEFT_OUT[name])
    expected = np.sqrt((BLOCKS - 1) / BLOCKS * np.square(left_out - left_out.mean()).sum())
    found = evaluate(REAL, FAKE, [name])[name]
    assert expected > 0
    assert found.interval is not None
    assert found.interval.method == "block-jackknife"
    assert_allclose(found.std_error, expected, rtol=1e-6)
    assert_allclose(found.interval.high, min(found.value + T19 * expected, _top(name)), rtol=1e-6)


def _top(name: str) -> float:
    return 1.0 if name in ("recall", "coverage") else np.inf


@pytest.mark.parametrize("duplicates", [2, 30])
def test_recall_without_a_block_is_exact_when_neighbours_share_blocks(duplicates: int) -> None:
    fake = np.repeat(rows(2, n=60 // duplicates * 7), duplicates, axis=0) * 1.5
    left_out = leave_out_by_hand(lambda kept: precision_recall(REAL, fake[kept]).recall, len(fake))
    expected = np.sqrt((BLOCKS - 1) / BLOCKS * np.square(left_out - left_out.mean()).sum())
    found = evaluate(REAL, fake, ["recall"])["recall"]
    if found.value == 0:  # no block changes anything
        expected = wilson_share(0, len(REAL)).std_error
    assert_allclose(found.std_error, expected, atol=1e-12)


def test_kernel_standard_error_is_that_of_the_u_statistic_and_the_subsets() -> None:
    everything = {"subsets": 1, "subset_size": 380}
    left_out = leave_out_by_hand(
        lambda kept: kernel_distance(REAL, FAKE[kept], **everything).u_statistic
    )
    jackknife = (BLOCKS - 1) / BLOCKS * np.square(left_out - left_out.mean()).sum()
    found = kernel_distance(REAL, FAKE, subsets=10, subset_size=100)
    assert_allclose(found.std_error, np.sqrt(jackknife + found.std**2 / 10), rtol=1e-9)


def test_precision_is_a_share_of_independent_rows() -> None:
    found = evaluate(REAL, FAKE, ["precision"])["precision"]
    share = wilson_share(round(found.value * N), N)
    assert found.interval == share.interval
    assert found.interval is not None
    assert found.interval.method == "wilson"


def test_inception_leave_outs_equal_those_made_by_hand() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(6) * 0.3, size=N)
    blocks = make_blocks(N)

    def one_split(kept: Any) -> float:
        return inception_score(p[kept], splits=1).mean

    left_out = leave_out_by_hand(one_split)
    expected = block_jackknife(inception_score(p, splits=1).mean, left_out, low=1.0)
    found = inception_estimate(p, blocks, splits=1)[1]
    assert_allclose(found.std_error, expected.std_error, rtol=1e-9)


def test_per_class_leave_outs_equal_those_made_by_hand() -> None:
    labels = np.arange(N) % 3
    left_out = leave_out_by_hand(
        lambda kept: (
            frechet_distance_per_class(
                REAL, FAKE[kept], real_labels=labels, fake_labels=labels[kept]
            ).mean
            or 0.0
        )
    )
    expected = np.sqrt((BLOCKS - 1) / BLOCKS * np.square(left_out - left_out.mean()).sum())
    found = evaluate(REAL, FAKE, ["fid_per_class"], real_labels=labels, fake_labels=labels)
    assert_allclose(found["fid_per_class"].std_error, expected, rtol=1e-6)


def test_first_order_leave_outs_have_the_spread_of_exact_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    scale = 1 / np.arange(1, 41)
    real, fake = rng.normal(size=(2000, 40)) * scale, rng.normal(size=(2000, 40)) * scale * 1.1
    blocks = make_blocks(2000)
    assert blocks is not None
    exact = distances_without_blocks(moments(real), fake, blocks)
    monkeypatch.setattr(moments_module, "EXACT_UP_TO", 0)
    linear = distances_without_blocks(moments(real), fake, blocks)
    assert_allclose(linear.value, exact.value, rtol=1e-9)
    assert not np.array_equal(exact.left_out, linear.left_out)
    assert_allclose(linear.left_out.std(), exact.left_out.std(), rtol=0.03)
    assert np.corrcoef(linear.left_out, exact.left_out)[0, 1] > 0.99


def test_blocks_are_a_random_partition() -> None:
    blocks = make_blocks(1003)
    assert blocks is not None
    assert sorted(blocks.order) == list(range(1003))
    assert set(np.diff(blocks.edges)) == {50, 51}
    assert_allclose(np.bincount(blocks.of_row), np.diff(blocks.edges))
    assert len(set(blocks.of_row[:100])) > 15
    assert make_blocks(39) is None


def test_few_rows_give_a_value_without_an_interval() -> None:
    found = evaluate(REAL[:30], FAKE[:30], ["fid", "kid", "recall", "density", "coverage"])
    for name, value in found.items():
        assert value.status == "ok", name
        assert value.interval is None
        assert value.std_error is None


def test_wilson_stays_sensible_at_the_edges() -> None:
    # z^2 / (n + z^2) is the upper end at no successes.
    none, every = wilson_share(0, 100), wilson_share(100, 100)
    assert none.interval is not None
    assert every.interval is not None
    assert_allclose(none.interval.high, 1.959964**2 / (100 + 1.959964**2), rtol=1e-6)
    assert_allclose(every.interval.low, 1 - none.interval.high, rtol=1e-9)
    assert (none.interval.low, every.interval.high) == (0.0, 1.0)


def test_means_of_rows_and_of_blocks() -> None:
    values = np.array([1.0, 2.0, 3.0, 6.0])
    error = values.std(ddof=1) / 2
    by_row, by_block = normal_mean(values), block_mean(values)
    assert by_row.interval is not None
    assert by_block.interval is not None
    assert_allclose(by_row.interval.high, 3 + 1.959964 * error, rtol=1e-6)
    assert_allclose(by_block.interval.high, 3 + 3.182446 * error, rtol=1e-6)
    assert normal_mean(values[:1]).interval is None
    assert block_mean(values[:1]).interval is None


def test_trainings_with_no_spread_leave_that_of_the_rows_and_the_other_way_round() -> None:
    rng = np.random.default_rng(0)
    rows = rng.random(200)
    found = trainings_mean(np.tile(rows, (3, 1)))
    assert_allclose(found.std_error, normal_mean(rows).std_error)
    assert found.interval is not None
    assert_allclose(found.interval.high, normal_mean(rows).interval.high)
    means = rng.random(3)
    found = trainings_mean(np.tile(means[:, None], (1, 200)), low=-9, high=9)
    ends = scipy.stats.t.interval(0.95, 2, means.mean(), scipy.stats.sem(means))
    assert_allclose([found.interval.low, found.interval.high], ends)


def test_intervals_over_trainings_hold_the_mean_of_new_ones() -> None:
    """Rows differ in how hard they are, trainings in how good they came out."""
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        hard = rng.normal(2, 1, 300)
        right = rng.random((3, 300)) < scipy.special.expit(hard + rng.normal(0, 0.2, (3, 1)))
        found = trainings_mean(right.astype(float))
        assert found.interval is not None
        held += found.interval.low <= 0.8432 <= found.interval.high
    assert 0.93 <= held / 400 <= 0.99


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=20)
    left_out = (values.sum() - values) / 19
    found = block_jackknife(float(values.mean()), left_out)
    assert_allclose(found.std_error, values.std(ddof=1) / np.sqrt(20), rtol=1e-12)
