"""The deep convolutional GAN of Radford et al., as the textbook has it.

Radford, Metz & Chintala, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (2016, arXiv:1511.06434): transposed convolutions and batch normalisation
make an image of noise, strided ones judge it. Both nets know the class (Mirza & Osindero 2014).
The loss is the non-saturating one of Goodfellow et al. (2014): the discriminator D lowers
softplus(-D(real)) + softplus(D(fake)), the generator softplus(-D(fake)), in turn. Nothing is
averaged, penalised or annealed: ``gan`` shows what that is worth.

Expect of MNIST an FID of 13 after 250,000 images (50 after 100,000), where ``gan``'s is near the
floor. What was tried: ``docs/baselines.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.adversarial_augmentation import DiffAugment
from genbench.baselines.adversarial_nets import ImageGenerator, ImageJudge
from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.colour import is_colour
from genbench.errors import ContractError
from genbench.generator import (
    CapturedStep,
    GeneratorSpec,
    Run,
    Space,
    TrainData,
    optimizer_options,
    to_uint8,
)

SAMPLE_CHUNK = 1000  # samples drawn at once, to bound memory


@dataclass(frozen=True)
class DCGANParams:
    """Parameters, set with ``-g dcgan:name=value``."""

    learning_rate: float = 2e-4
    """Adam's rate for both nets, constant."""
    beta1: float = 0.5
    """Adam's momentum: low, because the other net keeps moving the target."""
    batch_size: int = 64
    """Real images per step, and as many fakes."""
    latent: int = 64
    """Dimension of the Gaussian noise that becomes an image."""
    width: int = 32
    """Channels of the discriminator at half resolution; twice as many of the generator."""
    augment: Literal["none", "diff"] = field(default="none", metadata={"added": True})
    """``diff``: the discriminator sees images through differentiable augmentation, for few rows."""


@dataclass
class Training:
    """The parts that change during `fit`: all that a checkpoint needs."""

    generator: nn.Module
    discriminator: nn.Module
    generator_adam: torch.optim.Adam
    discriminator_adam: torch.optim.Adam
    rng: torch.Generator

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return parts | {"rng": self.rng.get_state()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.rng.set_state(state["rng"].cpu())

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_adam": self.generator_adam,
            "discriminator_adam": self.discriminator_adam,
        }


class Decoder(nn.Module):
    """The generator, its images in grey levels."""

    def __init__(self, net: nn.Module, levels: int) -> None:
        super().__init__()
        self.net, self.levels = net, levels

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """uint8 images ``(n, C, H, W)`` of noise ``(n, latent)`` and classes ``(n,)``."""
        return to_uint8(self.net(z, labels), -1, 1, self.levels)


class DCGAN:
    """The baseline ``dcgan``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="dcgan",
        version="1",
        family="gan",
        kinds=("image",),
        labels="given",
        likelihood=None,
        params=DCGANParams,
        reference="Radford et al. 2016, arXiv:1511.06434",
    )

    def __init__(self, params: DCGANParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.colour = is_colour(space)
        self.augmented = DiffAugment(params.augment, space)
        self.net: nn.Module | None = None  # the generator, once fitted

    def fit(self, train: TrainData, run: Run) -> None:
        """Update both nets in turn until the batches end."""
        training = self._start(run.seed)
        if (state := run.restore()) is not None:
            training.load(state)
        step = CapturedStep(partial(self._step, training), self.device, generators=[training.rng])
        for x, y in train.batches(self.params.batch_size, seed=run.seed, start=run.served):
            if len(x) > 1:  # batch normalisation needs two rows
                generator_loss, discriminator_loss = step(x, y)
                run.progress(generator_loss=generator_loss, discriminator_loss=discriminator_loss)
            run.snapshot(training.generator.state_dict)
            run.checkpoint(training.state)
        self.net = training.generator.eval()

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw `n` images of the classes in `labels`."""
        net, z = self.decode, self._noise(n, self._rng(seed))
        parts = []
        for i in range(0, n, SAMPLE_CHUNK):
            asked = None if labels is None else labels[i : i + SAMPLE_CHUNK]
            parts.append(net(z[i : i + SAMPLE_CHUNK], asked))
        return torch.cat(parts)

    @property
    def latent_size(self) -> int:
        """Numbers of noise that become an image."""
        return self.params.latent

    @property
    def decode(self) -> nn.Module:
        """Noise and classes to images."""
        return Decoder(self._fitted(), self.space.levels)

    def state_dict(self) -> dict[str, Tensor]:
        """The generator with the statistics of its batch normalisation."""
        return dict(self._fitted().state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        net = self._start(0).generator
        net.load_state_dict(state)
        self.net = net.requires_grad_(False).eval()

    def _start(self, seed: int) -> Training:
        """Both nets with weights from `seed`, drawn on the CPU whatever the device."""
        p = self.params
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            generator = ImageGenerator(self.space, p.latent, p.width).to(self.device)
            discriminator = ImageJudge(self.space, p.width, normalised=True).to(self.device)
        adams = (self._adam(generator), self._adam(discriminator))
        return Training(generator, discriminator, *adams, self._rng(seed))

    def _adam(self, net: nn.Module) -> torch.optim.Adam:
        p, options = self.params, optimizer_options(self.device)
        betas = (p.beta1, 0.999)
        return torch.optim.Adam(net.parameters(), p.learning_rate, betas=betas, **options)

    def _step(self, training: Training, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Update the discriminator, then the generator; the losses of generator and discriminator.

        The generator's images are judged a second time, by the discriminator that has learned.
        """
        t, real = training, x * (2 / (self.space.levels - 1)) - 1
        with self._autocast():
            fake = t.generator(self._noise(len(x), t.rng), y).float()
            on_real = t.discriminator(self.augmented(real, t.rng), y)
            on_fake = t.discriminator(self.augmented(fake.detach(), t.rng), y)
        discriminator_loss = (
            F.softplus(-on_real.float()).mean() + F.softplus(on_fake.float()).mean()
        )
        t.discriminator_adam.zero_grad()
        discriminator_loss.backward()
        t.discriminator_adam.step()

        with self._autocast():
            on_fake = t.discriminator(self.augmented(fake, t.rng), y)
        generator_loss = F.softplus(-on_fake.float()).mean()
        t.generator_adam.zero_grad()
        torch.autograd.backward(generator_loss, inputs=list(t.generator.parameters()))
        t.generator_adam.step()
        return generator_loss.detach(), discriminator_loss.detach()

    def _noise(self, n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(n, self.params.latent, generator=rng, device=self.device)

    def _rng(self, seed: int) -> torch.Generator:
        device = self.device if self.device.type == "cuda" else torch.device("cpu")
        return torch.Generator(device).manual_seed(seed)

    def _autocast(self) -> torch.autocast:
        """bfloat16 networks on CUDA, of colour images on some processors; float32 elsewhere."""
        return bfloat16(self.device, wanted=self.colour or self.device.type == "cuda")

    def _fitted(self) -> nn.Module:
        if self.net is None:
            raise ContractError("dcgan has no weights yet: call fit or load_state_dict first")
        return self.net
