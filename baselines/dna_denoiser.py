"""The autoencoder of `dna` for numbers: a network between scaled ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.generator import Space

CONDITION = 64  # width of the embedding of noise level and class
FREQUENCIES = 8  # sines and cosines of the logarithm of the noise level


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """Mean, and logarithm of the variance in units of its Gaussian value, per scalar."""

    mean: Tensor
    log_variance: Tensor
    weight: Tensor
    """One over the Gaussian variance, ``(n, 1, ...)``."""


class Denoiser(nn.Module):
    """The autoencoder: what a corrupted, standardised example was, given noise level and class.

    Parameters
    ----------
    body
        Makes the network between its scaled ends, of examples and a condition ``(n, 64)``: twice as
        many channels as an example has.
    """

    centre: Tensor
    scale: Tensor
    frequencies: Tensor

    def __init__(self, space: Space, body: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.together = len(space.shape) > 1  # a picture's scalars have one centre and scale
        size = (1,) if self.together else (space.dims,)
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("frequencies", 0.1 * 2.0 ** torch.arange(FREQUENCIES))
        self.level = nn.Linear(2 * FREQUENCIES, CONDITION)
        self.label = nn.Embedding(space.classes, CONDITION) if space.classes else None
        self.mix = nn.Linear(CONDITION, CONDITION)
        self.body = body()

    def calibrate(self, x: Tensor) -> None:
        """Centre and scale of the first batch: pictures have one, points one a coordinate."""
        over = tuple(range(x.dim())) if self.together else (0,)
        self.centre.copy_(x.mean(over))
        self.scale.copy_(x.std(over, unbiased=False).clamp_min(1e-3))

    def forward(self, noisy: Tensor, noise: Tensor, labels: Tensor | None) -> Reconstruction:
        """Of examples corrupted at the levels `noise`, ``(n, 1, ...)``, with labels ``(n,)``."""
        angles = noise.log().view(-1, 1) * self.frequencies
        condition = self.level(torch.cat([angles.sin(), angles.cos()], 1))
        if self.label is not None:
            condition = condition + self.label(labels)
        condition = F.silu(self.mix(F.silu(condition)))
        output = self.body(noisy / (1 + noise**2).sqrt(), condition).float()
        return self.corrected(noisy, noise, *output.chunk(2, 1))

    def corrected(
        self, noisy: Tensor, noise: Tensor, correction: Tensor, log_variance: Tensor
    ) -> Reconstruction:
        """The best linear reconstruction, and the network's correction of it.

        Both of the network's ends then have unit size at every level, and a weak corruption is
        passed through.
        """
        total = 1 + noise**2
        mean = noisy / total + correction * noise / total.sqrt()
        return Reconstruction(mean, log_variance, 1 + noise**-2)
