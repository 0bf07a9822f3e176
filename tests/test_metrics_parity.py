"""Same rows, same draws, same numbers as torch-fidelity and prdc."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from genbench.metrics.evaluation import evaluate
from genbench.metrics.frechet import frechet_distance
from genbench.metrics.inception import inception_score
from genbench.metrics.kernel import kernel_distance
from genbench.metrics.neighbours import density_coverage, precision_recall
from tests.oracles.torch_fidelity import torch_fidelity_scores

Rows = NDArray[Any]
CASES = {
    "equal sizes": (700, 700, 16),
    "fewer real": (300, 650, 16),
    "fewer fake": (650, 300, 16),
    "more dimensions than rows": (60, 50, 80),
    "several tiles": (1300, 1100, 8),
}


def rows(n_real: int, n_fake: int, d: int, dtype: Any = np.float64) -> tuple[Rows, Rows]:
    rng = np.random.default_rng(n_real + n_fake + d)
    scale = np.linspace(0.3, 2, d)
    real = rng.normal(size=(n_real, d)) * scale + 1
    fake = rng.normal(size=(n_fake, d)) * scale * 0.8 + 1.3
    return real.astype(dtype), fake.astype(dtype)


@pytest.mark.parametrize("case", CASES)
def test_frechet_kernel_precision_recall_equal_torch_fidelity(case: str) -> None:
    real, fake = rows(*CASES[case])
    size = min(len(real), len(fake)) - 10
    theirs = torch_fidelity_scores(
        real, fake, fid=True, kid=True, prc=True, kid_subsets=7, kid_subset_size=size, rng_seed=5
    )
    kid = kernel_distance(real, fake, subsets=7, subset_size=size, seed=5)
    pr = precision_recall(real, fake)
    assert_allclose(frechet_distance(real, fake), theirs["frechet_inception_distance"], rtol=1e-6)
    assert_allclose(kid.mean, theirs["kernel_inception_distance_mean"], rtol=1e-9)
    assert_allclose(kid.std, theirs["kernel_inception_distance_std"], rtol=1e-6)
    assert_allclose(pr.precision, theirs["precision"], rtol=1e-6)  # theirs is a float32 mean
    assert_allclose(pr.recall, theirs["recall"], rtol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_density_and_coverage_equal_prdc(case: str) -> None:
    from prdc import compute_prdc

    real, fake = rows(*CASES[case])
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = compute_prdc(real, fake, nearest_k=5)
    ours = density_coverage(real, fake, k=5)
    assert_allclose([ours.density, ours.coverage], [theirs["density"], theirs["coverage"]])


def test_float32_rows_give_the_numbers_of_float64_rows() -> None:
    real, fake = rows(900, 800, 64)
    names = ("fid", "kid", "precision", "recall", "density", "coverage")
    double = evaluate(real, fake, names, intervals=False)
    single = evaluate(real.astype(np.float32), fake.astype(np.float32), names, intervals=False)
    for name in names:
        assert double[name].value is not None
        assert_allclose(single[name].value, double[name].value, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("splits", [1, 10])
def test_inception_score_equals_torch_fidelity(splits: int) -> None:
    logits = np.random.default_rng(3).normal(size=(503, 10)) * 3
    theirs = torch_fidelity_scores(logits, logits, isc=True, isc_splits=splits, rng_seed=11)
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    ours = inception_score(p, splits=splits, seed=11)
    assert_allclose(ours.mean, theirs["inception_score_mean"], rtol=1e-9)
    assert_allclose(ours.std, theirs["inception_score_std"], rtol=1e-6, atol=1e-9)


def test_evaluate_gives_what_the_single_functions_give() -> None:
    real, fake = rows(1000, 1200, 12)
    found = evaluate(real, fake, ("fid", "kid", "precision", "recall", "density", "coverage"))
    pr, dc = precision_recall(real, fake), density_coverage(real, fake)
    singles = {
        "fid": frechet_distance(real, fake),
        "kid": kernel_distance(real, fake).mean,
        "precision": pr.precision,
        "recall": pr.recall,
        "density": dc.density,
        "coverage": dc.coverage,
    }
    for name, value in singles.items():
        assert_allclose(found[name].value, value, rtol=1e-9, err_msg=name)
