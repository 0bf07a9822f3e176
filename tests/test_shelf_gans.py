"""`dcgan` and `wgan-gp`: what they owe the budget, the record, and the classes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from genbench.baselines.dcgan import DCGAN, DCGANParams
from genbench.baselines.wgan_gp import WGANGP, WGANGPParams
from genbench.errors import UsageError
from genbench.generator import Space
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData
from tests.without_a_card import graphs

CPU = torch.device("cpu")
LINE = Space("points", (1,))


def test_the_critic_tells_the_distance_w1_between_points_and_fakes() -> None:
    """Trained against a generator that stands still, on points already in deviations."""
    gan = WGANGP(WGANGPParams(points_width=32), LINE, CPU)
    training, rng = gan._start(0), torch.Generator().manual_seed(0)
    for _ in range(200):
        w1, _ = gan._teach(training, torch.randn(256, 1, generator=rng), None)
    fakes = training.generator(gan._noise(4000, rng), None).detach().view(-1)
    expected = wasserstein_distance(torch.randn(4000, generator=rng), fakes)
    assert float(w1) == pytest.approx(expected, rel=0.25)


def test_the_critics_examples_count_and_the_generator_moves_on_every_fifth_batch() -> None:
    gan = WGANGP(WGANGPParams(points_batch_size=10, points_width=8), LINE, CPU)
    weights: list[Tensor] = []
    budget = Budget(100)
    run = HarnessRun(0, CPU, budget)
    start = gan._start
    trainings: list[Any] = []
    gan._start = lambda seed: trainings.append(start(seed)) or trainings[-1]  # type: ignore[func-returns-value, method-assign]

    def progress(**scalars: Any) -> None:
        assert set(scalars) == {"w1_estimate", "slope_penalty"}
        weights.append(trainings[0].generator.layers[0].weight.detach().clone())

    run.progress = progress  # type: ignore[method-assign]
    gan.fit(MemoryTrainData(torch.randn(100, 1), None, LINE, CPU, budget), run)
    assert budget.served == 100
    moved = [not torch.equal(a, b) for a, b in pairwise(weights)]
    assert moved == [False, False, False, True, False, False, False, False, True]


@pytest.mark.parametrize("cls", [DCGAN, WGANGP])
def test_images_that_cannot_be_halved_twice_are_refused(cls: Any) -> None:
    gan = cls(cls.spec.params(), Space("image", (1, 6, 8), levels=4), CPU)
    budget = Budget(8)
    data = MemoryTrainData(torch.zeros(8, 1, 6, 8).byte(), None, gan.space, CPU, budget)
    with pytest.raises(UsageError, match="6 x 8 pixels cannot be halved twice"):
        gan.fit(data, HarnessRun(0, CPU, budget))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cls", "params", "examples"),
    [
        (DCGAN, DCGANParams(width=8, latent=8, batch_size=16, learning_rate=1e-3), 3000),
        (WGANGP, WGANGPParams(width=8, latent=8, batch_size=16, learning_rate=2e-3), 10_000),
    ],
)
def test_samples_are_of_the_class_asked_for(cls: Any, params: Any, examples: int) -> None:
    """Colour images of a bright half: the left one of class 0, the right one of class 1."""
    space = Space("image", (3, 8, 8), levels=256, classes=2)
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 2
    x = torch.randint(0, 60, (200, 3, 8, 8), generator=rng)
    x[y == 0, :, :, :4] += 180
    x[y == 1, :, :, 4:] += 180
    budget, gan = Budget(examples), cls(params, space, CPU)
    gan.fit(MemoryTrainData(x.byte(), y, space, CPU, budget), HarnessRun(0, CPU, budget))
    asked = torch.arange(100) % 2
    samples = gan.sample(100, seed=0, labels=asked).float().mean((1, 2))  # (n, columns)
    right = samples[:, 4:].mean(1) > samples[:, :4].mean(1)
    assert float((right == asked.bool()).float().mean()) > 0.95


def test_both_steps_of_wgan_gp_are_captured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On ``meta``, where a value that is asked for or a copy to the host fails."""
    meta = torch.device("meta")
    card, budget = graphs(monkeypatch, "meta"), Budget(80)
    gan = WGANGP(WGANGPParams(points_batch_size=10, critic_steps=1), LINE, meta)
    data = MemoryTrainData(torch.zeros(100, 1), None, LINE, meta, budget)
    gan.fit(data, HarnessRun(0, meta, budget))
    assert capsys.readouterr().err == ""
    assert card.asked == [*["eager"] * 6, *["capture", "replay"] * 2, *["replay"] * 8]
