"""The network that judges sounds: two convolutions over a coarse log-mel spectrogram."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from genbench.downstream.networks import JudgeNet
from genbench.features import BANDS, HOP, ClassifierNet, LogMel, mel_bank
from genbench.generator import Space

COARSER = 2  # bands, and frames, in one: a third of the time, at the accuracy of all of them
CHANNELS = (32, 64)


class LogMelConvNet(JudgeNet):
    """The spectrogram that the extractors of sounds hear, and a smaller network."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.front = LogMel()
        self.front.bank.copy_(mel_bank(space.rate))
        self._frames = space.shape[0] // HOP // (2 * COARSER) * 2  # even: see ClassifierNet
        size = (1, BANDS // COARSER, self._frames)
        self.net = ClassifierNet(size, space.classes, CHANNELS)

    def seen(self, rows: Tensor) -> Tensor:
        """Log-mel spectrograms ``(n, 1, bands, frames)`` of waveforms ``(n, T)``."""
        whole = self.front.spectrogram(rows)
        return F.avg_pool2d(whole, COARSER)[..., : self._frames]

    def logits(self, seen: Tensor) -> Tensor:
        """Logits ``(n, classes)``, with dropout while it is trained."""
        logits: Tensor = self.net(seen)
        return logits
