"""`vae` from inside: its sampler draws as `sample` does, and a code finds its class by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from genbench.baselines.vae import VAE, VAEParams
from genbench.errors import UsageError
from genbench.generator import Space
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData

CPU = torch.device("cpu")
IMAGES = Space("image", (1, 6, 6), levels=5, classes=2)
DRAWS = 6000


def fitted(space: Space, x: Tensor, y: Tensor | None, examples: int) -> VAE:
    params = VAEParams(width=8, wide=8, latent=4, latent_channels=1, mixture=6, points_width=32)
    budget, model = Budget(examples), VAE(params, space, CPU)
    model.fit(MemoryTrainData(x, y, space, CPU, budget), HarnessRun(0, CPU, budget))
    return model


@pytest.fixture(scope="module")
def images() -> tuple[VAE, Tensor, Tensor]:
    """Bright above of class 0, bright below of class 1."""
    rng, y = torch.Generator().manual_seed(0), torch.arange(400) % 2
    x = torch.randint(0, 3, (400, 1, 6, 6), generator=rng)
    x[y == 0, :, :3] += 2
    x[y == 1, :, 3:] += 2
    return fitted(IMAGES, x.byte(), y, 8000), x.byte(), y


def drawn(model: VAE, labels: Tensor | None) -> tuple[Any, Any]:
    """Rows of the sampler and of `sample`."""
    noise = torch.randn(DRAWS, model.noise_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.sampler(noise, labels), model.sample(DRAWS, seed=2, labels=labels)


@pytest.mark.slow
def test_the_sampler_draws_images_as_sample_does(images: Any) -> None:
    model, _, _ = images
    one, other = drawn(model, torch.arange(DRAWS) % 2)
    assert one.dtype == torch.uint8
    assert int(one.max()) <= 4
    for label in (0, 1):
        for level in range(5):
            share = [(x[label::2] == level).float().mean(0) for x in (one, other)]
            assert float((share[0] - share[1]).abs().max()) < 0.06


@pytest.mark.slow
def test_a_code_finds_its_class_and_gives_the_image_back(images: Any) -> None:
    model, x, y = images
    assert float((model._likeliest(x) == y).float().mean()) > 0.98
    blurred = x.float().mean(0)
    off = [(rows.float() - x.float()).square().mean() for rows in (model.reconstruct(x), blurred)]
    assert off[0] < 0.8 * off[1]
    decoded = model.decode(model.encode(x), y)
    assert float((decoded == model.reconstruct(x)).float().mean()) > 0.98


def test_the_sampler_draws_points_as_sample_does() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(500, 2, generator=rng) * torch.tensor([3.0, 0.5]) + 7
    model = fitted(Space("points", (2,)), x, None, 3000)
    one, other = drawn(model, None)
    for measure in (torch.mean, torch.std):
        assert measure(one, 0) == pytest.approx(measure(other, 0).numpy(), rel=0.1)


def test_a_decoder_of_classes_asks_for_them() -> None:
    model = VAE(VAEParams(), IMAGES, CPU)
    with pytest.raises(UsageError, match=r"vae decodes 2 classes: pass labels int64 \(n,\)"):
        model.decode(torch.zeros(3, model.latent_size), None)
