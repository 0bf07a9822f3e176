"""Generators whose states of the way fail in each manner there is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData


@dataclass(frozen=True)
class CourseParams:
    pass


def spec(name: str) -> GeneratorSpec:
    return GeneratorSpec(
        name=name, version="1", family="test", kinds=("points", "image"), labels="none",
        likelihood=None, params=CourseParams,
    )  # fmt: skip


class Steady:
    """A Gaussian around the mean of the rows seen so far."""

    spec = spec("steady")

    def __init__(self, params: CourseParams, space: Space, device: torch.device) -> None:
        self.space = space
        self.mean = torch.zeros(space.shape)
        self.seen = 0

    def fit(self, train: TrainData, run: Run) -> None:
        for x, _ in train.batches(50, seed=run.seed, start=run.served):
            self.mean = self.mean + (x.float().mean(0) - self.mean) * len(x) / run.served
            run.snapshot(self.kept)
            run.checkpoint(self.kept)

    def kept(self) -> dict[str, Any]:
        return self.state_dict()

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        noise = torch.randn(n, *self.space.shape, generator=torch.Generator().manual_seed(seed))
        x = self.mean + noise
        return x.round().clamp(0, 16).to(torch.uint8) if self.space.levels else x

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"]


class Halved(Steady):
    """Its snapshots lack what loading needs."""

    spec = spec("halved")

    def kept(self) -> dict[str, Any]:
        return {"half": self.mean}


class NoTensors(Steady):
    """Its snapshots are not made of tensors."""

    spec = spec("no-tensors")

    def kept(self) -> dict[str, Any]:
        return {"mean": self.mean if len(self.mean) > 2 else object()}

    def fit(self, train: TrainData, run: Run) -> None:
        for x, _ in train.batches(50, seed=run.seed):
            self.mean = x.mean(0)
            run.snapshot(self.kept)


class Infinite(Steady):
    """Its early states draw no rows of the space; the last one does."""

    spec = spec("infinite")

    def kept(self) -> dict[str, Any]:
        return {"mean": self.mean * float("inf")}


class Leaves(Steady):
    """The process that loads a state ends without a word, the first time."""

    spec = spec("leaves")

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        super().load_state_dict(state)
        mark = Path(os.environ["LEAVES"])
        if not mark.exists():
            mark.touch()
            os._exit(3)
