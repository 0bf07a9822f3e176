"""The autoencoder of `dna`, for images and points: the network between its scaled ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.dna_image import ImageNet
from genbench.baselines.dna_points import PointsNet
from genbench.baselines.spectrum import Spectrum
from genbench.baselines.unet import UNet, is_colour
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
    width, inner_width
        Channels of the `ImageNet`.
    colour_width
        Channels of the `UNet`.
    points_width
        Units of the `PointsNet`.
    """

    centre: Tensor
    scale: Tensor
    frequencies: Tensor
    spectrum: Spectrum  # of colour images alone

    def __init__(
        self, space: Space, *, width: int, inner_width: int, colour_width: int, points_width: int
    ) -> None:
        super().__init__()
        self.image, self.colour = space.kind == "image", is_colour(space)
        size = (1,) if self.image else (space.dims,)
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("frequencies", 0.1 * 2.0 ** torch.arange(FREQUENCIES))
        self.level = nn.Linear(2 * FREQUENCIES, CONDITION)
        self.label = nn.Embedding(space.classes, CONDITION) if space.classes else None
        self.mix = nn.Linear(CONDITION, CONDITION)
        self.body: nn.Module
        if self.colour:
            self.spectrum = Spectrum(space.shape)
            self.body = UNet(space.shape, width=colour_width, condition=CONDITION, outputs=2)
        elif self.image:
            self.body = ImageNet(
                space.shape, width=width, inner_width=inner_width, condition=CONDITION
            )
        else:
            self.body = PointsNet(space.dims, width=points_width, condition=CONDITION)

    def calibrate(self, x: Tensor) -> None:
        """Centre and scale of the first batch: one of each for images, by coordinate for points."""
        over = tuple(range(x.dim())) if self.image else (0,)
        self.centre.copy_(x.mean(over))
        self.scale.copy_(x.std(over, unbiased=False).clamp_min(1e-3))
        if self.colour:
            self.spectrum.calibrate((x - self.centre) / self.scale)

    def forward(self, noisy: Tensor, noise: Tensor, labels: Tensor | None) -> Reconstruction:
        """Of examples corrupted at the levels `noise`, ``(n, 1, ...)``, with labels ``(n,)``."""
        angles = noise.log().view(-1, 1) * self.frequencies
        condition = self.level(torch.cat([angles.sin(), angles.cos()], 1))
        if self.label is not None:
            condition = condition + self.label(labels)
        condition = F.silu(self.mix(F.silu(condition)))
        # The best linear reconstruction, and the network's correction of it. Both of the network's
        # ends then have unit size at every level, and a weak corruption is passed through.
        total = 1 + noise**2
        output = self.body(noisy / total.sqrt(), condition).float()
        correction, log_variance = output.chunk(2, 1)
        if not self.colour:
            mean = noisy / total + correction * noise / total.sqrt()
            return Reconstruction(mean, log_variance, 1 + noise**-2)
        left = self.spectrum.left(noise)
        linear = self.spectrum.together(self.spectrum.apart(noisy) * left / noise**2)
        variance = left.mean((1, 2, 3), keepdim=True)
        return Reconstruction(linear + correction * variance.sqrt(), log_variance, 1 / variance)
