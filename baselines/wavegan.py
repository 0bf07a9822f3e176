"""WaveGAN: a generative adversarial network of one-dimensional convolutions on waveforms.

Donahue, McAuley & Puckette, "Adversarial Audio Synthesis" (2019, arXiv:1802.04208), conditional:
noise becomes a waveform through transposed convolutions, another network tells it from real ones
with its maps shifted at random, and neither knows of spectra.

What differs, for minutes of one core in place of days of a card: steps are few and channels narrow;
the loss is the relativistic pairing loss (Jolicoeur-Martineau, 2019) under spectral normalisation
(Miyato et al., 2018), where theirs is WGAN-GP; and the generator also descends the energy distance
between the log-mel spectrograms of its sounds and of real ones of their class (Gritsenko et al.,
2020, arXiv:2008.01160), as `gan` does between images. Without it so few steps give a buzz.
``energy=0`` leaves it out.

Samples come from an average of the generator's weights, and are as fine as 16 bits are: what is
quieter is silence. What to expect: see ``docs/baselines.md``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.gan_image import Memory
from genbench.baselines.spectrogram import BANDS, Spectrogram
from genbench.baselines.wavegan_nets import WaveGenerator, WaveJudge
from genbench.errors import ContractError, UsageError
from genbench.generator import (
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    captures,
    move_average,
    optimizer_options,
)

SAMPLE_CHUNK = 500  # sounds drawn at once, to bound memory
FINEST = 32768  # steps from 0 to 1


@dataclass(frozen=True, slots=True)
class WaveGANParams:
    """Parameters, set with ``-g wavegan:name=value``."""

    learning_rate: float = 1e-3
    """Adam's rate for both networks; constant for half of the budget, then linear to zero."""
    beta1: float = 0.5
    """Adam's momentum, as in the paper."""
    batch_size: int = 32
    """Real sounds per step, and as many fakes."""
    latent: int = 64
    """Dimension of the Gaussian noise that becomes a sound."""
    width: int = 8
    """Channels of both networks next to the waveform; doubled at every step away from it."""
    energy: float = 1.0
    """Size of the slope of the energy distance of spectrograms at each fake."""
    memory: int = 256
    """Latest sounds of each kind that a batch's energy distance is measured with."""
    ema: float = 0.998
    """Share of the averaged generator that survives a step."""


@dataclass
class Training:
    """The parts that change during `fit`: all that a checkpoint needs."""

    generator: nn.Module
    judge: nn.Module
    average: nn.Module  # a generator with the averaged weights and statistics
    generator_adam: torch.optim.Adam
    judge_adam: torch.optim.Adam
    rng: torch.Generator
    memory: Memory
    steps: int = 0

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        rest = {"rng": self.rng.get_state(), "memory": self.memory.state(), "steps": self.steps}
        return parts | rest

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.rng.set_state(state["rng"].cpu())
        self.memory.load(state["memory"])
        self.steps = state["steps"]

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "judge": self.judge,
            "average": self.average,
            "generator_adam": self.generator_adam,
            "judge_adam": self.judge_adam,
        }


class Decoder(nn.Module):
    """The averaged generator at the level of the data."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Waveforms ``(n, T)`` of noise ``(n, latent)`` and classes ``(n,)``, in 16 bits."""
        x = (self.net(z, labels) * self.net.peak).clamp(-1, 1)
        return (x * FINEST).round() / FINEST


