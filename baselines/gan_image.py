"""The half of ``gan`` that makes images: both networks, their losses and the energy distance.

The nets follow DCGAN (Radford et al., 2016) but work at half resolution: 2x2 pixels are one
position with four channels, which costs a quarter. Two dense layers bend the noise first, as in
StyleGAN (Karras et al., 2019), and the discriminator ends in a dense layer over the whole image:
next to the convolutions both are cheap. Classes enter it by projection (Miyato & Koyama, 2018) and
a shift of its last layer; spectral normalisation keeps it stable (Miyato et al., 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from genbench.baselines.adversarial_augmentation import DiffAugment
from genbench.generator import Batch, Space, captures, to_uint8

CLASS_WIDTH = 32  # numbers that tell the generator the class
NEAREST = 0.1  # images closer than this repel and attract no more than at this distance


class ImageGenerator(nn.Module):
    """Noise and class, bent -> a quarter-resolution grid -> doubled -> 2x2 pixels per position.

    Both doublings rearrange channels (Shi et al., 2016), at a quarter of a transposed convolution's
    cost.
    """

    def __init__(self, space: Space, latent: int, mapping: int, width: int) -> None:
        super().__init__()
        self.grid, self.patch = _grid(space)
        self.size = space.shape[1:]
        self.classes = nn.Embedding(space.classes, CLASS_WIDTH) if space.classes else None
        inputs, coarse = latent + (CLASS_WIDTH if space.classes else 0), 3 * width
        bent = inputs + mapping
        self.mapping = nn.ModuleList(_bend(size, mapping) for size in (inputs, bent))
        self.dense = nn.Linear(bent, coarse * self.grid[0] * self.grid[1], bias=False)
        self.compose = nn.Conv2d(coarse, coarse, 3, 1, 1, bias=False)
        self.up = nn.Sequential(nn.Conv2d(coarse, 4 * width, 1, bias=False), nn.PixelShuffle(2))
        self.refine = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        channels = (coarse, coarse, width, width)
        self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in channels)
        self.pixels = nn.Conv2d(width, space.shape[0] * self.patch**2, 3, 1, 1)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Images ``(n, C, H, W)`` in [-1, 1] of noise ``(n, latent)`` and classes ``(n,)``."""
        if self.classes is not None:
            z = torch.cat([z, self.classes(y)], 1)
        bent = z
        for layer in self.mapping:
            bent = torch.cat([layer(bent), z], 1)
        # (n, h, w, c) seen as (n, c, h, w) is channels-last, the layout that convolves fastest.
        out = self.dense(bent).unflatten(1, (*self.grid, -1)).permute(0, 3, 1, 2)
        out = F.relu(self.norms[0](out))
        out = out + self.norms[1](self.compose(out))
        out = F.relu(self.norms[2](self.up(out)))
        out = F.relu(self.norms[3](self.refine(out)))
        out = torch.tanh(F.pixel_shuffle(self.pixels(out), self.patch))
        return out[:, :, : self.size[0], : self.size[1]]


