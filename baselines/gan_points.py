"""The half of ``gan`` that makes points: an MLP for each net, and a penalty on D's slope."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.adversarial_augmentation import DiffAugment
from genbench.generator import Batch, Space

CLASS_WIDTH = 32  # numbers that tell either net the class


class Mlp(nn.Module):
    """Three hidden layers: both nets for points; a class is one more input."""

    def __init__(self, inputs: int, outputs: int, classes: int, width: int) -> None:
        super().__init__()
        self.classes = nn.Embedding(classes, CLASS_WIDTH) if classes else None
        first = inputs + (CLASS_WIDTH if classes else 0)
        self.hidden = nn.ModuleList(nn.Linear(size, width) for size in (first, width, width))
        self.last = nn.Linear(width, outputs)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """``(n, outputs)`` of ``(n, inputs)`` and classes ``(n,)``."""
        hidden = x if self.classes is None else torch.cat([x, self.classes(y)], 1)
        for layer in self.hidden:
            hidden = F.leaky_relu(layer(hidden), 0.2)
        out: Tensor = self.last(hidden)
        return out


class PointGenerator(Mlp):
    """Noise -> standardised points; holds the centre and scale that undo the standardisation."""

    centre: Tensor
    scale: Tensor

    def __init__(self, space: Space, latent: int, width: int) -> None:
        super().__init__(latent, space.dims, space.classes, width)
        self.register_buffer("centre", torch.zeros(space.dims))
        self.register_buffer("scale", torch.ones(()))


class PointHalf:
    """The GAN's dealings with points; `params` are those of `genbench.baselines.gan`."""

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.batch_size = params.points_batch_size
        self.learning_rates = (params.points_learning_rate, params.points_learning_rate)
        self.beta1 = 0.0
        self.temperature = 1.0
        self.served, self.latent, self.pretraining = self.batch_size, params.points_latent, 0.0
        DiffAugment(params.augment, space)  # which says that it is for images

    def generator(self) -> nn.Module:
        """A new generator, from torch's global random state."""
        p = self.params
        return PointGenerator(self.space, p.points_latent, p.points_width).to(self.device)

    def discriminator(self) -> nn.Module:
        """A new discriminator, from torch's global random state."""
        net = Mlp(self.space.dims, 1, self.space.classes, self.params.points_width)
        return net.to(self.device)

    def memory(self) -> None:
        """No energy distance is taken of points: the penalty keeps their modes."""

    def prepare(self, generator: nn.Module, budget: int, n: int) -> None:
        """Nothing here depends on the passes over the rows."""

    def begin(self, x: Tensor, *generators: Any) -> None:
        """Centre and scale of the points, from the first batch."""
        centre = x.mean(0)
        scale = (x - centre).square().mean().sqrt().clamp_min(1e-6)
        for generator in generators:
            generator.centre.copy_(centre)
            generator.scale.copy_(scale)

    def batches(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> list[Batch]:
        """What was served, as one batch."""
        return [Batch(x, y)]

    def teach(
        self, generator: nn.Module, x: Tensor, y: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, ...]:
        """Nothing: points are learned from the discriminator alone."""
        return ()

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """The noise that becomes points, ``(n, latent)``."""
        return torch.randn(n, self.params.points_latent, generator=rng, device=self.device)

    def autocast(self) -> torch.autocast:
        """float32 everywhere."""
        return torch.autocast("cpu", torch.bfloat16, enabled=False)

    def real(self, x: Tensor, generator: Any, rng: torch.Generator) -> Tensor:
        """Points as the discriminator sees them: standardised."""
        seen: Tensor = (x - generator.centre) / generator.scale
        return seen

    def judge(
        self, discriminator: nn.Module, inputs: Tensor, y: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The margins m, D's loss (its gradients are left in D) and the generator's at its fakes.

        `inputs` are as many fakes behind the real points, ``(2 n, d)``, with a gradient.
        """
        n = len(inputs) // 2
        scores = discriminator(inputs, None if y is None else torch.cat([y, y])).view(-1)
        margin = scores[:n] - scores[n:]
        d_loss = F.softplus(-margin).mean()
        (slope,) = torch.autograd.grad(scores.sum(), inputs, create_graph=True)
        penalty = self.params.points_penalty * slope.square().sum(1).mean()
        torch.autograd.backward(d_loss + penalty, inputs=list(discriminator.parameters()))
        m = margin.detach()
        return m, d_loss.detach(), -slope[n:].detach() * (torch.sigmoid(m) / n).unsqueeze(1)

    def steer(
        self, pull: Tensor, energy: Any, inputs: Tensor, y: Tensor | None, memory: None
    ) -> Tensor:
        """The generator's slope at its fakes: the discriminator's `pull`."""
        return pull

    def energy(self, fraction: float) -> float:
        """The weight of what there is not."""
        return 0.0

    def examples(self, generator: Any, z: Tensor, y: Tensor | None) -> Tensor:
        """float32 points ``(n, d)`` of noise and classes."""
        points: Tensor = generator(z, y) * generator.scale + generator.centre
        return points
