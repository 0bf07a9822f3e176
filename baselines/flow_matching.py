"""Conditional flow matching: a network learns the velocity that carries noise to data.

Noise e and an example x are joined by a straight line, ``x_t = (1 - t) e + t x``, and a network
learns the mean of its velocity ``x - e`` given ``x_t`` and t by squared error. To generate, noise
is carried along the learned velocities from t = 0 to 1 by Heun's method, twenty evaluations in all:
the solution of a differential equation, where `dna` and `ddpm` run a Markov chain.

- Lipman et al. 2023, Flow Matching for Generative Modeling (ICLR).
- Liu et al. 2023, Flow Straight and Fast: the same line, as rectified flow.
- Esser et al. 2024, Scaling Rectified Flow Transformers: times from a logit-normal distribution.
- Chen et al. 2018, Neural Ordinary Differential Equations: the density of the end is that of the
  start less the divergence along the way.

Images: the U-Nets of `dna`. Points: its MLP, and a log-density by the divergence integral (exact up
to the solver's error; samples are drawn with fewer evaluations than the density is computed with).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.colour import is_colour
from genbench.baselines.timed import Mixture, TimedNetwork, Training
from genbench.errors import UsageError
from genbench.generator import (
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    to_uint8,
)

SAMPLE_CHUNK = 500  # rows sampled at once, to bound memory
DENSITY_STEPS = 16  # Runge-Kutta steps of the divergence integral
# Mean and deviation of the logit of a training time: points have edges that show near t = 1 alone.
IMAGE_TIMES, POINT_TIMES = (0.0, 1.0), (1.0, 1.5)
RISE = 0.02  # share of the budget in which the rate rises to its highest


@dataclass(frozen=True, slots=True)
class FlowMatchingParams:
    """The settings of ``-g flow-matching:name=value``."""

    width: int = 32
    """Channels at the U-Net's higher resolution (images)."""
    inner_width: int = 64
    """Channels at its lower resolution (images)."""
    colour_width: int = field(default=32, metadata={"added": True})
    """Channels at the highest of the three resolutions of the U-Net for colour images."""
    points_width: int = 128
    """Units of each layer of the network for points."""
    batch_size: int = 32
    """Images per step."""
    points_batch_size: int = 256
    """Points per step."""
    learning_rate: float = 2e-3
    """Adam's rate at its highest; it falls to 0 along a cosine."""
    ema: float = 0.998
    """Share of the averaged weights, which are the ones used, that survives a step."""
    steps: int = 10
    """Steps of Heun's method from noise to data, two evaluations each."""