class ImageDiscriminator(nn.Module):
    """Three convolutions down to an eighth of the resolution, a dense layer, a score per class."""

    def __init__(self, space: Space, width: int, head: int) -> None:
        super().__init__()
        (rows, columns), self.patch = _grid(space)
        cell = 2 * self.patch
        self.pad = (0, cell * columns - space.shape[2], 0, cell * rows - space.shape[1])
        convs = (
            nn.Conv2d(space.shape[0] * self.patch**2, width, 3, 1, 1),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.Conv2d(2 * width, 4 * width, 3, 2, 1),
        )
        self.convs = nn.ModuleList(spectral_norm(conv) for conv in convs)
        positions = ((rows + 1) // 2) * ((columns + 1) // 2)
        self.whole = spectral_norm(nn.Linear(4 * width * positions, head))
        self.score = spectral_norm(nn.Linear(head, 1))
        self.shift = nn.Embedding(space.classes, head) if space.classes else None
        classes = nn.Embedding(space.classes, head) if space.classes else None
        self.classes = None if classes is None else spectral_norm(classes)

    def features(self, x: Tensor) -> Tensor:
        """Features of images whatever their class, ``(n, head)``."""
        out = F.pixel_unshuffle(F.pad(x, self.pad), self.patch)
        out = out.contiguous(memory_format=torch.channels_last)
        for conv in self.convs:
            out = F.leaky_relu(conv(out), 0.2)
        seen: Tensor = self.whole(out.flatten(1))
        return seen

    def judge(self, seen: Tensor, y: Tensor | None) -> Tensor:
        """The scores, as examples of their class, of images with these features, ``(n,)``."""
        out = F.leaky_relu(seen if self.shift is None else seen + self.shift(y), 0.2)
        score: Tensor = self.score(out).squeeze(1)
        return score if self.classes is None else score + (self.classes(y) * out).sum(1)


class Memory:
    """The latest real images and fakes, as rows of pixels, and their classes, in the same order.

    It begins empty, or full of rows of no class, -1, which count for nothing: a step that is
    captured always compares with as many. Without labels all rows are of class 0.

    Parameters
    ----------
    size
        Rows of each that are kept.
    rows
        How many there are at the start, float32 ``(rows, pixels)`` on `device`.
    """

    def __init__(
        self, size: int, pixels: int, *, rows: int = 0, device: torch.device | None = None
    ) -> None:
        self.size = size
        self.real, self.fake = (torch.zeros(rows, pixels, device=device) for _ in range(2))
        self.y = torch.full((rows,), -1, dtype=torch.int64, device=device)

    def state(self) -> list[Tensor]:
        """All of it."""
        return [self.real, self.fake, self.y]

    def load(self, state: Sequence[Tensor]) -> None:
        """Undo `state`."""
        self.real, self.fake, self.y = state

    def energy_slope(self, real: Tensor, fake: Tensor, y: Tensor | None) -> Tensor:
        """At each fake f the direction that raises its class's energy distance; remembers both.

        The distance is 2 E|f - r| - E|f - f'| - E|r - r'| for real images r of the class; where one
        class has n fakes, its slope at each is 2 / n times what this returns.
        """
        own, n = fake.flatten(1), len(fake)
        y = torch.zeros_like(own[:, 0], dtype=torch.int64) if y is None else y
        reals, fakes, classes = (
            torch.cat([old, new])
            for old, new in zip(self.state(), (real.flatten(1), own, y), strict=True)
        )
        same = (y.unsqueeze(1) == classes).to(own.dtype)
        others = same.clone()
        others[:, -n:].fill_diagonal_(0)
        slope = _mean_direction(own, reals, same) - _mean_direction(own, fakes, others)
        latest = [rows[max(0, len(rows) - self.size) :] for rows in (reals, fakes, classes)]
        if all(old.shape == new.shape for old, new in zip(self.state(), latest, strict=True)):
            for old, new in zip(self.state(), latest, strict=True):
                old.copy_(new)
        else:
            self.load(latest)
        return slope.view_as(fake)


class ImageHalf:
    """The GAN's dealings with images; `params` are those of `genbench.baselines.gan`."""

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.batch_size = params.batch_size
        self.learning_rates = (params.learning_rate, params.discriminator_learning_rate)
        self.beta1 = params.beta1
        self.temperature = params.temperature
        self.served, self.latent, self.pretraining = self.batch_size, params.latent, 0.0
        self.augmented = DiffAugment(params.augment, space)

    def generator(self) -> nn.Module:
        """A new generator, from torch's global random state."""
        p = self.params
        net = ImageGenerator(self.space, p.latent, p.mapping, p.generator_width)
        return net.to(self.device)

    def discriminator(self) -> nn.Module:
        """A new discriminator, from torch's global random state."""
        p = self.params
        return ImageDiscriminator(self.space, p.discriminator_width, p.head).to(self.device)

    def memory(self) -> Memory | None:
        """A new memory; none where there is no energy distance. Full from the start on a card."""
        p = self.params
        rows = p.memory if captures(self.device) else 0
        return (
            Memory(p.memory, self.space.dims, rows=rows, device=self.device) if p.energy else None
        )

    def prepare(self, generator: nn.Module, budget: int, n: int) -> None:
        """Nothing here depends on the passes over the rows."""

    def begin(self, x: Tensor, *generators: nn.Module) -> None:
        """Nothing of images is fixed by the first batch."""

    def batches(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> list[Batch]:
        """What was served, as one batch."""
        return [Batch(x, y)]

    def teach(
        self, generator: nn.Module, x: Tensor, y: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, ...]:
        """Nothing: images are learned from the discriminator alone."""
        return ()

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """The noise that becomes images, ``(n, latent)``."""
        return torch.randn(n, self.params.latent, generator=rng, device=self.device)

    def autocast(self) -> torch.autocast:
        """bfloat16 nets on CUDA; float32 elsewhere."""
        mixed = self.device.type == "cuda"
        kind = "cuda" if mixed else "cpu"
        # No cache of weights: it would outlive the capture of a step.
        return torch.autocast(kind, torch.bfloat16, enabled=mixed, cache_enabled=False)

    def real(self, x: Tensor, generator: nn.Module, rng: torch.Generator) -> Tensor:
        """Images as the discriminator sees them: spread over their grey step, in [-1, 1]."""
        top = self.space.levels - 1
        noise = torch.rand(x.shape, generator=rng, device=self.device) - 0.5
        return (x + noise).clamp(0, top) * (2 / top) - 1

    def judge(
        self, discriminator: Any, inputs: Tensor, y: Tensor | None, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The margins m, D's loss (its gradients are left in D) and the generator's at its fakes.

        `inputs` are as many fakes behind the real images, ``(2 n, C, H, W)``, with a gradient.
        """
        d, n, gain = discriminator, len(inputs) // 2, self.params.gain
        with parametrize.cached():  # the normalised weights, once for both uses
            with self.autocast():
                seen = d.features(self.augmented(inputs, rng))
                scores = gain * d.judge(seen, None if y is None else torch.cat([y, y])).float()
            margin = scores[:n] - scores[n:]
            loss = d_loss = F.softplus(-margin).mean()
            if y is not None and self.space.classes > 1:
                classes = self.space.classes
                step = torch.randint(1, classes, (n,), generator=rng, device=self.device)
                wrong = gain * d.judge(seen[:n].float(), (y + step) % classes)
                loss = loss + self.params.matching * F.softplus(wrong - scores[:n]).mean()
        torch.autograd.backward(loss, inputs=[inputs, *d.parameters()])
        # D's gradient at its fake i is slope_i * sigmoid(-m_i) / n, slope = dD/dx; the generator's
        # is -slope_i * sigmoid(m_i) / n, and the ratio of the sigmoids is exp(m_i).
        m = margin.detach()
        at_fakes = torch.zeros_like(inputs) if inputs.grad is None else inputs.grad
        pull = -at_fakes[n:] * m.clamp(max=60).exp().view(-1, 1, 1, 1)
        return m, d_loss.detach(), pull

    def steer(
        self, pull: Tensor, energy: Any, inputs: Tensor, y: Tensor | None, memory: Memory | None
    ) -> Tensor:
        """The generator's slope at its fakes, of which `pull` is the discriminator's part."""
        if memory is None:
            return pull
        real, fake = inputs.detach().chunk(2)
        return pull + energy / len(real) * memory.energy_slope(real, fake, y)

    def energy(self, fraction: float) -> float:
        """Weight of the energy distance when that share of the budget is served."""
        early = max(0.0, 1 - 3 * fraction)
        weight: float = self.params.energy * (1 + early * (self.params.energy_start - 1))
        return weight

    def examples(self, generator: nn.Module, z: Tensor, y: Tensor | None) -> Tensor:
        """uint8 images ``(n, C, H, W)`` of noise and classes."""
        return to_uint8(generator(z, y), -1, 1, self.space.levels)


def _grid(space: Space) -> tuple[tuple[int, int], int]:
    """Rows and columns of the generator's first grid, and pixels per side of its last positions."""
    _, height, width = space.shape
    patch = 2 if min(height, width) >= 16 else 1
    return (-(-height // (2 * patch)), -(-width // (2 * patch))), patch


def _bend(inputs: int, outputs: int) -> nn.Module:
    """A dense layer of the noise."""
    linear = nn.Linear(inputs, outputs, bias=False)
    return nn.Sequential(linear, nn.BatchNorm1d(outputs), nn.ReLU())


def _mean_direction(x: Tensor, to: Tensor, weight: Tensor) -> Tensor:
    """Mean over the rows of `to` of the unit vectors from there to each row of `x`, weighted."""
    share = weight / weight.sum(1, keepdim=True).clamp_min(1)
    share = share / torch.cdist(x, to).clamp_min(NEAREST)
    return x * share.sum(1, keepdim=True) - share @ to
