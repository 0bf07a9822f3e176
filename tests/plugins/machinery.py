"""Generators that tell how many threads they were given, and one whose sums depend on it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from threadpoolctl import threadpool_info
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData
from genbench.system.threads import COUNTS


@dataclass(frozen=True)
class NoParams:
    pass


def spec(name: str) -> GeneratorSpec:
    return GeneratorSpec(name=name, version="1", family="test", kinds=("points",), labels="none",
                         likelihood=None, params=NoParams)  # fmt: skip


def threads() -> list[int]:
    """Of torch, between its operations, the most of any library, and of what is started later."""
    libraries = [info["num_threads"] for info in threadpool_info()]
    told = [int(os.environ[name]) for name in COUNTS]
    return [torch.get_num_threads(), torch.get_num_interop_threads(), max(libraries), max(told)]


class Tells:
    """Its samples are the numbers of threads in fit and in sample, and the spinning allowed."""

    spec = spec("tells")

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self.seen: list[int] = []

    def fit(self, train: TrainData, run: Run) -> None:
        self.seen = threads()
        elsewhere: list[int] = []
        other = threading.Thread(target=lambda: elsewhere.extend(threads()))
        other.start()
        other.join()
        self.seen += elsewhere
        for _ in train.batches(100, seed=run.seed):
            pass

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        spins = [int(os.environ.get(k, -1)) for k in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")]
        told = torch.tensor([*self.seen, *threads(), *spins], dtype=torch.float32)
        rows = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
        rows[: len(told), 0] = told
        return rows

    def state_dict(self) -> dict[str, Tensor]:
        return {"seen": torch.tensor(self.seen)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.seen = state["seen"].tolist()


class Sums:
    """Trains a small network; on two threads its sums, and so its samples, have other bits."""

    spec = spec("sums")

    def __init__(self, params: NoParams, space: Space, device: torch.device) -> None:
        self.shift = torch.zeros(2)

    def fit(self, train: TrainData, run: Run) -> None:
        rng = torch.Generator().manual_seed(run.seed)
        big = torch.randn(1_000_003, generator=rng)
        for x, _ in train.batches(200, seed=run.seed):
            self.shift = self.shift + x.mean(0) + big.sum() * 1e-4
            big = big * 1.0001 + x.sum() * 1e-6

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        return self.shift + torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))

    def state_dict(self) -> dict[str, Tensor]:
        return {"shift": self.shift}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.shift = state["shift"]
