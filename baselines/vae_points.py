"""The network of ``vae`` for points: one level of latents, decoded to a mixture of Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genbench.baselines.vae_latents import (
    LOG_ROOT_2PI,
    Gaussian,
    Terms,
    evenly,
    normal,
    uniform,
)
from genbench.generator import Space

CLASS_WIDTH = 8  # numbers that tell the network the class


class PointNetwork(nn.Module):
    """Encoder and decoder for vectors, on standardised coordinates."""

    centre: Tensor
    scale: Tensor

    def __init__(self, space: Space, *, width: int, latent: int, mixture: int) -> None:
        super().__init__()
        self.d, self.k, self.latent = space.dims, mixture, latent
        self.label = nn.Embedding(max(1, space.classes), CLASS_WIDTH)
        self.encoder = _mlp(self.d + CLASS_WIDTH, width, 2 * latent)
        self.decoder = _mlp(latent + CLASS_WIDTH, width, self.k * (1 + 2 * self.d))
        with torch.no_grad():  # Gaussians that start apart and small find the modes in few steps
            bias = self.decoder.get_parameter("4.bias").view(self.k, -1)
            bias[:, 1 : 1 + self.d].normal_()
            bias[:, 1 + self.d :].fill_(-1.0)
        self.register_buffer("centre", torch.zeros(self.d))
        self.register_buffer("scale", torch.ones(self.d))

    def calibrate(self, x: Tensor) -> None:
        """Fix the scale that the network works on from the first batch."""
        self.centre.copy_(x.mean(0))
        self.scale.copy_(x.std(0, correction=0).clamp_min(1e-6))

    @property
    def latent_size(self) -> int:
        """Numbers in a code."""
        return self.latent

    @property
    def noise_size(self) -> int:
        """Numbers of noise for a point: a code, one for the mixture, one for each coordinate."""
        return self.latent + 1 + self.d

    def codes(self, x: Tensor, y: Tensor) -> Tensor:
        """Means of the posteriors of points of classes `y`, ``(n, latent_size)``."""
        return self._posterior((x - self.centre) / self.scale, y).mean

    def expected(self, z: Tensor, y: Tensor) -> Tensor:
        """The mean point ``(n, d)``, given codes and classes."""
        weight, mean, _ = self._decode(z, y)
        return (weight.exp()[..., None] * mean).sum(1) * self.scale + self.centre

    def drawn(self, noise: Tensor, y: Tensor) -> Tensor:
        """A point drawn as `generate` draws, all chance taken from `noise` ``(n, noise_size)``."""
        z, pick, e = noise.split([self.latent, 1, self.d], 1)
        weight, mean, log_std = self._decode(z, y)
        k = (weight.exp().cumsum(1) <= evenly(pick)).sum(1).clamp_max(self.k - 1)
        own = k[:, None, None].expand(-1, 1, self.d)
        x = mean.gather(1, own) + log_std.gather(1, own).exp() * e[:, None]
        return x.squeeze(1) * self.scale + self.centre

    def forward(self, x: Tensor, y: Tensor, rng: torch.Generator | None) -> Terms:
        """The terms of points ``(n, d)`` of classes `y`, at latents drawn once.

        Without an `rng` at the means of the posteriors.
        """
        x = (x - self.centre) / self.scale
        q = self._posterior(x, y)
        prior = Gaussian(torch.zeros_like(q.mean), torch.zeros_like(q.mean))
        z = q.sample(rng)
        weight, mean, log_std = self._decode(z, y)
        t = (x[:, None] - mean) * (-log_std).exp()
        density = (-0.5 * t.square() - log_std - LOG_ROOT_2PI).sum(2)  # (n, k)
        log_px = torch.logsumexp(weight + density, 1) - self.scale.log().sum()
        return Terms(log_px, q.kl(prior), q.log_prob(z) - prior.log_prob(z))

    def generate(self, y: Tensor, rng: torch.Generator) -> Tensor:
        """float32 points ``(n, d)`` of classes `y`."""
        n, device = len(y), y.device
        z = normal((n, self.latent), rng, device)
        weight, mean, log_std = self._decode(z, y)
        pick = uniform((n, 1), rng, device)
        k = (weight.double().exp().cumsum(1) <= pick).sum(1).clamp_max(self.k - 1)
        row = torch.arange(n, device=device)
        x = mean[row, k] + log_std[row, k].exp() * normal((n, self.d), rng, device)
        return x * self.scale + self.centre

    def _posterior(self, x: Tensor, y: Tensor) -> Gaussian:
        """Of the latent vector of standardised points."""
        return Gaussian.of(self.encoder(torch.cat([x, self.label(y)], 1)))

    def _decode(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The mixture for x given z: log-weights (n, k), means and log-scales (n, k, d)."""
        out = self.decoder(torch.cat([z, self.label(y)], 1)).float().unflatten(1, (self.k, -1))
        weight, mean, log_std = out.split([1, self.d, self.d], 2)
        return weight[:, :, 0].log_softmax(1), mean, 6 * torch.tanh(log_std / 6)


def _mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    first, last = nn.Linear(inputs, width), nn.Linear(width, outputs)
    return nn.Sequential(first, nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)
