"""A classifier of sounds: a log-mel spectrogram, three convolutions, a feature layer.

The spectrogram is part of the network, its window and mel bank of the weights: whoever has the file
hears what it heard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genbench.features.learning import descend
from genbench.features.network import ClassifierNet

SEGMENT, WINDOW, HOP, BANDS = 512, 400, 128, 64
LEAST = 1e-6  # power that is silence
CENTRE, SPREAD = -6.0, 5.0  # of the logarithms, roughly


def mel_bank(rate: int, segment: int = SEGMENT, bands: int = BANDS) -> Tensor:
    """Triangles evenly spaced in mel, float32 ``(bands, segment // 2 + 1)``, their peaks 1.

    ``mel = 2595 lg(1 + f / 700)`` (O'Shaughnessy 1987), from 0 to half the sampling rate in Hz.
    """
    top = 2595 * torch.log10(torch.tensor(1 + rate / 1400, dtype=torch.float64))
    edges = 700 * (10 ** (torch.linspace(0, 1, bands + 2, dtype=torch.float64) * top / 2595) - 1)
    f = torch.linspace(0, rate / 2, segment // 2 + 1, dtype=torch.float64)
    rising = (f - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - f) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float()


class LogMel(nn.Module):
    """Log-mel spectrograms of waveforms; the window and the mel bank are its buffers.

    The bank is zeros until `mel_bank` or a state is copied into it.
    """

    window: Tensor
    bank: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW))
        self.register_buffer("bank", torch.zeros(BANDS, SEGMENT // 2 + 1))

    def spectrogram(self, x: Tensor) -> Tensor:
        """Scaled logarithms of mel powers, ``(n, 1, bands, frames)``, of waveforms ``(n, T)``."""
        spectrum = torch.stft(x, SEGMENT, HOP, WINDOW, self.window, return_complex=True)
        power = self.bank @ spectrum.abs().square()
        frames = x.shape[1] // HOP // 2 * 2
        return ((power[:, None, :, :frames] + LEAST).log() - CENTRE) / SPREAD


class LogMelNet(LogMel):
    """A classifier of waveforms ``(T,)`` whose last hidden layer serves as the feature space.

    Parameters
    ----------
    shape
        ``(T,)``, at least 2,048 samples.
    classes
        Number of logits.
    channels
        Width of each convolution of its `ClassifierNet`.
    """

    def __init__(
        self, shape: tuple[int, ...], classes: int, channels: tuple[int, ...] = (32, 64, 64)
    ) -> None:
        super().__init__()
        self.net = ClassifierNet((1, BANDS, shape[0] // HOP // 2 * 2), classes, channels)

    def features(self, x: Tensor) -> Tensor:
        """Features after the ReLU, float32 ``(n, 128)``, of waveforms ``(n, T)``."""
        return self.net.features(self.spectrogram(x))

    def head(self, features: Tensor) -> Tensor:
        """Class logits ``(n, classes)`` of features."""
        logits: Tensor = self.net.head(features)
        return logits


@dataclass(frozen=True)
class LogMelRecipe:
    """The hyperparameters of one training; chosen on the validation split.

    Parameters
    ----------
    rate_hz
        Sampling rate, for the mel bank.
    epochs, batch_size
        Passes over the train split; rows per step.
    rate, weight_decay, smoothing
        Peak of the one-cycle learning rate of AdamW, its decay; label smoothing.
    delay
        Largest random delay in frames of 128 samples, per clip; silence moves in.
    gain
        Standard deviation of the random gain of a clip, in nepers of power.
    hidden_bands, hidden_frames
        Largest stretch of bands and of frames that are silenced in a batch (SpecAugment: Park et
        al. 2019, arXiv:1904.08779).
    seed
        Seeds the initial weights, the order, the augmentation and the dropout.
    channels
        See `LogMelNet`.
    """

    rate_hz: int
    epochs: int
    batch_size: int = 64
    rate: float = 3e-3
    weight_decay: float = 1e-2
    smoothing: float = 0.05
    delay: int = 12
    gain: float = 1.0
    hidden_bands: int = 8
    hidden_frames: int = 6
    seed: int = 0
    channels: tuple[int, ...] = (32, 64, 64)


def train_logmel(
    x: Tensor,
    y: Tensor,
    classes: int,
    recipe: LogMelRecipe,
    *,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> LogMelNet:
    """Train a `LogMelNet` on waveforms float32 ``(n, T)`` and labels int64 ``(n,)``.

    Returned in eval mode. The global random state is left as it was found. `report` is called with
    the number of epochs done and the mean loss of the last.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        net = LogMelNet(tuple(x.shape[1:]), classes, recipe.channels)
        net.bank.copy_(mel_bank(recipe.rate_hz))
        with torch.no_grad():
            seen = torch.cat([net.spectrogram(rows) for rows in torch.split(x, 256)])
        body = net.net.to(memory_format=torch.channels_last)
        descend(body, lambda rows: body(_changed(seen[rows], recipe)), y, recipe, report)
    return net.eval()


def _changed(x: Tensor, recipe: LogMelRecipe) -> Tensor:
    """Spectrograms ``(n, 1, bands, frames)`` delayed, louder or softer, with stretches silenced."""
    silence = (torch.tensor(LEAST).log() - CENTRE) / SPREAD
    n, _, bands, frames = x.shape
    delay = torch.randint(0, recipe.delay + 1, (n,))
    source = torch.arange(frames) - delay[:, None]
    moved = x.gather(3, source.clamp(min=0)[:, None, None].expand_as(x))
    heard = moved > silence + 0.1
    moved = torch.where(heard, moved + torch.randn(n, 1, 1, 1) * recipe.gain / SPREAD, moved)
    moved = torch.where(source[:, None, None] < 0, silence, moved).clamp(min=silence)
    for axis, size, most in ((2, bands, recipe.hidden_bands), (3, frames, recipe.hidden_frames)):
        first = int(torch.randint(0, size - most + 1, ()))
        moved.narrow(axis, first, most).fill_(silence)
    return moved
