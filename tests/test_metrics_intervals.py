"""Intervals hold the metric's own draws, are never of zero width, or say why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from genbench.metrics.copying import COMPONENTS
from genbench.metrics.evaluation import evaluate
from genbench.metrics.inputs import few_rows
from genbench.metrics.table import METRICS
from genbench.metrics.uncertainty import (
    block_jackknife,
    crossed,
    longer_above,
    trainings_mean,
    wilson_share,
)
from genbench.metrics.values import MetricValue

Draw = Callable[[np.random.Generator], Any]
CENTRES = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]])


def normal(seed: int, n: int, d: int) -> Any:
    return np.random.default_rng(seed).normal(size=(n, d))


def clusters(rng: np.random.Generator, n: int, *, of: int) -> Any:
    return CENTRES[rng.integers(0, of, n)] + rng.normal(size=(n, 2))


def held(name: str, real: Any, draw: Draw, repetitions: int, **more: Any) -> float:
    """How often the interval holds the mean over fresh generated rows and other seeds."""
    found = [
        evaluate(real, draw(np.random.default_rng((9, s))), [name], seed=s, **more)[name]
        for s in range(repetitions)
    ]
    target = np.mean([one.value for one in found])
    told = [one.interval for one in found if one.interval is not None]
    assert len(told) > repetitions / 2
    return float(np.mean([one.low <= target <= one.high for one in told]))


def test_sliced_wasserstein_holds_other_directions() -> None:
    """The rows' error alone held 40 %: directions see the shift more or less."""
    parameters = {"sliced_wasserstein": {"projections": 20}}
    shifted: Draw = lambda rng: rng.normal(size=(200, 24)) + 0.5  # noqa: E731
    share = held("sliced_wasserstein", normal(0, 200, 24), shifted, 60, parameters=parameters)
    assert share >= 0.9


def test_fid_infinity_holds_other_draws_of_the_real_rows() -> None:
    """The generated rows' error alone held 50 %."""
    real = clusters(np.random.default_rng(0), 200, of=4)
    share = held("fid_infinity", real, lambda rng: rng.normal(size=(200, 2)) * 0.5, 30)
    assert share >= 0.9


def test_c_t_of_copies_holds_what_other_copies_give() -> None:
    """All copies are nearer than any held-out row: no spread of ranks, but of cells."""
    rng = np.random.default_rng(0)
    train, real = rng.normal(size=(2, 200, 6))
    copies: Draw = lambda rng: train[rng.integers(0, 200, 200)] + 1e-3 * rng.normal(size=(200, 6))  # noqa: E731
    assert held("c_t", real, copies, 20, train=train) >= 0.9


def test_c2st_holds_other_splits_and_trainings() -> None:
    """Wilson's interval held 58 %: the network's accuracy depends on its start."""
    real = clusters(np.random.default_rng(0), 200, of=4)
    share = held("c2st", real, lambda rng: rng.normal(size=(200, 2)) * 0.3, 12)
    assert share >= 0.9


def test_kid_of_equal_distributions_holds_0() -> None:
    """Its error grows with it: where it comes out low, a symmetric interval ended below 0."""
    low = high = 0
    for seed in range(150):
        real, fake = np.random.default_rng(seed).normal(size=(2, 100, 8))
        found = evaluate(real, fake, ["kid"], parameters={"kid": {"subsets": 1}}, seed=seed)["kid"]
        assert found.interval is not None
        low, high = low + (found.interval.low > 0), high + (found.interval.high < 0)
    assert high <= 3


@pytest.mark.parametrize("fake", [np.zeros((60, 3)), np.full((60, 3), 50.0)])
def test_equal_rows_prove_nothing(fake: Any) -> None:
    """A blank smear: every block of rows counts the same."""
    labels, names = np.arange(60) % 2, [
        "fid", "fid_infinity", "fid_per_class", "kid", "precision", "recall", "density", "coverage",
        "sliced_wasserstein", "emd", "classifier_score", "c2st", "c_t", "authenticity",
        "mauve",
    ]  # fmt: skip
    found = evaluate(
        normal(0, 60, 3), fake + 1.0, names, train=normal(1, 60, 3), real_labels=labels,
        fake_labels=labels, fake_probabilities=np.tile([0.5, 0.5], (60, 1)),
        parameters={"emd": {"block": 20}, "sliced_wasserstein": {"projections": 20}},
    )  # fmt: skip
    for name, value in found.items():
        assert value.status == "ok", (name, value.reason)
        _uncertain(name, value)


def _uncertain(name: str, value: MetricValue) -> None:
    if value.interval is None:
        assert value.details["no_interval"], name
        assert value.std_error is None, name
    else:
        assert value.interval.low < value.interval.high, name
        assert value.std_error, name


def test_the_score_of_sure_rows_of_one_class_is_not_certainly_1() -> None:
    found = evaluate(None, None, ["classifier_score"],
                     fake_probabilities=np.tile([1.0, 0.0, 0.0], (100, 1)))  # fmt: skip
    value = found["classifier_score"]
    assert value.value == 1.0
    assert value.interval is not None
    assert value.interval.high > 1.01
    assert value.interval.method == "one-row"


def test_a_share_that_stays_on_a_plateau_is_uncertain_by_a_row() -> None:
    """Two modes, one dropped, the other covered many times over: no block changes the half."""
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(100, 2)), rng.normal(size=(100, 2)) + 50])
    found = evaluate(real, np.repeat(real[:100], 10, axis=0), ["coverage"])["coverage"]
    assert found.value == 0.5
    assert found.interval is not None
    assert found.interval.high - found.interval.low >= 2 / 200
    assert found.std_error == pytest.approx(1 / 200)


