"""Real NVP: a flow of affine coupling layers, with an exact density and an exact inverse.

Dinh, Sohl-Dickstein & Bengio, "Density Estimation Using Real NVP" (2017, arXiv:1605.08803), after
their NICE (2015). Each layer keeps half of the scalars and scales and shifts the others by what a
network makes of the kept ones: the determinant is the product of the scales, and the inverse costs
no more than the layer. Images are dequantised by U[0, 1) and sent through a logit; checkerboards
decide what is kept at first, then channels; half of the channels are done at half the resolution,
the rest at a quarter. Points alternate between their coordinates. The networks know the class
(`realnvp_networks`). Where the paper normalises by batches, layers have constants that the first
batch sets, as in Glow (Kingma & Dhariwal 2018, arXiv:1807.03039): a row's density is its own.

What to expect of MNIST at `standard`: 1.54 bits/dim and an FID of 106, no better than the control
``gaussian``: a famous name that does badly here. More: ``docs/baselines.md``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.colour import is_colour
from genbench.baselines.realnvp_networks import Density
from genbench.errors import UsageError
from genbench.generator import (
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    move_average,
    optimizer_options,
)

SAMPLE_CHUNK = 500  # rows sampled at once, to bound memory
SCORE_CHUNK = 500  # rows scored at once
ADDED = {"added": True}  # after the first results: a parameter that is in no key at its default


@dataclass(frozen=True)
class RealNVPParams:
    """Parameters, set with ``-g realnvp:name=value``."""

    layers: int = 6
    """Couplings at half the resolution (images)."""
    inner_layers: int = 4
    """Couplings at a quarter of it."""
    width: int = 32
    """Channels of the networks at half the resolution."""
    inner_width: int = 64
    """Channels of the networks at a quarter of it."""
    points_layers: int = 8
    """Couplings of points."""
    points_width: int = 64
    """Units of each of the two hidden layers of the networks for points."""
    batch_size: int = 64
    """Images per step."""
    points_batch_size: int = 500
    """Points per step."""
    learning_rate: float = 2e-3
    """Adam's rate after warm-up, from where it falls to 0 along a cosine."""
    warm_up: float = 0.04
    """Share of the budget over which the rate rises from 0."""
    clip: float = 1.0
    """Largest norm of a gradient of the loss (bits/dim, or nats for points)."""
    ema: float = 0.998
    """Share of the averaged weights, which are the ones used, that survives a step."""
    colour_layers: int = field(default=8, metadata=ADDED)
    """`layers` of colour images; a multiple of 4 has each mask as often."""
    colour_inner_layers: int = field(default=8, metadata=ADDED)
    """`inner_layers` of colour images."""


