"""A denoising diffusion probabilistic model: a network learns the noise that was mixed in.

Noise is mixed into an example in a thousand small steps until nothing is left of it. A network
that sees the mixture and the number of the step learns the noise. To generate, the chain is run
backwards from noise: each step removes some of the noise that the network sees and adds a little
anew (ancestral sampling). Of the thousand steps a stated number is taken, evenly spaced.

- Ho, Jain, Abbeel 2020, Denoising Diffusion Probabilistic Models (NeurIPS): the chain, squared
  error, ancestral sampling with the variance of the posterior.
- Nichol, Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models: the cosine schedule, and
  fewer steps of the same chain when sampling.
- Salimans, Ho 2022, Progressive Distillation for Fast Sampling of Diffusion Models: the noise as a
  sum of the mixture and the network's output v, so that where there is little but noise an error
  of the network is no multiple of itself in the example.
- Sohl-Dickstein et al. 2015, Deep Unsupervised Learning using Nonequilibrium Thermodynamics.

Images: the U-Nets of `dna`. Points: its MLP. It has a likelihood bound of a thousand terms, which
is left out here: `dna` and `ddpm` are rows without a likelihood.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
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
CHAIN = 1000  # steps from an example to noise
OFFSET = 0.008  # of the cosine schedule: the first steps mix in something
LARGEST = 0.999  # share of noise that a step mixes in at most (variance)
# Mean and deviation of the logit of a training step's place in the chain, from example to noise.
IMAGE_STEPS, POINT_STEPS = (0.0, 1.0), (-1.0, 1.5)
RISE = 0.02  # share of the budget in which the rate rises to its highest


def _variance_kept() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Variance that is left of an example after each step: a squared cosine (Nichol & Dhariwal)."""
    angles = (np.arange(CHAIN + 1) / CHAIN + OFFSET) / (1 + OFFSET) * np.pi / 2
    left = np.cos(angles) ** 2
    return np.cumprod(1 - np.clip(1 - left[1:] / left[:-1], 0, LARGEST))


KEPT = _variance_kept()


@dataclass(frozen=True, slots=True)
class DDPMParams:
    """The settings of ``-g ddpm:name=value``."""

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
    steps: int = 25
    """Steps of the chain that are taken back to sample, of a thousand."""


class DDPM:
    """The baseline ``ddpm``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="ddpm",
        version="1",
        family="diffusion",
        kinds=("image", "points"),
        labels="given",
        likelihood=None,
        params=DDPMParams,
        reference="Ho et al. 2020, Denoising Diffusion Probabilistic Models",
    )

    def __init__(self, params: DDPMParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.image = space.kind == "image"
        self.colour = is_colour(space)
        if not 1 <= params.steps <= CHAIN:
            raise UsageError(f"ddpm:steps is {params.steps}: give 1 to {CHAIN}")
        self._kept = torch.tensor(KEPT, dtype=torch.float32, device=device)
        self.net = self._build(0)  # the average of the trained weights, once fitted

    def fit(self, train: TrainData, run: Run) -> None:
        """Learn to tell the noise in mixtures of every step of the chain."""
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
            run.progress(v_error=loss)
            run.snapshot(self.state_dict)
            run.checkpoint(training.state)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Walk the chain back from noise to `n` examples, of the classes asked for if any."""
        if self.space.classes and labels is None:
            raise UsageError("ddpm was trained with classes: give sample labels")
        rng = self._rng(seed)
        parts = [torch.zeros(0, *self.space.shape, device=self.device)]
        for start in range(0, n, SAMPLE_CHUNK):
            asked = None if labels is None else labels[start : start + SAMPLE_CHUNK]
            parts.append(self._walk_back(min(SAMPLE_CHUNK, n - start), asked, rng))
        x = torch.cat(parts) * self.net.scale + self.net.centre
        return to_uint8(x, 0, self.space.levels - 1, self.space.levels) if self.image else x

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights and the scaling."""
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
        """Squared error of v, that is of the noise, at one step of each example's chain."""
        x = (x - training.net.centre) / training.net.scale
        draw: Any = {"generator": training.rng, "device": self.device}
        mean, spread = IMAGE_STEPS if self.image else POINT_STEPS
        places = (mean + spread * torch.randn(len(x), **draw)).sigmoid()
        step = (CHAIN * places).long().clamp_max(CHAIN - 1)
        noise = torch.randn(x.shape, **draw)
        kept = self._kept[step].view(-1, *[1] * (x.dim() - 1))
        mixed = kept.sqrt() * x + (1 - kept).sqrt() * noise
        with self._autocast():
            found = training.net(mixed, (step + 1) / CHAIN, y, _mixture(kept))
        return (found - kept.sqrt() * noise + (1 - kept).sqrt() * x).square().mean()

    def _walk_back(self, rows: int, labels: Tensor | None, rng: torch.Generator) -> Tensor:
        """Scaled examples by ancestral sampling over `steps` steps of the chain."""
        draw: Any = {"generator": rng, "device": self.device}
        x = torch.randn(rows, *self.space.shape, **draw)
        taken = np.linspace(CHAIN - 1, 0, self.params.steps).round().astype(int).tolist()
        for step, after in zip(taken, [*taken[1:], None], strict=True):
            here = float(KEPT[step])
            clean = self._clean(x, step, labels)
            if after is None:
                return clean
            there = float(KEPT[after])
            x = self._posterior(x, clean, here, there)
            spread = math.sqrt((1 - there) / (1 - here) * (1 - here / there))
            x = x + spread * torch.randn(x.shape, **draw)
        return x

    def _clean(self, x: Tensor, step: int, labels: Tensor | None) -> Tensor:
        """The example that is left of a mixture when the noise that the network sees is gone."""
        time = torch.full((len(x),), (step + 1) / CHAIN, device=self.device)
        kept = float(KEPT[step])
        mixture = _mixture(torch.full((len(x), *[1] * (x.dim() - 1)), kept, device=self.device))
        with self._autocast():
            v = self.net(x, time, labels, mixture)
        clean: Tensor = math.sqrt(kept) * x - math.sqrt(1 - kept) * v
        if not self.image:
            return clean
        black, white = ((g - self.net.centre) / self.net.scale for g in (0, self.space.levels - 1))
        bounded: Tensor = clean.clamp(black, white)
        return bounded

    def _posterior(self, x: Tensor, clean: Tensor, here: float, there: float) -> Tensor:
        """Mean of a less noisy mixture given this one and what is clean (Ho et al., equation 7)."""
        step = here / there
        of_clean = math.sqrt(there) * (1 - step) / (1 - here)
        of_noisy = math.sqrt(step) * (1 - there) / (1 - here)
        return of_clean * clean + of_noisy * x

    def _autocast(self) -> torch.autocast:
        """bfloat16 networks of images on CUDA, in colour on some processors; else float32."""
        on_card = self.device.type == "cuda"
        return bfloat16(self.device, wanted=self.image if on_card else self.colour)


def _mixture(kept: Tensor) -> Mixture:
    """Of a step that has kept that much of an example's variance: v is across signal and noise."""
    signal, noise = kept.sqrt(), (1 - kept).sqrt()
    return Mixture(signal, noise, -noise, signal)
