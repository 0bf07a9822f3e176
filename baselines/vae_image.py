"""The network of ``vae`` for images: two levels of latents, a distribution over grey levels.

A pixel is a categorical over its grey levels: a mixture of a few level distributions that all
pixels share and the network weighs, so that 81 % black pixels cost next to nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.vae_latents import Gaussian, Terms, evenly, normal, uniform
from genbench.generator import Space, captures

TABLE_GAIN = 20.0  # the level distributions learn this much faster than the rest
UNIFORM = 1e-4  # share of the uniform distribution in every shared level distribution


class LevelMixture(torch.autograd.Function):
    """log sum_k w_k table[level, k] per pixel, w = softmax(logits).

    The gradient by hand: it needs each component's share of the sum and nothing else, which makes a
    training step a fifth shorter.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, level: Tensor, table: Tensor) -> Tensor:
        """float32 ``level.shape`` of logits ``(..., k)``, int64 levels, table ``(levels, k)``."""
        weights = logits.softmax(-1)
        share = F.embedding(level, table).mul_(weights)
        total = share.sum(-1, keepdim=True)
        share /= total
        ctx.save_for_backward(weights, share, level, table)
        return total.squeeze(-1).log()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients by logits and table."""
        weights, share, level, table = ctx.saved_tensors
        share = share * grad[..., None]
        by_level = sum_by_level(share.flatten(0, -2), level.flatten(), len(table))
        return torch.addcmul(share, weights, grad[..., None], value=-1), None, by_level / table


def sum_by_level(values: Tensor, level: Tensor, levels: int) -> Tensor:
    """Sums ``(levels, k)`` of rows ``(n, k)`` by their int64 level ``(n,)``.

    On a card rows would be added in the order in which they happen to arrive, so there they are
    summed by a product with each level's ones.
    """
    if not captures(values.device):
        return values.new_zeros(levels, values.shape[1]).index_add_(0, level, values)
    every = torch.arange(levels, device=values.device)
    return (every[:, None] == level).to(values.dtype) @ values


class Residual(nn.Module):
    """x + conv(act(conv(act(x)))), the identity at first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """As many channels as it gets."""
        out: Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return out


class Latents(NamedTuple):
    """Both levels of latents of images, and what they are made of."""

    q1: Gaussian
    z1: Tensor
    top: Tensor  # the decoder's upper half, ``(n, wide, h / 4, w / 4)``
    p2: Gaussian
    q2: Gaussian
    z2: Tensor


