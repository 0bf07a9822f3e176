"""Generators that return the rows they were given, or fail at it: for the downstream protocols."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from genbench.generator import GeneratorSpec, Samples


@dataclass(frozen=True)
class Params:
    """``diary`` gets one file per fit with the rows that were handed over."""

    diary: str = ""


def spec(name: str, labels: str, **more: object) -> GeneratorSpec:
    return GeneratorSpec(name, "1", "test", ("image",), labels, None, Params, **more)


class Parrot:
    """Samples of a class are training rows of that class."""

    spec = spec("parrot", "given")

    def __init__(self, params, space, device):
        self.params, self.device = params, device

    def fit(self, train, run):
        self.x, self.y = train.x, train.y
        for _ in train.batches(50, seed=run.seed):
            run.progress(loss=0.0)
        if self.params.diary:
            path = f"{self.params.diary}/{os.getpid()}-{run.seed}.pt"
            torch.save({"x": self.x, "y": self.y, "budget": run.budget}, path)

    def pick(self, n, seed, labels):
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(0, len(self.x), (n,), generator=generator)
        if labels is not None:
            for i, label in enumerate(labels.tolist()):
                own = (self.y == label).nonzero().flatten()
                if len(own):
                    rows[i] = own[rows[i] % len(own)]
        return rows

    def sample(self, n, *, seed, labels=None):
        return self.x[self.pick(n, seed, labels)].clone()

    def state_dict(self):
        return {"x": self.x, "y": self.y}

    def load_state_dict(self, state):
        self.x, self.y = state["x"], state["y"]


class Mute(Parrot):
    """The same without labels."""

    spec = spec("mute", "none")


class Own(Parrot):
    """The same with labels of its own."""

    spec = spec("own", "own")

    def sample(self, n, *, seed, labels=None):
        rows = self.pick(n, seed, None)
        return Samples(self.x[rows].clone(), self.y[rows].clone())


class Smooth(Parrot):
    """New rows: a training row shifted by one grey level, so that none is an exact copy."""

    spec = spec("smooth", "given")

    def sample(self, n, *, seed, labels=None):
        x = super().sample(n, seed=seed, labels=labels).to(torch.int16)
        generator = torch.Generator().manual_seed(seed + 1)
        noise = torch.randint(-1, 2, x.shape, generator=generator, dtype=torch.int16)
        return (x + noise).clamp(0, 16).to(torch.uint8)


class Worldly(Parrot):
    """Saw other data."""

    spec = spec("worldly", "given", pretrained_on="the internet")


class Fragile(Parrot):
    """Fits the whole split but not a few rows."""

    spec = spec("fragile", "given")

    def fit(self, train, run):
        if train.n < 500:
            raise RuntimeError(f"{train.n} rows are not enough for me")
        super().fit(train, run)
