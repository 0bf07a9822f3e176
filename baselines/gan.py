"""A generative adversarial network: small convolutional nets for images, an MLP for points.

Texts are written and judged by LSTMs (`gan_text`); sounds are spectrograms, made and judged by the
networks of images (`gan_sound`).

Loss: the relativistic pairing loss (Jolicoeur-Martineau, 2019). The discriminator D minimises
softplus(-m) and the generator softplus(m), where m = D(real) - D(fake) and both rows of a pair have
the same class. A zero-centred gradient penalty on real and fake points keeps it stable (R1 + R2;
Huang et al., 2024), spectral normalisation on images, where D also learns to prefer a real image's
own class to a wrong one (matching-aware; Reed et al., 2016). Both nets are updated simultaneously:
the one backward pass of D also gives the slope dD/dx at each fake, from which the generator's
gradient follows, so D is never run a second time. Samples come from an average of the generator's
weights (Yazici et al., 2019) whose batch-normalisation statistics are recomputed at the end.

For images the generator also descends the energy distance between its fakes and the real images of
their class (Szekely & Rizzo, 2013; Bellemare et al., 2017): real ones attract, fakes repel each
other, so that fewer rare shapes of a class are dropped. It counts most at the start, when shapes
are found or lost. Samples are drawn from noise a little wider than in training, the opposite of the
truncation of Brock et al. (2019): a generator dwells on the shapes that are common. Texts have a
likelihood to begin with and to hold on to: `gan_text`.

What to expect of MNIST at `standard`: FID 1.3 and samples that train the best classifier of the
baselines (TSTR 97.6 %); recall 0.82, for it leaves out shapes; no likelihood. Of eight Gaussians
it finds all, each with 10.8 to 12.3 % of the samples. What was tried: ``docs/baselines.md``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.gan_image import ImageHalf, Memory
from genbench.baselines.gan_points import PointHalf
from genbench.baselines.gan_sound import SoundHalf
from genbench.baselines.gan_text import TextHalf
from genbench.errors import ContractError, UsageError
from genbench.generator import (
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    move_average,
    optimizer_options,
)

Half = ImageHalf | PointHalf | SoundHalf | TextHalf
HALVES: dict[str, type[Half]] = {
    "image": ImageHalf,
    "points": PointHalf,
    "sequence": TextHalf,
    "waveform": SoundHalf,
}

SAMPLE_CHUNK = 1000  # samples drawn at once, to bound memory
LOSSES = ("generator_loss", "discriminator_loss", "nll_nats")
RECENT = 64  # batches of labels kept to recompute the batch normalisation


@dataclass(frozen=True, slots=True)
class Params:
    """Parameters, set with ``-g gan:name=value``."""

    learning_rate: float = field(default=5e-4, metadata={"key": "lr"})
    """Adam's rate for the image generator; constant for half of the budget, then linear to zero."""
    discriminator_learning_rate: float = field(default=1e-3, metadata={"key": "lr_d"})
    """The same for the image discriminator, which falls behind at the generator's rate."""
    beta1: float = 0.5
    """Adam's momentum: low, because the other net keeps moving the target."""
    batch_size: int = 32
    """Real images per step, and as many fakes."""
    latent: int = 64
    """Dimension of the Gaussian noise that becomes an image."""
    mapping: int = 128
    """Units of each of the two dense layers that bend noise and class in the image generator."""
    generator_width: int = field(default=32, metadata={"key": "width_g"})
    """Channels of the image generator at half resolution; three times as many at a quarter."""
    discriminator_width: int = field(default=24, metadata={"key": "width_d"})
    """Channels of the image discriminator at half resolution; doubled at each halving."""
    head: int = 256
    """Units of the layer with which the image discriminator sees the whole image at once."""
    gain: float = 6.0
    """Factor on D's scores for images, which spectral normalisation alone keeps too close."""
    matching: float = 0.03
    """Weight of D's preference for the right class of a real image."""
    energy: float = 1.0
    """Weight of the energy distance between fake and real images of a class."""
    energy_start: float = 6.0
    """How many times that weight it has at first; falls to once over a third of the budget."""
    memory: int = 256
    """Latest images of each kind that a batch's energy distance is measured with."""
    ema: float = 0.999
    """Share of the averaged generator that survives a step."""
    temperature: float = 1.08
    """Standard deviation of the noise of sampled images, 1 in training: more draws rarer shapes."""
    points_learning_rate: float = field(default=1e-3, metadata={"key": "points_lr"})
    """The rate of both nets for points."""
    points_batch_size: int = 128
    """Real points per step."""
    points_latent: int = 8
    """Dimension of the Gaussian noise that becomes a point."""
    points_width: int = 128
    """Units of each of the three hidden layers of both MLPs."""
    points_penalty: float = 0.02
    """Weight of the squared slope of D: more is smoother and safer, less is sharper."""
    augment: Literal["none", "diff"] = field(default="none", metadata={"added": True})
    """``diff``: the discriminator sees images through differentiable augmentation, for few rows."""
    text_learning_rate: float = field(default=3e-3, metadata={"added": True})
    """Adam's rate for the generator of texts."""
    text_discriminator_learning_rate: float = field(default=1e-3, metadata={"added": True})
    """The same for the discriminator of texts."""
    text_batch_size: int = field(default=64, metadata={"added": True})
    """Real texts per step, and as many fakes."""
    text_hidden: int = field(default=256, metadata={"added": True})
    """Units of both LSTMs for texts."""
    text_embedding: int = field(default=96, metadata={"added": True})
    """Numbers that a token becomes in either."""
    text_dropout: float = field(default=0.35, metadata={"added": True})
    """Dropout of the likelihood, from 20 passes over the rows on; less for fewer."""
    text_pretraining: float = field(default=0.7, metadata={"added": True})
    """Share of the budget in which the generator of texts learns by maximum likelihood alone."""
    text_game: float = field(default=0.1, metadata={"added": True})
    """Weight of the game beside the likelihood, from then on."""
    text_clip: float = field(default=1.0, metadata={"added": True})
    """Largest norm of a gradient of the generator of texts."""
    sound_temperature: float = field(default=1.0, metadata={"added": True})
    """Standard deviation of the noise of sampled sounds, 1 in training."""
    sound_generator_width: int = field(default=20, metadata={"added": True})
    """Channels of the generator of spectrograms, which are five times as large as digits."""
    sound_discriminator_width: int = field(default=16, metadata={"added": True})
    """Channels of the discriminator of spectrograms."""


