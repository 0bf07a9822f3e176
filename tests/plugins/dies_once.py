"""A generator whose process ends without a word in a phase of choice, the first time only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData


@dataclass(frozen=True)
class DiesOnceParams:
    phase: str = "log_prob"


class DiesOnce:
    """A Gaussian around the mean of the training rows."""

    spec = GeneratorSpec(
        name="dies-once",
        version="1",
        family="test",
        kinds=("points",),
        labels="none",
        likelihood="exact",
        params=DiesOnceParams,
    )

    def __init__(self, params: DiesOnceParams, space: Space, device: torch.device) -> None:
        self.params = params
        self.mean = torch.zeros(2)

    def _maybe_die(self, phase: str) -> None:
        mark = Path(os.environ["DIES_ONCE"])
        if phase == self.params.phase and not mark.exists():
            mark.touch()
            os._exit(3)

    def fit(self, train: TrainData, run: Run) -> None:
        for x, _ in train.batches(50, seed=run.seed):
            self.mean = self.mean + x.mean(0) * len(x) / run.budget
            run.progress(length=self.mean.norm())

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return self.mean + torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        if len(x) > 16:  # not yet where the fitted process scores a few training rows
            self._maybe_die("log_prob")
        return torch.distributions.Normal(self.mean, 1.0).log_prob(x).sum(1)

    def state_dict(self) -> dict[str, Tensor]:
        self._maybe_die("state")
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"]