@dataclass(slots=True)
class Training:
    """The state of training: all that a checkpoint needs."""

    net: Density
    average: Density
    adam: torch.optim.Adam
    rng: torch.Generator

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        return {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "adam": self.adam.state_dict(),
            "rng": self.rng.get_state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.adam.load_state_dict(state["adam"])
        self.rng.set_state(state["rng"].cpu())


class RealNVP:
    """The baseline ``realnvp``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="realnvp",
        version="1",
        family="flow",
        kinds=("image", "points"),
        labels="given",
        likelihood="dequantized",
        params=RealNVPParams,
        reference="Dinh et al. 2017, arXiv:1605.08803",
    )

    def __init__(self, params: RealNVPParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.image = space.kind == "image"
        self.colour = is_colour(space)
        self.batch_size = params.batch_size if self.image else params.points_batch_size
        self.net = self._build(0)  # the average of the trained weights, once fitted

    def fit(self, train: TrainData, run: Run) -> None:
        """Maximise the likelihood of freshly dequantised batches until they end."""
        training = self._start(run.seed)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(partial(self._step, training), self.device, generators=[training.rng])
        for x, y in train.batches(self.batch_size, seed=run.seed, start=run.served):
            if run.served == len(x):  # the first batch
                self._calibrate(training, x, y)
            (loss,) = step(x, y, *self._schedule(run.fraction, run.served / self.batch_size))
            run.progress(**{"nll_bits_per_dim" if self.image else "nll_nats": loss})
            run.snapshot(training.average.state_dict)
            run.checkpoint(training.state)
        self.net = training.average

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Invert Gaussian noise, in chunks; images are floored to grey levels."""
        rng = self._rng(seed)
        parts = [self._draw(y, rng) for y in torch.split(self._classes(n, labels), SAMPLE_CHUNK)]
        return torch.cat(parts)

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(x | y), nats, ``(n,)``; of images the log-mean-exp over `draws` dequantisations."""
        rng, asked, parts = self._rng(seed), self._classes(len(x), labels), []
        draws = draws if self.image else 1  # points have no such noise
        for rows, y in zip(
            torch.split(x, SCORE_CHUNK), torch.split(asked, SCORE_CHUNK), strict=True
        ):
            each = [self.net(self._dequantise(rows, rng), y).double() for _ in range(draws)]
            parts.append(torch.stack(each).logsumexp(0) - math.log(draws))
        return torch.cat(parts)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(dict(state))

    def _build(self, seed: int) -> Density:
        """A network with weights from `seed`, drawn on the CPU whatever the device."""
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers, widths = (p.points_layers,), (p.points_width,)
            if self.image:
                layers, widths = (p.layers, p.inner_layers), (p.width, p.inner_width)
            if self.colour:
                layers = (p.colour_layers, p.colour_inner_layers)
            return Density(self.space, layers, widths).to(self.device)

    def _start(self, seed: int) -> Training:
        """A network with weights from `seed`, its average and its optimiser."""
        net = self._build(seed)
        options = {"betas": (0.9, 0.99), **optimizer_options(self.device)}
        adam = torch.optim.Adam(net.parameters(), self.params.learning_rate, **options)
        return Training(net, copy.deepcopy(net).requires_grad_(False), adam, self._rng(seed))

    @torch.no_grad()
    def _calibrate(self, training: Training, x: Tensor, y: Tensor | None) -> None:
        """Set the constants that normalise, from the first batch."""
        u = self._dequantise(x, training.rng)
        training.net(u, self._classes(len(x), y), calibrate=True)
        training.average.load_state_dict(training.net.state_dict())

    def _schedule(self, fraction: float, steps: float) -> tuple[float, float]:
        """Adam's rate and the average's way, in step `steps`; a young average forgets faster."""
        p, cosine = self.params, (1 + math.cos(math.pi * fraction)) / 2
        rate = p.learning_rate * min(1.0, fraction / p.warm_up) * cosine
        return rate, 1 - min(p.ema, (1 + steps) / (10 + steps))

    def _step(
        self, training: Training, x: Tensor, y: Tensor | None, *schedule: float | Tensor
    ) -> tuple[Tensor]:
        """Update weights and average once; the loss, bits/dim of images and nats of points."""
        net, adam, (rate, share) = training.net, training.adam, schedule
        unit = self.space.dims * math.log(2) if self.image else 1.0
        with bfloat16(self.device, wanted=self.colour or self.device.type == "cuda"):
            density = net(self._dequantise(x, training.rng), self._classes(len(x), y))
        loss = -density.mean() / unit
        adam.param_groups[0]["lr"] = rate
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), self.params.clip)
        adam.step()
        move_average(training.average.parameters(), net.parameters(), share)
        return (loss.detach(),)

    def _draw(self, y: Tensor, rng: torch.Generator) -> Tensor:
        noise = [
            torch.randn(len(y), *shape, generator=rng, device=self.device)
            for shape in self.net.shapes()
        ]
        x = self.net.inverse(noise, y)
        if not self.image:
            return x
        return x.floor().clamp(0, self.space.levels - 1).to(torch.uint8)

    def _dequantise(self, x: Tensor, rng: torch.Generator) -> Tensor:
        if not self.image:
            return x
        return x + torch.rand(x.shape, generator=rng, device=self.device)

    def _rng(self, seed: int) -> torch.Generator:
        return torch.Generator("cuda" if self.device.type == "cuda" else "cpu").manual_seed(seed)

    def _classes(self, n: int, labels: Tensor | None) -> Tensor:
        """Labels, or zeros where the space has none."""
        if not self.space.classes:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if labels is None:
            raise UsageError(
                f"realnvp got labels=None in a space of {self.space.classes} classes: "
                "pass int64 (n,)"
            )
        return labels.to(self.device)
