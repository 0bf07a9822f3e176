"""Random translations of training images."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shifted(x: Tensor, most: int, mode: str = "constant") -> Tensor:
    """Each float32 image of ``(n, C, H, W)`` moved by up to `most` pixels.

    Zeros move in, or with the mode ``reflect`` mirrored pixels. It draws from the global state.
    """
    if most == 0:
        return x
    n, channels, height, width = x.shape
    padded = F.pad(x, (most,) * 4, mode=mode)
    top, left = torch.randint(0, 2 * most + 1, (2, n, 1))
    rows = (top + torch.arange(height))[:, None, :, None]
    columns = (left + torch.arange(width))[:, None, None, :]
    index = torch.arange(n)[:, None, None, None]
    return padded[index, torch.arange(channels)[None, :, None, None], rows, columns]
