"""The GAN's energy term against SciPy's pairwise distances, its weight, the noise of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from genbench.baselines.gan import GAN, Params
from genbench.baselines.gan_image import ImageHalf, Memory
from genbench.generator import Space
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData

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
    found = Memory(100, 16).energy_slope(real, fake, None)
    assert found.shape == fake.shape
    expected = numeric_slope(flat(real), flat(fake)) * ROWS / 2
    np.testing.assert_allclose(flat(found), expected, atol=1e-7)


def test_each_class_is_compared_with_itself_alone() -> None:
    real, fake = images(10, 1), images(10, 2)
    y = torch.tensor([0, 1, 0, 1, 1, 0, 1, 0, 0, 0])
    found = flat(Memory(100, 16).energy_slope(real, fake, y))
    for c in (0, 1):
        rows = (y == c).numpy()
        expected = numeric_slope(flat(real)[rows], flat(fake)[rows]) * rows.sum() / 2
        np.testing.assert_allclose(found[rows], expected, atol=1e-7)


def test_earlier_images_count_up_to_the_size_of_the_memory() -> None:
    memory = Memory(2 * ROWS, 16)
    batches = [(images(ROWS, 2 * i), images(ROWS, 2 * i + 1)) for i in range(4)]
    for real, fake in batches:
        found = memory.energy_slope(real, fake, None)
    # The last batch saw itself and the two before it.
    reals, fakes = (np.concatenate([flat(b[side]) for b in batches[1:]]) for side in (0, 1))
    expected = numeric_slope(reals, fakes)[-ROWS:] * len(fakes) / 2
    np.testing.assert_allclose(flat(found), expected, atol=1e-7)
    assert len(memory.real) == len(memory.fake) == 2 * ROWS


def test_without_a_memory_nothing_is_kept() -> None:
    memory = Memory(0, 16)
    first, again = (
        memory.energy_slope(images(ROWS, 1), images(ROWS, 2), torch.zeros(ROWS, dtype=torch.int64))
        for _ in range(2)
    )
    assert torch.equal(first, again)
    assert not len(memory.real)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_memory_that_is_full_of_nothing_is_as_good_as_an_empty_one(labelled: bool) -> None:
    """On a card, where its tensors keep their size and their place."""
    empty, full = Memory(2 * ROWS, 16), Memory(2 * ROWS, 16, rows=2 * ROWS)
    y, places = torch.arange(ROWS) % 2 if labelled else None, [x.data_ptr() for x in full.state()]
    for i in range(4):
        real, fake = images(ROWS, 2 * i).float(), images(ROWS, 2 * i + 1).float()
        found = [memory.energy_slope(real, fake, y) for memory in (empty, full)]
        torch.testing.assert_close(*found)
    assert [x.data_ptr() for x in full.state()] == places
    assert all(torch.equal(a, b) for a, b in zip(empty.state(), full.state(), strict=True))


@pytest.mark.parametrize("labelled", [True, False])
def test_images_alike_have_no_direction(labelled: bool) -> None:
    y = torch.arange(3) if labelled else None
    same = torch.zeros(3, 1, 4, 4)
    assert not Memory(10, 16).energy_slope(same, same, y).abs().sum()


def test_the_only_image_of_its_class_is_drawn_to_the_real_one() -> None:
    real, fake = images(3, 1), images(3, 2)
    apart = flat(fake) - flat(real)
    found = Memory(10, 16).energy_slope(real, fake, torch.arange(3))
    np.testing.assert_allclose(flat(found), apart / np.linalg.norm(apart, axis=1, keepdims=True))


DIGITS = Space("image", (1, 8, 8), levels=17, classes=2)
PLANE = Space("points", (2,))


def fitted(space: Space, params: Params, examples: int = 384) -> GAN:
    """A generator fitted on noise: enough to see what its parameters do."""
    rng = torch.Generator().manual_seed(0)
    n = 64
    x, y = torch.randn(n, 2, generator=rng), None
    if space.kind == "image":
        x = torch.randint(0, 17, (n, 1, 8, 8), generator=rng).to(torch.uint8)
        y = torch.arange(n) % 2
    budget = Budget(examples)
    cpu = torch.device("cpu")
    gan = GAN(params, space, cpu)
    gan.fit(MemoryTrainData(x, y, space, cpu, budget), HarnessRun(0, cpu, budget))
    return gan


def draw(gan: GAN, n: int = 32) -> torch.Tensor:
    y = torch.zeros(n, dtype=torch.int64) if gan.space.classes else None
    return gan.sample(n, seed=1, labels=y)


def test_the_energy_weight_falls_over_a_third_of_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights: list[float] = []
    energy = ImageHalf.energy

    def watched(self: ImageHalf, fraction: float) -> float:
        weights.append(energy(self, fraction))
        return weights[-1]

    monkeypatch.setattr(ImageHalf, "energy", watched)
    fitted(DIGITS, Params(energy=0.5, energy_start=4.0))  # 12 batches of 32
    # A batch counts as served before its step: the fractions are 1/12, 2/12, ... 1.
    assert weights == pytest.approx([1.625, 1.25, 0.875] + 9 * [0.5])


def test_no_energy_is_none_at_the_start_either() -> None:
    off, still_off = (fitted(DIGITS, Params(energy=0, energy_start=s)) for s in (1.0, 6.0))
    assert torch.equal(draw(off), draw(still_off))
    assert not torch.equal(draw(off), draw(fitted(DIGITS, Params())))


def test_the_temperature_spreads_images() -> None:
    cold, usual, warm = (
        draw(fitted(DIGITS, Params(temperature=t))).float().var(0).mean() for t in (0.0, 0.5, 2.0)
    )
    assert cold == 0, "without noise all images of a class are one"
    assert 0 < usual < warm


def test_the_temperature_leaves_points_alone() -> None:
    one, other = (draw(fitted(PLANE, Params(temperature=t))) for t in (1.0, 2.0))
    assert torch.equal(one, other)
