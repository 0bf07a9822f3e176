"""Generators that each break in one way."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData


@dataclass(frozen=True)
class NoParams:
    pass


def spec(name: str, **changes: object) -> GeneratorSpec:
    fields = {"version": "1", "family": "faulty", "kinds": ("points",), "labels": "none",
              "likelihood": None, "params": NoParams}  # fmt: skip
    return GeneratorSpec(name=name, **{**fields, **changes})  # type: ignore[arg-type]


class Sound:
    spec = spec("sound")

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self.device = device

    def fit(self, train: TrainData, run: Run) -> None:
        for batch in train.batches(500, seed=run.seed):
            run.progress(mean=batch.x.mean())

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        pass


class Raises(Sound):
    spec = spec("raises")

    def fit(self, train: TrainData, run: Run) -> None:
        raise RuntimeError("the optimiser exploded")


class CardIsFull(Sound):
    spec = spec("card-is-full")

    def fit(self, train: TrainData, run: Run) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


class CardFails(Sound):
    spec = spec("card-fails")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


class Nan(Sound):
    spec = spec("nan")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return torch.full((n, 2), torch.nan)


class WrongShape(Sound):
    spec = spec("wrong-shape")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return torch.zeros(n, 3)


class WrongDtype(Sound):
    spec = spec("wrong-dtype")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return torch.zeros(n, 2, dtype=torch.float64)


class TooFew(Sound):
    spec = spec("too-few")

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return torch.zeros(n - 1, 2)


class Segfault(Sound):
    spec = spec("segfault")

    def fit(self, train: TrainData, run: Run) -> None:
        ctypes.string_at(0)


class Exits(Sound):
    spec = spec("exits")

    def fit(self, train: TrainData, run: Run) -> None:
        os._exit(0)


class Chatty(Sound):
    spec = spec("chatty")

    def fit(self, train: TrainData, run: Run) -> None:
        print("{not json")
        sys.stdout.write("x" * (6 << 20))
        os.chdir("/")
        torch.Tensor.mean = None  # type: ignore[assignment,method-assign]


class BadDensity(Sound):
    spec = spec("bad-density", likelihood="exact")

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        return torch.full((len(x),), torch.nan)


class Hangs(Sound):
    spec = spec("hangs")

    def fit(self, train: TrainData, run: Run) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)


class Hungry(Sound):
    spec = spec("hungry")

    def fit(self, train: TrainData, run: Run) -> None:
        kept = []
        while True:
            kept.append(torch.ones(16 << 20))
            time.sleep(0.02)
