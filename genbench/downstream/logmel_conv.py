"""The network that judges sounds: two convolutions over a log-mel spectrogram."""

from __future__ import annotations

from torch import Tensor

from genbench.downstream.networks import JudgeNet
from genbench.features import LogMelNet, mel_bank
from genbench.generator import Space

CHANNELS = (32, 64)  # a third of the time of the extractors' three layers, at the same accuracy


class LogMelConvNet(JudgeNet):
    """The extractors' network, smaller, of weights of its own (`genbench.features.logmel`)."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.net = LogMelNet(space.shape, space.classes, CHANNELS)
        self.net.bank.copy_(mel_bank(space.rate))

    def seen(self, rows: Tensor) -> Tensor:
        """Log-mel spectrograms ``(n, 1, bands, frames)`` of waveforms ``(n, T)``."""
        return self.net.spectrogram(rows)

    def logits(self, seen: Tensor) -> Tensor:
        """Logits ``(n, classes)``, with dropout while it is trained."""
        logits: Tensor = self.net.net(seen)
        return logits