class ImageNetwork(nn.Module):
    """Encoder, prior and decoder for images, on 2x2 pixel blocks and on 4x4 ones."""

    def __init__(
        self,
        space: Space,
        *,
        width: int,
        wide: int,
        latent: int,
        latent_channels: int,
        mixture: int,
    ) -> None:
        super().__init__()
        channels, height, columns = space.shape
        self.levels, self.k, self.latent = space.levels, mixture, latent
        self.size = (height, columns)
        self.pad = (0, -columns % 4, 0, -height % 4)
        self.grid = ((height + 3) // 4, (columns + 3) // 4)
        cells = wide * self.grid[0] * self.grid[1]
        self.label = nn.Embedding(max(1, space.classes), wide)
        # encoder
        self.stem = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.down = nn.Conv2d(width, wide, 3, stride=2, padding=1)
        self.encoder_body = Residual(wide)
        self.q1 = nn.Linear(cells, 2 * latent)
        self.q2 = nn.Conv2d(2 * wide, 2 * latent_channels, 1)
        # decoder; the prior of z2 is a part of it
        self.z1_in = nn.Linear(latent + wide, cells)
        self.top = Residual(wide)
        self.p2 = nn.Conv2d(wide, 2 * latent_channels, 1)
        self.z2_in = nn.Conv2d(latent_channels, wide, 1)
        self.decoder_body = Residual(wide)
        self.up = nn.Conv2d(wide, 4 * width, 1)
        self.fine_body = Residual(width)
        self.out = nn.Conv2d(width, 4 * channels * mixture, 1)
        # The shared level distributions start as bumps that cover the scale.
        centre = torch.linspace(0, space.levels - 1, mixture)[:, None]
        t = (torch.arange(space.levels) - centre) * (mixture / space.levels)
        self.table = nn.Parameter((-0.5 * t.square()).clamp_min(-8) / TABLE_GAIN)  # (k, levels)
        real = self._blocks(torch.ones(1, channels, height, columns)).flatten(1)
        self.real: Tensor
        self.register_buffer("real", real, persistent=False)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Tilt the bumps to the grey levels of the first batch: it saves hundreds of steps."""
        level = x.flatten().long()
        count = torch.ones(self.levels, device=x.device)
        count.index_add_(0, level, torch.ones_like(level, dtype=count.dtype))
        self.table.add_((count / count.sum()).log() / TABLE_GAIN)

    @property
    def latent_size(self) -> int:
        """Numbers in a code: z1, and z2 in deviations of its prior."""
        return self.latent + self.p2.out_channels // 2 * self.grid[0] * self.grid[1]

    @property
    def noise_size(self) -> int:
        """Numbers of noise for an image: a code, and two for every pixel."""
        channels = self.out.out_channels // (4 * self.k)
        return self.latent_size + 2 * 16 * channels * self.grid[0] * self.grid[1]

    def forward(self, x: Tensor, y: Tensor, rng: torch.Generator | None) -> Terms:
        """The terms of uint8 images ``(n, C, H, W)`` of classes `y`, at latents drawn once.

        Without an `rng` at the means of the posteriors.
        """
        q1, z1, top, p2, q2, z2 = self._latents(x, y, rng)
        p1 = Gaussian(torch.zeros_like(q1.mean), torch.zeros_like(q1.mean))
        return Terms(
            self._log_likelihood(x, self._decode(top, z2)),
            q1.kl(p1) + q2.kl(p2),
            q1.log_prob(z1) - p1.log_prob(z1) + q2.log_prob(z2) - p2.log_prob(z2),
        )

    def codes(self, x: Tensor, y: Tensor) -> Tensor:
        """Means of the posteriors of images of classes `y`, ``(n, latent_size)``."""
        _, z1, _, p2, _, z2 = self._latents(x, y, None)
        return torch.cat([z1, p2.standardised(z2).flatten(1)], 1)

    def expected(self, z: Tensor, y: Tensor) -> Tensor:
        """The mean image, uint8 ``(n, C, H, W)``, given codes and classes."""
        weights = self._decode(*self._tops(z, y)).softmax(4)
        scale = torch.arange(self.levels, device=z.device)
        mean = (self._level_distributions() * scale).sum(1)  # of each shared distribution
        return self._image((weights * mean).sum(4).round())

    def drawn(self, noise: Tensor, y: Tensor) -> Tensor:
        """An image drawn as `generate` draws, all chance taken from `noise` ``(n, noise_size)``.

        A level is found by halving, which needs no search that other runtimes lack.
        """
        z, pixels = noise[:, : self.latent_size], noise[:, self.latent_size :]
        weight = self._decode(*self._tops(z, y)).softmax(4).cumsum(4)
        chance = evenly(pixels).unflatten(1, (2, *weight.shape[1:4]))
        k = (weight <= chance[:, 0, ..., None]).sum(4).clamp_max(self.k - 1)
        table = self._level_distributions().cumsum(1)
        table = (table / table[:, -1:]).flatten()
        # Not zeros_like(k), whose number of rows ONNX would take for fixed.
        level, step = k * 0, 1 << (self.levels - 1).bit_length()
        while step := step // 2:  # the least level whose share of the levels up to it is enough
            after = (level + step).clamp_max(self.levels - 1)
            level = torch.where(table[k * self.levels + after - 1] <= chance[:, 1], after, level)
        return self._image(level)

    def generate(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """uint8 images ``(n, C, H, W)`` of classes `y`."""
        n, device = len(y), y.device
        top = self._decode_top(normal((n, self.latent), rng, device), y)
        z2 = Gaussian.of(self.p2(F.relu(top))).sample(rng)
        weight = self._decode(top, z2).double().softmax(4).cumsum(4)
        pick, place = uniform((2, *weight.shape[:4]), rng, device)
        k = (weight <= pick[..., None]).sum(4).clamp_max(self.k - 1)
        # Entry (k, v) of the ladder is k + P_k(level <= v): one search draws from any P_k.
        steps = self._level_distributions().double().cumsum(1)
        ladder = (steps / steps[:, -1:] + torch.arange(self.k, device=device)[:, None]).flatten()
        return self._image(torch.searchsorted(ladder, k + place, right=True) - k * self.levels)

    def _image(self, level: Tensor) -> Tensor:
        """2x2 blocks of grey levels, channels last, as uint8 images."""
        image = level.clamp(0, self.levels - 1).to(torch.uint8).permute(0, 3, 1, 2)
        return F.pixel_shuffle(image, 2)[:, :, : self.size[0], : self.size[1]].contiguous()

    def _latents(self, x: Tensor, y: Tensor, rng: torch.Generator | None) -> Latents:
        seen = self._encode(x, y)
        q1 = Gaussian.of(self.q1(F.relu(seen).flatten(1)))
        z1 = q1.sample(rng)
        top = self._decode_top(z1, y)
        p2 = Gaussian.of(self.p2(F.relu(top)))
        q2 = Gaussian.of(self.q2(F.relu(torch.cat([seen, top], 1))))
        return Latents(q1, z1, top, p2, q2, q2.sample(rng))

    def _tops(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Both levels of the decoder's input, given a code."""
        top = self._decode_top(z[:, : self.latent], y)
        p2 = Gaussian.of(self.p2(F.relu(top)))
        return top, p2.at(z[:, self.latent :].unflatten(1, p2.mean.shape[1:]))

    def _encode(self, x: Tensor, y: Tensor) -> Tensor:
        blocks = self._blocks(x.float() * (2 / (self.levels - 1)) - 1).contiguous()
        seen = self.down(F.relu(self.stem(blocks.permute(0, 3, 1, 2))))
        out: Tensor = self.encoder_body(seen + self.label(y)[:, :, None, None])
        return out

    def _blocks(self, x: Tensor) -> Tensor:
        """(n, c, h, w) as 2x2 blocks, channels last: (n, h / 2, w / 2, 4 c)."""
        return F.pixel_unshuffle(F.pad(x, self.pad), 2).permute(0, 2, 3, 1)

    def _decode_top(self, z1: Tensor, y: Tensor) -> Tensor:
        top = self.z1_in(torch.cat([z1, self.label(y)], 1)).unflatten(1, (-1, *self.grid))
        out: Tensor = self.top(top.contiguous(memory_format=torch.channels_last))
        return out

    def _decode(self, top: Tensor, z2: Tensor) -> Tensor:
        """Mixture weights of every pixel: (n, h / 2, w / 2, 4 c, k) logits, float32."""
        fine = F.pixel_shuffle(self.up(F.relu(self.decoder_body(top + self.z2_in(z2)))), 2)
        logits: Tensor = self.out(F.relu(self.fine_body(fine))).permute(0, 2, 3, 1)
        return logits.unflatten(3, (-1, self.k)).float()

    def _log_likelihood(self, x: Tensor, logits: Tensor) -> Tensor:
        """log p(x | z) of each row, nats, ``(n,)``; padding does not count."""
        table = self._level_distributions().t().contiguous()
        pixel: Tensor = LevelMixture.apply(logits, self._blocks(x).long(), table)
        return (pixel.flatten(1) * self.real).sum(1)

    def _level_distributions(self) -> Tensor:
        """(k, levels). A trace of uniform keeps every level possible and the logarithm finite."""
        return F.softmax(self.table * TABLE_GAIN, 1) * (1 - UNIFORM) + UNIFORM / self.levels
