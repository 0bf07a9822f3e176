"""Neighbour metrics and KID where rounding decides: against SciPy's distances and fractions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import t as student

from genbench.errors import MetricError
from genbench.metrics.authentic import authenticity
from genbench.metrics.differences import squares_of_block, squares_of_pairs, squares_to_lists
from genbench.metrics.evaluation import evaluate
from genbench.metrics.kernel import kernel_distance
from genbench.metrics.neighbours import density_coverage, precision_recall
from genbench.metrics.prepared import prepare
from genbench.metrics.search import nearest_rows
from genbench.metrics.uncertainty import make_blocks
from tests.oracles import copying, kernel, neighbours

NAMES = ("precision", "recall", "density", "coverage")
Rng = np.random.Generator


def two_groups(rng: Rng, n: int, d: int, at: float) -> Any:
    x = rng.normal(size=(n, d))
    x[:, 0] += np.where(rng.random(n) < 0.5, -at, at)
    return x


def repeated(rng: Rng, n: int, d: int) -> Any:
    """Copies of the same few rows, whoever asks."""
    return np.random.default_rng(9).normal(size=(11, d))[rng.integers(0, 11, n)]


# Data on which products lose what decides, and ordinary data.
DATA: dict[str, Callable[[Rng, int], Any]] = {
    "ordinary": lambda rng, n: rng.normal(size=(n, 7)),
    "ordinary, wide": lambda rng, n: rng.normal(size=(n, 90)) * np.linspace(1, 0.01, 90),
    "two groups": lambda rng, n: two_groups(rng, n, 2, 1e3),
    "two groups, wide": lambda rng, n: two_groups(rng, n, 100, 1e3),
    "two far groups": lambda rng, n: two_groups(rng, n, 3, 1e9),
    "two far groups, wide": lambda rng, n: two_groups(rng, n, 100, 1e9),
    "yes or no": lambda rng, n: rng.integers(0, 2, (n, 24)).astype(float),
    "yes or no, a third": lambda rng, n: rng.integers(0, 2, (n, 24)) / 3,
    "yes or no, standardised": lambda rng, n: (
        (rng.integers(0, 2, (n, 24)) - 0.493) / np.linspace(0.49, 0.5, 24)
    ),
    "integers": lambda rng, n: rng.integers(-5, 6, (n, 3)).astype(float),
    "large integers": lambda rng, n: rng.integers(0, 2**20, (n, 5)).astype(float),
    "tenths": lambda rng, n: rng.integers(0, 4, (n, 6)) * 0.1,
    "one-hot": lambda rng, n: np.eye(9)[rng.integers(0, 9, n)] * 0.37,
    "zero-inflated": lambda rng, n: rng.normal(size=(n, 5)) * (rng.random((n, 1)) < 0.6),
    "zeros by column": lambda rng, n: rng.normal(size=(n, 5)) * (rng.random((n, 5)) < 0.3),
    "far from 0": lambda rng, n: rng.normal(size=(n, 6)) + 1e6,
    "tiny": lambda rng, n: 1.67e-27 * (1 + rng.normal(0, 0.1, (n, 3))),
    "huge": lambda rng, n: 1e30 * (1 + rng.normal(0, 0.1, (n, 3))),
    "columns of all sizes": lambda rng, n: rng.normal(size=(n, 4)) * 10.0 ** np.arange(-12, 4, 4),
    "copies": lambda rng, n: repeated(rng, n, 3),
    "copies, wide": lambda rng, n: repeated(rng, n, 80),
    "constant": lambda rng, n: np.full((n, 3), 0.3),
    "constant column": lambda rng, n: np.column_stack([rng.normal(size=n), np.full(n, 0.1)]),
}


def brute_force(real: Any, fake: Any, k_closed: int, k_open: int) -> tuple[float, ...]:
    """All four, from differences of the given values in float64."""
    both = real.astype(np.float64), fake.astype(np.float64)
    closed = (neighbours.precision(*both, k=k_closed), neighbours.recall(*both, k=k_closed))
    return *closed, neighbours.density(*both, k=k_open), neighbours.coverage(*both, k=k_open)


def all_four(real: Any, fake: Any, k_closed: int, k_open: int) -> tuple[float, ...]:
    pr = precision_recall(real, fake, k=k_closed)
    dc = density_coverage(real, fake, k=k_open)
    return pr.precision, pr.recall, dc.density, dc.coverage


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", DATA)
@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_real=st.integers(7, 150),
    n_fake=st.integers(7, 150),
    k=st.integers(1, 6),
)
def test_values_are_those_of_brute_force(
    kind: str, dtype: Any, seed: int, n_real: int, n_fake: int, k: int
) -> None:
    rng = np.random.default_rng(seed)
    real, fake = (DATA[kind](rng, n).astype(dtype) for n in (n_real, n_fake))
    expected = brute_force(real, fake, k, 5)
    assert all_four(real, fake, k, 5) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", DATA)
def test_values_of_several_tiles_with_intervals_are_those_of_brute_force(
    kind: str, dtype: Any
) -> None:
    rng = np.random.default_rng(3)
    real, fake = (DATA[kind](rng, n).astype(dtype) for n in (1100, 800))
    fake[:100] = real[:100]
    found = evaluate(real, fake, ["kid", *NAMES], parameters={"kid": {"subset_size": 100}})
    values = [found[name].value for name in NAMES]
    assert values == pytest.approx(brute_force(real, fake, 3, 5), abs=1e-12)
    assert found["kid"].status == "ok" or (
        kind == "huge" and "kernel overflows" in found["kid"].reason
    ), "one metric of the pass fails alone"


@pytest.mark.parametrize("kind", ["ordinary", "integers", "tenths", "copies", "two groups"])
def test_the_jackknife_of_recall_recomputes_every_radius(kind: str) -> None:
    rng = np.random.default_rng(4)
    real, fake = (DATA[kind](rng, n).astype(np.float32) for n in (150, 120))
    blocks = make_blocks(len(fake))
    assert blocks is not None
    left_out = np.array(
        [brute_force(real, fake[blocks.of_row != b], 3, 5)[1] for b in range(blocks.count)]
    )
    count = blocks.count
    error = math.sqrt((count - 1) / count * np.square(left_out - left_out.mean()).sum())
    recall = evaluate(real, fake, ["recall"])["recall"]
    if 0 < recall.value < 1:
        assert recall.std_error == pytest.approx(error, rel=1e-9)
        half = student.ppf(0.975, count - 1) * error
        assert recall.interval.high == pytest.approx(min(1.0, recall.value + half), rel=1e-9)
    else:
        assert recall.value == brute_force(real, fake, 3, 5)[1]


@pytest.mark.parametrize("kind", DATA)
def test_authenticity_and_nearest_rows_are_those_of_brute_force(kind: str) -> None:
    rng = np.random.default_rng(5)
    train, fake = (DATA[kind](rng, n).astype(np.float32) for n in (1300, 600))
    fake[:50] = train[:50]
    cost = cdist(fake.astype(np.float64), train.astype(np.float64))
    found = nearest_rows(fake, train)
    assert (found.index == cost.argmin(axis=1)).all()
    assert (found.distance == cost.min(axis=1)).all()
    wide = train.astype(np.float64), fake.astype(np.float64)
    assert authenticity(train, fake) == copying.authenticity(*wide)


@pytest.mark.parametrize("count", [1, 2, 700])
@pytest.mark.parametrize("d", [1, 9, 300])
def test_differences_are_summed_as_scipy_sums_them(count: int, d: int) -> None:
    """To the last bit, so that ties are ties wherever a distance was computed."""
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(50, d)), rng.normal(size=(40, d))
    left, right = prepare(x, y)
    i, j = rng.integers(0, 50, count), rng.integers(0, 40, count)
    distance = np.sqrt(squares_of_pairs(left, i, right, j)) * left.unit
    assert (distance == cdist(x, y)[i, j]).all()
    block = np.sqrt(squares_of_block(left, i, right, j)) * left.unit
    assert (block == cdist(x[i], y[j])).all()
    lists = rng.integers(0, 50, (50, 3))
    listed = np.sqrt(squares_to_lists(left, lists)) * left.unit
    assert (listed == np.take_along_axis(cdist(x, x), lists, axis=1)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", DATA)
def test_the_bound_on_rounding_holds(kind: str, dtype: Any) -> None:
    rng = np.random.default_rng(7)
    x, y = (DATA[kind](rng, n).astype(dtype) for n in (60, 50))
    left, right = prepare(x, y)
    gap = x[:, None].astype(np.longdouble) - y[None].astype(np.longdouble)
    true = -np.square(gap / left.unit).sum(axis=2) / 2
    upper = left.x @ right.x.T - left.lowered[:, None] - right.lowered
    width = 2 * (left.slack[:, None] + right.slack)
    assert (upper >= true).all()
    assert (upper - width <= true).all()
    if kind in ("yes or no", "integers"):
        assert left.exact
        assert (upper == true).all()


def test_few_rows_and_constant_ones_have_values_or_true_reasons() -> None:
    rows = np.zeros((6, 2), np.float32)
    assert all_four(rows, rows, 3, 5) == (1, 1, 0, 0)
    found = evaluate(rows[:3], rows, NAMES)
    for name in NAMES:
        assert found[name].status == "undefined"
        least = 4 if name in ("precision", "recall") else 6
        assert found[name].reason == f"real has 3 rows: at least {least} are needed"
    assert evaluate(rows, rows[:3], ["recall"])["recall"].reason.startswith("fake has 3 rows")
    assert evaluate(rows, rows[:3], ["density"])["density"].value == 0
    assert authenticity(rows[:2], rows) == 0
    with pytest.raises(MetricError, match="train has 1 rows: at least 2"):
        authenticity(rows[:1], rows)


@pytest.mark.parametrize("dtype", [">f8", "longdouble", "int64", ">f4"])
def test_no_precision_is_lost_on_the_way_in(dtype: str) -> None:
    rng = np.random.default_rng(12)
    real, fake = ((rng.normal(size=(60, 2)) * 100 + 1e7).astype(dtype) for _ in "rf")
    assert all_four(real, fake, 3, 5) == brute_force(real, fake, 3, 5)


def test_as_many_neighbours_as_there_are_rows() -> None:
    """Without a block there is no k-th neighbour left: the farthest one stands in."""
    rng = np.random.default_rng(8)
    real, fake = rng.normal(size=(45, 2)), rng.normal(size=(42, 2))
    found = evaluate(real, fake, ["recall"], parameters={"recall": {"k": 41}})["recall"]
    assert found.value == brute_force(real, fake, 41, 5)[1]
    assert found.interval is not None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-27, 1e-9, 1.0, 1e9, 1e16])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e3, 1e6])
def test_kid_is_that_of_fractions_at_any_mean_and_scale(
    dtype: Any, scale: float, offset: float
) -> None:
    rng = np.random.default_rng(10)
    real = ((rng.normal(size=(14, 3)) + offset) * scale).astype(dtype)
    fake = ((rng.normal(size=(11, 3)) * 1.2 + offset + 0.5) * scale).astype(dtype)
    found = kernel_distance(real, fake, subsets=3, subset_size=11)
    true = kernel.u_statistic_in_fractions(real, fake)
    # Terms of one pair: what rounding may move, had they one sign.
    largest = max(abs(float(v)) for v in (real[0], fake[0]) for v in v)
    pair = 3 * (1 + largest**2) ** 2 * scale**2 + 3 * (1 + largest**2) * (largest * scale) ** 2
    pair += scale**6
    relative = 1e-5 if dtype == np.float32 else 1e-13
    assert found.u_statistic == pytest.approx(float(true), rel=relative, abs=relative * pair)
    assert abs(float(true)) > 10 * relative * pair, "the tolerance can see the value"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_subset_of_all_rows_is_the_kid_of_all_rows(dtype: Any) -> None:
    """The parts that were left out of the sums are the same in subsets and blocks."""
    rng = np.random.default_rng(11)
    real, fake = (rng.normal(size=(60, 4)).astype(dtype) * s + 1e3 for s in (1, 1.1))
    found = kernel_distance(real, fake, subsets=2, subset_size=60)
    assert found.mean == pytest.approx(found.u_statistic, rel=1e-4 if dtype == np.float32 else 1e-9)
