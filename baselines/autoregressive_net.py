"""The network of ``autoregressive``: causal convolutions whose reach doubles from layer to layer.

As in WaveNet (van den Oord et al., 2016, arXiv:1609.03499). What is before a sound's first sample
are places of a token of their own, as many as the network sees, so that a cut of a sound, with what
stands before it, is told the same as the sound as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 255  # one fewer than WaveNet's, so that silence is one of them
MU = 255.0
TOP = (LEVELS - 1) / 2  # steps from silence to the loudest
WAVES = 32  # half waves over the levels, at most, of what the network begins with


def to_levels(x: Tensor) -> Tensor:
    """Waveforms in [-1, 1] as int64 levels, evenly spaced in ``sgn(x) ln(1 + mu |x|)``, mu 255."""
    spread = x.sign() * torch.log1p(MU * x.abs()) / math.log1p(MU)
    return ((spread + 1) * TOP).round().long().clamp(0, LEVELS - 1)


def from_levels(level: Tensor) -> Tensor:
    """Waveforms, float32, in the middles of levels."""
    spread = level.float() / TOP - 1
    return spread.sign() * torch.expm1(spread.abs() * math.log1p(MU)) / MU


def smooth(columns: int) -> Tensor:
    """Random functions of the level that vary slowly, of unit size, ``(255, columns)``."""
    frequency = torch.arange(1, WAVES + 1)
    waves = torch.cos(math.pi * (torch.arange(LEVELS)[:, None] + 0.5) * frequency / LEVELS)
    found = (waves / frequency) @ torch.randn(WAVES, columns)
    return found / found.std(0)


class Layer(nn.Module):
    """A gate of what is here and what was `reach` samples ago, and what it adds.

    Parameters
    ----------
    reach
        Samples between its two taps.
    width
        Numbers that a place has.
    """

    def __init__(self, reach: int, width: int, classes: int) -> None:
        super().__init__()
        self.reach = reach
        self.gate = nn.Linear(2 * width, 2 * width)
        self.label = nn.Embedding(max(1, classes), 2 * width)
        self.add = nn.Linear(width, width)
        nn.init.zeros_(self.label.weight)

    def forward(self, before: Tensor, here: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """What the next layer gets of here, and what is seen; all ``(n, ..., width)``."""
        gate = self.gate(torch.cat([before, here], -1))
        content, way = (gate + label.to(gate.dtype)).chunk(2, -1)
        seen = torch.tanh(content) * torch.sigmoid(way)
        # Where networks are bfloat16 all that follows is: conversions would take a third longer.
        return here.to(seen.dtype) + self.add(seen), seen


class CausalNet(nn.Module):
    """Logits of every sample's level, given those before it and the class.

    Parameters
    ----------
    layers
        Layers, of reach 1, 2, 4, ...: together they see ``2 ** layers`` samples.
    width, head
        Numbers that a place has, and units of the layer before the logits.
    """

    def __init__(self, *, layers: int, width: int, head: int, classes: int) -> None:
        super().__init__()
        self.sees = 2**layers
        self.token = nn.Embedding(LEVELS + 1, width)  # the last: before the beginning
        self.layers = nn.ModuleList(Layer(2**i, width, classes) for i in range(layers))
        self.join = nn.Linear(layers * width, head)
        self.out = nn.Linear(head, LEVELS)
        with torch.no_grad():  # levels that are neighbours begin alike
            self.token.weight[:LEVELS].copy_(smooth(width))
            self.out.weight.copy_(smooth(head) / head)

    @torch.no_grad()
    def calibrate(self, level: Tensor) -> None:
        """Start from the shares of the levels in the first rows, which saves hundreds of steps."""
        count = torch.ones(LEVELS, device=level.device)
        count.index_add_(0, level.flatten(), torch.ones_like(level.flatten(), dtype=count.dtype))
        self.out.bias.copy_((count / count.sum()).log())

    def forward(self, known: Tensor, y: Tensor) -> Tensor:
        """Logits ``(n, t, 255)`` of the samples after the first `sees` of ``(n, sees + t - 1)``."""
        here, found = self.token(known), []
        for layer in self.layers:
            before, label = here[:, : -layer.reach], layer.label(y)[:, None]
            here, seen = layer(before, here[:, layer.reach :], label)
            found.append(seen)
        t = found[-1].shape[1]
        joined = F.relu(self.join(F.relu(torch.cat([seen[:, -t:] for seen in found], 2))))
        logits: Tensor = self.out(joined)
        return logits

    def start(self, n: int, device: torch.device) -> Tensor:
        """What stands before the beginning of `n` sounds, ``(n, sees)``."""
        return torch.full((n, self.sees), LEVELS, dtype=torch.int64, device=device)


class Writer:
    """The network sample after sample: every layer keeps what it will need again.

    Parameters
    ----------
    y
        Classes ``(n,)`` of the sounds.
    """

    def __init__(self, net: CausalNet, y: Tensor) -> None:
        self.net, self.y, self.place = net, y, 0
        here = net.token.weight[LEVELS].expand(len(y), -1)
        self.kept: list[list[Tensor]] = []
        self.labels: Sequence[Tensor] = [layer.label(y) for layer in net.layers]
        for layer, label in zip(net.layers, self.labels, strict=True):
            # Before the beginning all places are alike, so a layer says the same of all of them.
            self.kept.append([here] * layer.reach)
            here, _ = layer(here, here, label)

    def step(self, level: Tensor) -> Tensor:
        """Logits ``(n, 255)`` of the sample after these, ``(n,)``."""
        here, found = self.net.token(level), []
        for layer, label, kept in zip(self.net.layers, self.labels, self.kept, strict=True):
            at = self.place % layer.reach
            before, kept[at] = kept[at], here
            here, seen = layer(before, here, label)
            found.append(seen)
        self.place += 1
        logits: Tensor = self.net.out(F.relu(self.net.join(F.relu(torch.cat(found, 1)))))
        return logits
