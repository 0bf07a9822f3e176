"""Networks of sounds that others trained, and the spectrograms that they hear.

Each is written anew from its publication and takes the published weights under their own names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE = 16_000  # Hz, of all of them


class SpeakerNet(nn.Module):
    """The speaker encoder of Wan et al. 2018 (arXiv:1710.10467), as Resemblyzer trained it.

    From mel powers ``(n, 160, 40)``, which last 1.6 s, to embeddings ``(n, 256)`` of length 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        """The embedding of each stretch."""
        _, (hidden, _) = self.lstm(mels)
        return F.normalize(self.linear(hidden[-1]).relu(), dim=1)


class PitchNet(nn.Module):
    """The first five layers of CREPE (Kim et al. 2018, arXiv:1802.06182), from frames of 64 ms.

    From standardised frames ``(n, 1024)`` to ``(n, 8 * channels)``: what its pitches are read off.

    Parameters
    ----------
    widths
        Channels of the five layers.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        before = 1
        for i, width in enumerate(widths, start=1):
            size, stride = ((512, 1), (4, 1)) if i == 1 else ((64, 1), (1, 1))
            self.add_module(f"conv{i}", nn.Conv2d(before, width, size, stride))
            self.add_module(f"conv{i}_BN", nn.BatchNorm2d(width, eps=0.0010000000474974513))
            before = width
        self._layers = len(widths)

    def forward(self, frames: Tensor) -> Tensor:
        """The embedding of each frame."""
        x = frames[:, None, :, None]
        for i in range(1, self._layers + 1):
            x = F.pad(x, (0, 0, 254, 254) if i == 1 else (0, 0, 31, 32))
            x = self.get_submodule(f"conv{i}")(x).relu()
            x = F.max_pool2d(self.get_submodule(f"conv{i}_BN")(x), (2, 1))
        return x.flatten(1)


class AudioNet(nn.Module):
    """VGGish (Hershey et al. 2017, arXiv:1609.09430).

    From log-mel spectrograms ``(n, 96, 64)``, which last 0.96 s, to embeddings ``(n, 128)``.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for widths in ((64,), (128,), (256, 256), (512, 512)):
            for width in widths:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        # The distance is defined on what the last layer gives before its ReLU.
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 6 * 4, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, 128),
        )  # fmt: skip

    def forward(self, spectrograms: Tensor) -> Tensor:
        """The embedding of each stretch; places come before channels, as TensorFlow has them."""
        x = self.features(spectrograms[:, None]).permute(0, 2, 3, 1).flatten(1)
        embeddings: Tensor = self.embeddings(x)
        return embeddings


def slaney_bank(bands: int, bins: int) -> Tensor:
    """Triangles of unit area from 0 to 8 kHz, float32 ``(bands, bins)``.

    Evenly spaced on the scale of Slaney 1998 (Auditory Toolbox): linear below 1 kHz, logarithmic
    above.
    """
    step, knee = 200 / 3, 1000.0
    ratio = 6.4 ** (1 / 27)
    top = knee / step + torch.log(torch.tensor(RATE / 2 / knee, dtype=torch.float64)) / (
        torch.log(torch.tensor(ratio, dtype=torch.float64))
    )
    mels = torch.linspace(0, 1, bands + 2, dtype=torch.float64) * top
    above = knee * ratio ** (mels - knee / step)
    edges = torch.where(mels < knee / step, mels * step, above)
    bank = _triangles(edges, torch.linspace(0, RATE / 2, bins, dtype=torch.float64))
    return (bank * (2 / (edges[2:] - edges[:-2]))[:, None]).float()


def audioset_bank() -> Tensor:
    """VGGish's 64 triangles from 125 to 7,500 Hz over 257 bins, float32 ``(64, 257)``.

    They are straight on the mel scale ``1127 ln(1 + f / 700)``; the bin of 0 Hz is left out.
    """
    low, high = (_mel(torch.tensor(f, dtype=torch.float64)) for f in (125.0, 7500.0))
    edges = low + torch.linspace(0, 1, 66, dtype=torch.float64) * (high - low)
    bank = _triangles(edges, _mel(torch.linspace(0, RATE / 2, 257, dtype=torch.float64)))
    bank[:, 0] = 0
    return bank.float()


def _mel(f: Tensor) -> Tensor:
    return 1127 * torch.log1p(f / 700)


def _triangles(edges: Tensor, places: Tensor) -> Tensor:
    """Triangles between each edge and the next but one, peak 1, at these places."""
    rising = (places - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - places) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)
