"""A hierarchical variational autoencoder whose decoder is a distribution over grey levels.

Kingma & Welling, "Auto-Encoding Variational Bayes" (2014), with two levels of latents: a vector z1
and a small map z2 whose prior and posterior both look at z1, as in Sonderby et al., "Ladder
Variational Autoencoders" (2016). Burda et al., "Importance Weighted Autoencoders" (2016), is the
bound that `log_prob` gives for more than one draw.

An image's pixel is a categorical over its grey levels: a mixture of a few level distributions that
all pixels share and the network weighs. A point is a mixture of Gaussians with learned scales.
Colour images have a third level of latents, and a pixel is a chain of logistics cut into levels
(`vae_colour`). A text is written token by token by a network that is told its code (`vae_text`).
`sample` draws from exactly these. A sound is a spectrogram whose phases were lost (`vae_sound`):
of sounds alone there is no likelihood.

What to expect of MNIST at `standard`: FID 17, recall 0.74, TSTR 96.1 %; 1.19 bits/dim by the ELBO,
1.13 with 64 draws. Of eight Gaussians a density as good as ``flow``'s (2.83 nats); of a
checkerboard, whose edges no Gaussian has, one that is 0.26 nats worse.
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
from genbench.baselines.texts import Texts
from genbench.baselines.vae_codes import Decoder, Network, Sampler
from genbench.baselines.vae_colour import ColourNetwork
from genbench.baselines.vae_image import ImageNetwork
from genbench.baselines.vae_points import PointNetwork
from genbench.baselines.vae_sound import SoundNetwork
from genbench.baselines.vae_text import TextNetwork
from genbench.errors import UsageError
from genbench.generator import (
    Batch,
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    move_average,
    optimizer_options,
)

SAMPLE_CHUNK = 1000  # rows that go through the network at once when it samples
SCORE_CHUNK = 1000  # rows times draws that go through it at once in `log_prob`
BETA2 = 0.99  # Adam's memory of squared gradients: short, because training is short
RISE = 0.02  # share of the budget in which the rate rises to its highest
ADDED = {"added": True}  # after the first results: a parameter that is in no key at its default


@dataclass(frozen=True)
class VAEParams:
    """Parameters, set with ``-g vae:name=value``."""

    batch_size: int = 64
    """Images per step."""
    points_batch_size: int = 256
    """Points per step."""
    learning_rate: float = field(default=3e-3, metadata={"key": "lr"})
    """Adam's rate at the start; it falls to 0 along a cosine."""
    width: int = 16
    """Channels at half resolution."""
    wide: int = 40
    """Channels at quarter resolution."""
    latent: int = 32
    """Size of z1."""
    latent_channels: int = 4
    """Channels of the map z2 at quarter resolution."""
    mixture: int = 16
    """Grey-level distributions that all pixels share, or Gaussians of a point's decoder."""
    points_width: int = 128
    """Units of the hidden layers for points."""
    points_latent: int = 2
    """Size of the latent vector for points."""
    weight_decay: float = 0.0
    """Adam's L2 penalty."""
    warmup: float = 0.1
    """Share of the budget in which the weight of the KL terms rises from 0 to 1."""
    ema: float = 0.998
    """Decay per step of the averaged weights, which sample and score."""
    text_batch_size: int = field(default=64, metadata={"added": True})
    """Texts per step."""
    text_hidden: int = field(default=256, metadata={"added": True})
    """Units of both LSTMs for texts."""
    text_embedding: int = field(default=96, metadata={"added": True})
    """Numbers that a token becomes."""
    text_latent: int = field(default=16, metadata={"added": True})
    """Size of the code of a text."""
    text_dropout: float = field(default=0.2, metadata={"added": True})
    """Share of units that the decoder of texts does without in training."""
    text_hide: float = field(default=0.3, metadata={"added": True})
    """Share of the tokens before that are hidden from it in training."""
    text_free: float = field(default=2.4, metadata={"added": True})
    """Nats of KL that a text's code costs in training without counting, as much for each number."""
    text_warmup: float = field(default=0.3, metadata={"added": True})
    """Share of the budget in which the weight of the KL term rises from 0 to 1, for texts."""
    colour_learning_rate: float = field(default=2e-3, metadata=ADDED)
    """`learning_rate` for colour images."""
    colour_width: int = field(default=32, metadata=ADDED)
    """Channels at half resolution for colour images; twice as many at a quarter."""
    colour_latent_channels: int = field(default=8, metadata=ADDED)
    """Channels of the map z2 of colour images."""
    colour_fine_channels: int = field(default=6, metadata=ADDED)
    """Channels of the map z3, at half resolution, that colour images alone have."""
    sound_batch_size: int = field(default=32, metadata=ADDED)
    """Sounds per step."""
    sound_learning_rate: float = field(default=2e-3, metadata=ADDED)
    """`learning_rate` for sounds."""
    sound_width: int = field(default=32, metadata=ADDED)
    """Channels at a quarter of a spectrogram's resolution; twice as many at an eighth."""
    sound_latent: int = field(default=64, metadata=ADDED)
    """Size of z1 of sounds."""
    sound_latent_channels: int = field(default=4, metadata=ADDED)
    """Channels of the map z2 of sounds."""


