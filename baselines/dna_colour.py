"""The half of ``dna`` for colour images: a U-Net, and corruptions that are only in part fresh.

What is linear in the reconstruction goes by the images' spectrum (`spectrum`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.dna_denoiser import CONDITION, Denoiser, Reconstruction
from genbench.baselines.dna_scalars import ScalarHalf
from genbench.baselines.spectrum import Spectrum
from genbench.baselines.unet import UNet
from genbench.generator import Space


class SpectralDenoiser(Denoiser):
    """A denoiser whose best linear reconstruction knows that neighbours are alike."""

    def __init__(self, space: Space, body: Callable[[], nn.Module]) -> None:
        super().__init__(space, body)
        self.spectrum = Spectrum(space.shape)

    def calibrate(self, x: Tensor) -> None:
        """Centre, scale and spectrum of the first batch."""
        super().calibrate(x)
        self.spectrum.calibrate((x - self.centre) / self.scale)

    def corrected(
        self, noisy: Tensor, noise: Tensor, correction: Tensor, log_variance: Tensor
    ) -> Reconstruction:
        """The best linear reconstruction of such a spectrum, and the correction of it."""
        left = self.spectrum.left(noise)
        linear = self.spectrum.together(self.spectrum.apart(noisy) * left / noise**2)
        variance = left.mean((1, 2, 3), keepdim=True)
        return Reconstruction(linear + correction * variance.sqrt(), log_variance, 1 / variance)


class ColourHalf(ScalarHalf):
    """The dealings of `dna` with photographs.

    A corruption that is all fresh leaves of a photograph's details but their mean: most of it is
    that of the level before.
    """

    def network(self) -> Denoiser:
        """A new network, from torch's global random state."""
        return SpectralDenoiser(self.space, self.body)

    def body(self) -> nn.Module:
        """The network between the denoiser's scaled ends."""
        width = self.params.colour_width
        return UNet(self.space.shape, width=width, condition=CONDITION, outputs=2)

    def levels(self) -> list[tuple[float, ...]]:
        """Noise levels before and after each step, and the share of the deviation that is drawn."""
        p = self.params
        ratio = (p.colour_noise_low / p.noise_high) ** (1 / max(1, p.colour_levels - 1))
        levels = [p.noise_high * ratio**i for i in range(p.colour_levels)] + [0.0]
        return [(level, after, p.spread if after else 0.0) for level, after in pairwise(levels)]

    def canvases(
        self, net: Any, n: int, labels: Tensor | None, rng: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Places of rows, noise, and labels: by chunks."""
        for at, clean, asked in super().canvases(net, n, labels, rng):
            yield at, self.params.noise_high * self._noise(clean, rng), asked

    def step_back(  # type: ignore[override]  # it is given what its own levels say
        self,
        net: Any,
        rng: torch.Generator,
        noisy: Tensor,
        y: Tensor | None,
        level: Any,
        after: Any,
        spread: Any,
    ) -> tuple[Tensor]:
        """A reconstruction, drawn, and corrupted as much as `after` says, as the chain would be.

        What is between a corrupted image and its original at a lower level is, given both, Gaussian
        (Ho et al. 2020, arXiv:2006.11239, equation 6).
        """
        noise = torch.ones(len(noisy), 1, 1, 1, device=self.device) * level
        with self._autocast():
            found = net(noisy, noise, y)
        # What is left open is smooth, as images are: white noise would be seen in the next one.
        error = net.spectrum.errors(self._noise(noisy, rng), noise)
        clean = found.mean + spread * (found.log_variance / 2).exp() * error
        kept = (after / level) ** 2
        fresh = after * (1 - kept) ** 0.5 * self._noise(noisy, rng)
        return (torch.lerp(clean, noisy, kept) + fresh,)

    def _autocast(self) -> torch.autocast:
        """bfloat16 networks on CUDA and on some processors; float32 elsewhere."""
        return bfloat16(self.device)
