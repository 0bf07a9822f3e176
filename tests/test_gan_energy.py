"""The generator's energy term against the energy distance of SciPy's pairwise distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from baselines.gan import Memory

ROWS = 5


def images(n: int, seed: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(n, 1, 4, 4, generator=rng, dtype=torch.float64) * 2 - 1


def energy_distance(real: Any, fake: Any) -> float:
    """2 E|f - r| - E|f - f'| over different rows; the term without a fake does not matter here."""
    n = len(fake)
    return float(2 * cdist(fake, real).mean() - cdist(fake, fake).sum() / (n * (n - 1)))


def numeric_slope(real: Any, fake: Any, step: float = 1e-6) -> Any:
    slope = np.zeros_like(fake)
    for place in np.ndindex(fake.shape):
        up, down = fake.copy(), fake.copy()
        up[place] += step
        down[place] -= step
        slope[place] = (energy_distance(real, up) - energy_distance(real, down)) / (2 * step)
    return slope


def flat(x: torch.Tensor) -> Any:
    return x.flatten(1).numpy()


def test_one_class_without_labels() -> None:
    real, fake = images(ROWS, 1), images(ROWS, 2)
    found = Memory(100).energy_slope(real, fake, None)
    assert found.shape == fake.shape
    expected = numeric_slope(flat(real), flat(fake)) * ROWS / 2
    np.testing.assert_allclose(flat(found), expected, atol=1e-7)


def test_each_class_is_compared_with_itself_alone() -> None:
    real, fake = images(10, 1), images(10, 2)
    y = torch.tensor([0, 1, 0, 1, 1, 0, 1, 0, 0, 0])
    found = flat(Memory(100).energy_slope(real, fake, y))
    for c in (0, 1):
        rows = (y == c).numpy()
        expected = numeric_slope(flat(real)[rows], flat(fake)[rows]) * rows.sum() / 2
        np.testing.assert_allclose(found[rows], expected, atol=1e-7)


def test_earlier_images_count_up_to_the_size_of_the_memory() -> None:
    memory = Memory(2 * ROWS)
    batches = [(images(ROWS, 2 * i), images(ROWS, 2 * i + 1)) for i in range(4)]
    for real, fake in batches:
        found = memory.energy_slope(real, fake, None)
    # The last batch saw itself and the two before it.
    reals, fakes = (np.concatenate([flat(b[side]) for b in batches[1:]]) for side in (0, 1))
    expected = numeric_slope(reals, fakes)[-ROWS:] * len(fakes) / 2
    np.testing.assert_allclose(flat(found), expected, atol=1e-7)
    assert len(memory.real) == len(memory.fake) == 2 * ROWS


def test_without_a_memory_nothing_is_kept() -> None:
    memory = Memory(0)
    first, again = (
        memory.energy_slope(images(ROWS, 1), images(ROWS, 2), torch.zeros(ROWS, dtype=torch.int64))
        for _ in range(2)
    )
    assert torch.equal(first, again)
    assert memory.real is not None
    assert not len(memory.real)


@pytest.mark.parametrize("labelled", [True, False])
def test_images_alike_have_no_direction(labelled: bool) -> None:
    y = torch.arange(3) if labelled else None
    same = torch.zeros(3, 1, 4, 4)
    assert not Memory(10).energy_slope(same, same, y).abs().sum()


def test_the_only_image_of_its_class_is_drawn_to_the_real_one() -> None:
    real, fake = images(3, 1), images(3, 2)
    apart = flat(fake) - flat(real)
    found = Memory(10).energy_slope(real, fake, torch.arange(3))
    np.testing.assert_allclose(flat(found), apart / np.linalg.norm(apart, axis=1, keepdims=True))
