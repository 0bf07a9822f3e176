"""The networks of ``gan`` for colour images, as photographs are: residual, at three resolutions.

Both work on squares of pixels rearranged as channels (Shi et al., 2016), at 16, 8 and 4 positions a
side of 32 pixels, with twice the channels at half the resolution, so that a convolution costs the
same everywhere (residual nets: He et al., 2016; Gulrajani et al., 2017). The bent noise and class
enter the generator at every resolution, as scale and shift behind each normalisation (Karras et
al., 2019; Chen et al., 2019), which the nets for grey digits do without.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from genbench.baselines.unet import patch_of
from genbench.generator import Space

CLASS_WIDTH = 32  # numbers that tell the generator the class
SLOPE = 0.2  # of the discriminator's rectifiers below zero


class Styled(nn.Module):
    """Normalised over the batch, then scaled and shifted by the style, then rectified."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.modulate = nn.Linear(style, 2 * width)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Like `x`, ``(n, C, H, W)``, of styles ``(n, style)``."""
        scale, shift = self.modulate(style)[:, :, None, None].chunk(2, 1)
        return F.relu(torch.addcmul(shift, self.norm(x), 1 + scale))


class GeneratorBlock(nn.Module):
    """A residual pair of convolutions."""

    def __init__(self, width: int, style: int) -> None:
        super().__init__()
        self.styled = nn.ModuleList(Styled(width, style) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Like `x`, ``(n, C, H, W)``."""
        out = x
        for styled, conv in zip(self.styled, self.convs, strict=True):
            out = conv(styled(out, style))
        return x + out


class ColourGenerator(nn.Module):
    """Noise and class, bent into a style -> the lowest resolution -> doubled twice -> pixels.

    Parameters
    ----------
    latent, mapping
        Numbers of noise; units of each of the two layers that bend it.
    width
        Channels at the highest resolution; twice and four times as many at the others.
    """

    def __init__(self, space: Space, latent: int, mapping: int, width: int) -> None:
        super().__init__()
        channels, *self.size = space.shape
        self.patch, self.grid = _grid(space)
        self.classes = nn.Embedding(space.classes, CLASS_WIDTH) if space.classes else None
        inputs = latent + (CLASS_WIDTH if space.classes else 0)
        style = inputs + mapping
        self.mapping = nn.ModuleList(_bend(size, mapping) for size in (inputs, style))
        self.dense = nn.Linear(style, 4 * width * self.grid[0] * self.grid[1], bias=False)
        self.blocks = nn.ModuleList(GeneratorBlock(many * width, style) for many in (4, 2, 1))
        self.grow = nn.ModuleList(
            nn.Conv2d(many * width, 2 * many * width, 1, bias=False) for many in (4, 2)
        )
        self.last = Styled(width, style)
        self.pixels = nn.Conv2d(width, channels * self.patch**2, 3, 1, 1)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Images ``(n, C, H, W)`` in [-1, 1] of noise ``(n, latent)`` and classes ``(n,)``."""
        if self.classes is not None:
            z = torch.cat([z, self.classes(y)], 1)
        style = z
        for layer in self.mapping:
            style = torch.cat([layer(style), z], 1)
        # (n, h, w, c) seen as (n, c, h, w) is channels-last, the layout that convolves fastest.
        out = self.dense(style).unflatten(1, (*self.grid, -1)).permute(0, 3, 1, 2)
        out = self.blocks[0](out, style)
        for grow, block in zip(self.grow, self.blocks[1:], strict=True):
            out = block(F.pixel_shuffle(grow(out), 2), style)
        out = torch.tanh(F.pixel_shuffle(self.pixels(self.last(out, style)), self.patch))
        return out[:, :, : self.size[0], : self.size[1]]


class DiscriminatorBlock(nn.Module):
    """A residual convolution, spectrally normalised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = spectral_norm(nn.Conv2d(width, width, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Like `x`, ``(n, C, H, W)``."""
        out: Tensor = x + self.conv(F.leaky_relu(x, SLOPE))
        return out


class ColourDiscriminator(nn.Module):
    """Residual blocks at three resolutions, a dense layer over the lowest, a score per class.

    Parameters
    ----------
    width
        Channels at the highest resolution; twice and four times as many at the others.
    head
        Units of the dense layer.
    """

    def __init__(self, space: Space, width: int, head: int) -> None:
        super().__init__()
        channels, height, columns = space.shape
        self.patch, (rows, across) = _grid(space)
        cell = 4 * self.patch
        self.pad = (0, cell * across - columns, 0, cell * rows - height)
        self.stem = spectral_norm(nn.Conv2d(channels * self.patch**2, width, 3, 1, 1))
        self.blocks = nn.ModuleList(DiscriminatorBlock(many * width) for many in (1, 2, 4))
        self.shrink = nn.ModuleList(
            spectral_norm(nn.Conv2d(many * width, 2 * many * width, 2, 2)) for many in (1, 2)
        )
        self.whole = spectral_norm(nn.Linear(4 * width * rows * across, head))
        self.score = spectral_norm(nn.Linear(head, 1))
        self.shift = nn.Embedding(space.classes, head) if space.classes else None
        classes = nn.Embedding(space.classes, head) if space.classes else None
        self.classes = None if classes is None else spectral_norm(classes)

    def features(self, x: Tensor) -> Tensor:
        """Features of images whatever their class, ``(n, head)``."""
        out = F.pixel_unshuffle(F.pad(x, self.pad), self.patch)
        out = self.blocks[0](self.stem(out.contiguous(memory_format=torch.channels_last)))
        for shrink, block in zip(self.shrink, self.blocks[1:], strict=True):
            out = block(shrink(F.leaky_relu(out, SLOPE)))
        seen: Tensor = self.whole(F.leaky_relu(out, SLOPE).flatten(1))
        return seen

    def judge(self, seen: Tensor, y: Tensor | None) -> Tensor:
        """The scores, as examples of their class, of images with these features, ``(n,)``."""
        out = F.leaky_relu(seen if self.shift is None else seen + self.shift(y), SLOPE)
        score: Tensor = self.score(out).squeeze(1)
        return score if self.classes is None else score + (self.classes(y) * out).sum(1)


def _grid(space: Space) -> tuple[int, tuple[int, int]]:
    """Pixels per side of a position, and rows and columns of the lowest resolution."""
    _, height, width = space.shape
    patch = patch_of(min(height, width))
    return patch, (-(-height // (4 * patch)), -(-width // (4 * patch)))


def _bend(inputs: int, outputs: int) -> nn.Module:
    """A dense layer of the noise."""
    linear = nn.Linear(inputs, outputs, bias=False)
    return nn.Sequential(linear, nn.BatchNorm1d(outputs), nn.ReLU())
