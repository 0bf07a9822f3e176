"""The density of `flow` for colour images: a class-conditional Glow of affine couplings.

Kingma & Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions" (2018,
arXiv:1807.03039). An image of 2x2 pixel blocks passes steps; each normalises the channels, mixes
them by a matrix, and scales and shifts one half of them by what a network makes of the other half
and of the class. Half of the channels are done after the first stage, given the rest; what is
left goes on at half the resolution. Every step is undone as cheaply as it is done.

The plateaus of grey images would be too coarse here: a photograph's level is known to a few units
once its neighbour, or another channel of its pixel, is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.colour import is_colour
from genbench.baselines.realnvp_networks import ColourNet, Prior
from genbench.generator import Space

MARGIN = 0.05  # of the range of levels, at either end, so that no logit is infinite
SHARPEST = 2.0  # the most that a step may scale by at the start, as a logarithm


def glows(space: Space) -> bool:
    """Whether the space is of colour images that can be halved."""
    return is_colour(space) and not (space.shape[1] % 2 or space.shape[2] % 2)


class Mixing(nn.Module):
    """An invertible matrix over channels, P L U: its determinant is U's diagonal's product."""

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", diagonal.sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(diagonal.abs().log())

    def matrix(self) -> Tensor:
        """The matrix, (channels, channels)."""
        ones = torch.eye(len(self.sign), dtype=self.sign.dtype, device=self.sign.device)
        lower = self.lower.tril(-1) + ones
        upper = self.upper.triu(1) + torch.diag(self.sign * self.log_diagonal.exp())
        return self.permutation @ lower @ upper


class Step(nn.Module):
    """Normalise, mix, couple; `channels` of them, the networks `width` wide."""

    def __init__(self, channels: int, width: int, classes: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.mixing = Mixing(channels)
        self.kept = channels // 2
        moved = channels - self.kept
        self.log_sharp = nn.Parameter(torch.zeros(moved, 1, 1))
        self.net = ColourNet(self.kept, width, moved, classes, inner=3)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Set the constants that normalise, from a batch."""
        self.shift.copy_(-x.mean((0, 2, 3)))
        self.log_scale.copy_(-x.std((0, 2, 3), correction=0).clamp_min(1e-3).log())

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The step at (n, channels, h, w), and the logarithm of its determinant, (n,)."""
        with bfloat16(x.device, wanted=False):  # which would round the scalars themselves
            matrix = self.mixing.matrix() * self.log_scale.exp()
            x = F.conv2d(x, matrix[:, :, None, None], matrix @ self.shift)
        fixed = (self.log_scale.sum() + self.mixing.log_diagonal.sum()) * x[0, 0].numel()
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        log_scale, shift = self._affine(kept, y)
        x = torch.cat([kept, moved * log_scale.exp() + shift], 1)
        return x, log_scale.flatten(1).sum(1) + fixed

    def inverse(self, x: Tensor, y: Tensor) -> Tensor:
        """Undo `forward`."""
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        log_scale, shift = self._affine(kept, y)
        x = torch.cat([kept, (moved - shift) * (-log_scale).exp()], 1)
        matrix = torch.linalg.inv(self.mixing.matrix() * self.log_scale.exp())
        return F.conv2d(x, matrix[:, :, None, None], -self.shift)

    def _affine(self, kept: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        raw, shift = self.net(kept, y).to(kept.dtype).chunk(2, 1)
        return torch.tanh(raw / SHARPEST) * SHARPEST * self.log_sharp.exp(), shift


class Split(nn.Module):
    """The Gaussian of the channels that are done, given those that go on and the class."""

    def __init__(self, goes_on: int, done: int, width: int, classes: int) -> None:
        super().__init__()
        self.net = ColourNet(goes_on, width, done, classes, inner=3)

    def log_prob(self, z: Tensor, given: Tensor, y: Tensor) -> Tensor:
        """Log-density at (n, done, h, w), nats, (n,)."""
        mean, log_std = self._gaussian(given, y)
        density = -0.5 * ((z - mean) * (-log_std).exp()).square() - log_std
        return density.flatten(1).sum(1) - z[0].numel() * math.log(2 * math.pi) / 2

    def place(self, noise: Tensor, given: Tensor, y: Tensor) -> Tensor:
        """Standard normal noise as draws."""
        mean, log_std = self._gaussian(given, y)
        return mean + log_std.exp() * noise

    def _gaussian(self, given: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.net(given, y).to(given.dtype).chunk(2, 1)
        return mean, log_std


class ColourDensity(nn.Module):
    """The flow from dequantised colour images to Gaussian noise.

    Parameters
    ----------
    steps
        Steps of each stage.
    widths
        Channels of the networks of each stage.
    """

    def __init__(self, space: Space, steps: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        channels, height, columns = space.shape
        self.levels, classes = space.levels, max(1, space.classes)
        if height % 4 or columns % 4:
            steps, widths = steps[:1], widths[:1]  # they can be halved once
        self.stages, self.splits = nn.ModuleList(), nn.ModuleList()
        self.noise_shapes: list[tuple[int, ...]] = []
        for i, (count, width) in enumerate(zip(steps, widths, strict=True)):
            channels, height, columns = 4 * channels, height // 2, columns // 2
            self.stages.append(nn.ModuleList(Step(channels, width, classes) for _ in range(count)))
            if i < len(steps) - 1:
                done = channels // 2
                channels -= done
                self.splits.append(Split(channels, done, width, classes))
                self.noise_shapes.append((done, height, columns))
        self.prior = Prior((channels, height, columns), classes)
        self.noise_shapes.append((channels, height, columns))

    def calibrate(self, u: Tensor, y: Tensor) -> None:
        """Set the constants that normalise, from a batch."""
        with torch.no_grad():
            self.log_prob(u, y, calibrate=True)

    def log_prob(self, u: Tensor, y: Tensor, *, calibrate: bool = False) -> Tensor:
        """log p(u | y), nats, (n,), of dequantised images."""
        v = MARGIN + (1 - 2 * MARGIN) * u / self.levels
        up, down = v.log(), (1 - v).log()
        x = up - down  # the logit
        total = (math.log((1 - 2 * MARGIN) / self.levels) - up - down).flatten(1).sum(1)
        for i, stage in enumerate(self.stages):
            x = F.pixel_unshuffle(x, 2)
            for step in stage:  # type: ignore[union-attr, unused-ignore]
                if calibrate:
                    step.calibrate(x)
                x, log_det = step(x, y)
                total = total + log_det
            if i < len(self.splits):
                x, z = x.chunk(2, 1)
                total = total + self.splits[i].log_prob(z, x, y)
        return total + self.prior.log_prob(x, y)

    def draw(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """Dequantised images of classes (n,)."""
        options: Any = {"generator": rng, "device": y.device}
        return self.inverse([torch.randn(len(y), *s, **options) for s in self.noise_shapes], y)

    def inverse(self, noise: Sequence[Tensor], y: Tensor) -> Tensor:
        """Dequantised images of standard normal `noise`, a tensor per stage as `noise_shapes`."""
        x = self.prior.place(noise[-1], y)
        for i in reversed(range(len(self.stages))):
            if i < len(self.splits):
                x = torch.cat([x, self.splits[i].place(noise[i], x, y)], 1)
            for step in reversed(self.stages[i]):
                x = step.inverse(x, y)
            x = F.pixel_shuffle(x, 2)
        return (x.sigmoid() - MARGIN) * (self.levels / (1 - 2 * MARGIN))
