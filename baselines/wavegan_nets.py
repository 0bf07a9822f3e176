"""The networks of ``wavegan``: one-dimensional convolutions, four times as long at every step.

After Donahue, McAuley & Puckette (2019, arXiv:1802.04208). The discriminator's maps are shifted by
a few places at random (their phase shuffle): transposed convolutions leave a buzz of always the
same phase, by which it would know fakes too easily.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from genbench.generator import Space

STRIDE, TAPS = 4, 24  # of every convolution
COARSEST = 16  # places, at least, of the generator's first map
SHIFT = 2  # places by which maps are shifted at most
CLASS_WIDTH = 32  # numbers that tell the generator the class


def steps_of(length: int) -> int:
    """How many times a map becomes four times as long, for sounds of so many samples."""
    steps = 1
    while length >= COARSEST * STRIDE ** (steps + 1):
        steps += 1
    return steps


class WaveGenerator(nn.Module):
    """Noise and class -> a short map, four times as long at every step -> a waveform in [-1, 1].

    Parameters
    ----------
    latent
        Numbers of noise.
    width
        Channels before the last step; twice as many before the one before that, and so on.
    """

    peak: Tensor

    def __init__(self, space: Space, latent: int, width: int) -> None:
        super().__init__()
        self.length, steps = space.dims, steps_of(space.dims)
        widths = [width * 2**i for i in reversed(range(steps))]
        self.grid = -(-self.length // STRIDE**steps)
        self.classes = nn.Embedding(space.classes, CLASS_WIDTH) if space.classes else None
        inputs = latent + (CLASS_WIDTH if space.classes else 0)
        self.dense = nn.Linear(inputs, widths[0] * self.grid, bias=False)
        self.grow = nn.ModuleList(
            nn.ConvTranspose1d(a, b, TAPS, STRIDE, (TAPS - STRIDE) // 2, bias=False)
            for a, b in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(count) for count in widths)
        self.out = nn.ConvTranspose1d(width, 1, TAPS, STRIDE, (TAPS - STRIDE) // 2)
        self.register_buffer("peak", torch.ones(()))

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Waveforms ``(n, T)`` in [-1, 1] of noise ``(n, latent)`` and classes ``(n,)``."""
        if self.classes is not None:
            z = torch.cat([z, self.classes(y)], 1)
        out = F.relu(self.norms[0](self.dense(z).unflatten(1, (-1, self.grid))))
        for grow, norm in zip(self.grow, self.norms[1:], strict=True):
            out = F.relu(norm(grow(out)))
        return torch.tanh(self.out(out).float())[:, 0, : self.length]


class WaveJudge(nn.Module):
    """Waveforms and classes -> a score each, a quarter as long at every step.

    Parameters
    ----------
    width
        Channels after the first step; twice as many after the next, and so on.
    """

    def __init__(self, space: Space, width: int) -> None:
        super().__init__()
        steps = steps_of(space.dims)
        self.pad = -space.dims % STRIDE**steps
        widths = [1, *(width * 2**i for i in range(steps))]
        self.shrink = nn.ModuleList(
            spectral_norm(nn.Conv1d(a, b, TAPS + 1, STRIDE, TAPS // 2)) for a, b in pairwise(widths)
        )
        seen = widths[-1] * ((space.dims + self.pad) // STRIDE**steps)
        self.score = spectral_norm(nn.Linear(seen, 1))
        self.classes = spectral_norm(nn.Embedding(space.classes, seen)) if space.classes else None

    def forward(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> Tensor:
        """Scores ``(n,)`` of waveforms ``(n, T)`` of classes ``(n,)``; shifts by `rng`."""
        out = F.pad(x, (0, self.pad))[:, None]
        for i, shrink in enumerate(self.shrink):
            out = shifted(out, rng) if i else out
            out = F.leaky_relu(shrink(out), 0.2)
        flat = out.flatten(1)
        score: Tensor = self.score(flat).squeeze(1)
        return score if self.classes is None else score + (self.classes(y) * flat).sum(1)


def shifted(x: Tensor, rng: torch.Generator) -> Tensor:
    """Maps ``(n, c, t)`` moved by up to two places, mirrored where nothing was."""
    n, channels, t = x.shape
    by = torch.randint(0, 2 * SHIFT + 1, (n, 1, 1), generator=rng, device=x.device)
    place = (torch.arange(t, device=x.device) + by).expand(n, channels, t)
    return F.pad(x, (SHIFT, SHIFT), mode="reflect").gather(2, place)
