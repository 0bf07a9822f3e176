"""Classical augmentation of sounds: delay, level, noise, and stretches of silence (SpecAugment)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.tasks import SoundChanges


@dataclass(frozen=True, slots=True)
class RandomSound:
    """`SoundChanges` as a function of a batch of waveforms; each gets all of them."""

    table: SoundChanges
    rate: int

    def __call__(self, rows: Tensor) -> Tensor:
        """Changed waveforms float32 ``(n, T)`` in [-1, 1].

        The draws are those of torch's global stream.
        """
        t, (n, length) = self.table, rows.shape
        unit = torch.rand(7, n, 1, device=rows.device)
        x = delayed(rows, (unit[0] * t.shift * length).long())
        x = x * 10 ** ((2 * unit[1] - 1) * t.gain / 20)
        if t.noise > 0:
            level = x.square().mean(1, keepdim=True).sqrt() * 10 ** (-t.noise / 20)
            x = x + unit[2] * level * torch.randn_like(x)
        x = without_band(x, unit[3], unit[4] * t.hidden_bands, self.rate)
        return without_stretch(x, unit[5], unit[6] * t.hidden_time).clamp(-1, 1)


def delayed(x: Tensor, samples: Tensor) -> Tensor:
    """Waveforms ``(n, T)``, each `samples` ``(n, 1)`` later, silence before it."""
    source = torch.arange(x.shape[1], device=x.device) - samples
    return x.gather(1, source.clamp(min=0)) * (source >= 0)


def without_stretch(x: Tensor, place: Tensor, share: Tensor) -> Tensor:
    """Waveforms ``(n, T)`` with a stretch of this share ``(n, 1)`` silent, at a place 0 to 1."""
    at = torch.arange(x.shape[1], device=x.device) / x.shape[1]
    first = place * (1 - share)
    return x * ((at < first) | (at >= first + share))


def without_band(x: Tensor, place: Tensor, share: Tensor, rate: int) -> Tensor:
    """Waveforms ``(n, T)`` without the frequencies of a stretch of the mel scale.

    `share` ``(n, 1)`` is that of the scale up to half the sampling rate in Hz, `place` from 0 to 1.
    """
    spectrum = torch.fft.rfft(x)
    bins = spectrum.shape[1]
    hertz = torch.arange(bins, device=x.device) / (bins - 1) * rate / 2
    mel = torch.log1p(hertz / 700) / torch.log1p(torch.tensor(rate / 1400, device=x.device))
    first = place * (1 - share)
    heard = (mel < first) | (mel >= first + share)
    quieter: Tensor = torch.fft.irfft(spectrum * heard, x.shape[1])
    return quieter
