"""The control that sounds have beside those of everything: `LogMelGaussian`."""

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
