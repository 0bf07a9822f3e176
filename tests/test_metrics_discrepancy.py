"""Any MMD: KID, CMMD and KAD are settings of it, held against their formulas as published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from genbench.errors import MetricError
from genbench.metrics import evaluate, kernel_distance, maximum_mean_discrepancy
from genbench.metrics.values import MetricValue

CMMD = {"bandwidth": 10, "biased": True, "unit_length": True, "scale": 1000}
KAD = {"scale": 100}
KID = {"kernel": "polynomial", "subsets": 7, "subset_size": 40}


def rows(n: int, d: int = 6, seed: int = 0, shift: float = 0.0) -> Any:
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def measured(real: Any, fake: Any, parameters: Any, **more: Any) -> MetricValue:
    found = evaluate(real, fake, ["mmd"], parameters={"mmd": parameters}, **more)["mmd"]
    assert found.status == "ok", found.reason
    return found


def test_kid_is_a_setting_of_it() -> None:
    real, fake = rows(90), rows(80, seed=1, shift=0.3)
    kid = kernel_distance(real, fake, subsets=7, subset_size=40, seed=3)
    found = measured(real, fake, KID, seed=3)
    assert found.value == kid.mean
    assert found.details["subset_std"] == kid.std
    assert found.std_error == kid.std_error


def test_cmmd_is_what_its_authors_compute() -> None:
    """Embeddings of length 1; the means of exp(-|x - y|^2 / 2 sigma^2) over all pairs, own too."""
    real, fake = rows(50, shift=1.0), rows(60, seed=1, shift=1.5)
    x, y = (torch.nn.functional.normalize(torch.from_numpy(part)) for part in (real, fake))

    def mean(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        return torch.exp(-squares / (2 * 10**2)).mean()

    expected = 1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y))
    assert measured(real, fake, CMMD).value == pytest.approx(float(expected), rel=1e-9)


def test_kad_is_what_its_authors_compute() -> None:
    """The bandwidth is the median of the reference's distances; nothing is paired with itself."""
    real, fake = rows(50), rows(60, seed=1, shift=0.5)
    x, y = torch.from_numpy(real), torch.from_numpy(fake)
    gamma = 1 / (2 * float(np.median(torch.pdist(x))) ** 2)

    def total(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.exp(-gamma * torch.cdist(a, b) ** 2).sum()

    of_real = (total(x, x) - 50) / (50 * 49)
    expected = 100 * (of_real + (total(y, y) - 60) / (60 * 59) - 2 * total(x, y) / (50 * 60))
    found = measured(real, fake, KAD)
    assert found.value == pytest.approx(float(expected), rel=1e-9)
    assert found.details["bandwidth"] == pytest.approx((2 * gamma) ** -0.5)


def test_signatures_say_all_that_makes_the_number_and_nothing_else() -> None:
    real, fake = rows(50), rows(60, seed=1)
    assert measured(real, fake, CMMD).signature == (
        "mmd|mmd/1|bandwidth=10|biased=True|kernel=rbf|scale=1000|subsets=0|unit_length=True"
        "|n=60|ref=50"
    )
    assert "|bandwidth=median(50)|" in measured(real, fake, KAD).signature
    kid = measured(real, fake, KID).signature
    assert "|degree=3|kernel=polynomial|scale=1.0|subset_size=40|subsets=7|" in kid
    assert "bandwidth" not in kid


def test_the_median_belongs_to_the_reference_alone() -> None:
    real = rows(2300, 3)
    found = [measured(real, rows(50, 3, seed=s), KAD, seed=s) for s in (1, 2)]
    one, other = (value.details["bandwidth"] for value in found)
    assert one == other
    every = torch.pdist(torch.from_numpy(real)).median()
    assert one == pytest.approx(float(every), rel=0.02)
    assert "median(2000)" in found[0].signature


@pytest.mark.parametrize("parameters", [CMMD, KAD, {"kernel": "laplacian", "bandwidth": 4.0}])
def test_float32_and_means_far_from_0_cost_few_digits(parameters: Any) -> None:
    real, fake = rows(300, 40), rows(300, 40, seed=1, shift=0.2)
    moved = 0 if parameters is CMMD else 1000
    narrow = maximum_mean_discrepancy(
        (real + moved).astype(np.float32), (fake + moved).astype(np.float32), **parameters
    )
    wide = maximum_mean_discrepancy(real, fake, **parameters)
    assert narrow.value == pytest.approx(wide.value, rel=2e-3)


@pytest.mark.parametrize("parameters", [CMMD, KAD, {"kernel": "imq", "bandwidth": 1.0}])
def test_it_is_the_same_beside_other_metrics_as_alone(parameters: Any) -> None:
    real, fake = rows(90), rows(80, seed=1, shift=0.3)
    names = ["kid", "mmd", "recall", "coverage"]
    given = {"mmd": parameters, "kid": {"subset_size": 40}}
    together = evaluate(real, fake, names, parameters=given)
    for name in names:
        alone = evaluate(real, fake, [name], parameters=given)[name]
        assert together[name].value == alone.value
        assert together[name].interval == alone.interval
        assert together[name].signature == alone.signature


def test_only_the_biased_form_is_never_below_0() -> None:
    unbiased = [maximum_mean_discrepancy(rows(30), rows(30, seed=s)).value for s in range(1, 41)]
    assert min(unbiased) < 0
    assert abs(np.mean(unbiased)) < 0.3 * np.max(np.abs(unbiased))
    found = [measured(rows(60), rows(60, seed=s), {"biased": True}) for s in range(1, 11)]
    assert all(v.value is not None and v.value > 0 for v in found)
    assert all(v.interval is not None and v.interval.low >= 0 for v in found)


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [KAD, {**CMMD, "bandwidth": 1}, {"kernel": "laplacian"}])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_its_interval_holds_what_other_rows_give(parameters: Any, shift: float) -> None:
    real = rows(200, 8, seed=999)
    found = [measured(real, rows(200, 8, seed=s, shift=shift), parameters) for s in range(100)]
    target = np.mean([value.value for value in found])
    ends = [value.interval for value in found if value.interval is not None]
    assert len(ends) == 100
    assert np.mean([end.low <= target <= end.high for end in ends]) >= 0.9