def test_recall_that_few_rows_decide_is_as_uncertain_as_they_are() -> None:
    """Five wide balls hold all real rows; each of them may be missing next time."""
    fake = np.concatenate([normal(0, 195, 2) + 1000, [[-9, 0], [9, 0], [0, 9], [0, -9], [1, 1]]])
    found = evaluate(normal(1, 200, 2), fake, ["recall"])["recall"]
    assert found.value == 1.0
    assert found.interval == wilson_share(5, 5).interval


def test_no_share_has_a_standard_error_of_0() -> None:
    for successes in (0, 1, 50, 100):
        found = wilson_share(successes, 100)
        assert found.interval is not None
        assert found.std_error is not None
        half = (found.interval.high - found.interval.low) / 2
        assert found.std_error >= half / 1.96 - 1e-6
        assert found.std_error > 0.009


def test_trainings_that_agree_on_every_row_are_uncertain_by_a_row() -> None:
    found = trainings_mean(np.zeros((3, 200)), low=-1.0)
    assert found.std_error == 1 / 200
    assert found.interval is not None
    assert found.interval.low < 0 < found.interval.high


def test_a_value_without_an_interval_says_why() -> None:
    few = evaluate(normal(0, 30, 2), normal(1, 30, 2), ["fid", "kid"])
    assert "30 generated rows" in few["fid"].details["no_interval"]
    one_block = evaluate(normal(0, 90, 2), normal(1, 90, 2), ["emd"])["emd"]
    assert "single block" in one_block.details["no_interval"]
    unasked = evaluate(normal(0, 90, 2), normal(1, 90, 2), ["fid"], intervals=False)["fid"]
    assert "no_interval" not in unasked.details


def test_c_t_has_no_interval_where_a_cell_is_about_to_be_left_out() -> None:
    """20 rows in a cell do not count and 21 do; here they are copies, which matters."""
    rng = np.random.default_rng(0)
    train, real = (clusters(rng, 400, of=3) * 10 for _ in range(2))
    in_cell = train[(train[:, 0] > 20)][:21]
    fake = np.concatenate([in_cell, (clusters(rng, 600, of=3) * 10)[:400]])
    fake = np.concatenate([in_cell, fake[21:][fake[21:][:, 0] < 20]])
    found = evaluate(real, fake, ["c_t"], train=train)["c_t"]
    assert found.status == "ok"
    assert found.interval is None
    assert re.search(r"cell has \d+ generated rows, about the 20", found.details["no_interval"])


@pytest.mark.parametrize("name", ["fid", "vendi", "c2st", "precision", "coverage", "c_t"])
def test_fewer_rows_than_dimensions_carry_a_note(name: str) -> None:
    real, train = normal(0, 90, 32), normal(1, 90, 32)
    enough = evaluate(real, normal(2, 90, 32), [name], train=train)[name]
    assert "note" not in enough.details
    few = evaluate(normal(0, 90, 100), normal(2, 90, 100), [name], train=normal(1, 90, 100))[name]
    if name == "c_t":  # it works in 64 dimensions at most
        assert "note" not in few.details
    else:
        assert few.details["note"].startswith("too few rows (n < d): 90 rows")


def test_the_note_counts_the_smallest_class() -> None:
    labels = np.r_[np.zeros(80, int), np.ones(20, int)]
    found = evaluate(normal(0, 100, 30), normal(1, 100, 30), ["fid_per_class"],
                     real_labels=labels, fake_labels=labels)["fid_per_class"]  # fmt: skip
    assert found.details["note"].startswith("too few rows (n < d): 20 rows of the smallest class")


def test_dimensions_do_not_matter_to_kid() -> None:
    assert METRICS["kid"].least_rows(2048) == 0
    assert few_rows(METRICS["pixel_fid"], 100, 784)
    assert few_rows(METRICS["fid"], 5000, 2048) == ""


def test_c_t_needs_no_more_rows_than_it_keeps_dimensions() -> None:
    assert [METRICS["c_t"].least_rows(d) for d in (10, 2048)] == [10, COMPONENTS]


def test_crossed_variances_are_those_of_an_analysis_of_variance() -> None:
    """Expected: the variance of rows over rows, and of trainings plus noise over all answers."""
    rng = np.random.default_rng(0)
    found = [
        crossed(rng.normal(size=(6, 1)) * 0.5 + rng.normal(size=50) * 2 + rng.normal(size=(6, 50)))
        for _ in range(300)
    ]
    assert np.mean([one.trained for one in found]) == pytest.approx(0.25 / 6 + 1 / 300, rel=0.1)
    assert np.mean([one.tested for one in found]) == pytest.approx(4 / 50, rel=0.05)


def test_a_longer_upper_end_is_the_symmetric_one_where_the_error_is_small() -> None:
    left_out = np.linspace(0.99, 1.01, 20)
    plain = block_jackknife(1.0, left_out)
    assert plain.interval is not None
    far, near = longer_above(plain, 1e6).interval, longer_above(plain, 0.05).interval
    assert far is not None
    assert near is not None
    assert far.high == pytest.approx(plain.interval.high)
    assert near.low == plain.interval.low
    assert near.high > plain.interval.high


def test_a_score_within_a_row_of_1_has_the_error_of_one_row() -> None:
    """One mode, nearly: the error of such a score is carried by rows that may not be there."""
    rng = np.random.default_rng(0)
    unsure = np.exp(-6 - rng.exponential(size=1000))
    p = np.stack([1 - unsure, unsure], axis=1)
    found = evaluate(None, None, ["classifier_score"], fake_probabilities=p)["classifier_score"]
    assert found.value is not None
    assert 1 < found.value < 1.001
    assert found.interval is not None
    assert found.interval.method == "one-row"
    assert found.interval.high - found.value > 0.001