class WaveGAN:
    """The baseline ``wavegan``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="wavegan",
        version="1",
        family="gan",
        kinds=("waveform",),
        labels="given",
        likelihood=None,
        params=WaveGANParams,
        reference="Donahue et al. 2019, arXiv:1802.04208",
    )

    def __init__(self, params: WaveGANParams, space: Space, device: torch.device) -> None:
        if space.kind not in self.spec.kinds:
            raise UsageError(f"wavegan models waveforms, not {space.kind!r}: choose another")
        self.params, self.space, self.device = params, space, device
        self.spectrogram = Spectrogram(space.dims, space.rate).to(device)
        self.net: nn.Module | None = None  # the averaged generator, once fitted

    def fit(self, train: TrainData, run: Run) -> None:
        """Train both networks, then keep the averaged generator."""
        training = self._start(run.seed)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(partial(self._step, training), self.device, generators=[training.rng])
        for x, y in train.batches(self.params.batch_size, seed=run.seed, start=run.served):
            if len(x) == 1:
                continue  # batch normalisation needs two rows
            if training.steps == 0:
                for net in (training.generator, training.average):
                    net.get_buffer("peak").copy_(x.abs().amax().clamp_min(1e-3))
            training.steps += 1
            losses = step(x, y, *self._schedule(run.fraction, training.steps))
            run.progress(generator_loss=losses[0], discriminator_loss=losses[1])
            run.snapshot(training.average.state_dict)
            run.checkpoint(training.state)
        self.net = training.average.eval()

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw `n` sounds of the classes in `labels`."""
        net, z = self.decode, self._noise(n, self._rng(seed))
        parts = []
        for i in range(0, n, SAMPLE_CHUNK):
            asked = None if labels is None else labels[i : i + SAMPLE_CHUNK]
            parts.append(net(z[i : i + SAMPLE_CHUNK], asked))
        return torch.cat(parts)

    @property
    def latent_size(self) -> int:
        """Numbers of noise that become a sound."""
        return self.params.latent

    @property
    def decode(self) -> nn.Module:
        """Noise and classes to sounds."""
        return Decoder(self._fitted())

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged generator with the statistics of its batch normalisation."""
        return dict(self._fitted().state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        net = self._start(0).generator
        net.load_state_dict(state)
        self.net = net.requires_grad_(False).eval()

    def _start(self, seed: int) -> Training:
        """Both networks with weights from `seed`, drawn on the CPU whatever the device."""
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            generator = WaveGenerator(self.space, p.latent, p.width).to(self.device)
            judge = WaveJudge(self.space, p.width).to(self.device)
        average = copy.deepcopy(generator).requires_grad_(False)
        rows = p.memory if captures(self.device) else 0
        memory = Memory(p.memory, BANDS * self.spectrogram.frames, rows=rows, device=self.device)
        adams = (self._adam(generator), self._adam(judge))
        return Training(generator, judge, average, *adams, self._rng(seed), memory)

    def _adam(self, net: nn.Module) -> torch.optim.Adam:
        p, options = self.params, optimizer_options(self.device)
        return torch.optim.Adam(net.parameters(), p.learning_rate, betas=(p.beta1, 0.9), **options)

    def _schedule(self, fraction: float, steps: int) -> tuple[float, float]:
        """The rate and the average's way in step `steps`; a young average forgets faster."""
        rate = self.params.learning_rate * min(1.0, 2 * (1 - fraction))
        return rate, 1 - min(self.params.ema, steps / (10 + steps))

    def _step(
        self, training: Training, x: Tensor, y: Tensor | None, rate: Any, share: Any
    ) -> tuple[Tensor, Tensor]:
        """Update both networks and the average once; the losses of generator and judge.

        Both are updated at once: the judge's backward pass gives its slope at the fakes as well
        (see `gan`).
        """
        t, n = training, len(x)
        with bfloat16(self.device):
            fake = t.generator(self._noise(n, t.rng), y)
        inputs = torch.cat([x / t.generator.get_buffer("peak"), fake.detach()]).requires_grad_()
        with parametrize.cached(), bfloat16(self.device):
            scores = t.judge(inputs, None if y is None else torch.cat([y, y]), t.rng).float()
        margin = scores[:n] - scores[n:]
        loss = F.softplus(-margin).mean()
        for adam in (t.judge_adam, t.generator_adam):
            adam.zero_grad()
            adam.param_groups[0]["lr"] = rate
        torch.autograd.backward(loss, inputs=[inputs, *t.judge.parameters()])
        at_fakes = torch.zeros_like(inputs) if inputs.grad is None else inputs.grad
        pull = -at_fakes[n:] * margin.detach().clamp(max=60).exp()[:, None]
        fake.backward(pull + self._attraction(x, fake.detach(), y, t))  # type: ignore[no-untyped-call]
        t.judge_adam.step()
        t.generator_adam.step()
        latest, average = t.generator.state_dict(), t.average.state_dict()
        counted = [name for name, value in latest.items() if value.is_floating_point()]
        move_average([average[k] for k in counted], [latest[k] for k in counted], share)
        return F.softplus(margin.detach()).mean(), loss.detach()

    def _attraction(self, x: Tensor, fake: Tensor, y: Tensor | None, training: Training) -> Tensor:
        """The slope of the energy distance of spectrograms, by the fakes ``(n, T)``."""
        if not self.params.energy:
            return torch.zeros_like(fake)
        with torch.enable_grad():
            heard = fake.requires_grad_()
            of_fakes = self.spectrogram(heard * training.generator.get_buffer("peak"))
        slope = training.memory.energy_slope(self.spectrogram(x), of_fakes.detach(), y)
        (found,) = torch.autograd.grad(of_fakes, heard, slope)
        # Logarithms of quiet moments are steep: only the way counts, the same for every sound.
        size = found.norm(dim=1, keepdim=True).clamp_min(1e-12) * len(x)
        return found * (self.params.energy / size)

    def _noise(self, n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(n, self.params.latent, generator=rng, device=self.device)

    def _rng(self, seed: int) -> torch.Generator:
        device = self.device if self.device.type == "cuda" else torch.device("cpu")
        return torch.Generator(device).manual_seed(seed)

    def _fitted(self) -> nn.Module:
        if self.net is None:
            raise ContractError("wavegan has no weights yet: call fit or load_state_dict first")
        return self.net
