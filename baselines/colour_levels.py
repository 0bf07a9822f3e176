"""The distribution over levels of a small block of colour pixels, as `vae` has it.

Each scalar is a logistic, cut into levels, whose mean moves with how far the scalars before it in
the block lie from theirs: the channels of a pixel are conditional on each other (Salimans et al.,
"PixelCNN++", 2017, arXiv:1701.05517), and so are the pixels of a block. A photograph's level is
known to a few units once a neighbour's is, which no distribution shared by all pixels can say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_LOG_SCALE = -7.0  # of a logistic, levels lying between -1 and 1


class BlockLevels:
    """Levels 0 .. `levels` - 1 of blocks of `size` scalars, given `outputs` numbers for each block.

    Levels are ``(size, ...)`` and parameters ``(outputs, ...)``: means, logarithms of scales, and
    the slopes of each scalar's mean by the scalars before it.
    """

    def __init__(self, levels: int, size: int) -> None:
        self.top, self.size = max(1, levels - 1), size
        self.outputs = 2 * size + size * (size - 1) // 2

    def start(self, x: Tensor) -> Tensor:
        """Parameters ``(outputs,)`` that suit levels ``(size, ...)`` where nothing is known."""
        v, start = self._scaled(x).flatten(1), torch.zeros(self.outputs, device=x.device)
        start[: self.size] = v.mean(1)
        deviation = v.std(1, correction=0).clamp_min(0.01)
        start[self.size : 2 * self.size] = (deviation * math.sqrt(3) / math.pi).log()
        return start

    def log_prob(self, parameters: Tensor, level: Tensor) -> Tensor:
        """The logarithm of each scalar's probability given those before it, nats, as `level`."""
        v = self._scaled(level)
        mean, log_scale, slopes = self._split(parameters)
        rate, off = (-log_scale).exp(), (v - mean).unbind()
        centred = torch.stack([off[i] - _moved(i, off, slopes) for i in range(self.size)])
        half = rate / self.top  # of a level's width, in scales
        centred = centred * rate
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), all of them positive;
        # the lowest level reaches down without end, the highest up.
        below = F.softplus(centred - half).masked_fill(level == 0, 0)
        above = F.softplus(-centred - half).masked_fill(level == self.top, 0)
        inside = (level > 0) & (level < self.top)
        width = torch.log(-torch.expm1(-2 * half)).masked_fill(~inside, 0)
        return width - below - above

    def draw(self, parameters: Tensor, chance: Tensor) -> Tensor:
        """Levels that numbers evenly spread over 0 .. 1 pick, ``(size, ...)``, float."""
        mean, log_scale, slopes = self._split(parameters)
        noise = log_scale.exp() * chance.logit()
        levels: list[Tensor] = []
        off: list[Tensor] = []
        for i in range(self.size):
            v = mean[i] + _moved(i, off, slopes) + noise[i]
            levels.append(((v + 1) * (self.top / 2)).round().clamp(0, self.top))
            off.append(self._scaled(levels[i]) - mean[i])
        return torch.stack(levels)

    def mean(self, parameters: Tensor) -> Tensor:
        """The level in the middle of each scalar's distribution, whatever the scalars before."""
        return ((parameters[: self.size] + 1) * (self.top / 2)).round().clamp(0, self.top)

    def _scaled(self, level: Tensor) -> Tensor:
        return level * (2 / self.top) - 1

    def _split(self, parameters: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        mean, log_scale, slopes = parameters.split(
            [self.size, self.size, self.outputs - 2 * self.size]
        )
        return mean, log_scale.clamp_min(LEAST_LOG_SCALE), slopes.unbind()


def _moved(i: int, off: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
    """By how much the scalars before scalar `i` move its mean."""
    first, moved = i * (i - 1) // 2, torch.zeros_like(slopes[0])
    for j in range(i):
        moved = torch.addcmul(moved, slopes[first + j], off[j])
    return moved