@pytest.mark.parametrize("fake", [np.zeros((60, 3)), np.full((60, 3), 50.0)])
def test_equal_rows_prove_nothing(fake: Any) -> None:
    """Every block of them counts the same: the error is that of one row exchanged."""
    found = measured(rows(60, 3), fake, {"bandwidth": 30.0})
    assert found.interval is not None
    assert found.interval.method == "one-row"
    assert found.interval.low < found.interval.high


@pytest.mark.parametrize(("parameters", "said"), [
    ({"kernel": "rbg"}, "kernel is 'rbg': did you mean 'rbf'"),
    ({"kernel": "polynomial", "bandwidth": 2.0}, "a polynomial has none"),
    ({"bandwidth": 0}, "bandwidth is 0: give a number above 0 or 'median'"),
    ({"bandwidth": "mean"}, "give a number above 0 or 'median'"),
    ({"bandwidth": 1e-200}, "out of range"),
    ({"scale": True}, "scale is True"),
    ({"biased": 1}, "biased is 1: give true or false"),
    ({"subsets": 2, "subset_size": 1}, "subset_size is 1"),
    ({"unit_length": True}, "real is 0 throughout row 7"),
])  # fmt: skip
def test_what_cannot_be_is_refused_with_its_remedy(parameters: Any, said: str) -> None:
    real = rows(50)
    real[7] = 0
    with pytest.raises(MetricError, match=said):
        maximum_mean_discrepancy(real, rows(50, seed=1), **parameters)
    found = evaluate(real, rows(50), ["mmd", "recall"], parameters={"mmd": parameters})
    assert found["mmd"].status == "failed"
    assert found["recall"].status == "ok"


def test_a_reference_of_copies_has_no_median() -> None:
    real = np.repeat(rows(2), 20, axis=0)
    real[:30] = real[0]
    with pytest.raises(MetricError, match="half of the reference's distances are 0") as told:
        maximum_mean_discrepancy(real, rows(50))
    assert told.value.status == "undefined"
