"""A denoising autoencoder used as a generator: corrupt, reconstruct, corrupt a little less, again.

A network learns to reconstruct standardised examples from copies that were corrupted by Gaussian
noise of a known, random level. To generate, it walks back from noise to the data: reconstruct,
corrupt the reconstruction at the next lower level, reconstruct again. Each step is one pass of the
autoencoder and one fresh corruption: a Markov chain, not the solution of a differential equation.

- Vincent et al. 2008, Extracting and Composing Robust Features with Denoising Autoencoders.
- Bengio, Yao, Alain, Vincent 2013, Generalized Denoising Auto-Encoders as Generative Models: the
  chain of corruptions and reconstructions, and that the reconstruction should be a *draw*.
- Geras and Sutton 2015, Scheduled Denoising Autoencoders: several levels, from high to low.
- Karras et al. 2022, Elucidating the Design Space of Diffusion-Based Generative Models: how the
  network's input and output are scaled with the noise level.

Images: a class-conditional U-Net on 2x2 patches, with dense layers over the whole map at its lower
resolution (`dna_image`); in colour one of three resolutions (`unet`), and corruptions that are only
in part fresh. Points: an MLP (`dna_points`). What all are scaled by: `dna_denoiser`.

Expect an FID (mnist-cnn) of 6 on MNIST after 300,000 examples, which took less than two minutes on
two cores. What it reaches elsewhere is in `reports/`, what was tried in `docs/baselines.md`.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.dna_denoiser import Denoiser
from genbench.baselines.unet import is_colour
from genbench.errors import UsageError
from genbench.generator import (
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    captures,
    move_average,
    optimizer_options,
    to_uint8,
)

VARIANCE_WEIGHT = 0.05  # of the loss of the predicted variance, which the mean does not learn from
SAMPLE_CHUNK = 500  # rows sampled at once, to bound memory
CAPTURED_CHUNK = 2000  # by a card


@dataclass(frozen=True, slots=True)
class DNAParams:
    """The settings of ``-g dna:name=value``; noise in units of the data's deviation."""

    width: int = 24
    """Channels at the U-Net's higher resolution (images)."""
    inner_width: int = 48
    """Channels at its lower resolution (images)."""
    colour_width: int = field(default=32, metadata={"added": True})
    """Channels at the highest of the three resolutions of the U-Net for colour images."""
    points_width: int = 128
    """Units of each layer of the network for points."""
    batch_size: int = 64
    """Images per step."""
    points_batch_size: int = 256
    """Points per step."""
    learning_rate: float = 2e-3
    """Adam's rate at the start; it falls to 0 along a cosine."""
    ema: float = field(default=0.998, metadata={"key": "average"})
    """Share of the averaged weights, which are the ones used, that survives a step."""
    noise_mean: float = -0.1
    """Mean of the logarithm of the noise level in training."""
    noise_spread: float = 1.2
    """Standard deviation of the same."""
    noise_high: float = 10.0
    """Noise level at which generation starts."""
    noise_low: float = 0.1
    """Noise level of the last corruption of an image."""
    points_noise_low: float = 0.03
    """Noise level of the last corruption of a point."""
    colour_noise_low: float = field(default=0.03, metadata={"added": True})
    """Noise level of the last corruption of a colour image."""
    levels: int = 16
    """Reconstructions of an image, at geometrically spaced levels."""
    colour_levels: int = field(default=20, metadata={"added": True})
    """Reconstructions of a colour image."""
    points_levels: int = 20
    """Reconstructions of a point."""
    spread: float = 0.8
    """Share of its predicted deviation with which an image's reconstruction is drawn; 1 of points.

    The mean alone (0) loses rare shapes, all of it (1) leaves noise: given a corrupted image the
    pixels are not independent.
    """


@dataclass(slots=True)
class Training:
    """The state of training: all that a checkpoint needs."""

    net: Denoiser
    average: Denoiser
    optimizer: torch.optim.Adam
    rng: torch.Generator
    steps: int = 0

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


