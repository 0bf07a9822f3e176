"""Copies of held-out rows are found, and data where copies are normal are not accused."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import scipy.stats

from genbench.metrics import reference_copies
from genbench.metrics.reference_copies import (
    _excess,
    exact_copies,
    near_copies,
    training_copies,
)

N = 400


def smooth(rng: np.random.Generator, n: int) -> np.ndarray:
    """Rows in 8 dimensions, of five groups."""
    centres = np.random.default_rng(1).normal(0, 3, (5, 8))
    return (centres[rng.integers(5, size=n)] + rng.normal(size=(n, 8))).astype(np.float32)


def answers(rng: np.random.Generator, n: int) -> np.ndarray:
    """12 yes/no columns that hang together: many rows are equal."""
    latent = rng.normal(size=(n, 1))
    return (latent + rng.normal(size=(n, 12)) > 1).astype(np.float32)


def sets(world, seed: int = 0):
    rng = np.random.default_rng(seed)
    return world(rng, N), world(rng, 1000), rng


@pytest.mark.parametrize("share", [1.0, 0.3, 0.05])
def test_exact_copies_of_held_out_rows_are_found(share: float) -> None:
    heldout, train, rng = sets(smooth)
    fake = smooth(rng, N)
    k = int(share * N)
    fake[:k] = heldout[rng.permutation(N)[:k]]
    found = exact_copies(heldout, train, fake, seed=0)
    assert (found.rows, found.marked) == (k, True)


def test_the_same_few_rows_again_and_again_are_copies_too() -> None:
    heldout, train, rng = sets(smooth)
    fake = smooth(rng, N)
    fake[:60] = heldout[:3].repeat(20, axis=0)
    assert exact_copies(heldout, train, fake, seed=0).marked


def test_copies_of_training_rows_beside_them_hide_none() -> None:
    heldout, train, _ = sets(smooth)
    fake = np.concatenate([heldout[:20], train[: N - 20]])
    found = exact_copies(heldout, train, fake, seed=0)
    assert (found.rows, found.marked) == (20, True)


@pytest.mark.parametrize("k", [0, 3, 12, N])
def test_a_few_copies_of_training_rows_are_found(k: int) -> None:
    heldout, train, rng = sets(smooth)
    fake = np.concatenate([train[rng.integers(1000, size=k)], smooth(rng, N - k)])
    found = training_copies(heldout, train, fake)
    assert (found.rows, found.marked) == (k, k >= 12)


def test_rows_that_are_often_equal_are_no_copies() -> None:
    heldout, train, rng = sets(answers)
    found = training_copies(heldout, train, answers(rng, N))
    assert found.rows > N / 2
    assert not found.marked


@pytest.mark.parametrize("noise", [0.02, 0.2])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_near_copies_of_held_out_rows_are_found(noise: float, share: float) -> None:
    heldout, train, rng = sets(smooth)
    fake = smooth(rng, N)
    k = int(share * N)
    fake[:k] = heldout[rng.permutation(N)[:k]] + noise * rng.normal(size=(k, 8))
    assert not exact_copies(heldout, train, fake, seed=0).marked
    assert near_copies(heldout, train, fake.astype(np.float32), seed=0).marked


@pytest.mark.parametrize(("twins", "share"), [(4, 0.3), (4, 0.1), (N // 2, 0.75)])
def test_twins_among_held_out_rows_hide_no_copies(twins: int, share: float) -> None:
    heldout, train, rng = sets(smooth)
    heldout[:twins] = heldout[-twins:] + 1e-3 * rng.normal(size=(twins, 8))
    fake = smooth(rng, N)
    k = int(share * N)
    fake[:k] = heldout[rng.permutation(N)[:k]] + 0.05 * rng.normal(size=(k, 8))
    assert near_copies(heldout, train, fake.astype(np.float32), seed=0).marked


@pytest.mark.parametrize("world", [smooth, answers])
def test_fresh_rows_and_copies_of_training_rows_are_not_accused(world) -> None:
    accused = 0
    for seed in range(60):
        heldout, train, rng = sets(world, seed)
        for fake in (world(rng, N), train[rng.integers(1000, size=N)]):
            accused += exact_copies(heldout, train, fake, seed=seed).marked
            accused += near_copies(heldout, train, fake, seed=seed).marked
    assert accused == 0


def test_smoothed_rows_lie_near_everything_and_are_not_accused() -> None:
    """Means of near training rows: nearer to held-out rows than real rows are."""
    for seed in range(20):
        heldout, train, rng = sets(smooth, seed)
        start = train[rng.permutation(1000)[:N]]
        order = np.argsort(((start[:, None] - train) ** 2).sum(-1), axis=1)[:, :8]
        assert not near_copies(heldout, train, train[order].mean(1), seed=seed).marked


def test_poor_rows_lean_to_splits_of_other_speakers_and_are_not_accused() -> None:
    """Held-out rows that lie between the training rows' groups, and so do blurred ones."""
    accused = leaning = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        centres = 3 * rng.normal(size=(6, 8))
        train, heldout = (
            (some[rng.integers(len(some), size=n)] + rng.normal(size=(n, 8))).astype(np.float32)
            for some, n in ((centres[:4], 1000), (0.5 * centres[4:], N))
        )
        fake = (rng.normal(size=(N, 8)) * 1.5).astype(np.float32)
        leaning += reference_copies._excess(*leans(fake, heldout, train), N, N, 1e-6)
        accused += near_copies(heldout, train, fake, seed=seed).marked
    assert leaning > 10
    assert accused == 0


def leans(fake: np.ndarray, heldout: np.ndarray, train: np.ndarray) -> tuple[int, int]:
    """How many held-out rows, and of as many training rows, have a row that is nearest to them."""
    pool = np.concatenate([heldout, train[:N]])
    nearest = np.unique(((fake[:, None] - pool) ** 2).sum(-1).argmin(1))
    return int((nearest < N).sum()), int((nearest >= N).sum())


def test_discrete_rows_whose_equals_were_kept_in_one_split_are_not_accused() -> None:
    """Suites of before keep equal rows together: a common answer lies in one split alone."""
    rng = np.random.default_rng(0)
    for seed in range(30):
        rows = answers(rng, 1797)
        keys = np.array([zlib.crc32(r.tobytes(), seed) % 1797 for r in rows])
        heldout, train = rows[keys < N], rows[keys >= 2 * N]
        fake = answers(rng, N)
        assert not exact_copies(heldout, train, fake, seed=seed).marked
        assert not near_copies(heldout, train, fake, seed=seed).marked


def test_discrete_rows_taken_from_the_held_out_ones_are_found() -> None:
    """Copies are normal here, but not of rows that are in no training row."""
    rng = np.random.default_rng(0)
    heldout, train = ((rng.random((n, 24)) < 0.5).astype(np.float32) for n in (N, 1000))
    assert exact_copies(heldout, train, heldout[rng.permutation(N)], seed=0).marked


def test_the_excess_is_scipys_binomial_test() -> None:
    for hits, others in ((9, 0), (10, 0), (11, 0), (20, 8), (30, 15)):
        p = scipy.stats.binomtest(hits, hits + others, 0.5, alternative="greater").pvalue
        assert _excess(hits, others, N, N, 1e-3) == (p < 1e-3 and hits >= 2 * others)


def test_equal_rows_everywhere_are_searched_quickly_and_not_accused() -> None:
    ones = np.ones((5000, 64), np.float32)
    assert not near_copies(ones, ones, ones, seed=0).marked
    assert exact_copies(ones, ones, ones, seed=0).rows == 0
