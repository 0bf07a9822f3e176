"""The parts that both networks of ``vae`` need: diagonal Gaussians, and the terms of its bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


class Gaussian(NamedTuple):
    """A diagonal normal distribution per row, ``(n, ...)``."""

    mean: Tensor
    log_std: Tensor

    @classmethod
    def of(cls, parameters: Tensor) -> Gaussian:
        """A network's output (float32 from here on), split along channels; bounds the log-scale."""
        mean, log_std = parameters.float().chunk(2, 1)
        return cls(mean, 4 * torch.tanh(log_std / 4))

    def sample(self, rng: torch.Generator | None) -> Tensor:
        """One value per row, differentiable by the parameters; the mean without an `rng`."""
        if rng is None:
            return self.mean
        return self.mean + self.log_std.exp() * normal(self.mean.shape, rng, self.mean.device)

    def standardised(self, z: Tensor) -> Tensor:
        """`z` in deviations from the mean, standard normal if `z` is of this distribution."""
        return (z - self.mean) * (-self.log_std).exp()

    def at(self, e: Tensor) -> Tensor:
        """Undo `standardised`."""
        return self.mean + self.log_std.exp() * e

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of each row of `z`, nats, ``(n,)``."""
        t = (z - self.mean) * (-self.log_std).exp()
        return (-0.5 * t.square() - self.log_std - LOG_ROOT_2PI).flatten(1).sum(1)

    def kl(self, prior: Gaussian) -> Tensor:
        """KL divergence from `prior` of each row, nats, ``(n,)``."""
        ratio = self.log_std - prior.log_std
        shift = (self.mean - prior.mean) * (-prior.log_std).exp()
        return (0.5 * ((2 * ratio).exp() + shift.square() - 1) - ratio).flatten(1).sum(1)


class Terms(NamedTuple):
    """The bound's terms for each row after one pass, nats, ``(n,)``."""

    reconstruction: Tensor  # log p(x | z)
    kl: Tensor  # KL(q(z | x) | p(z)), in closed form given the levels above
    ratio: Tensor  # log q(z | x) - log p(z) at the z drawn; its expectation is kl
    charged: Tensor | None = None  # the mean of kl as training counts it, where it is not all of it
    active: Tensor | None = None  # numbers of the code that tell these rows apart, if counted


def evenly(noise: Tensor) -> Tensor:
    """Standard normal numbers as numbers evenly spread over 0 .. 1, by their distribution."""
    return 0.5 * (1 + torch.erf(noise * math.sqrt(0.5)))


def normal(shape: Sequence[int], rng: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal numbers from `rng`, float32, on `device`, which is the generator's."""
    return torch.randn(shape, generator=rng, dtype=torch.float32, device=device)


def uniform(shape: Sequence[int], rng: torch.Generator, device: torch.device) -> Tensor:
    """Numbers from 0 to 1 from `rng` on `device`: float64, so that ties do not matter."""
    return torch.rand(shape, generator=rng, dtype=torch.float64, device=device)
