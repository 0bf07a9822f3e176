"""Distributions over the levels of colour images: logistics, cut into levels.

Of a block of pixels, as `vae` has it, each scalar is a logistic whose mean moves with how far the
scalars before it in the block lie from theirs: the channels of a pixel are conditional on each
other (Salimans et al., "PixelCNN++", 2017, arXiv:1701.05517), and so are the pixels of a block. Of
a scalar alone, as `pixelcnn` has it, who knows what came before, it is a mixture of logistics. A
photograph's level is known to a few units once a neighbour's is, which no few distributions that
all pixels share can say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
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
        return _cut(centred * rate, rate, level, self.top)

    def draw(self, parameters: Tensor, chance: Tensor) -> Tensor:
        """Levels that numbers evenly spread over 0 .. 1 pick, ``(size, ...)``, float."""
        mean, log_scale, slopes = self._split(parameters)
        noise = log_scale.exp() * (chance.log() - torch.log1p(-chance))
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


def _moved(i: int, off: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor | float:
    """By how much the scalars before scalar `i` move its mean."""
    if i == 0:
        return 0.0
    first = i * (i - 1) // 2
    # Not from zeros_like(...) on, whose number of rows ONNX would take for fixed.
    moved = slopes[first] * off[0]
    for j in range(1, i):
        moved = torch.addcmul(moved, slopes[first + j], off[j])
    return moved


class MixedLogistics(nn.Module):
    """A distribution over levels for each scalar alone: a mixture of logistics, cut into levels.

    A network gives `outputs` numbers for each: weights, means and logarithms of scales. It stands
    in for `GreyLevels`, whose shared distributions suit levels of which a few are common.
    """

    def __init__(self, levels: int, mixture: int) -> None:
        super().__init__()
        self.top, self.mixture, self.outputs = max(1, levels - 1), mixture, 3 * mixture
        start = torch.zeros(3, mixture)
        start[1] = torch.linspace(-0.5, 0.5, mixture)
        start[2] = math.log(0.3)
        self.start = nn.Parameter(start)  # what a network that says nothing leaves

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Spread the logistics over the levels of the first batch."""
        v = x.float() * (2 / self.top) - 1
        self.start[1] += v.mean()

    def log_prob(self, outputs: Tensor, level: Tensor) -> Tensor:
        """The logarithm of the probability, nats, of levels (...) for outputs (..., 3 mixture)."""
        weight, mean, log_scale = self._split(outputs)
        v = (level.to(mean.dtype) * (2 / self.top) - 1)[..., None]
        rate = (-log_scale).exp()
        return torch.logsumexp(
            _cut((v - mean) * rate, rate, level[..., None], self.top) + weight.log_softmax(-1), -1
        )

    def ladder(self) -> None:
        """Nothing is shared by the draws."""

    def draw(self, z: Tensor, outputs: Tensor, ladder: None) -> Tensor:
        """The levels (...) that z in [0, 1), float64, picks: the logistic first, then its level."""
        weight, mean, log_scale = (part.double() for part in self._split(outputs))
        share = weight.softmax(-1)
        ends = share.cumsum(-1)
        k = (ends <= z[..., None]).sum(-1, keepdim=True).clamp_max(self.mixture - 1)
        share, end, mean, log_scale = (
            part.gather(-1, k)[..., 0] for part in (share, ends, mean, log_scale)
        )
        chance = ((z - end) / share.clamp_min(1e-30) + 1).clamp(1e-12, 1 - 1e-12)
        v = mean + log_scale.exp() * chance.logit()
        return ((v + 1) * (self.top / 2)).round().clamp(0, self.top)

    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, mean, log_scale = (outputs.unflatten(-1, (3, -1)) + self.start).unbind(-2)
        return weight, mean, log_scale.clamp_min(LEAST_LOG_SCALE)


def _cut(centred: Tensor, rate: Tensor, level: Tensor, top: int) -> Tensor:
    """The logarithm of a logistic's probability of a level, nats.

    Parameters
    ----------
    centred
        The level less the mean, in scales.
    rate
        One over the scale, levels lying between -1 and 1.
    """
    half = rate / top  # of a level's width, in scales
    # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), all of them positive; the
    # lowest level reaches down without end, the highest up.
    below = F.softplus(centred - half).masked_fill(level == 0, 0)
    above = F.softplus(-centred - half).masked_fill(level == top, 0)
    inside = (level > 0) & (level < top)
    width = torch.log(-torch.expm1(-2 * half)).masked_fill(~inside, 0)
    return width - below - above
