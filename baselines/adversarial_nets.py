"""The networks of Radford et al. (2016) for images, which `dcgan` and `wgan-gp` share.

Strided and transposed convolutions of 4x4 pixels, batch normalisation, no dense layer but the one
that the noise enters and the one that gives the score. The class is a part of the noise, and one
more channel of the image that is judged (Mirza & Osindero 2014, arXiv:1411.1784).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.errors import UsageError
from genbench.generator import Space

SPREAD = 0.02  # standard deviation of initial weights, as in the paper


class ImageGenerator(nn.Module):
    """Noise and class -> a grid of a quarter of the resolution, doubled twice.

    Parameters
    ----------
    latent
        Numbers of noise.
    width
        Channels per position at half resolution is twice this, at a quarter four times.

    Raises
    ------
    UsageError
        If a side of the space's images is no multiple of 4.
    """

    def __init__(self, space: Space, latent: int, width: int) -> None:
        super().__init__()
        channels, height, columns = space.shape
        if height % 4 or columns % 4:
            raise UsageError(
                f"images of {height} x {columns} pixels cannot be halved twice: "
                "choose sides that are multiples of 4, or another generator"
            )
        self.classes, self.grid = space.classes, (4 * width, height // 4, columns // 4)
        self.dense = nn.Linear(
            latent + space.classes, 4 * width * self.grid[1] * self.grid[2], bias=False
        )
        self.grow = nn.Sequential(
            nn.BatchNorm2d(4 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, channels, 4, 2, 1),
            nn.Tanh(),
        )
        _initialise(self)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Images ``(n, C, H, W)`` in [-1, 1] of noise ``(n, latent)`` and classes ``(n,)``."""
        if y is not None and self.classes:
            z = torch.cat([z, F.one_hot(y, self.classes).to(z)], 1)
        coarse = self.dense(z).unflatten(1, self.grid)
        images: Tensor = self.grow(coarse.contiguous(memory_format=torch.channels_last))
        return images


class ImageJudge(nn.Module):
    """Images and classes -> a score each, through two halvings.

    Parameters
    ----------
    width
        Channels at half resolution; twice as many at a quarter.
    normalised
        Whether the second convolution's output is normalised over the batch.
    """

    def __init__(self, space: Space, width: int, *, normalised: bool) -> None:
        super().__init__()
        channels, height, columns = space.shape
        self.plane = nn.Embedding(space.classes, height * columns) if space.classes else None
        self.shrink = nn.Sequential(
            nn.Conv2d(channels + bool(space.classes), width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=not normalised),
            nn.BatchNorm2d(2 * width) if normalised else nn.Identity(),
            nn.LeakyReLU(0.2),
        )
        self.score = nn.Linear(2 * width * (height // 4) * (columns // 4), 1)
        _initialise(self)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Scores ``(n,)`` of images ``(n, C, H, W)`` in [-1, 1] of classes ``(n,)``."""
        if self.plane is not None:
            x = torch.cat([x, self.plane(y).view(len(x), 1, *x.shape[2:])], 1)
        seen = self.shrink(x.contiguous(memory_format=torch.channels_last))
        scores: Tensor = self.score(seen.flatten(1)).squeeze(1)
        return scores


def _initialise(net: nn.Module) -> None:
    """Weights from a normal distribution, as in the paper."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, SPREAD)
