"""A Gaussian fitted by moments: the smallest generator that obeys the whole contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData


@dataclass(frozen=True)
class NormalParams:
    scale: float = 1.0
    batch: int = 100


class Normal:
    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="normal",
        version="1",
        family="gaussian",
        kinds=("points",),
        labels="none",
        likelihood="exact",
        params=NormalParams,
        reference="Gauss 1809",
    )

    def __init__(self, params: NormalParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.mean = torch.zeros(space.dims, device=device)
        self.sd = torch.ones(space.dims, device=device)

    def fit(self, train: TrainData, run: Run) -> None:
        total = torch.zeros(2, *self.mean.shape, device=self.device)
        state = run.restore()
        if state is not None:
            total = state["total"]
        for x, _ in train.batches(self.params.batch, seed=run.seed, start=run.served):
            total = total + torch.stack([x.sum(0), x.square().sum(0)])
            run.progress(mean=total[0].mean() / run.served)
            run.checkpoint(lambda total=total: {"total": total})
        self.mean = total[0] / run.served
        self.sd = (total[1] / run.served - self.mean.square()).sqrt() * self.params.scale

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        generator = torch.Generator(self.device).manual_seed(seed)
        noise = torch.randn(n, self.space.dims, generator=generator, device=self.device)
        return self.mean + self.sd * noise

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        return torch.distributions.Normal(self.mean, self.sd).log_prob(x).sum(1)

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "sd": self.sd}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.mean, self.sd = state["mean"], state["sd"]
