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
in part fresh (`dna_colour`), which do for the spectrograms of sounds as well (`dna_sound`). Points:
an MLP (`dna_points`). What all are scaled by: `dna_denoiser`. Texts, whose noise is a share of
tokens that cannot be read: `dna_text`.

Expect an FID (mnist-cnn) of 6 on MNIST after 300,000 examples, which took less than two minutes on
two cores. What it reaches elsewhere is in `reports/`, what was tried in `docs/baselines.md`.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from genbench.baselines.colour import is_colour
from genbench.baselines.dna_colour import ColourHalf
from genbench.baselines.dna_denoiser import Denoiser
from genbench.baselines.dna_scalars import ScalarHalf
from genbench.baselines.dna_sound import SoundHalf
from genbench.baselines.dna_text import TextDenoiser, TextHalf
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
    sound_batch_size: int = field(default=32, metadata={"added": True})
    """Sounds per step."""
    sound_noise_mean: float = field(default=0.2, metadata={"added": True})
    """`noise_mean` for sounds, whose spectrograms have more in common than photographs."""
    sound_noise_spread: float = field(default=1.4, metadata={"added": True})
    """`noise_spread` for sounds."""
    sound_noise_high: float = field(default=80.0, metadata={"added": True})
    """`noise_high` for sounds: what they have in common must drown in it, or all are too quiet."""
    sound_spread: float = field(default=0.0, metadata={"added": True})
    """`spread` for sounds."""
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
    text_width: int = field(default=128, metadata={"added": True})
    """Units of the LSTM for texts, each way."""
    text_depth: int = field(default=2, metadata={"added": True})
    """Its layers."""
    text_dropout: float = field(default=0.1, metadata={"added": True})
    """Share of its units left out in training, from 20 passes over the rows on; less for fewer."""
    text_batch_size: int = field(default=64, metadata={"added": True})
    """Texts per step."""
    text_learning_rate: float = field(default=2e-3, metadata={"added": True})
    """Adam's rate at the start, for texts."""
    text_levels: int = field(default=32, metadata={"added": True})
    """Reconstructions of a text, at equally spaced shares of its tokens."""


@dataclass(slots=True)
class Training:
    """The state of training: all that a checkpoint needs."""

    net: Denoiser | TextDenoiser
    average: Denoiser | TextDenoiser
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


Half: TypeAlias = ScalarHalf | TextHalf


class DNA:
    """The baseline ``dna``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="dna",
        version="1",
        family="denoising",
        kinds=("image", "points", "sequence", "waveform"),
        labels="given",
        likelihood=None,
        params=DNAParams,
        reference="Bengio et al. 2013, Generalized Denoising Auto-Encoders as Generative Models",
    )

    def __init__(self, params: DNAParams, space: Space, device: torch.device) -> None:
        if space.kind not in self.spec.kinds:
            known = "images, points, sequences and waveforms"
            raise UsageError(f"dna models {known}, not {space.kind!r}: choose another")
        self.params, self.space, self.device = params, space, device
        self.half = self._half()
        self.draws = self._rng(0)  # what samples are drawn from, seeded by each call
        self._use(self._build(0))

    def fit(self, train: TrainData, run: Run) -> None:
        """Learn to reconstruct, with every noise level counting alike."""
        half, training = self.half, self._begin(run.seed)
        half.prepare(training.net, run.budget, train.n)
        self._use(training.average)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(
            functools.partial(self._step, training), self.device, generators=[training.rng]
        )
        for x, y in train.batches(half.served, seed=run.seed, start=run.served):
            half.see(x, y, training.steps == 0, training.net, training.average)
            rate = half.learning_rate * (1 + math.cos(math.pi * run.fraction)) / 2
            for rows, labels in half.batches(x, y, training.rng):
                training.steps += 1
                losses = step(rows, labels, rate, self._share(training.steps))
                run.progress(**dict(zip(half.losses, losses, strict=True)))
            run.snapshot(self.state_dict)
            run.checkpoint(training.state)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Walk back from noise to `n` examples, of the classes asked for if there are any."""
        if self.space.classes and labels is None:
            raise UsageError("dna was trained with classes and sample got labels=None: give labels")
        self.draws.manual_seed(seed)
        half, places, parts = self.half, [], []
        for at, clean, asked in half.canvases(self.net, n, labels, self.draws):
            step = self._back(len(clean))
            for level in half.levels():
                (clean,) = step(clean, asked, *level)
            places.append(at)
            parts.append(clean)
        return half.examples(self.net, places, parts)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights, and what was counted or measured of the data."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(state)

    def _half(self) -> Half:
        """What is done with examples of the space's kind."""
        if self.space.kind == "sequence":
            return TextHalf(self.params, self.space, self.device)
        if self.space.kind == "waveform":
            return SoundHalf(self.params, self.space, self.device)
        half = ColourHalf if is_colour(self.space) else ScalarHalf
        return half(self.params, self.space, self.device)

    def _use(self, net: Denoiser | TextDenoiser) -> None:
        """Sample with this: the average of the trained weights, once fitted.

        A graph serves batches of one size, so that for the latest is kept from call to call.
        """
        self.net = net
        self._back = functools.lru_cache(maxsize=1)(
            lambda n: CapturedStep(
                functools.partial(self.half.step_back, net, self.draws),
                self.device,
                generators=[self.draws],
            )
        )

    def _begin(self, seed: int) -> Training:
        average = self._build(seed)
        net = copy.deepcopy(average).requires_grad_(True)
        rate, options = self.half.learning_rate, optimizer_options(self.device)
        optimizer = torch.optim.Adam(net.parameters(), lr=rate, **options)
        return Training(net, average, optimizer, self._rng(seed))

    def _build(self, seed: int) -> Denoiser | TextDenoiser:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = self.half.network()
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
    ) -> tuple[Tensor, ...]:
        """Update weights and average; the losses that the half names."""
        loss, losses = self.half.loss(training.net, x, y, training.rng)
        training.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        training.optimizer.param_groups[0]["lr"] = rate
        training.optimizer.step()
        move_average(list(training.average.parameters()), list(training.net.parameters()), share)
        return losses

    def _share(self, steps: int) -> float:
        """By which the average moves; a young one forgets faster: its first weights are raw."""
        return 1 - min(self.params.ema, steps / (steps + 10))