class DNA:
    """The baseline ``dna``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="dna",
        version="1",
        family="denoising",
        kinds=("image", "points"),
        labels="given",
        likelihood=None,
        params=DNAParams,
        reference="Bengio et al. 2013, Generalized Denoising Auto-Encoders as Generative Models",
    )

    def __init__(self, params: DNAParams, space: Space, device: torch.device) -> None:
        if space.kind not in self.spec.kinds:
            raise UsageError(f"dna models images and points, not {space.kind!r}: choose another")
        self.params, self.space, self.device = params, space, device
        self.image, self.colour = space.kind == "image", is_colour(space)
        self.draws = self._rng(0)  # what samples are drawn from, seeded by each call
        self._use(self._build(0))

    def fit(self, train: TrainData, run: Run) -> None:
        """Learn to reconstruct: squared error, weighted so that every noise level counts alike."""
        p = self.params
        batch_size = p.batch_size if self.image else p.points_batch_size
        training = self._begin(run.seed)
        self._use(training.average)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(
            functools.partial(self._step, training), self.device, generators=[training.rng]
        )
        for x, y in train.batches(batch_size, seed=run.seed, start=run.served):
            x = x.float()
            if training.steps == 0:
                training.net.calibrate(x)
                training.average.calibrate(x)
            rate = p.learning_rate * (1 + math.cos(math.pi * run.fraction)) / 2
            training.steps += 1
            error, variance_loss = step(x, y, rate, self._share(training.steps))
            run.progress(reconstruction_error=error, variance_loss=variance_loss)
            run.snapshot(self.state_dict)
            run.checkpoint(training.state)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Walk back from noise to `n` examples, of the classes asked for if there are any."""
        if self.space.classes and labels is None:
            raise UsageError("dna was trained with classes and sample got labels=None: give labels")
        self.draws.manual_seed(seed)
        chunk = CAPTURED_CHUNK if captures(self.device) else SAMPLE_CHUNK
        parts = [torch.zeros(0, *self.space.shape, device=self.device)]
        for start in range(0, n, chunk):
            asked = None if labels is None else labels[start : start + chunk]
            parts.append(self._walk_back(min(chunk, n - start), asked))
        x = torch.cat(parts) * self.net.scale + self.net.centre
        return to_uint8(x, 0, self.space.levels - 1, self.space.levels) if self.image else x

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights and the standardisation."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(state)

    def _use(self, net: Denoiser) -> None:
        """Sample with this: the average of the trained weights, once fitted.

        A graph serves batches of one size, so that for the latest is kept from call to call.
        """
        self.net = net
        self._back = functools.lru_cache(maxsize=1)(
            lambda n: CapturedStep(
                self._step_back_in_colour if self.colour else self._step_back,
                self.device,
                generators=[self.draws],
            )
        )

    def _begin(self, seed: int) -> Training:
        average = self._build(seed)
        net = copy.deepcopy(average).requires_grad_(True)
        rate, options = self.params.learning_rate, optimizer_options(self.device)
        optimizer = torch.optim.Adam(net.parameters(), lr=rate, **options)
        return Training(net, average, optimizer, self._rng(seed))

    def _build(self, seed: int) -> Denoiser:
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = Denoiser(
                self.space,
                width=p.width,
                inner_width=p.inner_width,
                colour_width=p.colour_width,
                points_width=p.points_width,
            )
        return net.requires_grad_(False).to(self.device)

    def _rng(self, seed: int) -> torch.Generator:
        on_device = self.device.type in ("cuda", "mps")
        return torch.Generator(self.device if on_device else "cpu").manual_seed(seed)

    def _step(
        self,
        training: Training,
        x: Tensor,
        y: Tensor | None,
        rate: float | Tensor,
        share: float | Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Update weights and average; the reconstruction's error and the loss of its variance."""
        p, net = self.params, training.net
        x = (x - net.centre) / net.scale
        shape = (len(x), *[1] * (x.dim() - 1))
        noise = torch.randn(shape, generator=training.rng, device=self.device)
        noise = (p.noise_mean + p.noise_spread * noise).exp()
        noisy = x + noise * self._noise(x, training.rng)
        with self._autocast():
            clean = net(noisy, noise, y)
        error = (clean.mean - x) ** 2 * clean.weight  # 1 for the best linear reconstruction
        surprise = clean.log_variance + error.detach() * (-clean.log_variance).exp()
        loss, variance_loss = error.mean(), surprise.mean() / 2
        training.optimizer.zero_grad()
        (loss + VARIANCE_WEIGHT * variance_loss).backward()
        training.optimizer.param_groups[0]["lr"] = rate
        training.optimizer.step()
        move_average(list(training.average.parameters()), list(net.parameters()), share)
        return loss.detach(), variance_loss.detach()

    def _share(self, steps: int) -> float:
        """By which the average moves; a young one forgets faster: its first weights are raw."""
        return 1 - min(self.params.ema, steps / (steps + 10))

    def _walk_back(self, rows: int, labels: Tensor | None) -> Tensor:
        """Standardised examples: a chain of corruptions and reconstructions."""
        if self.colour:
            return self._walk_back_in_colour(rows, labels)
        p = self.params
        if self.image:
            levels, low = p.levels, p.noise_low
        else:
            levels, low = p.points_levels, p.points_noise_low
        clean = torch.zeros(rows, *self.space.shape, device=self.device)
        step = self._back(rows)
        for i in range(levels):
            level = p.noise_high * (low / p.noise_high) ** (i / max(1, levels - 1))
            (clean,) = step(clean, labels, level)
        return clean

    def _step_back(
        self, clean: Tensor, labels: Tensor | None, level: float | Tensor
    ) -> tuple[Tensor]:
        """One corruption and its reconstruction, drawn."""
        noisy = clean + level * self._noise(clean, self.draws)
        noise = torch.ones(len(clean), *[1] * (clean.dim() - 1), device=self.device) * level
        with self._autocast():
            reconstruction = self.net(noisy, noise, labels)
        clean = reconstruction.mean
        if spread := self.params.spread if self.image else 1.0:
            variance = reconstruction.log_variance.exp() * level**2 / (1 + level**2)
            clean = clean + spread * variance.sqrt() * self._noise(clean, self.draws)
        return (clean,)

    def _walk_back_in_colour(self, rows: int, labels: Tensor | None) -> Tensor:
        """Standardised images: at each level most of the corruption is that of the level before.

        A corruption that is all fresh leaves of a photograph's details but their mean.
        """
        p = self.params
        ratio = (p.colour_noise_low / p.noise_high) ** (1 / max(1, p.colour_levels - 1))
        levels = [p.noise_high * ratio**i for i in range(p.colour_levels)] + [0.0]
        x = torch.zeros(rows, *self.space.shape, device=self.device)
        x = levels[0] * self._noise(x, self.draws)
        step = self._back(rows)
        for level, after in pairwise(levels):
            (x,) = step(x, labels, level, after, p.spread if after else 0.0)
        return x

    def _step_back_in_colour(
        self,
        noisy: Tensor,
        labels: Tensor | None,
        level: float | Tensor,
        after: float | Tensor,
        spread: float | Tensor,
    ) -> tuple[Tensor]:
        """A reconstruction, drawn, and corrupted as much as `after` says, as the chain would be.

        What is between a corrupted image and its original at a lower level is, given both, Gaussian
        (Ho et al. 2020, arXiv:2006.11239, equation 6).
        """
        noise = torch.ones(len(noisy), 1, 1, 1, device=self.device) * level
        with self._autocast():
            found = self.net(noisy, noise, labels)
        # What is left open is smooth, as images are: white noise would be seen in the next one.
        error = self.net.spectrum.errors(self._noise(noisy, self.draws), noise)
        clean = found.mean + spread * (found.log_variance / 2).exp() * error
        kept = (after / level) ** 2
        fresh = after * (1 - kept) ** 0.5 * self._noise(noisy, self.draws)
        return (torch.lerp(clean, noisy, kept) + fresh,)

    def _noise(self, like: Tensor, rng: torch.Generator) -> Tensor:
        return torch.randn(like.shape, generator=rng, device=self.device)

    def _autocast(self) -> torch.autocast:
        """bfloat16 networks on CUDA, of colour images on some processors; float32 elsewhere."""
        return bfloat16(self.device, wanted=self.colour or self.device.type == "cuda")
