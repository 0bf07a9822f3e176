"""The half of ``dna`` for sounds: their log-mel spectrograms are restored like pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genbench.baselines.dna_colour import ColourHalf
from genbench.baselines.spectrogram import BANDS, Spectrogram
from genbench.generator import Batch, Space


class SoundHalf(ColourHalf):
    """The dealings of `dna` with waveforms: a spectrogram of 64 bands is a picture of one channel.

    What is generated is made audible by Griffin-Lim.
    """

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.spectrogram = Spectrogram(space.dims, space.rate).to(device)
        shape = (1, BANDS, self.spectrogram.frames)
        super().__init__(params, replace(space, shape=shape), device)
        self.batch_size = self.served = params.sound_batch_size

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
