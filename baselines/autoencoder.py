"""An autoencoder without noise, and a mixture of Gaussians per class laid over its codes after.

Ghosh et al., "From Variational to Deterministic Autoencoders" (2020, arXiv:1903.12436): the network
gives back its input through a narrow code. In place of the noise of a VAE, an L2 penalty keeps
codes near the origin and weight decay keeps the decoder smooth (RAE-L2); the distribution of codes
is fitted once the network is, to those that it gave in the last part of the training. A sample is a
draw from the class's mixture, decoded. Encoder and decoder know nothing of classes.

What to expect of MNIST at `standard`: FID 7, recall 0.75, and smooth strokes, as everything is that
is made to lower squared error. There is no likelihood. What was measured: ``docs/baselines.md``.
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

from genbench.baselines.autoencoder_mixture import ClassMixtures
from genbench.baselines.autoencoder_nets import ImageCoder, PointsCoder
from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.colour import is_colour
from genbench.errors import UsageError
from genbench.generator import (
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    optimizer_options,
)

CHUNK = 1000  # rows that go through the network at once after training
RISE = 0.02  # share of the budget in which the rate rises to its highest
ADDED = {"added": True}  # after the first results: a parameter that is in no key at its default
LEAST_SPREAD = 1e-6  # of the codes' covariance: directions that they never take


@dataclass(frozen=True)
class AutoencoderParams:
    """Parameters, set with ``-g autoencoder:name=value``."""

    batch_size: int = 64
    """Images per step."""
    points_batch_size: int = 256
    """Points per step."""
    learning_rate: float = 2e-3
    """Adam's rate at its highest; it falls to 0 along a cosine."""
    latent: int = 16
    """Numbers in the code of an image."""
    points_latent: int = 2
    """Numbers in the code of a point."""
    width: int = 16
    """Channels at half resolution."""
    wide: int = 40
    """Channels at quarter resolution."""
    points_width: int = 128
    """Units of the hidden layers for points."""
    code_penalty: float = 0.01
    """Weight of half the squared length of a code beside the squared error of its example."""
    decoder_decay: float = 1e-5
    """Weight of half the squared length of the decoder's weights."""
    components: int = 10
    """Gaussians in the mixture of each class."""
    remembered: float = 0.15
    """Share of the budget whose codes, the last ones, the mixtures are fitted to."""
    colour_latent: int = field(default=64, metadata=ADDED)
    """Numbers in the code of a colour image."""


class Network(nn.Module):
    """The coder, what makes codes standard, and their distribution."""

    centre: Tensor
    root: Tensor

    def __init__(self, coder: ImageCoder | PointsCoder, mixtures: ClassMixtures) -> None:
        super().__init__()
        self.coder, self.mixtures = coder, mixtures
        size = mixtures.mean.shape[2]
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("root", torch.eye(size))  # of the codes' covariance

    @torch.no_grad()
    def settle(self, codes: Tensor, y: Tensor, rng: torch.Generator) -> None:
        """Take the distribution of codes ``(n, latent)`` of classes ``(n,)``."""
        self.centre.copy_(codes.mean(0))
        off = codes - self.centre
        spread = off.T @ off / len(codes)
        least = LEAST_SPREAD * (1 + torch.diagonal(spread).mean())
        self.root.copy_(torch.linalg.cholesky(spread + least * torch.eye(len(spread)).to(off)))
        self.mixtures.fit(self.standard(codes), y, rng)

    def standard(self, codes: Tensor) -> Tensor:
        """Codes of mean 0 and covariance 1."""
        return torch.linalg.solve_triangular(self.root, (codes - self.centre).T, upper=False).T

    def decode(self, z: Tensor) -> Tensor:
        """Examples of the space, given codes of covariance 1."""
        return self.coder.given(self.coder.decode(z @ self.root.T + self.centre))


class Decoder(nn.Module):
    """Examples, given codes ``(n, latent_size)``; their class does not matter."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Examples of the space."""
        return self.net.decode(z)


class Sampler(nn.Module):
    """Examples drawn by noise ``(n, noise_size)`` from the mixtures of classes ``(n,)``."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Examples of the space."""
        return self.net.decode(self.net.mixtures(noise, labels))