@dataclass
class Training:
    """The parts that change during `fit`: all that a checkpoint needs."""

    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module  # a generator with the averaged weights
    generator_adam: torch.optim.Adam
    discriminator_adam: torch.optim.Adam
    rng: torch.Generator
    memory: Memory | None  # the images of earlier batches; points have none
    steps: int = 0
    recent: tuple[Tensor | None, ...] = ()  # the labels of the latest batches

    def state(self) -> dict[str, Any]:
        """The checkpoint; its names are what stored ones have."""
        return {name: part.state_dict() for name, part in self._parts().items()} | {
            "rng": self.rng.get_state(),
            "step": self.steps,
            "recent": list(self.recent),
            "memory": [] if self.memory is None else self.memory.state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.rng.set_state(state["rng"].cpu())
        self.steps, self.recent = state["step"], tuple(state["recent"])
        if self.memory is not None:
            self.memory.load(state["memory"])

    def _parts(self) -> dict[str, Any]:
        return {
            "g": self.generator,
            "d": self.discriminator,
            "averaged": self.average,
            "g_adam": self.generator_adam,
            "d_adam": self.discriminator_adam,
        }


class Decoder(nn.Module):
    """The averaged generator as it samples, of noise ``(n, latent)`` from N(0, I)."""

    def __init__(self, half: Half, net: nn.Module) -> None:
        super().__init__()
        self.half, self.net = half, net

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Examples of classes ``(n,)``."""
        return self.half.examples(self.net, z * self.half.temperature, labels)


class GAN:
    """The baseline ``gan``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="gan",
        version="1",
        family="gan",
        kinds=("image", "points", "sequence", "waveform"),
        labels="given",
        likelihood=None,
        params=Params,
        reference="Goodfellow et al. 2014, Generative Adversarial Nets; Radford et al. 2016, DCGAN",
    )

    def __init__(self, params: Params, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        if space.kind not in HALVES:
            raise UsageError(f"gan models {', '.join(HALVES)}, not {space.kind!r}: choose another")
        self.half: Half = HALVES[space.kind](params, space, device)
        self.net: nn.Module | None = None  # the averaged generator, once fitted

    def fit(self, train: TrainData, run: Run) -> None:
        """Train both nets, then keep the averaged generator."""
        half, training = self.half, self._start(run.seed)
        if (state := run.restore()) is not None:
            training.load(state)
        half.prepare(training.generator, run.budget, train.n)
        played, taught = (
            CapturedStep(partial(way, training), self.device, generators=[training.rng])
            for way in ((self._step, self._taught) if half.pretraining else (self._step,) * 2)
        )
        for x, y in train.batches(half.served, seed=run.seed, start=run.served):
            if len(x) == 1:
                continue  # batch normalisation needs two rows
            if training.steps == 0:
                half.begin(x, training.generator, training.average)
            schedule = self._schedule(run.fraction, training.steps)
            step = taught if run.fraction <= half.pretraining else played
            for rows, labels in half.batches(x, y, training.rng):
                losses = step(rows, labels, *schedule)
                training.steps += 1
                training.recent = (*training.recent[1 - RECENT :], labels)
                names = LOSSES if len(losses) > 1 else LOSSES[2:]
                run.progress(**dict(zip(names, losses, strict=False)))
            run.snapshot(partial(self._snapshot, training))
            run.checkpoint(training.state)
        self._renormalise(training.average, training.recent, training.rng)
        self.net = training.average.eval()

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw `n` examples of the classes in `labels`."""
        net = self._fitted()
        z = self._noise(n, self._rng(seed))
        chunks = []
        for i in range(0, n, SAMPLE_CHUNK):
            asked = None if labels is None else labels[i : i + SAMPLE_CHUNK]
            chunks.append(self.half.examples(net, z[i : i + SAMPLE_CHUNK], asked))
        return torch.cat(chunks)

    @property
    def latent_size(self) -> int:
        """Numbers of noise that become an example."""
        return self.half.latent

    @property
    def decode(self) -> nn.Module:
        """Noise and classes to the examples that `sample` makes of them."""
        return Decoder(self.half, self._fitted())

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged generator."""
        return dict(self._fitted().state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        with torch.random.fork_rng(devices=[]):
            net = self.half.generator()
        net.load_state_dict(state)
        self.net = net.requires_grad_(False).eval()

    def _start(self, seed: int) -> Training:
        """Both nets with weights from `seed`, drawn on the CPU whatever the device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator, discriminator = self.half.generator(), self.half.discriminator()
        betas, options = (self.half.beta1, 0.99), optimizer_options(self.device)
        return Training(
            generator,
            discriminator,
            copy.deepcopy(generator).requires_grad_(False),
            torch.optim.Adam(generator.parameters(), betas=betas, **options),
            torch.optim.Adam(discriminator.parameters(), betas=betas, **options),
            self._rng(seed),
            self.half.memory(),
        )

    def _schedule(self, fraction: float, steps: int) -> tuple[float, ...]:
        """The rates of both nets, the energy's weight and the average's way, after `steps` steps.

        A young average forgets faster.
        """
        fall = min(1.0, 2 * (1 - fraction))
        share = 1 - min(self.params.ema, (1 + steps) / (10 + steps))
        rate, discriminator_rate = self.half.learning_rates
        return rate * fall, discriminator_rate * fall, self.half.energy(fraction), share

    def _step(
        self, training: Training, x: Tensor, y: Tensor | None, *schedule: float | Tensor
    ) -> tuple[Tensor, ...]:
        """Update both nets and the average once; the losses of the generator and discriminator.

        And of texts the nats of the likelihood that the game goes on beside.
        """
        half, t = self.half, training
        rate, discriminator_rate, energy, share = schedule
        t.generator_adam.zero_grad()
        t.discriminator_adam.zero_grad()
        z = half.noise(len(x), t.rng)
        with half.autocast():
            fake = t.generator(z, y)
        real = half.real(x, t.generator, t.rng)
        inputs = torch.cat([real, fake.detach().float()]).requires_grad_()
        margin, discriminator_loss, pull = half.judge(t.discriminator, inputs, y, t.rng)
        pull = half.steer(pull, energy, inputs, y, t.memory)
        fake.backward(pull.to(fake.dtype))
        taught = half.teach(t.generator, x, y, t.rng)
        t.generator_adam.param_groups[0]["lr"] = rate
        t.discriminator_adam.param_groups[0]["lr"] = discriminator_rate
        t.generator_adam.step()
        t.discriminator_adam.step()
        move_average(t.average.parameters(), t.generator.parameters(), share)
        return F.softplus(margin).mean(), discriminator_loss, *taught

    def _taught(
        self, training: Training, x: Tensor, y: Tensor | None, *schedule: float | Tensor
    ) -> tuple[Tensor, ...]:
        """Update generator and average once by the likelihood alone; its nats."""
        rate, *_, share = schedule
        training.generator_adam.zero_grad()
        nats = self.half.teach(training.generator, x, y, training.rng)
        training.generator_adam.param_groups[0]["lr"] = rate
        training.generator_adam.step()
        move_average(training.average.parameters(), training.generator.parameters(), share)
        return nats

    def _snapshot(self, training: Training) -> dict[str, Tensor]:
        """The averaged generator as it would be sampled now: a copy, with noise of its own."""
        net = copy.deepcopy(training.average)
        self._renormalise(net, training.recent, self._rng(training.steps))
        return dict(net.state_dict())

    @torch.no_grad()
    def _renormalise(
        self, net: nn.Module, recent: tuple[Tensor | None, ...], rng: torch.Generator
    ) -> None:
        """Batch statistics of what is sampled: no training step has seen it."""
        net.train()
        norms = [m for m in net.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
        for i, y in enumerate(recent if norms else ()):
            for norm in norms:
                norm.momentum = 1 / (i + 1)  # so that each batch counts the same
            net(self._noise(self.half.batch_size if y is None else len(y), rng), y)

    def _noise(self, n: int, rng: torch.Generator) -> Tensor:
        """The noise that becomes samples, ``(n, latent)``: wider than in training."""
        return self.half.noise(n, rng) * self.half.temperature

    def _rng(self, seed: int) -> torch.Generator:
        device = self.device if self.device.type == "cuda" else torch.device("cpu")
        return torch.Generator(device).manual_seed(seed)

    def _fitted(self) -> nn.Module:
        if self.net is None:
            raise ContractError("gan has no weights yet: call fit or load_state_dict first")
        return self.net
