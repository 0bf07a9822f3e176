"""A generator whose fit takes a while and checkpoints: what resume is tested with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData
from genbench.plugins import training


@dataclass(frozen=True)
class SlowParams:
    pause: float = 0.02
    save_every: float = 30.0


class Slow:
    """Adds up noise drawn batch by batch, so that a lost or repeated batch changes the samples."""

    spec = GeneratorSpec(
        name="slow",
        version="1",
        family="test",
        kinds=("points",),
        labels="none",
        likelihood=None,
        params=SlowParams,
    )

    def __init__(self, params: SlowParams, space: Space, device: torch.device) -> None:
        self.params = params
        self.walk = torch.zeros(2)

    def fit(self, train: TrainData, run: Run) -> None:
        training.CHECKPOINT_SECONDS = self.params.save_every
        rng = torch.Generator().manual_seed(run.seed)
        state = run.restore()
        if state is not None:
            rng.set_state(state["rng"])
            self.walk = state["walk"]
        for x, _ in train.batches(10, seed=run.seed, start=run.served):
            self.walk = self.walk + x.mean(0) * torch.randn(2, generator=rng)
            run.progress(walk=self.walk.sum())
            time.sleep(self.params.pause)
            run.snapshot(self.state_dict)
            run.checkpoint(lambda: {"rng": rng.get_state(), "walk": self.walk})

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return self.walk + torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))

    def state_dict(self) -> dict[str, Tensor]:
        return {"walk": self.walk}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.walk = state["walk"]
