"""What `ddpm` and `flow-matching` share: a network that knows the time, and its training."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.colour import is_colour
from genbench.baselines.dna_image import ImageNet
from genbench.baselines.dna_points import PointsNet
from genbench.baselines.spectrum import Spectrum
from genbench.baselines.unet import UNet
from genbench.generator import Space, move_average, optimizer_options

CONDITION = 64  # width of the embedding of time and class
FREQUENCIES = 8  # sines and cosines of the time


@dataclass(frozen=True, slots=True)
class Mixture:
    """Signal and noise in what a network sees and in what it is to find; each ``(n, 1, ...)``."""

    signal: Tensor
    noise: Tensor
    wanted_signal: Tensor | float
    wanted_noise: Tensor | float


class TimedNetwork(nn.Module):
    """A vector for every scaled example, given a time in 0 .. 1 and a class.

    Parameters
    ----------
    width, inner_width
        Channels of the `ImageNet`.
    colour_width
        Channels of the `UNet`.
    points_width
        Units of the `PointsNet`.
    """

    centre: Tensor
    scale: Tensor
    frequencies: Tensor
    spectrum: Spectrum  # of colour images alone

    def __init__(
        self, space: Space, *, colour_width: int, width: int, inner_width: int, points_width: int
    ) -> None:
        super().__init__()
        self.image, self.colour = space.kind == "image", is_colour(space)
        size = (1,) if self.image else (space.dims,)
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        angles = math.pi / 4 * 2.0 ** torch.arange(FREQUENCIES)
        self.register_buffer("frequencies", angles)
        self.time = nn.Linear(2 * FREQUENCIES, CONDITION)
        self.label = nn.Embedding(space.classes, CONDITION) if space.classes else None
        self.mix = nn.Linear(CONDITION, CONDITION)
        ends: Any = {"condition": CONDITION, "outputs": 1}
        self.body: nn.Module
        if self.colour:
            self.spectrum = Spectrum(space.shape)
            self.body = UNet(space.shape, width=colour_width, **ends)
        elif self.image:
            self.body = ImageNet(space.shape, width=width, inner_width=inner_width, **ends)
        else:
            self.body = PointsNet(space.dims, width=points_width, **ends)

    def calibrate(self, x: Tensor) -> None:
        """Centre and scale of the first batch: one of each for images, by coordinate for points."""
        over = tuple(range(x.dim())) if self.image else (0,)
        self.centre.copy_(x.mean(over))
        self.scale.copy_(x.std(over, unbiased=False).clamp_min(1e-3))
        if self.colour:
            self.spectrum.calibrate((x - self.centre) / self.scale)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None, mixture: Mixture) -> Tensor:
        """Of scaled examples ``(n, ...)`` at times ``(n,)``, with labels ``(n,)``: like `x`.

        In colour that is a correction of what would be best of Gaussian images.
        """
        angles = time.view(-1, 1) * self.frequencies
        condition = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        if self.label is not None:
            condition = condition + self.label(labels)
        output: Tensor = self.body(x, F.silu(self.mix(F.silu(condition)))).float()
        return self._corrected(output, x, mixture) if self.colour else output

    def _corrected(self, output: Tensor, x: Tensor, m: Mixture) -> Tensor:
        """The regression of what is wanted on `x`, of Gaussian images, and the network's part.

        The latter is in units of what that regression leaves open, whose variance is power / total
        where signal * wanted_noise - noise * wanted_signal is 1 or -1.
        """
        power = self.spectrum.power
        total = m.signal**2 * power + m.noise**2
        gain = (m.signal * m.wanted_signal * power + m.noise * m.wanted_noise) / total
        left = (power / total).mean((1, 2, 3), keepdim=True).sqrt()
        return self.spectrum.together(self.spectrum.apart(x) * gain) + output * left


@dataclass(slots=True)
class Training:
    """The state of training: all that a checkpoint needs."""

    net: TimedNetwork
    average: TimedNetwork
    optimizer: torch.optim.Adam
    rng: torch.Generator
    steps: int = 0

    @classmethod
    def of(cls, average: TimedNetwork, rng: torch.Generator, device: torch.device) -> Training:
        """The state at the start; `average` becomes the averaged network."""
        net = copy.deepcopy(average).requires_grad_(True)
        optimizer = torch.optim.Adam(net.parameters(), **optimizer_options(device))
        return cls(net, average, optimizer, rng)

    def update(self, loss: Tensor, rate: float | Tensor, share: float | Tensor) -> None:
        """Move the weights down the loss, and their average by `share` of the way to them."""
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        move_average(self.average.parameters(), self.net.parameters(), share)

    def share(self, ema: float) -> float:
        """The share of the next update: a young average forgets its untrained weights faster."""
        self.steps += 1
        return 1 - min(ema, self.steps / (self.steps + 10))

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.get_state(),
            "steps": self.steps,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.set_state(state["rng"].cpu())
        self.steps = state["steps"]
