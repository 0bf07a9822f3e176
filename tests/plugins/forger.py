"""Generators that would rather write their own results than earn them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData


@dataclass(frozen=True)
class NoParams:
    pass


def named(name: str, likelihood: str | None = None) -> GeneratorSpec:
    return GeneratorSpec(name, "1", "test", ("points",), "none", likelihood, NoParams)


def attempt_folders() -> list[Path]:
    """Folders of attempts under way, found as a plugin can: by looking."""
    return [path.parent for path in Path(os.environ["FORGER"]).rglob("spec.json")]


class Honest:
    """A Gaussian of the training rows' mean and deviation."""

    spec: ClassVar[GeneratorSpec] = named("honest", "exact")

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.mean = self.sd = torch.ones(2)

    def fit(self, train: TrainData, run: Run) -> None:
        for x, _ in train.batches(1000, seed=run.seed):
            self.mean, self.sd = x.mean(0), x.std(0)

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        return self.mean + self.sd * torch.randn(n, 2, generator=rng)

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        return torch.distributions.Normal(self.mean, self.sd).log_prob(x).sum(1)

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "sd": self.sd}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.mean, self.sd = state["mean"], state["sd"]


class Ghost(Honest):
    """Writes samples and an account of itself wherever it can, and leaves."""

    spec = named("ghost")

    def fit(self, train: TrainData, run: Run) -> None:
        rows = np.zeros((300, 2), np.float32)
        told = {"status": "ok", "phase": "state", "error": None, "examples_served": 1000,
                "raw_access": False, "curves": {}, "timing": {"fit_s": 1e-9, "sample_s": 1e-9},
                "resources": {}}  # fmt: skip
        for folder in [*attempt_folders(), *(f / "work" for f in attempt_folders())]:
            for write in (
                lambda f: np.savez(f / "samples.npz", x=rows),
                lambda f: (f / "generation.json").write_text(json.dumps(told)),
            ):
                try:
                    write(folder)
                except OSError:
                    continue
        os._exit(0)


class Meddler(Honest):
    """Samples honestly, then changes the file."""

    spec = named("meddler")

    def state_dict(self) -> dict[str, Tensor]:
        time.sleep(0.5)  # until the samples are written
        for folder in attempt_folders():
            path = folder / "samples.npz"
            try:
                np.savez(path, x=np.zeros((300, 2), np.float32))
            except OSError:
                continue
        return super().state_dict()


class Intruding(Honest):
    """Writes into every socket that it has."""

    spec = named("noisy-wire")

    def fit(self, train: TrainData, run: Run) -> None:
        super().fit(train, run)
        for number in range(3, 64):
            try:
                os.write(number, b"\xff" * 100)
            except OSError:
                continue


class Forgetful(Honest):
    """Its state lacks what its log_prob needs."""

    spec = named("forgetful", "exact")

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"]


class Boaster(Honest):
    """Claims ten times the density it has."""

    spec = named("boaster", "exact")

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        return super().log_prob(x, seed=seed) + 2.3


class Mute(Honest):
    """Raises in log_prob."""

    spec = named("mute", "exact")

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        raise RuntimeError("no words")
