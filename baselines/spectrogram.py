"""Log-mel spectrograms of waveforms, and waveforms of them: Griffin-Lim.

What a network of images makes, 64 bands by one frame in 128 samples, is heard again so: the mel
powers are spread over frequencies by non-negative least squares, then a signal with these
magnitudes is sought (Griffin & Lim 1984; the fast form of Perraudin, Balazs & Sondergaard 2013).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SEGMENT, WINDOW, HOP, BANDS = 512, 400, 128, 64
LEAST = 1e-6  # power that is silence
MOMENTUM = 0.99
ROUNDS, SPREADING = 40, 30  # iterations of Griffin-Lim and of the least squares
_AT_ONCE = 250  # rows


class Spectrogram(nn.Module):
    """The map between waveforms ``(n, T)`` and log-mel spectrograms ``(n, 64, frames)``.

    Parameters
    ----------
    length
        T; the frames are T / 128, and 512 samples are the least that it takes.
    rate
        Sampling rate in Hz; 0 counts as 8,000.
    """

    bank: Tensor
    inverse: Tensor
    window: Tensor

    def __init__(self, length: int, rate: int) -> None:
        super().__init__()
        self.length = length
        bank = mel_triangles(rate or 8000)
        self.register_buffer("bank", bank, persistent=False)
        self.register_buffer("inverse", torch.linalg.pinv(bank), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    @property
    def frames(self) -> int:
        """Columns of a spectrogram."""
        return max(1, self.length // HOP)

    def forward(self, x: Tensor) -> Tensor:
        """Natural logarithms of mel powers, of waveforms ``(n, T)``."""
        return torch.cat([self._logarithms(rows) for rows in x.split(_AT_ONCE)])

    def waveforms(self, logarithms: Tensor, rng: torch.Generator) -> Tensor:
        """Waveforms ``(n, T)`` in [-1, 1] that sound like ``(n, 64, frames)``; phases by `rng`."""
        return torch.cat([self._sound(rows, rng) for rows in logarithms.split(_AT_ONCE)])

    def _logarithms(self, x: Tensor) -> Tensor:
        power = self._transform(x).abs().square()[:, :, : self.frames]
        return (self.bank @ power + LEAST).log()

    def _sound(self, logarithms: Tensor, rng: torch.Generator) -> Tensor:
        mel = (logarithms.float().exp() - LEAST).clamp(min=0)
        power = (self.inverse @ mel).clamp(min=1e-9)
        for _ in range(SPREADING):
            power = power * (self.bank.T @ mel) / (self.bank.T @ (self.bank @ power) + 1e-12)
        lacking = self.length // HOP + 1 - mel.shape[2]
        magnitude = F.pad(power.sqrt(), (0, lacking))
        angles = 2 * math.pi * torch.rand(magnitude.shape, generator=rng, device=magnitude.device)
        phase = torch.polar(torch.ones_like(magnitude), angles)
        before = torch.zeros_like(phase)
        for _ in range(ROUNDS):
            there = self._transform(self._back(magnitude * phase))
            ahead = there - MOMENTUM / (1 + MOMENTUM) * before
            before, phase = there, ahead / (ahead.abs() + 1e-9)
        return self._back(magnitude * phase).clamp(-1, 1)

    def _transform(self, x: Tensor) -> Tensor:
        return torch.stft(x, SEGMENT, HOP, WINDOW, self.window, return_complex=True)

    def _back(self, spectrum: Tensor) -> Tensor:
        return torch.istft(spectrum, SEGMENT, HOP, WINDOW, self.window, length=self.length)


def mel_triangles(rate: int) -> Tensor:
    """Overlapping triangles of height 1, evenly spaced in mel, float32 ``(64, 257)``.

    ``mel = 2595 lg(1 + f / 700)``, f in Hz, up to half the sampling rate (O'Shaughnessy 1987).
    """
    frequency = torch.arange(SEGMENT // 2 + 1).double() * rate / SEGMENT
    mel = 2595 * torch.log10(1 + frequency / 700)
    width = mel[-1] / (BANDS + 1)
    centre = width * torch.arange(1, BANDS + 1).double()[:, None]
    # In Hz a triangle is straight, in mel it is not: a bin's place between its neighbours in Hz.
    hertz = [700 * (10 ** ((centre + step * width) / 2595) - 1) for step in (-1, 0, 1)]
    rising = (frequency - hertz[0]) / (hertz[1] - hertz[0])
    falling = (hertz[2] - frequency) / (hertz[2] - hertz[1])
    return torch.minimum(rising, falling).clamp(min=0).float()
