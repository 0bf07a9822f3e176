"""The network of ``vae`` for colour: three levels of latents, a chain of logistics over each block.

To the vector z1 and the map z2 at a quarter of the resolution comes a map z3 at half of it; each
map's prior and posterior look at the levels above. Most of a photograph's detail must be coded: a
decoder that sees z1 and z2 alone gives it blurred. What a 2x2 block of pixels is, given all
latents, says `colour_levels`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.colour_levels import BlockLevels
from genbench.baselines.vae_image import Residual
from genbench.baselines.vae_latents import Gaussian, Terms, evenly, normal, uniform
from genbench.generator import Space


class Latents(NamedTuple):
    """A pass through all levels of latents."""

    priors: tuple[Gaussian, Gaussian, Gaussian]
    posteriors: tuple[Gaussian, Gaussian, Gaussian]
    values: tuple[Tensor, Tensor, Tensor]
    fine: Tensor  # what the decoder makes of z1 and z2, ``(n, width, h / 2, w / 2)``


class ColourNetwork(nn.Module):
    """Encoder, priors and decoder for images of three channels.

    Parameters
    ----------
    width, wide
        Channels at half and at a quarter of the resolution.
    latent, latent_channels, fine_channels
        Sizes of the vector z1 and channels of the maps z2, at a quarter, and z3, at half.
    """

    real: Tensor
    order: Tensor
    back: Tensor

    def __init__(
        self,
        space: Space,
        *,
        width: int,
        wide: int,
        latent: int,
        latent_channels: int,
        fine_channels: int,
    ) -> None:
        super().__init__()
        channels, height, columns = space.shape
        self.size, self.top_level = (height, columns), max(1, space.levels - 1)
        self.pad = (0, -columns % 4, 0, -height % 4)
        self.grid = ((height + 3) // 4, (columns + 3) // 4)
        self.blocks = BlockLevels(space.levels, 4 * channels)
        self.sizes = (
            latent,
            latent_channels * self.grid[0] * self.grid[1],
            fine_channels * 4 * self.grid[0] * self.grid[1],
        )
        cells = wide * self.grid[0] * self.grid[1]
        self.label = nn.Embedding(max(1, space.classes), wide)
        # encoder
        self.stem = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.encoder_fine = Residual(width)
        self.down = nn.Conv2d(width, wide, 2, stride=2)
        self.encoder_body = Residual(wide)
        self.q1 = nn.Linear(cells, 2 * latent)
        self.q2 = nn.Conv2d(2 * wide, 2 * latent_channels, 1)
        self.q3 = nn.Conv2d(2 * width, 2 * fine_channels, 1)
        # decoder; the priors of z2 and z3 are a part of it
        self.z1_in = nn.Linear(latent + wide, cells)
        self.top = Residual(wide)
        self.p2 = nn.Conv2d(wide, 2 * latent_channels, 1)
        self.z2_in = nn.Conv2d(latent_channels, wide, 1)
        self.decoder_body = Residual(wide)
        self.up = nn.Conv2d(wide, 4 * width, 1)
        self.p3 = nn.Conv2d(width, 2 * fine_channels, 3, padding=1)
        self.z3_in = nn.Conv2d(fine_channels, width, 1)
        self.fine_body = Residual(width)
        self.out = nn.Conv2d(width, self.blocks.outputs, 1)
        # Pixel after pixel, channels of a pixel in turn; pixel_unshuffle has channels outermost.
        order = torch.arange(4 * channels).view(channels, 4).T.flatten()
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("back", order.argsort(), persistent=False)
        real = self._levels(torch.ones(1, channels, height, columns))
        self.register_buffer("real", real, persistent=False)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Begin with the mean and the spread of the first batch's levels."""
        nn.init.zeros_(self.out.weight)
        self.out.bias.copy_(self.blocks.start(self._levels(x.float())))

    @property
    def latent_size(self) -> int:
        """Numbers in a code: z1, and z2 and z3 in deviations of their priors."""
        return sum(self.sizes)

    @property
    def noise_size(self) -> int:
        """Numbers of noise for an image: a code, and one for every scalar."""
        return self.latent_size + self.real.numel()

    def forward(self, x: Tensor, y: Tensor, rng: torch.Generator | None) -> Terms:
        """The terms of uint8 images ``(n, 3, H, W)`` of classes `y`, at latents drawn once.

        Without an `rng` at the means of the posteriors.
        """
        found = self._latents(x, y, rng)
        each = list(zip(found.posteriors, found.priors, found.values, strict=True))
        level = self._levels(x.float())
        log_prob = self.blocks.log_prob(self._decode(found.fine, found.values[2]), level)
        return Terms(
            (log_prob * self.real).sum((0, 2, 3)),
            torch.stack([q.kl(p) for q, p, _ in each]).sum(0),
            torch.stack([q.log_prob(z) - p.log_prob(z) for q, p, z in each]).sum(0),
        )

    def codes(self, x: Tensor, y: Tensor) -> Tensor:
        """Means of the posteriors of images of classes `y`, ``(n, latent_size)``."""
        found = self._latents(x, y, None)
        each = zip(found.priors, found.values, strict=True)
        return torch.cat([p.standardised(z).flatten(1) for p, z in each], 1)

    def expected(self, z: Tensor, y: Tensor) -> Tensor:
        """The image in the middle, uint8 ``(n, 3, H, W)``, given codes and classes."""
        return self._image(self.blocks.mean(self._given(z, y)))

    def drawn(self, noise: Tensor, y: Tensor) -> Tensor:
        """An image drawn as `generate` draws, all chance taken from `noise` ``(n, noise_size)``."""
        parameters = self._given(noise[:, : self.latent_size], y)
        shape = self.real.shape[0], *self.real.shape[2:]
        chance = evenly(noise[:, self.latent_size :]).clamp(1e-6, 1 - 1e-6).unflatten(1, shape)
        return self._image(self.blocks.draw(parameters, chance.transpose(0, 1)))

    def generate(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """uint8 images ``(n, 3, H, W)`` of classes `y`."""
        z = normal((len(y), self.latent_size), rng, y.device)
        parameters = self._given(z, y).double()
        shape = self.real.shape[0], len(y), *self.real.shape[2:]
        return self._image(self.blocks.draw(parameters, uniform(shape, rng, y.device)))

    def _latents(self, x: Tensor, y: Tensor, rng: torch.Generator | None) -> Latents:
        seen_fine, seen = self._encode(x, y)
        q1 = Gaussian.of(self.q1(F.relu(seen).flatten(1)))
        p1 = Gaussian(torch.zeros_like(q1.mean), torch.zeros_like(q1.mean))
        z1 = q1.sample(rng)
        top = self._top(z1, y)
        p2 = Gaussian.of(self.p2(F.relu(top)))
        q2 = Gaussian.of(self.q2(F.relu(torch.cat([seen, top], 1))))
        z2 = q2.sample(rng)
        fine = self._fine(top, z2)
        p3 = Gaussian.of(self.p3(F.relu(fine)))
        q3 = Gaussian.of(self.q3(F.relu(torch.cat([seen_fine, fine], 1))))
        return Latents((p1, p2, p3), (q1, q2, q3), (z1, z2, q3.sample(rng)), fine)

    def _given(self, z: Tensor, y: Tensor) -> Tensor:
        """Parameters of all blocks, given a code."""
        z1, z2, z3 = z.split(self.sizes, 1)
        top = self._top(z1, y)
        p2 = Gaussian.of(self.p2(F.relu(top)))
        fine = self._fine(top, p2.at(z2.unflatten(1, p2.mean.shape[1:])))
        p3 = Gaussian.of(self.p3(F.relu(fine)))
        return self._decode(fine, p3.at(z3.unflatten(1, p3.mean.shape[1:])))

    def _encode(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """What is seen of images at half and at a quarter of the resolution."""
        scaled = F.pixel_unshuffle(F.pad(x.float() * (2 / self.top_level) - 1, self.pad), 2)
        fine = self.encoder_fine(self.stem(scaled.contiguous(memory_format=torch.channels_last)))
        seen = self.down(F.relu(fine))
        label = self.label(y)[:, :, None, None].to(seen.dtype)  # else what follows is float32
        return fine, self.encoder_body(seen + label)

    def _top(self, z1: Tensor, y: Tensor) -> Tensor:
        top = self.z1_in(torch.cat([z1, self.label(y)], 1)).unflatten(1, (-1, *self.grid))
        out: Tensor = self.top(top.contiguous(memory_format=torch.channels_last))
        return out

    def _fine(self, top: Tensor, z2: Tensor) -> Tensor:
        body = self.decoder_body(top + self.z2_in(z2))
        return F.pixel_shuffle(self.up(F.relu(body)), 2)

    def _decode(self, fine: Tensor, z3: Tensor) -> Tensor:
        """Parameters of all blocks, float32 ``(outputs, n, h / 2, w / 2)``."""
        out = self.out(F.relu(self.fine_body(fine + self.z3_in(z3))))
        return out.permute(1, 0, 2, 3).float().contiguous()

    def _levels(self, x: Tensor) -> Tensor:
        """Images as blocks, ``(12, n, h / 2, w / 2)``."""
        blocks = F.pixel_unshuffle(F.pad(x, self.pad), 2)
        return blocks.index_select(1, self.order).transpose(0, 1).contiguous()

    def _image(self, level: Tensor) -> Tensor:
        """Undo `_levels`, as uint8."""
        blocks = level.to(torch.uint8).transpose(0, 1).index_select(1, self.back)
        return F.pixel_shuffle(blocks, 2)[:, :, : self.size[0], : self.size[1]].contiguous()
