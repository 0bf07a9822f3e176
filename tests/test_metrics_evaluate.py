"""Bad input one by one, and what `evaluate` makes of it: typed cells, and nobody else hurt."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from genbench.errors import MetricError, UsageError
from genbench.metrics import frechet as frechet_module
from genbench.metrics.evaluation import evaluate
from genbench.metrics.frechet import (
    frechet_distance,
    frechet_distance_infinity,
    frechet_distance_per_class,
)
from genbench.metrics.inception import inception_score
from genbench.metrics.kernel import kernel_distance
from genbench.metrics.neighbours import density_coverage, precision_recall

ON_PAIRS: dict[str, Callable[[Any, Any], Any]] = {
    "frechet": frechet_distance,
    "infinity": lambda real, fake: frechet_distance_infinity(real, fake, seed=0),
    "kernel": lambda real, fake: kernel_distance(real, fake, subset_size=20),
    "precision": precision_recall,
    "density": density_coverage,
}
EVERY = ("fid", "fid_infinity", "kid", "precision", "recall", "density", "coverage")


def rows(n: int = 60, d: int = 4, seed: int = 0) -> NDArray[Any]:
    return np.random.default_rng(seed).normal(size=(n, d))


def with_value(value: float, row: int) -> NDArray[Any]:
    bad = rows()
    bad[row, 2] = value
    return bad


@pytest.fixture(params=ON_PAIRS)
def metric(request: pytest.FixtureRequest) -> Callable[[Any, Any], Any]:
    return ON_PAIRS[request.param]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_names_input_and_row(metric: Any, value: float) -> None:
    with pytest.raises(MetricError, match=r"fake holds NaN or infinity in 1 of 60 rows .*row 17"):
        metric(rows(), with_value(value, 17))
    with pytest.raises(MetricError, match=r"real holds NaN .*row 3"):
        metric(with_value(value, 3), rows())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (rows()[0], r"fake has shape \(4,\)"),
        (rows().reshape(60, 2, 2), r"fake has shape \(60, 2, 2\)"),
        (rows(d=5), "real has 4 dimensions and fake has 5"),
        (np.empty((60, 0)), "no feature dimensions"),
        (np.empty((0, 4)), "fake has 0 rows: at least"),
        (rows().astype(complex), "dtype complex128"),
        ([[1.0, 2.0], [3.0]], "ragged"),
        (np.array([["a"] * 4] * 60), "give real numbers"),
    ],
    ids=["one row", "rank 3", "dimensions", "no columns", "empty", "complex", "ragged", "text"],
)
def test_a_wrong_shape_or_type_says_what_and_how(metric: Any, bad: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        metric(rows(), bad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet_distance(rows(1), rows()), "real has 1 rows: at least 2"),
        (lambda: frechet_distance(rows(), rows(1)), "fake has 1 rows: at least 2"),
        (lambda: precision_recall(rows(3), rows()), "real has 3 rows: at least 4"),
        (lambda: precision_recall(rows(), rows(3)), "fake has 3 rows: at least 4"),
        (lambda: density_coverage(rows(5), rows()), "real has 5 rows: at least 6"),
        (lambda: kernel_distance(rows(), rows()), "real has 60 rows: at least 1000"),
        (lambda: frechet_distance_infinity(rows(15), rows(), seed=0), "at least 16 rows"),
        (lambda: inception_score(np.full((9, 2), 0.5)), "has 9 rows: at least 10"),
    ],
)
def test_too_few_rows_say_how_many_are_needed(call: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message) as caught:
        call()
    assert caught.value.status == "undefined"


def test_one_generated_row_is_enough_for_density() -> None:
    assert density_coverage(rows(), rows(1)).density >= 0


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_k_must_be_a_positive_whole_number(k: Any) -> None:
    with pytest.raises(MetricError, match="k is"):
        precision_recall(rows(), rows(), k=k)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(60, 9), "fake_labels is 9 in row 0: expected 0..2"),
        (np.arange(60) - 1, "fake_labels is -1 in row 0"),
        (np.zeros(59, int), r"fake_labels has shape \(59,\)"),
        (np.full(60, 0.5), "fractions"),
    ],
)
def test_labels_out_of_range(labels: Any, message: str) -> None:
    of_real = np.arange(60) % 3
    with pytest.raises(MetricError, match=message):
        frechet_distance_per_class(rows(), rows(), real_labels=of_real, fake_labels=labels)


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (np.full((20, 4), 0.5), "no probability distribution in row 0"),
        (np.array([[1.5, -0.5]] * 20), "lowest -0.5"),
        (np.full((20, 2), np.nan), "holds NaN"),
    ],
)
def test_probabilities_must_be_some(p: Any, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        inception_score(p)


def test_duplicated_rows_are_finite() -> None:
    twice = np.repeat(rows(30), 2, axis=0)
    for name, value in evaluate(twice, twice, EVERY).items():
        assert value.status == "ok", name
        assert value.value is not None
        assert math.isfinite(value.value)


def test_constant_features_are_finite() -> None:
    flat = np.ones((60, 4))
    for name, value in evaluate(flat, flat, EVERY).items():
        assert value.status == "ok", name
        assert value.value is not None
        assert math.isfinite(value.value)


def test_broken_rows_fail_every_metric_with_a_reason_and_no_number() -> None:
    for name, value in evaluate(rows(), with_value(math.nan, 5), EVERY).items():
        assert value.status == "failed", name
        assert value.value is None
        assert value.interval is None
        assert "row 5" in str(value.reason)
        assert value.signature


def test_what_is_missing_is_not_applicable() -> None:
    found = evaluate(rows(), rows(), ["fid_per_class", "classifier_score", "c_t", "authenticity"])
    for name, value in found.items():
        assert value.status == "not_applicable", name
        assert "none given" in str(value.reason)
    assert evaluate(rows(), rows(), ["nll"])["nll"].status == "not_applicable"


def test_too_few_rows_for_one_metric_leave_the_others_alone() -> None:
    found = evaluate(rows(200), rows(3), ["fid", "precision", "density", "fid_infinity"])
    assert found["precision"].status == "undefined"
    assert "at least 4" in str(found["precision"].reason)
    assert found["fid_infinity"].status == "undefined"
    assert found["fid"].status == "ok"
    assert found["density"].status == "ok"


def test_a_metric_that_crashes_is_a_failed_cell_and_the_others_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(*_: Any) -> Any:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(frechet_module, "measure_frechet", crash)
    found = evaluate(rows(), rows(), ["fid", "precision"])
    assert found["fid"].status == "failed"
    assert found["fid"].reason == "ZeroDivisionError: inside"
    assert found["precision"].status == "ok"


def test_a_kernel_that_overflows_leaves_precision_alone() -> None:
    found = evaluate(rows() * 1e60, rows() * 1e60, ["kid", "precision"])
    assert found["kid"].status == "failed"
    assert "overflows" in str(found["kid"].reason)
    assert found["precision"].status == "ok"


def test_a_dropped_class_is_undefined_but_the_other_classes_are_kept() -> None:
    labels = np.arange(60) % 3
    kept = labels != 2
    found = evaluate(
        rows(), rows()[kept], ["fid_per_class"], real_labels=labels, fake_labels=labels[kept]
    )["fid_per_class"]
    assert found.status == "undefined"
    assert "class 2" in str(found.reason)
    assert found.details["by_class"]["2"] is None
    assert found.details["by_class"]["0"] is not None


def test_unknown_names_are_refused_and_unknown_parameters_fail_their_metric() -> None:
    with pytest.raises(UsageError, match="did you mean 'fid'"):
        evaluate(rows(), rows(), ["fidd"])
    found = evaluate(rows(), rows(), ["fid", "kid"], parameters={"kid": {"subset": 3}})
    assert found["kid"].status == "failed"
    assert "did you mean" in str(found["kid"].reason)
    assert found["fid"].status == "ok"


def test_names_keep_their_order_and_their_extractor() -> None:
    names = ["kid@a", "fid", "pixel_fid", "recall", "kid"]
    found = evaluate(rows(), rows(seed=1), names, parameters={"kid": {"subset_size": 30}})
    assert list(found) == names
    assert found["pixel_fid"].value == found["fid"].value
    assert found["pixel_fid"].signature.startswith("pixel_fid|")
    # A subset cannot be larger than the sets: what was used stands in the signature.
    assert "subset_size=60" in found["kid@a"].signature
    assert "subset_size=30" in found["kid"].signature


def test_different_k_in_one_call() -> None:
    found = evaluate(
        rows(200), rows(200, seed=1), ["precision", "recall", "coverage"],
        parameters={"precision": {"k": 1}, "recall": {"k": 4}, "coverage": {"k": 2}},
    )  # fmt: skip
    assert found["precision"].value == precision_recall(rows(200), rows(200, seed=1), k=1).precision
    assert found["recall"].value == precision_recall(rows(200), rows(200, seed=1), k=4).recall
    assert found["coverage"].value == density_coverage(rows(200), rows(200, seed=1), k=2).coverage


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_tensors_are_as_good_as_arrays(dtype: torch.dtype) -> None:
    real = (torch.as_tensor(rows()) * 20 + 100).to(dtype)
    fake = (torch.as_tensor(rows(seed=1)) * 20 + 100).to(dtype)
    arrays = [x.to(torch.float64).numpy() for x in (real, fake)]
    for name in ("fid", "precision", "coverage"):
        theirs = evaluate(real, fake, [name])[name].value
        assert_allclose(theirs, evaluate(*arrays, [name])[name].value, rtol=1e-4, err_msg=name)


def test_every_metric_made_of_features_comes_with_value_interval_and_signature() -> None:
    labels = np.arange(100) % 2
    p = np.random.default_rng(0).dirichlet(np.ones(3), size=100)
    names = (*EVERY, "fid_per_class", "classifier_score", "emd", "sliced_wasserstein", "c2st",
             "c_t", "authenticity", "vendi", "mauve")  # fmt: skip
    found = evaluate(
        rows(100), rows(100, seed=1), names,
        parameters={"emd": {"block": 25}, "sliced_wasserstein": {"projections": 20}},
        real_labels=labels, fake_labels=labels, fake_probabilities=p, real_probabilities=p,
        train=rows(200, seed=2),
    )  # fmt: skip
    for name, value in found.items():
        assert value.status == "ok", (name, value.reason)
        assert value.interval is not None, name
        assert value.value is not None
        assert value.interval.low <= value.value <= value.interval.high, name
        assert value.n == 100
        assert value.seconds is not None
        assert value.signature.startswith(f"{name}|")
        assert "|n=100|ref=100" in value.signature
    bare = evaluate(rows(100), rows(100, seed=1), EVERY, intervals=False)
    assert {value.interval for value in bare.values()} == {None}
