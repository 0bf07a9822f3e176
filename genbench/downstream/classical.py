"""Classical augmentation of images: random shift, rotation, scale and flip, a draw for each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.tasks import Affine


@dataclass(frozen=True, slots=True)
class RandomAffine:
    """`Affine` transforms as a function of a batch; a batch costs one resampling on its device.

    The same transforms, image by image, are ``torchvision.transforms.v2.RandomAffine``, which
    draws once per call: tests compare the two.
    """

    table: Affine

    def __call__(self, images: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Float images ``(n, C, H, W)`` on the scale of `images`, black where nothing was.

        The draws are those of `rng`, on the images' device, or else of torch's global stream.
        """
        n = len(images)
        unit = 2 * torch.rand(4, n, device=images.device, generator=rng) - 1
        coin = torch.rand(n, device=images.device, generator=rng)
        angle = unit[0] * math.radians(self.table.rotation)
        scale = 1 + unit[1] * self.table.scale
        mirror = torch.where(coin < 0.5, -1.0, 1.0) if self.table.flip else torch.ones_like(coin)
        return affine(images, angle, scale, 2 * self.table.shift * unit[2:], mirror)


def affine(images: Tensor, angle: Tensor, scale: Tensor, shift: Tensor, mirror: Tensor) -> Tensor:
    """Turn, scale, shift and mirror each image about its centre, bilinear, zero outside.

    Parameters
    ----------
    images
        ``(n, C, H, W)``.
    angle
        Radians ``(n,)``, clockwise as seen on the screen.
    scale
        ``(n,)``, above 1 enlarges.
    shift
        ``(2, n)``, right and down, in half sides (1 moves by half the image).
    mirror
        ``(n,)`` of 1 or -1; -1 exchanges left and right of the source.
    """
    height, width = images.shape[2:]
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # Output position -> source position, in coordinates from -1 to 1 along each side.
    across, down = height / width, width / height
    rows = torch.stack([
        torch.stack([mirror * cos, mirror * sin * across,
                     -mirror * (cos * shift[0] + sin * across * shift[1])], 1),
        torch.stack([-sin * down, cos, sin * down * shift[0] - cos * shift[1]], 1),
    ], 1)  # fmt: skip
    size = list(images.shape)
    grid = F.affine_grid(rows, size, align_corners=False)
    return F.grid_sample(images.float(), grid, align_corners=False)
