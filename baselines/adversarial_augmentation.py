"""Differentiable augmentation (Zhao et al., 2020, arXiv:2006.10738): what lets a GAN do with less.

With few training rows a discriminator learns them by heart. Here it sees neither real images nor
fakes but as they are after a random change, and the generator learns through the same kind of
change: since both go through it, samples do not take it on. The changes are the paper's: a shift by
up to an eighth of the side, a square of half the side cut out, and of colour images brightness,
saturation and contrast.

What is shifted in and cut out is mid-grey, as in the paper. On a black ground that shows where it
was, so the discriminator can tell a shifted digit from one that is off its centre.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.errors import UsageError
from genbench.generator import Space

SHIFT = 1 / 8  # of the side
CUT = 1 / 2


class DiffAugment:
    """The changes of images that a discriminator sees, another draw for every image.

    Parameters
    ----------
    asked
        ``diff``, or ``none`` for images as they are.

    Raises
    ------
    UsageError
        If the space holds no images.
    """

    def __init__(self, asked: str, space: Space) -> None:
        self.on = asked == "diff"
        if self.on and space.kind != "image":
            raise UsageError(f"augment=diff changes images, this is {space.kind}: leave it out")
        self._colour = space.kind == "image" and space.shape[0] == 3

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """Images ``(n, C, H, W)`` in [-1, 1], changed; differentiable by `x`."""
        if not self.on:
            return x
        if self._colour:
            x = recoloured(x, rng)
        return cut_out(shifted(x, rng), rng)


def recoloured(x: Tensor, rng: torch.Generator) -> Tensor:
    """Brighter or darker by up to 0.5, saturated 0 to 2 times, with 0.5 to 1.5 of the contrast."""
    bright, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, generator=rng, device=x.device)
    x = x + (bright - 0.5)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (contrast + 0.5)


def shifted(x: Tensor, rng: torch.Generator) -> Tensor:
    """Moved by whole pixels, zero where nothing was."""
    rows, columns = (_reach(side) for side in x.shape[2:])
    height, width = x.shape[2:]
    padded = F.pad(x, (columns, columns, rows, rows))
    down, right = (_moved(x, side, most, rng) for side, most in ((height, rows), (width, columns)))
    place = down.unsqueeze(2) * padded.shape[3] + right.unsqueeze(1)  # (n, H, W)
    index = place.view(len(x), 1, -1).expand(-1, x.shape[1], -1)
    return padded.flatten(2).gather(2, index).view(x.shape)


def cut_out(x: Tensor, rng: torch.Generator) -> Tensor:
    """Zero in a square, or what of it lies within the image."""
    height, width = x.shape[2:]
    rows, columns = (_within(x, side, rng) for side in (height, width))
    inside = rows.unsqueeze(2) & columns.unsqueeze(1)
    return x * (~inside).unsqueeze(1).to(x.dtype)


def _reach(side: int) -> int:
    return int(side * SHIFT + 0.5)


def _moved(x: Tensor, side: int, most: int, rng: torch.Generator) -> Tensor:
    """For every image and position along a side its place in the padded image, ``(n, side)``."""
    by = torch.randint(0, 2 * most + 1, (len(x), 1), generator=rng, device=x.device)
    return torch.arange(side, device=x.device) + by


def _within(x: Tensor, side: int, rng: torch.Generator) -> Tensor:
    """For every image and position along a side whether it is in the square, ``(n, side)``."""
    length = int(side * CUT + 0.5)
    centre = torch.randint(0, side + 1, (len(x), 1), generator=rng, device=x.device)
    from_start = torch.arange(side, device=x.device) - (centre - length // 2)
    return (from_start >= 0) & (from_start < length)