class FlowMatching:
    """The baseline ``flow-matching``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="flow-matching",
        version="1",
        family="diffusion",
        kinds=("image", "points"),
        labels="given",
        likelihood="exact",
        likelihood_kinds=("points",),
        params=FlowMatchingParams,
        reference="Lipman et al. 2023, Flow Matching for Generative Modeling",
    )

    def __init__(self, params: FlowMatchingParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.image = space.kind == "image"
        self.colour = is_colour(space)
        self.net = self._build(0)  # the average of the trained weights, once fitted

    def fit(self, train: TrainData, run: Run) -> None:
        """Learn the velocities of lines between noise and examples."""
        p = self.params
        training = Training.of(self._build(run.seed), self._rng(run.seed), self.device)
        self.net = training.average
        if (state := run.restore()) is not None:
            training.load(state)
        size = p.batch_size if self.image else p.points_batch_size
        step = CapturedStep(
            functools.partial(self._step, training), self.device, generators=[training.rng]
        )
        for x, y in train.batches(size, seed=run.seed, start=run.served):
            if training.steps == 0:
                training.net.calibrate(x.float())
                training.average.calibrate(x.float())
            cosine = (1 + math.cos(math.pi * run.fraction)) / 2
            rate = p.learning_rate * min(1.0, run.fraction / RISE) * cosine
            (loss,) = step(x.float(), y, rate, training.share(p.ema))
            run.progress(velocity_error=loss)
            run.snapshot(self.state_dict)
            run.checkpoint(training.state)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Carry noise to `n` examples, of the classes asked for if there are any."""
        if self.space.classes and labels is None:
            raise UsageError("flow-matching was trained with classes: give sample labels")
        rng = self._rng(seed)
        parts = [torch.zeros(0, *self.space.shape, device=self.device)]
        for start in range(0, n, SAMPLE_CHUNK):
            asked = None if labels is None else labels[start : start + SAMPLE_CHUNK]
            shape = (min(SAMPLE_CHUNK, n - start), *self.space.shape)
            noise = torch.randn(shape, generator=rng, device=self.device)
            parts.append(self._carry(noise, asked))
        x = torch.cat(parts) * self.net.scale + self.net.centre
        return to_uint8(x, 0, self.space.levels - 1, self.space.levels) if self.image else x

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """The log-density of points, nats, ``(n,)``: no randomness, whatever `seed` and `draws`."""
        y, total = (x - self.net.centre) / self.net.scale, torch.zeros(len(x), device=self.device)
        step = -1 / DENSITY_STEPS
        for i in range(DENSITY_STEPS):
            slopes: list[tuple[Tensor, Tensor]] = []
            for ahead in (0.0, 0.5, 0.5, 1.0):  # the classical Runge-Kutta method, backwards
                at = y + ahead * step * slopes[-1][0] if slopes else y
                slopes.append(self._with_divergence(at, 1 + (i + ahead) * step, labels))
            weighed = zip((1, 2, 2, 1), slopes, strict=True)
            pushes = [(w * velocity, w * divergence) for w, (velocity, divergence) in weighed]
            y = y + step / 6 * torch.stack([velocity for velocity, _ in pushes]).sum(0)
            total = total + step / 6 * torch.stack([spread for _, spread in pushes]).sum(0)
        start = -(y.square().sum(1) + self.space.dims * math.log(2 * math.pi)) / 2
        return start + total - self.net.scale.log().sum()

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights and the standardisation."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(dict(state))

    def _build(self, seed: int) -> TimedNetwork:
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = TimedNetwork(
                self.space,
                colour_width=p.colour_width,
                width=p.width,
                inner_width=p.inner_width,
                points_width=p.points_width,
            )
        return net.requires_grad_(False).to(self.device)

    def _rng(self, seed: int) -> torch.Generator:
        on_device = self.device.type in ("cuda", "mps")
        return torch.Generator(self.device if on_device else "cpu").manual_seed(seed)

    def _step(
        self, training: Training, x: Tensor, y: Tensor | None, rate: float, share: float
    ) -> tuple[Tensor]:
        loss = self._loss(training, x, y)
        training.update(loss, rate, share)
        return (loss.detach(),)

    def _loss(self, training: Training, x: Tensor, y: Tensor | None) -> Tensor:
        """Squared error of the velocity at one time of each example's line."""
        x = (x - training.net.centre) / training.net.scale
        draw: Any = {"generator": training.rng, "device": self.device}
        mean, spread = IMAGE_TIMES if self.image else POINT_TIMES
        time = (mean + spread * torch.randn(len(x), **draw)).sigmoid()
        noise = torch.randn(x.shape, **draw)
        along = time.view(-1, *[1] * (x.dim() - 1))
        with self._autocast():
            velocity = training.net(torch.lerp(noise, x, along), time, y, _mixture(along))
        return (velocity - (x - noise)).square().mean()

    def _carry(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """Heun's method from t = 0 to 1; the last step, which meets the data, is Euler's."""
        steps = self.params.steps
        for i in range(steps):
            velocity = self._velocity(x, i / steps, labels)
            if i < steps - 1:
                ahead = self._velocity(x + velocity / steps, (i + 1) / steps, labels)
                velocity = (velocity + ahead) / 2
            x = x + velocity / steps
        return x

    def _velocity(self, x: Tensor, time: float, labels: Tensor | None) -> Tensor:
        at = torch.full((len(x),), time, device=self.device)
        with self._autocast():
            velocity: Tensor = self.net(x, at, labels, _mixture(at.view(-1, *[1] * (x.dim() - 1))))
        return velocity

    def _with_divergence(
        self, x: Tensor, time: float, labels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The velocity and its divergence, the latter by one gradient for each coordinate."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            at = torch.full((len(x),), time, device=self.device)
            velocity = self.net(x, at, labels, _mixture(at.view(-1, 1)))
            divergence = torch.zeros(len(x), device=self.device)
            for i in range(x.shape[1]):
                (slope,) = torch.autograd.grad(velocity[:, i].sum(), x, retain_graph=True)
                divergence = divergence + slope[:, i]
        return velocity.detach(), divergence

    def _autocast(self) -> torch.autocast:
        """bfloat16 networks of images on CUDA, in colour on some processors; else float32."""
        on_card = self.device.type == "cuda"
        return bfloat16(self.device, wanted=self.image if on_card else self.colour)


def _mixture(time: Tensor) -> Mixture:
    """Of a line from noise to an example: the velocity is the example less the noise."""
    return Mixture(time, 1 - time, 1.0, -1.0)