@dataclass
class Training:
    """The parts that change during `fit`: all that a checkpoint needs."""

    net: Network
    average: Network  # with the averaged weights
    adam: torch.optim.Adam
    rng: torch.Generator

    def state(self) -> dict[str, Any]:
        """The checkpoint; its names are what stored ones have."""
        return {
            "net": self.net.state_dict(),
            "ema": self.average.state_dict(),
            "optimizer": self.adam.state_dict(),
            "rng": self.rng.get_state(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["ema"])
        self.adam.load_state_dict(state["optimizer"])
        self.rng.set_state(state["rng"].cpu())


class VAE:
    """The baseline ``vae``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="vae",
        version="1",
        family="vae",
        kinds=("image", "points", "sequence", "waveform"),
        labels="given",
        likelihood="lower-bound",
        likelihood_kinds=("image", "points", "sequence"),
        params=VAEParams,
        reference="Kingma & Welling 2014; Sonderby et al. 2016; Burda et al. 2016",
    )

    def __init__(self, params: VAEParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.image = space.kind == "image"
        self.texts = Texts.of(space) if space.kind == "sequence" else None
        self.colour = is_colour(space)
        self.batch_size = params.batch_size if self.image else params.points_batch_size
        self.rate = params.colour_learning_rate if self.colour else params.learning_rate
        self.warmup = params.warmup
        self.sound = space.kind == "waveform"
        if self.sound:
            self.batch_size, self.rate = params.sound_batch_size, params.sound_learning_rate
        if self.texts is not None:
            self.batch_size, self.warmup = params.text_batch_size, params.text_warmup
        self.net = self._build(0)  # the averaged network, once fitted

    def fit(self, train: TrainData, run: Run) -> None:
        """Raise the bound of the batches until they end, then keep the averaged network."""
        training = self._start(run.seed)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(partial(self._step, training), self.device, generators=[training.rng])
        name = "elbo_bits_per_dim" if self.image else "elbo_nats"
        for x, y in train.batches(self._served(), seed=run.seed, start=run.served):
            if run.served == len(x):
                training.net.calibrate(x)
            schedule = self._schedule(run.fraction, -(-run.served // self.batch_size))
            for rows, labels in self._batches(x, y, training.rng):
                reconstruction, kl, *active = step(rows, labels, *schedule)
                bound = {name: reconstruction + kl}
                run.progress(**bound, reconstruction=reconstruction, kl=kl)
                if active:
                    run.progress(active_units=active[0])
            run.snapshot(training.average.state_dict)
            run.checkpoint(training.state)
        self.net = training.average.eval()

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw `n` examples of the classes in `labels`."""
        rng = self._rng(seed)
        chunks = torch.split(self._classes(n, labels), SAMPLE_CHUNK)
        with self._autocast():
            return torch.cat([self.net.generate(y, rng) for y in chunks])

    @torch.no_grad()
    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """The ELBO, or for `draws` > 1 the importance-weighted bound, nats, ``(n,)``."""
        rng, y, bounds = self._rng(seed), self._classes(len(x), labels), []
        pairs = torch.arange(len(x), device=self.device).repeat_interleave(draws)
        for rows in torch.split(pairs, SCORE_CHUNK):
            with self._autocast():
                terms = self.net(x[rows], y[rows], rng)
            bounds.append(terms.reconstruction - (terms.kl if draws == 1 else terms.ratio))
        bound = torch.cat(bounds).double().view(len(x), draws)
        return torch.logsumexp(bound, 1) - math.log(draws)

    @property
    def latent_size(self) -> int:
        """Numbers in a code: all latents, each in deviations of its prior."""
        return self.net.latent_size

    @property
    def noise_size(self) -> int:
        """Numbers of noise that the `sampler` takes for an example."""
        return self.net.noise_size

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Means of the posteriors given the class of the best bound, ``(n, latent_size)``."""
        parts = torch.split(x, SCORE_CHUNK)
        with self._autocast():
            return torch.cat([self.net.codes(part, self._likeliest(part)) for part in parts])

    @property
    def decode(self) -> nn.Module:
        """Codes and classes to the mean example."""
        return Decoder(self.net)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean example, given the codes and the class of the best bound."""
        decoded = []
        for part in torch.split(x, SCORE_CHUNK):
            with self._autocast():
                y = self._likeliest(part)
                decoded.append(self.net.expected(self.net.codes(part, y), y))
        return torch.cat(decoded)

    @property
    def sampler(self) -> nn.Module:
        """Noise and classes to examples as `sample` draws them."""
        return Sampler(self.net)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged network."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(dict(state))

    def _build(self, seed: int) -> Network:
        """A network with weights from `seed`, drawn on the CPU whatever the device."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            net = self._network()
        return net.to(self.device).eval()

    def _network(self) -> Network:
        """A network of the space's kind, from torch's global random state."""
        p = self.params
        if self.texts is not None:
            return TextNetwork(
                self.space, hidden=p.text_hidden, embedding=p.text_embedding,
                latent=p.text_latent, dropout=p.text_dropout, hide=p.text_hide, free=p.text_free,
            )  # fmt: skip
        if self.sound:
            return SoundNetwork(
                self.space, width=p.sound_width, latent=p.sound_latent,
                latent_channels=p.sound_latent_channels,
            )  # fmt: skip
        if not self.image:
            return PointNetwork(
                self.space, width=p.points_width, latent=p.points_latent, mixture=p.mixture
            )
        if self.colour:
            return ColourNetwork(
                self.space, width=p.colour_width, wide=2 * p.colour_width, latent=p.latent,
                latent_channels=p.colour_latent_channels, fine_channels=p.colour_fine_channels,
            )  # fmt: skip
        return ImageNetwork(
            self.space,
            width=p.width,
            wide=p.wide,
            latent=p.latent,
            latent_channels=p.latent_channels,
            mixture=p.mixture,
        )

    def _start(self, seed: int) -> Training:
        """A network with weights from `seed`, its average and its optimiser."""
        p, net = self.params, self._build(seed).train()
        adam = torch.optim.Adam(
            net.parameters(),
            self.rate,
            betas=(0.9, BETA2),
            weight_decay=p.weight_decay,
            **optimizer_options(self.device),
        )
        return Training(net, copy.deepcopy(net).requires_grad_(False), adam, self._rng(seed))

    def _schedule(self, fraction: float, steps: int) -> tuple[float, ...]:
        """Adam's rate, the weight of the KL terms and the average's way in step `steps`.

        A young average forgets faster.
        """
        p = self.params
        cosine = 0.5 * (1 + math.cos(math.pi * fraction))
        rate = self.rate * (min(1.0, fraction / RISE) * cosine)
        return rate, min(1.0, fraction / self.warmup), max(1 - p.ema, 10 / (9 + steps))

    def _step(
        self, training: Training, x: Tensor, y: Tensor | None, *schedule: float | Tensor
    ) -> tuple[Tensor, ...]:
        """Update network and average once; the bound's terms, in the unit of the likelihood.

        Of texts the numbers of the code in use as well.
        """
        rate, kl_weight, share = schedule
        training.adam.param_groups[0]["lr"] = rate
        with bfloat16(self.device) if self.colour or self.sound else self._autocast():
            terms = training.net(x, self._classes(len(x), y), training.rng)
        reconstruction, kl = -terms.reconstruction.mean(), terms.kl.mean()
        training.adam.zero_grad()
        (reconstruction + kl_weight * (kl if terms.charged is None else terms.charged)).backward()
        training.adam.step()
        average, latest = training.average.state_dict(), training.net.state_dict()
        move_average(average.values(), latest.values(), share)
        scale = 1 / (self.space.dims * math.log(2)) if self.image else 1.0
        active = () if terms.active is None else (terms.active,)
        return reconstruction.detach() * scale, kl.detach() * scale, *active

    def _served(self) -> int:
        """Rows to ask for at a time."""
        if self.texts is None:
            return self.batch_size
        return self.texts.served_at_once(self.batch_size, self.device)

    def _batches(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> list[Batch]:
        """What was served, as batches of a step."""
        if self.texts is None:
            return [Batch(x, y)]
        return self.texts.batches(x, y, self.batch_size, rng)

    def _rng(self, seed: int) -> torch.Generator:
        device = self.device if self.device.type == "cuda" else torch.device("cpu")
        return torch.Generator(device).manual_seed(seed)

    def _classes(self, n: int, labels: Tensor | None) -> Tensor:
        """Labels, or zeros where the space has none."""
        if self.space.classes == 0:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if labels is None:
            raise UsageError(
                f"vae got labels=None in a space of {self.space.classes} classes: pass int64 (n,)"
            )
        return labels.to(self.device)

    def _likeliest(self, x: Tensor) -> Tensor:
        """The class of each example under which its bound, at the posteriors' means, is best."""
        bounds = []
        for label in range(max(1, self.space.classes)):
            y = torch.full((len(x),), label, dtype=torch.int64, device=x.device)
            terms = self.net(x, y, None)
            bounds.append(terms.reconstruction - terms.kl)
        return torch.stack(bounds).argmax(0)

    def _autocast(self) -> torch.autocast:
        """bfloat16 networks on CUDA; float32 elsewhere, which is faster without bfloat16 units."""
        cuda = self.device.type == "cuda"
        kind = "cuda" if cuda else "cpu"
        # No cache of weights: it would outlive the capture of a step.
        return torch.autocast(kind, torch.bfloat16, enabled=cuda, cache_enabled=False)
