"""The half of ``dna`` for sounds: their log-mel spectrograms are restored like pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genbench.baselines.dna_colour import ColourHalf
from genbench.baselines.dna_denoiser import CONDITION
from genbench.baselines.spectrogram import BANDS, Spectrogram
from genbench.baselines.unet import UNet
from genbench.generator import Batch, Space


class SoundHalf(ColourHalf):
    """The dealings of `dna` with waveforms: a spectrogram of 64 bands is a picture of one channel.

    What is generated is made audible by Griffin-Lim.
    """

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.spectrogram = Spectrogram(space.dims, space.rate).to(device)
        shape = (1, BANDS, self.spectrogram.frames)
        own = replace(
            params,
            noise_mean=params.sound_noise_mean,
            noise_spread=params.sound_noise_spread,
            noise_high=params.sound_noise_high,
            spread=params.sound_spread,
        )
        super().__init__(own, replace(space, shape=shape), device)
        self.batch_size = self.served = params.sound_batch_size

    def body(self) -> nn.Module:
        """The network between the denoiser's scaled ends, which knows bands and moments apart."""
        width = self.params.colour_width
        return UNet(self.space.shape, width=width, condition=CONDITION, outputs=2, placed=True)

    def see(self, x: Tensor, y: Tensor | None, first: bool, *nets: Any) -> None:
        """Centre and scale of the first batch's spectrograms, for all networks."""
        super().see(self._pictures(x) if first else x, y, first, *nets)

    def batches(self, x: Tensor, y: Tensor | None, rng: torch.Generator) -> list[Batch]:
        """What is served, as spectrograms."""
        return [Batch(self._pictures(x), y)]

    def examples(self, net: Any, places: list[Tensor], parts: list[Tensor]) -> Tensor:
        """Waveforms, of chunks of standardised spectrograms."""
        none = torch.zeros(0, *self.space.shape, device=self.device)
        x = torch.cat([none, *parts]) * net.scale + net.centre
        rng = torch.Generator(x.device).manual_seed(0)
        return self.spectrogram.waveforms(x[:, 0], rng)

    def _pictures(self, x: Tensor) -> Tensor:
        return self.spectrogram(x)[:, None]
