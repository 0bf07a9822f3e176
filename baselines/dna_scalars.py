"""The half of ``dna`` for images and points: Gaussian noise on standardised numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from genbench.baselines.dna_denoiser import CONDITION, Denoiser
from genbench.baselines.dna_image import ImageNet
from genbench.baselines.dna_points import PointsNet
from genbench.generator import Batch, Space, captures, to_uint8

VARIANCE_WEIGHT = 0.05  # of the loss of the predicted variance, which the mean does not learn from
SAMPLE_CHUNK = 500  # rows sampled at once, to bound memory
CAPTURED_CHUNK = 2000  # by a card


class ScalarHalf:
    """The dealings of `dna` with numbers; `params` are those of `genbench.baselines.dna`."""

    losses = ("reconstruction_error", "variance_loss")

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.image = space.kind == "image"
        self.batch_size = params.batch_size if self.image else params.points_batch_size
        self.served = self.batch_size
        self.learning_rate: float = params.learning_rate
        self.chunk = CAPTURED_CHUNK if captures(device) else SAMPLE_CHUNK

    def network(self) -> Denoiser:
        """A new network, from torch's global random state."""
        return Denoiser(self.space, self.body)

    def body(self) -> nn.Module:
        """The network between the denoiser's scaled ends."""
        p = self.params
        if not self.image:
            return PointsNet(self.space.dims, width=p.points_width, condition=CONDITION)
        width, inner = p.width, p.inner_width
        return ImageNet(self.space.shape, width=width, inner_width=inner, condition=CONDITION)

    def prepare(self, net: Any, budget: int, n: int) -> None:
        """Nothing here depends on the passes over the rows."""

    def see(self, x: Tensor, y: Tensor | None, first: bool, *nets: Any) -> None:
        """Centre and scale of the first batch, for all networks."""
        for net in nets if first else ():
            net.calibrate(x.float())

    def batches(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> list[Batch]:
        """What is served, as one batch of floats."""
        return [Batch(x.float(), y)]

    def loss(
        self, net: Any, x: Tensor, y: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loss of a batch, and what `losses` names.

        Squared error, weighted so that every noise level counts alike; and of the variance.
        """
        p = self.params
        x = (x - net.centre) / net.scale
        shape = (len(x), *[1] * (x.dim() - 1))
        noise = torch.randn(shape, generator=rng, device=self.device)
        noise = (p.noise_mean + p.noise_spread * noise).exp()
        noisy = x + noise * self._noise(x, rng)
        with self._autocast():
            clean = net(noisy, noise, y)
        error = (clean.mean - x) ** 2 * clean.weight  # 1 for the best linear reconstruction
        surprise = clean.log_variance + error.detach() * (-clean.log_variance).exp()
        error, variance = error.mean(), surprise.mean() / 2
        return error + VARIANCE_WEIGHT * variance, (error.detach(), variance.detach())

    def levels(self) -> list[tuple[float, ...]]:
        """Noise levels of the corruptions, from high to low: what `step_back` is told."""
        p = self.params
        if self.image:
            levels, low = p.levels, p.noise_low
        else:
            levels, low = p.points_levels, p.points_noise_low
        steps = [i / max(1, levels - 1) for i in range(levels)]
        return [(p.noise_high * (low / p.noise_high) ** step,) for step in steps]

    def canvases(
        self, net: Any, n: int, labels: Tensor | None, rng: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Places of rows, what noise is laid on first, nothing, and labels: by chunks."""
        for at in torch.split(torch.arange(n, device=self.device), self.chunk):
            clean = torch.zeros(len(at), *self.space.shape, device=self.device)
            yield at, clean, None if labels is None else labels[at]

    def step_back(
        self, net: Any, rng: torch.Generator, clean: Tensor, y: Tensor | None, level: Any
    ) -> tuple[Tensor]:
        """One corruption at a noise level and its reconstruction, drawn."""
        noisy = clean + level * self._noise(clean, rng)
        noise = torch.ones(len(clean), *[1] * (clean.dim() - 1), device=self.device) * level
        with self._autocast():
            reconstruction = net(noisy, noise, y)
        clean = reconstruction.mean
        if spread := self.params.spread if self.image else 1.0:
            variance = reconstruction.log_variance.exp() * level**2 / (1 + level**2)
            clean = clean + spread * variance.sqrt() * self._noise(clean, rng)
        return (clean,)

    def examples(self, net: Any, places: list[Tensor], parts: list[Tensor]) -> Tensor:
        """Examples of the space, of chunks of standardised ones."""
        none = torch.zeros(0, *self.space.shape, device=self.device)
        x = torch.cat([none, *parts]) * net.scale + net.centre
        return to_uint8(x, 0, self.space.levels - 1, self.space.levels) if self.image else x

    def _noise(self, like: Tensor, rng: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=rng, device=self.device)

    def _autocast(self) -> torch.autocast:
        """bfloat16 networks on CUDA; float32 elsewhere."""
        cuda = self.device.type == "cuda"
        return torch.autocast(
            "cuda" if cuda else "cpu", torch.bfloat16, enabled=cuda, cache_enabled=False
        )
