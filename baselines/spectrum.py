"""How much colour images vary along colours and frequencies, and what follows for noisy ones.

Along the axes of the discrete cosine transform and the principal colours photographs are nearly
uncorrelated (Ahmed et al., 1974; the more so the smoother they are). Were they Gaussian as well,
the best reconstruction of a noisy one would weigh each coefficient by its share of signal (Wiener,
1949). `dna`, `ddpm` and `flow-matching` begin with that, so that their networks need not learn that
neighbours are alike, only what no linear map can know.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genbench.baselines.bfloat16 import bfloat16

LEAST = 1e-4  # variance of a coefficient, at least, of images whose variance is 1


class Spectrum(nn.Module):
    """Variances of the coefficients of scaled images ``(n, 3, H, W)``; 1 until it is calibrated."""

    rows: Tensor
    columns: Tensor
    colours: Tensor
    power: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        channels, height, width = shape
        self.register_buffer("rows", cosines(height))
        self.register_buffer("columns", cosines(width))
        self.register_buffer("colours", torch.eye(channels))
        self.register_buffer("power", torch.ones(shape))

    def calibrate(self, x: Tensor) -> None:
        """Principal colours and the variances of a first batch of scaled images."""
        pixels = x.transpose(0, 1).flatten(1)
        if pixels.device.type != "meta":  # which has no eigenvectors
            self.colours.copy_(torch.linalg.eigh(pixels @ pixels.T / pixels.shape[1])[1].T)
        self.power.copy_(self.apart(x).square().mean(0).clamp_min(LEAST))

    def left(self, noise: Tensor) -> Tensor:
        """Variances of the coefficients of images, were they Gaussian, given noisy ones.

        Of white noise of the deviations `noise`, ``(n, 1, 1, 1)``; ``(n, C, H, W)``.
        """
        return self.power * noise**2 / (self.power + noise**2)

    def errors(self, white: Tensor, noise: Tensor) -> Tensor:
        """Draws of what is left open then: images of those variances, made of white noise."""
        return self.together(self.apart(white) * self.left(noise).sqrt())

    def apart(self, x: Tensor) -> Tensor:
        """The coefficients of images, float32, of the same shape: a rotation."""
        with bfloat16(x.device, wanted=False):
            mixed = torch.einsum("kc,nchw->nkhw", self.colours, x.float())
            return self.rows @ mixed @ self.columns.T

    def together(self, coefficients: Tensor) -> Tensor:
        """Undo `apart`."""
        with bfloat16(coefficients.device, wanted=False):
            mixed = self.rows.T @ coefficients.float() @ self.columns
            return torch.einsum("kc,nkhw->nchw", self.colours, mixed)


def cosines(side: int) -> Tensor:
    """The orthonormal discrete cosine transform, frequencies by positions."""
    at = (torch.arange(side) + 0.5) * math.pi / side
    waves = torch.cos(torch.arange(side).view(-1, 1) * at) * math.sqrt(2 / side)
    waves[0] /= math.sqrt(2)
    return waves
