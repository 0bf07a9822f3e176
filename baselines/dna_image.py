"""The network of `dna`, `ddpm` and `flow-matching` for images that are not in colour.

A U-Net with dense layers over its whole lower resolution.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCHED_FROM = 16  # pixels of the shorter side from which a position is 2x2 pixels
SQUEEZED = 16  # channels that the dense layers see of each position
DENSE_UNITS = 256
INNER_BLOCKS = 2


class Block(nn.Module):
    """A residual pair of convolutions whose input the condition scales and shifts."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.modulate = nn.Linear(condition, 2 * width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulate(condition)[:, :, None, None].chunk(2, 1)
        hidden = self.first(F.silu(torch.addcmul(shift, x, 1 + scale)))
        y: Tensor = x + self.second(F.silu(hidden))
        return y


class Whole(nn.Module):
    """Dense layers over the entire map and the condition, so that distant strokes agree."""

    def __init__(self, width: int, condition: int, positions: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, SQUEEZED, 1)
        self.first = nn.Linear(SQUEEZED * positions + condition, DENSE_UNITS)
        self.second = nn.Linear(DENSE_UNITS, SQUEEZED * positions)
        self.expand = nn.Conv2d(SQUEEZED, width, 1)
        nn.init.zeros_(self.expand.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        small = self.squeeze(F.silu(x)).permute(0, 2, 3, 1)  # (n, H, W, 16): channels-last memory
        hidden = self.first(torch.cat([small.flatten(1), condition], 1))
        hidden = self.second(F.silu(hidden)).view(small.shape).permute(0, 3, 1, 2)
        y: Tensor = x + self.expand(F.silu(hidden))
        return y


class ImageNet(nn.Module):
    """An image, ``(n, C, H, W)``, and a condition to `outputs` values of each scalar.

    Two resolutions joined by a sum, behind a space-to-depth step where images are large.

    Parameters
    ----------
    shape
        ``(C, H, W)``.
    width, inner_width
        Channels at the higher and at the lower resolution.
    condition
        Width of the condition, ``(n, condition)``.
    outputs
        Values of each scalar, one after another in the channels: by default, as of a corrupted
        image, its correction and its log-variance.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        width: int,
        inner_width: int,
        condition: int,
        outputs: int = 2,
    ) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.patch = 2 if min(self.height, self.width) >= PATCHED_FROM else 1
        unit = 2 * self.patch
        self.pad = (0, -self.width % unit, 0, -self.height % unit)
        positions = math.ceil(self.height / unit) * math.ceil(self.width / unit)
        depth = channels * self.patch**2
        self.stem = nn.Conv2d(depth, width, 3, padding=1)
        self.shrink = nn.Conv2d(width, inner_width, 2, stride=2)
        self.inner = nn.ModuleList(
            part
            for _ in range(INNER_BLOCKS)
            for part in (Block(inner_width, condition), Whole(inner_width, condition, positions))
        )
        self.grow = nn.ConvTranspose2d(inner_width, width, 2, stride=2)
        self.up = Block(width, condition)
        self.out = nn.Conv2d(width, outputs * depth, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        # For MNIST: (n, 1, 28, 28) -> (n, 4, 14, 14) -> (n, 24, 14, 14) -> (n, 48, 7, 7) and back.
        # Channels-last inputs make the convolutions about 1.3 times as fast, on the CPU too.
        x = F.pixel_unshuffle(F.pad(x, self.pad), self.patch)
        outer = self.stem(x.contiguous(memory_format=torch.channels_last))
        inner = self.shrink(outer)
        for part in self.inner:
            inner = part(inner, condition)
        outer = self.up(outer + self.grow(inner), condition)
        y = F.pixel_shuffle(self.out(F.silu(outer)), self.patch)
        return y[:, :, : self.height, : self.width]