@dataclass
class Training:
    """The parts that change during `fit`: all that a checkpoint needs."""

    net: Network
    adam: torch.optim.Adam
    codes: list[Tensor] = field(default_factory=list)  # of the batches that are remembered
    labels: list[Tensor] = field(default_factory=list)

    def remember(self, codes: Tensor, y: Tensor, most: float) -> None:
        """Keep the codes of a batch, and of those before it as many as make up `most`."""
        self.codes.append(codes)
        self.labels.append(y)
        while sum(map(len, self.codes[1:])) >= most:
            del self.codes[0], self.labels[0]

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        return {
            "net": self.net.state_dict(),
            "adam": self.adam.state_dict(),
            "codes": list(self.codes),
            "labels": list(self.labels),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        self.net.load_state_dict(state["net"])
        self.adam.load_state_dict(state["adam"])
        self.codes, self.labels = list(state["codes"]), list(state["labels"])


class Autoencoder:
    """The baseline ``autoencoder``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="autoencoder",
        version="1",
        family="autoencoder",
        kinds=("image", "points"),
        labels="given",
        likelihood=None,
        params=AutoencoderParams,
        reference="Ghosh et al. 2020, arXiv:1903.12436",
    )

    def __init__(self, params: AutoencoderParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.image = space.kind == "image"
        self.batch_size = params.batch_size if self.image else params.points_batch_size
        self.colour = is_colour(space)
        latent = params.colour_latent if self.colour else params.latent
        self.latent_size = latent if self.image else params.points_latent
        self.noise_size = 1 + self.latent_size
        self.net = self._build(0)

    def fit(self, train: TrainData, run: Run) -> None:
        """Lower the error of what is given back until the batches end, then fit the mixtures."""
        training = self._start(run.seed)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(partial(self._step, training), self.device)
        for x, y in train.batches(self.batch_size, seed=run.seed, start=run.served):
            if run.served == len(x):
                training.net.coder.calibrate(x)
            error, codes = step(x, self._rate(run.fraction))
            classes = self._classes(len(x), y)
            training.remember(codes, classes, self.params.remembered * run.budget)
            run.progress(reconstruction_mse=error)
            run.snapshot(lambda: dict(self._settled(training, run.seed).state_dict()))
            run.checkpoint(training.state)
        self.net = self._settled(training, run.seed)

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw `n` examples of the classes in `labels`."""
        rng, y = self._rng(seed), self._classes(n, labels)
        noise = torch.randn(n, self.noise_size, generator=rng, device=self.device)
        parts = zip(noise.split(CHUNK), y.split(CHUNK), strict=True)
        return torch.cat([self.sampler(rows, classes) for rows, classes in parts])

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The codes of examples, of mean 0 and covariance 1 over the data."""
        coder = self.net.coder
        codes = [coder.encode(coder.seen(part)) for part in torch.split(x, CHUNK)]
        return self.net.standard(torch.cat(codes))

    @property
    def decode(self) -> nn.Module:
        """Codes to examples."""
        return Decoder(self.net)

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Examples given back."""
        return torch.cat([self.decode(z) for z in self.encode(x).split(CHUNK)])

    @property
    def sampler(self) -> nn.Module:
        """Noise and classes to examples."""
        return Sampler(self.net)

    def state_dict(self) -> dict[str, Tensor]:
        """The network, and the distribution of its codes."""
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.net.load_state_dict(state)
        self.net.requires_grad_(False).eval()

    def _build(self, seed: int) -> Network:
        """A network with weights from `seed`, drawn on the CPU whatever the device."""
        p = self.params
        coder: ImageCoder | PointsCoder
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            if self.image:
                coder = ImageCoder(self.space, self.latent_size, width=p.width, wide=p.wide)
            else:
                coder = PointsCoder(self.space, p.points_latent, width=p.points_width)
        mixtures = ClassMixtures(self.space.classes, p.components, self.latent_size)
        return Network(coder, mixtures).to(self.device)

    def _settled(self, training: Training, seed: int) -> Network:
        """The network as it is, with the distribution of the codes that it gave last."""
        net = copy.deepcopy(training.net).requires_grad_(False).eval()
        net.settle(torch.cat(training.codes), torch.cat(training.labels), self._rng(seed))
        return net

    def _start(self, seed: int) -> Training:
        """A network and its optimiser; the decoder's weights alone decay."""
        p, net = self.params, self._build(seed)
        decoder = net.coder.decoder.parameters()
        groups = [
            {"params": list(net.coder.encoder.parameters())},
            {"params": list(decoder), "weight_decay": p.decoder_decay},
        ]
        options = optimizer_options(self.device)
        adam = torch.optim.Adam(groups, p.learning_rate, betas=(0.9, 0.99), **options)
        return Training(net, adam)

    def _rate(self, fraction: float) -> float:
        """Warm-up, then a cosine to 0."""
        cosine = 0.5 * (1 + math.cos(math.pi * fraction))
        return self.params.learning_rate * min(1.0, fraction / RISE) * cosine

    def _step(self, training: Training, x: Tensor, rate: float | Tensor) -> tuple[Tensor, Tensor]:
        """Update the network once; the mean squared error per number, and the codes."""
        coder, p = training.net.coder, self.params
        for group in training.adam.param_groups:
            group["lr"] = rate
        with bfloat16(self.device, wanted=self.colour or self.device.type == "cuda"):
            seen = coder.seen(x)
            codes = coder.encode(seen)
            error = (coder.decode(codes) - seen).flatten(1).square().sum(1).mean()
        penalty = 0.5 * codes.square().sum(1).mean()
        training.adam.zero_grad()
        (error + p.code_penalty * penalty).backward()
        training.adam.step()
        return error.detach() / self.space.dims, codes.detach()

    def _classes(self, n: int, labels: Tensor | None) -> Tensor:
        """Labels, or zeros where the space has none."""
        if self.space.classes == 0:
            return torch.zeros(n, dtype=torch.int64, device=self.device)
        if labels is None:
            raise UsageError(
                f"autoencoder got labels=None in a space of {self.space.classes} classes: "
                "pass int64 (n,)"
            )
        return labels.to(self.device)

    def _rng(self, seed: int) -> torch.Generator:
        device = self.device if self.device.type == "cuda" else torch.device("cpu")
        return torch.Generator(device).manual_seed(seed)
