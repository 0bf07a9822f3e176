"""The U-Net of `dna`, `ddpm` and `flow-matching` for colour images, as photographs are.

Three resolutions, after Ronneberger et al. (2015, arXiv:1505.04597) and Ho et al. (2020), of
residual blocks whose inputs are scaled and shifted by what is known of noise level and class. The
highest is of 16 pixels a side or so, each of them a square of the image's pixels rearranged as
channels (Shi et al., 2016), and each resolution has twice the channels of the one above, so that a
convolution costs the same in all three. At the lowest two convolutions see the whole image:
on a processor neither attention nor group normalisation is cheap, so it has none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.dna_image import Block

FINEST = 16  # positions of the shorter side at the highest resolution, about
DOWN_BLOCKS, INNER_BLOCKS, UP_BLOCKS = 1, 2, 2  # residual blocks of each resolution on its way


class Grow(nn.Module):
    """Twice the resolution by rearranged channels, half the width."""

    def __init__(self, width: int, finer: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, 4 * finer, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.mix(x), 2)


class UNet(nn.Module):
    """An image, ``(n, C, H, W)``, and a condition to `outputs` values of each scalar.

    Parameters
    ----------
    shape
        ``(C, H, W)``.
    width
        Channels at the highest resolution; twice and four times as many at the others.
    condition
        Width of the condition, ``(n, condition)``.
    outputs
        Values of each scalar, one after another in the channels.
    placed
        Whether it knows where in the image it looks: a spectrogram's rows are not alike.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        width: int,
        condition: int,
        outputs: int = 1,
        placed: bool = False,
    ) -> None:
        super().__init__()
        channels, self.height, self.width = shape
        self.patch = patch_of(min(self.height, self.width))
        unit = 4 * self.patch
        self.pad = (0, -self.width % unit, 0, -self.height % unit)
        depth = channels * self.patch**2
        widths = (width, 2 * width, 4 * width)

        def blocks(count: int, level: int) -> nn.ModuleList:
            return nn.ModuleList(Block(widths[level], condition) for _ in range(count))

        self.stem = nn.Conv2d(depth, width, 3, padding=1)
        rows, columns = (side + -side % unit for side in shape[1:])
        grid = torch.zeros(width, rows // self.patch, columns // self.patch)
        self.place = nn.Parameter(grid) if placed else None
        self.down = nn.ModuleList(blocks(DOWN_BLOCKS, level) for level in (0, 1))
        self.shrink = nn.ModuleList(
            nn.Conv2d(widths[level], widths[level + 1], 2, stride=2) for level in (0, 1)
        )
        self.inner = blocks(INNER_BLOCKS, 2)
        self.grow = nn.ModuleList(Grow(widths[level + 1], widths[level]) for level in (1, 0))
        self.up = nn.ModuleList(blocks(UP_BLOCKS, level) for level in (1, 0))
        self.out = nn.Conv2d(width, outputs * depth, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        # For 3 x 32 x 32: (n, 12, 16, 16) -> (n, 32, 16, 16) -> (n, 64, 8, 8) -> (n, 128, 4, 4) and
        # back. Channels-last inputs make the convolutions faster.
        x = F.pixel_unshuffle(F.pad(x, self.pad), self.patch)
        x = self.stem(x.contiguous(memory_format=torch.channels_last))
        if self.place is not None:
            x = x + self.place.to(x.dtype)
        kept = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            for block in blocks:
                x = block(x, condition)
            kept.append(x)
            x = shrink(x)
        for block in self.inner:
            x = block(x, condition)
        for blocks, grow in zip(self.up, self.grow, strict=True):
            x = kept.pop() + grow(x)
            for block in blocks:
                x = block(x, condition)
        y = F.pixel_shuffle(self.out(F.silu(x)), self.patch)
        return y[:, :, : self.height, : self.width]


def patch_of(side: int) -> int:
    """Pixels of an image's side that become one position: 1 of 8 pixels, 2 of 16 to 32, 4 of 64."""
    return 1 if side < FINEST else max(2, 2 ** math.ceil(math.log2(side / FINEST)))
