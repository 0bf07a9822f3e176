"""MAUVE: the curve and its integral by other means, the quantisation's laws, the interval."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from genbench.errors import MetricError
from genbench.metrics import (
    divergence_curve,
    evaluate,
    frontier_integral,
    mauve_area,
    mauve_score,
)
from tests.oracles.mauve import curve, integral

SHARES = st.lists(st.integers(0, 9), min_size=2, max_size=12).filter(sum)


def pair(one: list[int], other: list[int]) -> Any:
    k = min(len(one), len(other))
    p, q = (np.array(side[:k], float) for side in (one, other))
    p[0], q[0] = p[0] + (p.sum() == 0), q[0] + (q.sum() == 0)
    return p / p.sum(), q / q.sum()


def rows(n: int, d: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(n, d))


@settings(max_examples=30, deadline=None)
@given(SHARES, SHARES)
def test_the_curve_and_its_integral_are_what_their_definitions_say(
    one: list[int], other: list[int]
) -> None:
    p, q = pair(one, other)
    assert_allclose(divergence_curve(p, q), curve(p, q, 5.0, 25), atol=1e-9)
    assert frontier_integral(p, q) == pytest.approx(integral(p, q), abs=1e-6)
    x, y = divergence_curve(p, q).T
    assert mauve_area(p, q) == pytest.approx(np.trapezoid(y[::-1], x[::-1]), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(SHARES, SHARES)
def test_the_area_lies_between_no_overlap_and_the_same(one: list[int], other: list[int]) -> None:
    p, q = pair(one, other)
    assert mauve_area(p, q) == pytest.approx(mauve_area(q, p), abs=1e-9)
    assert frontier_integral(p, q) == pytest.approx(frontier_integral(q, p), abs=1e-9)
    assert mauve_area(p, p) == pytest.approx(1)
    assert frontier_integral(p, p) == 0
    apart = np.r_[p, 0 * q], np.r_[0 * p, q]
    assert mauve_area(*apart) < 0.01
    assert frontier_integral(*apart) == pytest.approx(1)
    assert mauve_area(p, q) >= mauve_area(*apart) - 1e-9
    assert mauve_area(p, q, scale=1.0) >= mauve_area(p, q, scale=5.0) - 1e-9


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, Any], tuple[float, float]]:
    """The authors' package on given histograms; its k-means may be absent."""
    monkeypatch.setitem(sys.modules, "faiss", sys.modules.get("faiss", ModuleType("faiss")))
    found = pytest.importorskip("mauve.compute_mauve", reason="no mauve-text here")

    def told(p: Any, q: Any) -> tuple[float, float]:
        weights = np.linspace(1e-6, 1 - 1e-6, 25)
        x, y = found.get_divergence_curve_for_multinomials(p, q, weights, 5).T
        area = found.compute_area_under_curve
        by_x, by_y = np.argsort(x), np.argsort(y)
        both = area(x[by_x], y[by_x]) + area(y[by_y], x[by_y])
        return 0.5 * both, found.get_fronter_integral(p, q)

    return told


@pytest.mark.parametrize("k", [2, 7, 100, 500])
def test_on_the_same_histograms_it_is_the_authors_number(k: int, theirs: Any) -> None:
    rng = np.random.default_rng(k)
    p, q = rng.dirichlet(np.full(k, 0.5), 2)
    p, q = (np.where(rng.random(k) < 0.2, 0, side) for side in (p, q))
    p, q = p / p.sum(), q / q.sum()
    assert (mauve_area(p, q), frontier_integral(p, q)) == pytest.approx(theirs(p, q), abs=1e-9)


def test_more_difference_is_less() -> None:
    real = rows(300, 4, 0)
    found = [mauve_score(real, rows(300, 4, 1) + shift, seed=0) for shift in (0, 0.5, 2)]
    areas = [one.area for one in found]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > 0.9
    assert [one.frontier_integral for one in found] == sorted(o.frontier_integral for o in found)
    assert found[0].smoothed > found[0].area, "half a row in each bucket makes them more alike"
    assert found[0].buckets == 30


def test_same_seed_same_number_and_global_randomness_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (
        mauve_score(rows(200, 3, 0), rows(200, 3, 1), seed=seed) for seed in (3, 3, 4)
    )
    assert first == again
    assert first.area != other.area
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.slow
@pytest.mark.parametrize(("move", "scale"), [(0.0, 0.4), (0.7, 1.0)], ids=["too narrow", "shifted"])
def test_its_interval_holds_what_fresh_rows_and_other_quantisations_give(
    move: float, scale: float
) -> None:
    real, held, areas = rows(150, 2, 0), 0, []
    found = []
    for seed in range(30):
        fake = rows(150, 2, seed + 1) * scale + move
        found.append(evaluate(real, fake, ["mauve"], seed=seed)["mauve"])
        areas.append(found[-1].value)
    for one in found:
        assert one.interval is not None
        held += one.interval.low <= np.mean(areas) <= one.interval.high
    assert held >= 27


def test_the_record_says_how_it_was_made() -> None:
    found = evaluate(rows(100, 2, 0), rows(90, 2, 1), ["mauve"])["mauve"]
    assert "mauve/1|buckets=9|draws=5|scale=5.0|n=90|ref=100" in found.signature
    assert set(found.details) == {"frontier_integral", "smoothed"}
    asked = evaluate(rows(100, 2, 0), rows(90, 2, 1), ["mauve"],
                     parameters={"mauve": {"buckets": 4}})["mauve"]  # fmt: skip
    assert "|buckets=4|" in asked.signature


def test_rows_that_are_all_equal_are_nearly_without_overlap_and_not_certain() -> None:
    found = evaluate(rows(60, 3, 0), np.ones((60, 3)), ["mauve"])["mauve"]
    assert found.value is not None
    assert found.value < 0.3
    assert found.interval is None or found.interval.low < found.interval.high


def test_too_few_rows_and_too_many_buckets_are_told() -> None:
    with pytest.raises(MetricError, match="20"):
        mauve_score(rows(19, 2, 0), rows(50, 2, 1), seed=0)
    with pytest.raises(MetricError, match="buckets is 41 for 40 rows of the smaller set: ask"):
        mauve_score(rows(40, 2, 0), rows(50, 2, 1), buckets=41, seed=0)
    with pytest.raises(MetricError, match="buckets"):
        mauve_score(rows(40, 2, 0), rows(50, 2, 1), buckets=1, seed=0)
