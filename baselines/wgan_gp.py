"""A Wasserstein GAN whose critic is kept 1-Lipschitz by a penalty on its slope.

Gulrajani et al., "Improved Training of Wasserstein GANs" (2017, arXiv:1704.00028), after Arjovsky
et al. (2017). The critic raises its mean score of real rows over that of fakes, and is punished
for slopes unlike 1 at random places between a real row and a fake; the difference of the means is
then an estimate of the distance W1 between data and samples, which the record keeps as the curve
``w1_estimate`` (of images in [-1, 1], of points in deviations). The generator lowers it, one step
for five of the critic. Images: the nets of ``dcgan``, the critic's without batch normalisation,
which would tie a row's slope to the other rows. Points: dense layers.

The critic's examples count: of 300,000 images only about 1,000 steps of the generator are left
(937 at 64 a step), where the paper took 200,000. It has no time to become good.

Expect of MNIST an FID of 130 after 60,000 images. What was tried: ``docs/baselines.md``.
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
class WGANGPParams:
    """Parameters, set with ``-g wgan-gp:name=value``."""

    learning_rate: float = 1e-3
    """Adam's rate for both nets, constant."""
    critic_steps: int = 5
    """Steps of the critic for each of the generator, all on real rows of their own."""
    penalty: float = 10.0
    """Weight of the squared difference between 1 and the critic's slope."""
    batch_size: int = 64
    """Real images per step of the critic, and as many fakes."""
    latent: int = 64
    """Dimension of the Gaussian noise that becomes an image."""
    width: int = 32
    """Channels of the critic at half resolution; twice as many of the generator."""
    points_batch_size: int = 256
    """Real points per step of the critic."""
    points_latent: int = 8
    """Dimension of the Gaussian noise that becomes a point."""
    points_width: int = 128
    """Units of each of the three hidden layers of both nets for points."""
    augment: Literal["none", "diff"] = field(default="none", metadata={"added": True})
    """``diff``: the critic sees images through differentiable augmentation, for few rows."""


