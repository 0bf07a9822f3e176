"""A sound sample by sample, each a distribution over levels given all before it: exact likelihood.

Van den Oord et al., "WaveNet: A Generative Model for Raw Audio" (2016, arXiv:1609.03499): causal
convolutions whose reach doubles from layer to layer, gated, told the class, over 255 levels of the
mu-law, in which a waveform's quiet samples are finer than its loud ones.

What differs, for minutes of one core: it sees 512 samples back, a tenth of theirs, and reads of
every eight sounds that it is served a cut of one. Cuts are centred where something sounds, or they
would mostly be of the silence that follows it; a cut reaches far enough beyond the end for that to
be learned too.

`log_prob` is of the levels of all of a waveform's samples, the padding included: nats of the
discrete row, so that bits a sample compare with whoever counts on such levels. What to
expect: see ``docs/baselines.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.baselines.autoregressive_net import (
    LEVELS,
    CausalNet,
    Writer,
    from_levels,
    to_levels,
)
from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.next_token import Training, rate_at
from genbench.baselines.texts import choice
from genbench.errors import UsageError
from genbench.generator import CapturedStep, GeneratorSpec, Run, Space, TrainData

SAMPLE_CHUNK = 500  # sounds written at once
SCORED_AT_ONCE = 2**17  # samples scored at once, to bound memory
WARM_UP = 0.03  # share of the budget over which the rate rises from 0


@dataclass(frozen=True, slots=True)
class AutoregressiveParams:
    """Parameters, set with ``-g autoregressive:name=value``."""

    layers: int = 9
    """Layers; together they see two to the power of that many samples back."""
    width: int = 32
    """Numbers that each layer keeps of a sample."""
    head: int = 64
    """Units of the layer before the levels."""
    batch_size: int = 64
    """Sounds served per step."""
    cuts: int = 12
    """Of how many of them a step reads a cut."""
    cut: int = 1024
    """Samples of a cut."""
    learning_rate: float = 4e-3
    """Adam's rate after warm-up, from where it falls to 0 along a cosine."""
    clip: float = 1.0
    """Largest norm of a gradient of the loss, nats a sample."""


class Autoregressive:
    """The baseline ``autoregressive``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="autoregressive",
        version="1",
        family="autoregressive",
        kinds=("waveform",),
        labels="given",
        likelihood="exact",
        params=AutoregressiveParams,
        reference="van den Oord et al. 2016, arXiv:1609.03499",
    )

    def __init__(self, params: AutoregressiveParams, space: Space, device: torch.device) -> None:
        if space.kind not in self.spec.kinds:
            raise UsageError(f"autoregressive models waveforms, not {space.kind!r}: try another")
        self.params, self.space, self.device = params, space, device
        self.cut = min(params.cut, space.dims)
        self.net = self._build(0)

    def fit(self, train: TrainData, run: Run) -> None:
        """Maximise the likelihood of cuts of what is served until it ends."""
        p = self.params
        self.net = self._build(run.seed)
        training = Training.of(self.net, self._rng(run.seed), self.device)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(partial(self._step, training), self.device)
        for x, y in train.batches(p.batch_size, seed=run.seed, start=run.served):
            if training.steps == 0:
                self.net.calibrate(to_levels(x))
            training.steps += 1
            labels = self._classes(len(x), y)[: p.cuts]
            known, level = self._cuts(to_levels(x[: p.cuts]), training.rng)
            (bits,) = step(known, level, labels, rate_at(run.fraction, p.learning_rate, WARM_UP))
            run.progress(bits_per_sample=bits)
            run.snapshot(self.state_dict)
            run.checkpoint(training.state)
        self.net.requires_grad_(False)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw sample after sample, of the classes in `labels`."""
        rng = self._rng(seed)
        parts = [self._write(y, rng) for y in self._classes(n, labels).split(SAMPLE_CHUNK)]
        return torch.cat(parts)

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(levels | y), nats, ``(n,)``. Without noise `seed` and `draws` do not matter."""
        at_once = max(1, SCORED_AT_ONCE // self.space.dims)
        pairs = zip(x.split(at_once), self._classes(len(x), labels).split(at_once), strict=True)
        return torch.cat([self._score(to_levels(rows), y) for rows, y in pairs])

    def state_dict(self) -> dict[str, Tensor]:
        """The weights."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(dict(state))

    def _build(self, seed: int) -> CausalNet:
        """A network with weights from `seed`, drawn on the CPU whatever the device."""
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = CausalNet(layers=p.layers, width=p.width, head=p.head, classes=self.space.classes)
        return net.requires_grad_(False).to(self.device)

    def _cuts(self, level: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """A cut of each row, ``(n, cut)``, after all that the network sees before it."""
        cut, before = self.cut, self.net.start(len(level), self.device)
        place = torch.arange(1, level.shape[1] + 1, device=self.device)
        sounds = ((level != level[:, -1:]) * place).amax(
            1
        )  # samples until nothing changes any more
        centre = torch.rand(len(level), generator=rng, device=self.device) * sounds
        first = (centre.long() - cut // 2).clamp(0, level.shape[1] - cut)
        places = first[:, None] + torch.arange(self.net.sees + cut, device=self.device)
        found = torch.cat([before, level], 1).gather(1, places)
        return found[:, :-1], found[:, self.net.sees :]

    def _step(
        self, training: Training, known: Tensor, level: Tensor, y: Tensor, rate: float | Tensor
    ) -> tuple[Tensor]:
        """Update the weights once; the loss, bits a sample of the cuts."""
        with bfloat16(self.device):
            logits = self.net(known, y)
        loss = F.cross_entropy(logits.float().flatten(0, 1), level.flatten())
        training.update(loss, rate, self.params.clip)
        return (loss.detach() / math.log(2),)

    def _score(self, level: Tensor, y: Tensor) -> Tensor:
        known = torch.cat([self.net.start(len(level), self.device), level], 1)[:, :-1]
        logits = self.net(known, y).flatten(0, 1)
        nats = F.cross_entropy(logits, level.flatten(), reduction="none")
        return -nats.view_as(level).double().sum(1)

    def _write(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """Waveforms of classes `y`."""
        writer, levels = Writer(self.net, y), []
        level = torch.full_like(y, LEVELS)
        for _ in range(self.space.dims):
            dice = torch.rand(len(y), generator=rng, device=self.device, dtype=torch.float64)
            level = choice(writer.step(level), dice)
            levels.append(level)
        return from_levels(torch.stack(levels, 1))

    def _classes(self, n: int, labels: Tensor | None) -> Tensor:
        """Labels, or zeros where the space has none."""
        if not self.space.classes:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if labels is None:
            raise UsageError(
                f"autoregressive got labels=None in a space of {self.space.classes} classes: "
                "pass int64 (n,)"
            )
        return labels.to(self.device)

    def _rng(self, seed: int) -> torch.Generator:
        on_device = self.device.type in ("cuda", "mps")
        return torch.Generator(self.device if on_device else "cpu").manual_seed(seed)
