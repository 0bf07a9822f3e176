"""The network of ``vae`` for sounds: Gaussians of a log-mel spectrogram, made audible afterwards.

Two levels of latents, as for images: a vector z1, whose prior knows the class, and a map z2 of an
eighth of the resolution, whose prior and posterior look at z1. A band's power at a moment is a
Gaussian of the network's mean and a deviation that all sounds share. The phases are lost:
Griffin-Lim finds others (`spectrogram`). So it says nothing of how likely a waveform is, and has no
likelihood for sounds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.spectrogram import BANDS, Spectrogram
from genbench.baselines.vae_image import Residual
from genbench.baselines.vae_latents import LOG_ROOT_2PI, Gaussian, Terms, normal
from genbench.generator import Space

PATCH = 4  # bands and frames of a position at the higher resolution
LEAST_DEVIATION = 0.05  # of the decoder, in those of the data: else dull bands outweigh all others


class SoundNetwork(nn.Module):
    """Encoder, priors and decoder for waveforms, on their spectrograms.

    Parameters
    ----------
    width
        Channels at a quarter of the spectrogram's resolution; twice as many at an eighth.
    latent, latent_channels
        Size of the vector z1 and channels of the map z2.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, space: Space, *, width: int, latent: int, latent_channels: int) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(space.dims, space.rate)
        frames, wide, depth = self.spectrogram.frames, 2 * width, PATCH**2
        self.latent, self.frames = latent, frames
        self.grid = (BANDS // (2 * PATCH), -(-frames // (2 * PATCH)))
        self.pad = (0, 2 * PATCH * self.grid[1] - frames)
        cells = self.grid[0] * self.grid[1]
        self.sizes = (latent, latent_channels * cells)
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))
        self.label = nn.Embedding(max(1, space.classes), wide)
        # encoder
        self.stem = nn.Conv2d(depth, width, 3, padding=1)
        self.encoder_fine = Residual(width)
        self.down = nn.Conv2d(width, wide, 2, stride=2)
        self.encoder_body = Residual(wide)
        self.q1 = nn.Linear(wide * cells, 2 * latent)
        self.q2 = nn.Conv2d(2 * wide, 2 * latent_channels, 1)
        # decoder; both priors are a part of it
        self.p1 = nn.Linear(wide, 2 * latent)
        self.z1_in = nn.Linear(latent + wide, wide * cells)
        self.top = Residual(wide)
        self.p2 = nn.Conv2d(wide, 2 * latent_channels, 1)
        self.z2_in = nn.Conv2d(latent_channels, wide, 1)
        self.decoder_body = Residual(wide)
        self.up = nn.Conv2d(wide, 4 * width, 1)
        self.fine_body = Residual(width)
        self.out = nn.Conv2d(width, depth, 3, padding=1)
        self.log_std = nn.Parameter(torch.zeros(BANDS, frames))

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Centre and scale of the spectrograms of the first batch."""
        logarithms = self.spectrogram(x)
        self.centre.copy_(logarithms.mean())
        self.scale.copy_(logarithms.std(correction=0).clamp_min(1e-3))

    @property
    def latent_size(self) -> int:
        """Numbers in a code: z1 and z2 in deviations of their priors."""
        return sum(self.sizes)

    @property
    def noise_size(self) -> int:
        """Numbers of noise for a sound: a code."""
        return self.latent_size

    def forward(self, x: Tensor, y: Tensor, rng: torch.Generator | None) -> Terms:
        """The terms of the spectrograms of waveforms ``(n, T)``, at latents drawn once.

        Without an `rng` at the means of the posteriors.
        """
        seen = self._standardised(x)
        (q1, p1, z1), (q2, p2, z2), top = self._latents(seen, y, rng)
        mean, log_std = self._decode(top, z2), self._log_std()
        t = (seen[:, 0] - mean) * (-log_std).exp()
        return Terms(
            (-0.5 * t.square() - log_std - LOG_ROOT_2PI).flatten(1).sum(1),
            q1.kl(p1) + q2.kl(p2),
            q1.log_prob(z1) - p1.log_prob(z1) + q2.log_prob(z2) - p2.log_prob(z2),
        )

    def codes(self, x: Tensor, y: Tensor) -> Tensor:
        """Means of the posteriors of waveforms of classes `y`, ``(n, latent_size)``."""
        each = self._latents(self._standardised(x), y, None)[:2]
        return torch.cat([p.standardised(z).flatten(1) for _, p, z in each], 1)

    def expected(self, z: Tensor, y: Tensor) -> Tensor:
        """The sound of the mean spectrogram, ``(n, T)``, given codes and classes."""
        return self._audible(self._mean(z, y), torch.Generator(z.device).manual_seed(0))

    def drawn(self, noise: Tensor, y: Tensor) -> Tensor:
        """A sound as `generate` makes it of a code; its phases begin at the same ones."""
        return self.expected(noise, y)

    def generate(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """float32 waveforms ``(n, T)`` of classes `y`: of the mean spectrograms of drawn codes.

        The decoder's deviation is what it could not tell, of one band at one moment: added as
        noise it would be heard as such.
        """
        z = normal((len(y), self.latent_size), rng, y.device)
        return self._audible(self._mean(z, y), rng)

    def _standardised(self, x: Tensor) -> Tensor:
        return (self.spectrogram(x)[:, None] - self.centre) / self.scale

    def _audible(self, mean: Tensor, rng: torch.Generator) -> Tensor:
        return self.spectrogram.waveforms(mean * self.scale + self.centre, rng)

    def _latents(
        self, seen: Tensor, y: Tensor, rng: torch.Generator | None
    ) -> tuple[tuple[Gaussian, Gaussian, Tensor], tuple[Gaussian, Gaussian, Tensor], Tensor]:
        """Posterior, prior and value of z1 and of z2, and the decoder's upper half."""
        found = self._encode(seen, y)
        q1, p1 = Gaussian.of(self.q1(F.relu(found).flatten(1))), self._prior(y)
        z1 = q1.sample(rng)
        top = self._top(z1, y)
        p2 = Gaussian.of(self.p2(F.relu(top)))
        q2 = Gaussian.of(self.q2(F.relu(torch.cat([found, top], 1))))
        return (q1, p1, z1), (q2, p2, q2.sample(rng)), top

    def _mean(self, z: Tensor, y: Tensor) -> Tensor:
        """The mean spectrogram of a code, standardised, ``(n, 64, frames)``."""
        z1, z2 = z.split(self.sizes, 1)
        top = self._top(self._prior(y).at(z1), y)
        p2 = Gaussian.of(self.p2(F.relu(top)))
        return self._decode(top, p2.at(z2.unflatten(1, p2.mean.shape[1:])))

    def _prior(self, y: Tensor) -> Gaussian:
        return Gaussian.of(self.p1(self.label(y)))

    def _encode(self, seen: Tensor, y: Tensor) -> Tensor:
        blocks = F.pixel_unshuffle(F.pad(seen, self.pad), PATCH)
        fine = self.encoder_fine(self.stem(blocks.contiguous(memory_format=torch.channels_last)))
        coarse = self.down(F.relu(fine))
        label = self.label(y)[:, :, None, None].to(coarse.dtype)  # else what follows is float32
        out: Tensor = self.encoder_body(coarse + label)
        return out

    def _top(self, z1: Tensor, y: Tensor) -> Tensor:
        top = self.z1_in(torch.cat([z1, self.label(y)], 1)).unflatten(1, (-1, *self.grid))
        out: Tensor = self.top(top.contiguous(memory_format=torch.channels_last))
        return out

    def _decode(self, top: Tensor, z2: Tensor) -> Tensor:
        """Means of a standardised spectrogram, float32 ``(n, 64, frames)``."""
        body = self.decoder_body(top + self.z2_in(z2))
        fine = self.fine_body(F.pixel_shuffle(self.up(F.relu(body)), 2))
        out = F.pixel_shuffle(self.out(F.relu(fine)).float(), PATCH)
        return out[:, 0, :, : self.frames]

    def _log_std(self) -> Tensor:
        return self.log_std.exp().add(LEAST_DEVIATION).log()
