"""`autoencoder`: its mixtures are those of the codes, and what it gives back is what it got."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from genbench.baselines.autoencoder import Autoencoder, AutoencoderParams
from genbench.baselines.autoencoder_mixture import ClassMixtures
from genbench.generator import Space
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData

CPU = torch.device("cpu")
SQUARES = Space("image", (3, 8, 8), levels=256, classes=2)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def halves(n: int) -> tuple[Tensor, Tensor]:
    """Colour images of a bright half: the left one of class 0, the right one of class 1."""
    y = torch.arange(n) % 2
    x = torch.randint(0, 60, (n, 3, 8, 8), generator=rng())
    x[y == 0, :, :, :4] += 180
    x[y == 1, :, :, 4:] += 180
    return x.byte(), y


def fitted(space: Space, x: Tensor, y: Tensor | None, examples: int, **params: Any) -> Autoencoder:
    budget, model = Budget(examples), Autoencoder(AutoencoderParams(**params), space, CPU)
    model.fit(MemoryTrainData(x, y, space, CPU, budget), HarnessRun(0, CPU, budget))
    return model


def test_a_mixture_finds_the_modes_of_each_class_and_their_shares() -> None:
    y = torch.arange(3000) % 2
    upper = (torch.arange(3000) % 6 < 2).float()  # a third of either class
    centre = torch.stack([6 * y - 3, 8 * upper - 4], 1)
    codes = centre + 0.3 * torch.randn(3000, 2, generator=rng())
    mixtures = ClassMixtures(2, 4, 2)
    mixtures.fit(codes, y, rng())
    for label in (0, 1):
        drawn = mixtures(torch.randn(4000, 3, generator=rng(1)), torch.full((4000,), label))
        assert float((drawn[:, 0] - (6 * label - 3)).abs().mean()) < 0.5
        assert float((drawn[:, 1] > 0).float().mean()) == pytest.approx(1 / 3, abs=0.04)
        assert float((drawn[:, 1].abs() - 4).std()) == pytest.approx(0.3, rel=0.35)


def test_a_class_without_codes_is_drawn_from_the_others() -> None:
    codes = 5 + torch.randn(400, 2, generator=rng())
    mixtures = ClassMixtures(3, 2, 2)
    mixtures.fit(codes, torch.arange(400) % 2, rng())
    drawn = mixtures(torch.randn(500, 3, generator=rng(1)), torch.full((500,), 2))
    assert drawn.mean(0) == pytest.approx([5, 5], abs=0.5)


def test_its_codes_are_standard_over_the_data() -> None:
    x, y = halves(400)
    model = fitted(SQUARES, x, y, 3000, colour_latent=3)
    codes = model.encode(x)
    assert codes.mean(0).abs().max() < 0.5
    assert torch.cov(codes.T).diagonal() == pytest.approx([1, 1, 1], abs=0.6)


def test_points_come_back_and_are_drawn_where_the_data_are() -> None:
    corner = torch.tensor([[4.0, 4], [-4, 4], [4, -4]])[torch.arange(900) % 3]
    x = corner + 0.2 * torch.randn(900, 2, generator=rng())
    model = fitted(Space("points", (2,)), x, None, 40_000)
    assert (model.reconstruct(x) - x).square().mean() < 0.05
    drawn = model.sample(900, seed=0)
    nearest = torch.cdist(drawn, corner[:3]).min(1)
    assert (nearest.values < 1.5).float().mean() > 0.9
    assert nearest.indices.bincount(minlength=3).min() > 200


@pytest.mark.slow
def test_images_come_back_and_samples_are_of_the_class_asked_for() -> None:
    x, y = halves(300)
    model = fitted(SQUARES, x, y, 6000, latent=4)
    blurred = x.float().mean(0, keepdim=True)
    error = (model.reconstruct(x).float() - x).square().mean()
    assert error < 0.3 * (blurred - x).square().mean()
    asked = torch.arange(100) % 2
    columns = model.sample(100, seed=0, labels=asked).float().mean((1, 2))
    right = columns[:, 4:].mean(1) > columns[:, :4].mean(1)
    assert float((right == asked.bool()).float().mean()) > 0.95


def test_the_sampler_is_what_sample_draws_with() -> None:
    x, y = halves(100)
    model = fitted(SQUARES, x, y, 200, latent=3)
    noise = torch.randn(6, model.noise_size, generator=rng(5))
    assert torch.equal(model.sampler(noise, y[:6]), model.sample(6, seed=5, labels=y[:6]))
