"""The half of ``gan`` that makes sounds: the networks of images, on log-mel spectrograms.

So does SpecGAN (Donahue et al., 2019, arXiv:1802.04208). A spectrogram of 64 bands is a picture of
one channel, black where nothing sounds; what the generator paints is made audible by Griffin-Lim
(`spectrogram`), from the same phases every time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genbench.baselines.bfloat16 import bfloat16
from genbench.baselines.gan_image import ImageGenerator, ImageHalf
from genbench.baselines.spectrogram import BANDS, Spectrogram
from genbench.generator import Batch, Space

ABOVE = 0.5  # nepers of power above the loudest of the first batch that are white


class SoundGenerator(ImageGenerator):
    """A generator of spectrograms in [-1, 1], and which powers black and white are."""

    low: Tensor
    high: Tensor

    def __init__(self, space: Space, latent: int, mapping: int, width: int) -> None:
        super().__init__(space, latent, mapping, width)
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.ones(()))


class SoundHalf(ImageHalf):
    """The GAN's dealings with waveforms; `params` are those of `genbench.baselines.gan`."""

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.spectrogram = Spectrogram(space.dims, space.rate).to(device)
        shape = (1, BANDS, self.spectrogram.frames)
        own = replace(
            params,
            temperature=params.sound_temperature,
            generator_width=params.sound_generator_width,
            discriminator_width=params.sound_discriminator_width,
        )
        super().__init__(own, replace(space, kind="image", shape=shape), device)

    def generator(self) -> nn.Module:
        """A new generator, from torch's global random state."""
        p = self.params
        net = SoundGenerator(self.space, p.latent, p.mapping, p.generator_width)
        return net.to(self.device)

    def begin(self, x: Tensor, *generators: Any) -> None:
        """The powers of silence and of the loudest of the first batch, for all generators."""
        logarithms = self.spectrogram(x)
        for net in generators:
            net.low.copy_(logarithms.amin())
            net.high.copy_(logarithms.amax() + ABOVE)

    def batches(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> list[Batch]:
        """What was served, as spectrograms."""
        return [Batch(self.spectrogram(x)[:, None], y)]

    def real(self, x: Tensor, generator: Any, rng: torch.Generator) -> Tensor:
        """Spectrograms as the discriminator sees them, in [-1, 1]."""
        return ((x - generator.low) / (generator.high - generator.low)).clamp(0, 1) * 2 - 1

    def autocast(self) -> torch.autocast:
        """bfloat16 nets on CUDA and on some processors; float32 elsewhere."""
        return bfloat16(self.device)

    def examples(self, generator: Any, z: Tensor, y: Tensor | None) -> Tensor:
        """Waveforms ``(n, T)`` of noise and classes."""
        shade = (generator(z, y)[:, 0].float() + 1) / 2
        logarithms = shade * (generator.high - generator.low) + generator.low
        return self.spectrogram.waveforms(logarithms, torch.Generator(z.device).manual_seed(0))
