"""The networks of ``autoencoder``: an encoder and a decoder, for images and for points."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.generator import Space, to_uint8


class Residual(nn.Module):
    """x + conv(act(conv(act(x)))), the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """As many channels as it gets."""
        out: Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return out


class ImageCoder(nn.Module):
    """Images <-> codes, on 2x2 pixel blocks and on 4x4 ones; the last layer is linear either way.

    Parameters
    ----------
    width, wide
        Channels at half and at quarter resolution.
    """

    def __init__(self, space: Space, latent: int, *, width: int, wide: int) -> None:
        super().__init__()
        channels, height, columns = space.shape
        self.levels, self.size = space.levels, (height, columns)
        self.pad = (0, -columns % 4, 0, -height % 4)
        self.grid = (wide, (height + 3) // 4, (columns + 3) // 4)
        cells = wide * self.grid[1] * self.grid[2]
        self.encoder = nn.Sequential(
            nn.Conv2d(4 * channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, wide, 3, stride=2, padding=1),
            Residual(wide),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(cells, latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, cells),
            nn.Unflatten(1, self.grid),
            Residual(wide),
            nn.ReLU(),
            nn.Conv2d(wide, 4 * width, 1),
            nn.PixelShuffle(2),
            Residual(width),
            nn.ReLU(),
            nn.Conv2d(width, 4 * channels, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def calibrate(self, x: Tensor) -> None:
        """Nothing of images is fixed by the first batch."""

    def seen(self, x: Tensor) -> Tensor:
        """Grey levels as the network sees them: 0 to 1."""
        return x.float() * (1 / (self.levels - 1))

    def encode(self, seen: Tensor) -> Tensor:
        """Codes ``(n, latent)``."""
        blocks = F.pixel_unshuffle(F.pad(seen, self.pad) * 2 - 1, 2)
        codes: Tensor = self.encoder(blocks.contiguous(memory_format=torch.channels_last))
        return codes.float()

    def decode(self, codes: Tensor) -> Tensor:
        """Images as the network sees them."""
        image: Tensor = self.decoder(codes).sigmoid()
        return image[:, :, : self.size[0], : self.size[1]].float()

    def given(self, seen: Tensor) -> Tensor:
        """Examples of the space."""
        return to_uint8(seen, 0, 1, self.levels)


class PointsCoder(nn.Module):
    """Points <-> codes, on standardised coordinates."""

    centre: Tensor
    scale: Tensor

    def __init__(self, space: Space, latent: int, *, width: int) -> None:
        super().__init__()
        self.encoder = _mlp(space.dims, width, latent)
        self.decoder = _mlp(latent, width, space.dims)
        self.register_buffer("centre", torch.zeros(space.dims))
        self.register_buffer("scale", torch.ones(space.dims))

    def calibrate(self, x: Tensor) -> None:
        """Fix the scale that the network works on from the first batch."""
        self.centre.copy_(x.mean(0))
        self.scale.copy_(x.std(0, correction=0).clamp_min(1e-6))

    def seen(self, x: Tensor) -> Tensor:
        """Points as the network sees them."""
        return (x - self.centre) / self.scale

    def encode(self, seen: Tensor) -> Tensor:
        """Codes ``(n, latent)``."""
        codes: Tensor = self.encoder(seen)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Points as the network sees them."""
        points: Tensor = self.decoder(codes)
        return points

    def given(self, seen: Tensor) -> Tensor:
        """Examples of the space."""
        return seen * self.scale + self.centre


def _mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    first, last = nn.Linear(inputs, width), nn.Linear(width, outputs)
    return nn.Sequential(first, nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)
