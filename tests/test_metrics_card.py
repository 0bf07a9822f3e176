"""Pairs of rows on a card: the exact answers of the host, whatever the rows; nothing leaves it."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from genbench.features import load_extractor
from genbench.generator import Space
from genbench.metrics import evaluation
from genbench.metrics.evaluation import evaluate
from genbench.metrics.reference_copies import near_copies
from genbench.metrics.search import nearest_rows
from genbench.metrics.values import MetricValue
from tests.pretend_card import CARD, PLACES, Carded, carded, pretended

NEIGHBOURS = ("precision", "recall", "density", "coverage")
RNG = np.random.default_rng(0)
N, M = 150, 130


def normal(n: int, d: int = 6) -> NDArray[Any]:
    return RNG.normal(size=(n, d))


# Rows of which rounding to float32 would decide who is whose neighbour, and others.
ROWS: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {
    "ordinary": (normal(N), normal(M)),
    "yes or no": (RNG.integers(0, 2, (N, 8)), RNG.integers(0, 2, (M, 8))),
    "thirds": (RNG.integers(0, 2, (N, 12)) / 3, RNG.integers(0, 2, (M, 12)) / 3),
    "many columns, far away": (normal(N, 80) + 1e4, normal(M, 80) + 1e4),
    "more columns than rows": (normal(N, 310), normal(M, 310)),
    "again and again": (np.tile(normal(10), (15, 1)), np.tile(normal(10), (13, 1))),
    "constant": (np.full((N, 6), 0.3), np.full((M, 6), 0.3)),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ROWS)
def test_neighbours_are_the_same_to_the_row(kind: str, place: str) -> None:
    real, fake = (x.astype(np.float32) for x in ROWS[kind])
    host = evaluate(real, fake, NEIGHBOURS)
    there, put = PLACES[place]
    with there():
        card = evaluate(put(real), put(fake), NEIGHBOURS)
    for name in NEIGHBOURS:
        assert host[name].value is not None
        assert (card[name].value, card[name].interval) == (host[name].value, host[name].interval)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ROWS)
def test_the_nearest_row_is_the_same(kind: str, place: str) -> None:
    rows, queries = (x.astype(np.float32) for x in ROWS[kind])
    own = np.arange(len(rows))
    there, put = PLACES[place]
    for q, exclude in ((queries, None), (rows, own)):
        host = nearest_rows(q, rows, exclude=exclude)
        with there():
            card = nearest_rows(put(q), put(rows), exclude=exclude)
            assert_array_equal(card.index.cpu().numpy(), host.index)
            assert_allclose(card.distance.cpu().numpy(), host.distance, rtol=1e-15)


def test_no_set_of_rows_leaves_the_card() -> None:
    real, fake = carded(normal(500, 300)), carded(normal(400, 300))
    with pretended() as left:
        found = evaluate(real, fake, ["fid", "kid", *NEIGHBOURS], parameters={
            "kid": {"subset_size": 100}})  # fmt: skip
    assert {value.status for value in found.values()} == {"ok"}
    assert max(left) < 400 * 100


@pytest.mark.parametrize(
    ("name", "leaves"),
    [("sliced_wasserstein", False), ("vendi", False), ("authenticity", False), ("c_t", True),
     ("classifier_score", False)],
)  # fmt: skip
def test_only_rows_of_what_the_cpu_makes_leave_the_card(name: str, leaves: bool) -> None:
    """Scikit-learn's k-means of C_T takes the training rows."""
    n, d = 130, 70
    with pretended() as left:
        rows = {key: carded(normal(n, d)) for key in ("real", "fake", "train")}
        p = carded(RNG.dirichlet(np.ones(d), n))
        found = evaluate(**rows, names=[name], fake_probabilities=p, parameters={
            "sliced_wasserstein": {"projections": 9}})[name]  # fmt: skip
    assert found.status == "ok"
    # Sums in 20 blocks of 10 splits may come back, and single numbers of rows.
    assert any(count in (n * d, n * 64) for count in left) == leaves


def test_copies_of_reference_rows_are_the_same_ones() -> None:
    real, train, fake = (normal(n).astype(np.float32) for n in (120, 150, 100))
    fake[:40] = real[:40] + np.float32(1e-4)
    host = near_copies(real, train, fake, seed=0)
    assert host.rows >= 40
    with pretended() as left:
        assert near_copies(carded(real), carded(train), carded(fake), seed=0) == host
    assert max(left) < real.size


def test_what_the_cpu_makes_is_made_beside_the_card() -> None:
    """Exact transport and classifiers, in another thread than what the card makes."""
    threads = {}
    with pretended():

        def seen(inputs: Any, request: Any) -> MetricValue:
            threads[request.key] = threading.current_thread()
            return evaluation._blank(request.info)

        with patch.object(evaluation, "_evaluate_one", seen):
            evaluate(carded(normal(9)), carded(normal(9)), ["emd", "fid", "c2st", "vendi"])
    here = threading.current_thread()
    assert {name for name, thread in threads.items() if thread is here} == {"fid", "vendi"}


def test_arrays_follow_tensors_to_the_card() -> None:
    """Reference features come from a cache, generated ones from a network on the card."""
    real, fake = normal(90), normal(80)
    with pretended():
        mixed = evaluate(real, carded(fake), ["fid", "recall"])
    assert mixed["fid"].value == pytest.approx(evaluate(real, fake, ["fid"])["fid"].value)
    assert mixed["recall"].status == "ok"


def test_features_stay_where_the_network_ran() -> None:
    space = Space(kind="image", shape=(1, 28, 28), levels=256, classes=10)
    x = RNG.integers(0, 256, (12, 1, 28, 28)).astype(np.uint8)
    host = load_extractor("mnist-cnn", space).extract(x)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with pretended() as left:
            card = load_extractor("mnist-cnn", space).extract(x, device=CARD)
            assert isinstance(card.features, Carded)
            assert isinstance(card.probabilities, Carded)
            assert card.on(str(CARD)).features is card.features
            assert card.features.numel() not in left
            assert_array_equal(card.on("cpu").features, host.features)
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def test_what_a_card_refuses_is_refused_here() -> None:
    """Else the tests above would show nothing."""
    with pretended():
        x = carded(normal(4))
        for wrong in (lambda: x + torch.ones(4, 6), lambda: x[torch.arange(2)], x.numpy):
            with pytest.raises((RuntimeError, TypeError)):
                wrong()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("n", [400, 200])
def test_distances_of_many_dimensions_are_those_of_the_host(n: int, place: str) -> None:
    """More than are solved on the host wherever rows are; fewer rows: a singular covariance."""
    mix = normal(260, 260)
    real, fake = normal(n, 260) @ mix, normal(n, 260)
    host = evaluate(real, fake, ["fid"])["fid"]
    there, put = PLACES[place]
    with there():
        card = evaluate(put(real), put(fake), ["fid"])["fid"]
    assert card.value == pytest.approx(host.value, rel=1e-10)
    assert card.std_error == pytest.approx(host.std_error, rel=1e-6)
