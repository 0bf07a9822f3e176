"""Controls of sounds: `LogMelGaussian`, and what `Noise` and `Gaussian` do with waveforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.baselines.controls_parts import proportional_labels
from genbench.baselines.spectrogram import BANDS, Spectrogram
from genbench.generator import GeneratorSpec, Run, Samples, Space, TrainData

COMPONENTS = 64  # directions of a class's spectrograms that vary together; the others are still


def levels(x: Tensor) -> Tensor:
    """The root mean square of each waveform ``(n, T)``."""
    return x.float().square().mean(1).sqrt()


def white(level: Tensor, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """White noise ``(n, T)`` of levels drawn from those of real rows ``(m,)``; clipped."""
    chosen = level[torch.randint(len(level), (shape[0],), generator=rng)]
    return (chosen[:, None] * torch.randn(shape, generator=rng)).clamp(-1, 1)


def mean_power(x: Tensor) -> Tensor:
    """The mean power of waveforms ``(n, T)`` by frequency, ``(T // 2 + 1,)``; 0 for none."""
    if len(x) == 0:
        return torch.zeros(x.shape[1] // 2 + 1)
    total = torch.zeros(x.shape[1] // 2 + 1, dtype=torch.float64)
    for rows in x.split(256):
        total += torch.fft.rfft(rows.double()).abs().square().sum(0)
    return (total / len(x)).float()


def coloured(power: Tensor, n: int, length: int, rng: torch.Generator) -> Tensor:
    """Stationary Gaussian noise ``(n, length)`` whose expected power by frequency is `power`."""
    spectrum = torch.fft.rfft(torch.randn(n, length, generator=rng))
    return torch.fft.irfft(spectrum * (power / length).sqrt(), length).clamp(-1, 1)


@dataclass(frozen=True, slots=True)
class NoParams:
    """A control without parameters."""


class LogMelGaussian:
    """A Gaussian per class on log-mel spectrograms, made audible by Griffin-Lim.

    Its mean, and the 64 directions in which the class's spectrograms vary most. What a network has
    to beat: it knows how loud every band is at every moment, and nothing of words or notes.
    """

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="logmel-gaussian",
        version="1",
        family="control",
        kinds=("waveform",),
        labels="own",
        likelihood=None,
        params=NoParams,
    )

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self._space, self._device = space, device
        self._spectrogram = Spectrogram(space.dims, space.rate)
        self._state: dict[str, Tensor] = {}

    def fit(self, train: TrainData, run: Run) -> None:
        x, y = train.x.cpu(), train.y
        groups = [x] if y is None else [x[y.cpu() == c] for c in range(self._space.classes)]
        size = BANDS * self._spectrogram.frames
        parts = min(COMPONENTS, size)
        mean, factor = torch.zeros(len(groups), size), torch.zeros(len(groups), parts, size)
        for c, group in enumerate(groups):
            if len(group) == 0:
                continue
            rows = self._spectrogram(group).flatten(1).double()
            mean[c] = rows.mean(0).float()
            _, spread, directions = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
            k = min(parts, len(spread))
            scaled = directions[:k] * spread[:k, None] / max(1, len(group) - 1) ** 0.5
            factor[c, :k] = scaled.float()
        count = torch.tensor([len(group) for group in groups])
        self._state = {"count": count, "mean": mean, "factor": factor}

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        rng = torch.Generator().manual_seed(seed)
        y = proportional_labels(self._state["count"], n, rng)
        noise = torch.randn(n, self._state["factor"].shape[1], generator=rng)
        logarithms = torch.empty(n, self._state["mean"].shape[1])
        for c in range(len(self._state["count"])):
            mine = y == c
            logarithms[mine] = self._state["mean"][c] + noise[mine] @ self._state["factor"][c]
        shaped = logarithms.reshape(n, BANDS, self._spectrogram.frames)
        x = self._spectrogram.waveforms(shaped, rng).to(self._device)
        return Samples(x, y.to(self._device)) if self._space.classes else x

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._state = {name: value.cpu() for name, value in state.items()}

    def available(self) -> int | None:
        """None: it can be drawn from without end."""
        return None