class PointsNet(nn.Module):
    """Three hidden layers: either net for points; the class is a part of the input."""

    centre: Tensor
    scale: Tensor

    def __init__(self, inputs: int, outputs: int, classes: int, width: int) -> None:
        super().__init__()
        self.classes = classes
        hidden = [nn.Linear(size, width) for size in (inputs + classes, width, width)]
        layers = [part for layer in hidden for part in (layer, nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(width, outputs))
        self.register_buffer("centre", torch.zeros(outputs))  # of the data: the generator's
        self.register_buffer("scale", torch.ones(outputs))

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """``(n, outputs)`` of ``(n, inputs)`` and classes ``(n,)``."""
        if y is not None and self.classes:
            x = torch.cat([x, F.one_hot(y, self.classes).to(x)], 1)
        out: Tensor = self.layers(x)
        return out


@dataclass
class Training:
    """The parts that change during `fit`: all that a checkpoint needs."""

    generator: Any
    critic: nn.Module
    generator_adam: torch.optim.Adam
    critic_adam: torch.optim.Adam
    rng: torch.Generator
    steps: int = 0  # of the critic

    def state(self) -> dict[str, Any]:
        """The state to continue from."""
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        return parts | {"rng": self.rng.get_state(), "steps": self.steps}

    def load(self, state: Mapping[str, Any]) -> None:
        """Undo `state`."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.rng.set_state(state["rng"].cpu())
        self.steps = state["steps"]

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "critic": self.critic,
            "generator_adam": self.generator_adam,
            "critic_adam": self.critic_adam,
        }


class Decoder(nn.Module):
    """The generator, its images in grey levels and its points in the data's scale."""

    def __init__(self, net: Any, levels: int) -> None:
        super().__init__()
        self.net, self.levels = net, levels

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Examples of noise ``(n, latent)`` and classes ``(n,)``."""
        x: Tensor = self.net(z, labels)
        if self.levels:
            return to_uint8(x, -1, 1, self.levels)
        return x * self.net.scale + self.net.centre


class WGANGP:
    """The baseline ``wgan-gp``; see the module's docstring."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="wgan-gp",
        version="1",
        family="gan",
        kinds=("image", "points"),
        labels="given",
        likelihood=None,
        params=WGANGPParams,
        reference="Gulrajani et al. 2017, arXiv:1704.00028; about 1,000 generator steps",
    )

    def __init__(self, params: WGANGPParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.image = space.kind == "image"
        self.augmented = DiffAugment(params.augment, space)
        self.batch_size = params.batch_size if self.image else params.points_batch_size
        self.latent = params.latent if self.image else params.points_latent
        self.net: Any = None  # the generator, once fitted

    def fit(self, train: TrainData, run: Run) -> None:
        """Update the critic on every batch and the generator on every fifth, until they end."""
        training = self._start(run.seed)
        if (state := run.restore()) is not None:
            training.load(state)
        parts = (partial(part, training) for part in (self._teach, self._learn))
        teach, learn = (CapturedStep(p, self.device, generators=[training.rng]) for p in parts)
        for x, y in train.batches(self.batch_size, seed=run.seed, start=run.served):
            if len(x) > 1:  # batch normalisation needs two rows
                if training.steps == 0 and not self.image:
                    training.generator.centre.copy_(x.mean(0))
                    training.generator.scale.copy_(x.std(0, correction=0).clamp_min(1e-6))
                w1, penalty = teach(x, y)
                training.steps += 1
                if training.steps % self.params.critic_steps == 0:
                    learn(x, y)
                run.progress(w1_estimate=w1, slope_penalty=penalty)
            run.snapshot(training.generator.state_dict)
            run.checkpoint(training.state)
        self.net = training.generator.eval()

    @torch.no_grad()
    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        """Draw `n` examples of the classes in `labels`."""
        net, z = self.decode, self._noise(n, self._rng(seed))
        parts = []
        for i in range(0, n, SAMPLE_CHUNK):
            asked = None if labels is None else labels[i : i + SAMPLE_CHUNK]
            parts.append(net(z[i : i + SAMPLE_CHUNK], asked))
        return torch.cat(parts)

    @property
    def latent_size(self) -> int:
        """Numbers of noise that become an example."""
        return self.latent

    @property
    def decode(self) -> nn.Module:
        """Noise and classes to examples."""
        return Decoder(self._fitted(), self.space.levels)

    def state_dict(self) -> dict[str, Tensor]:
        """The generator, with the statistics of its normalisation or those of the points."""
        return dict(self._fitted().state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        net = self._start(0).generator
        net.load_state_dict(state)
        self.net = net.requires_grad_(False).eval()

    def _start(self, seed: int) -> Training:
        """Both nets with weights from `seed`, drawn on the CPU whatever the device."""
        p, space = self.params, self.space
        generator: nn.Module
        critic: nn.Module
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            if self.image:
                generator = ImageGenerator(space, p.latent, p.width)
                critic = ImageJudge(space, p.width, normalised=False)
            else:
                generator = PointsNet(p.points_latent, space.dims, space.classes, p.points_width)
                critic = PointsNet(space.dims, 1, space.classes, p.points_width)
        generator, critic = generator.to(self.device), critic.to(self.device)
        adams = (self._adam(generator), self._adam(critic))
        return Training(generator, critic, *adams, self._rng(seed))

    def _adam(self, net: nn.Module) -> torch.optim.Adam:
        """Without momentum, as in the paper."""
        options = {"betas": (0.0, 0.9), **optimizer_options(self.device)}
        return torch.optim.Adam(net.parameters(), self.params.learning_rate, **options)

    def _teach(self, training: Training, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Update the critic; its estimate of W1 and its penalty."""
        t = training
        if self.image:
            real = x * (2 / (self.space.levels - 1)) - 1
        else:
            real = (x - t.generator.centre) / t.generator.scale
        with torch.no_grad():
            fake = self.augmented(t.generator(self._noise(len(x), t.rng), y), t.rng)
            real = self.augmented(real, t.rng)
        share = torch.rand(len(x), *[1] * (x.dim() - 1), generator=t.rng, device=self.device)
        between = torch.lerp(real, fake, share).requires_grad_()
        (slope,) = torch.autograd.grad(t.critic(between, y).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        w1 = t.critic(real, y).mean() - t.critic(fake, y).mean()
        t.critic_adam.zero_grad()
        (self.params.penalty * penalty - w1).backward()
        t.critic_adam.step()
        return w1.detach(), penalty.detach()

    def _learn(self, training: Training, x: Tensor, y: Tensor | None) -> tuple[Tensor]:
        """Update the generator, on as many fakes as `x` has rows; its loss."""
        t = training
        fake = self.augmented(t.generator(self._noise(len(x), t.rng), y), t.rng)
        loss = -t.critic(fake, y).mean()
        t.generator_adam.zero_grad()
        torch.autograd.backward(loss, inputs=list(t.generator.parameters()))
        t.generator_adam.step()
        return (loss.detach(),)

    def _noise(self, n: int, rng: torch.Generator) -> Tensor:
        return torch.randn(n, self.latent, generator=rng, device=self.device)

    def _rng(self, seed: int) -> torch.Generator:
        device = self.device if self.device.type == "cuda" else torch.device("cpu")
        return torch.Generator(device).manual_seed(seed)

    def _fitted(self) -> Any:
        if self.net is None:
            raise ContractError("wgan-gp has no weights yet: call fit or load_state_dict first")
        return self.net
