"""Generators whose samplers are as `genbench export` should find them, or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genbench.generator import GeneratorSpec, Run, Space, TrainData


@dataclass(frozen=True)
class Params:
    """One parameter."""

    scale: float = 3.0


class Net(nn.Module):
    """Noise of two numbers to points."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        points: Tensor = self.layer(noise)
        return points


def spec(name: str) -> GeneratorSpec:
    return GeneratorSpec(name, "1", "test", ("points",), "none", None, Params)


class Bare:
    """A Gaussian, and no sampler."""

    spec: ClassVar[GeneratorSpec] = spec("bare")

    def __init__(self, params: Params, space: Space, device: torch.device) -> None:
        self.params = params
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.net = self.made()

    def made(self) -> nn.Module:
        return Net()

    def fit(self, train: TrainData, run: Run) -> None:
        batches: Iterator[Any] = train.batches(100, seed=run.seed)
        for x, _ in batches:
            with torch.no_grad():
                self.net.layer.bias.copy_(x.mean(0))
                self.net.layer.weight.copy_(torch.eye(2) * self.params.scale)

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            return Net.forward(self.net, noise, None)  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Tensor]:
        return dict(self.net.state_dict())

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.net.load_state_dict(dict(state))


class Fine(Bare):
    """A sampler as it should be, as an attribute that is there from the start."""

    spec: ClassVar[GeneratorSpec] = spec("fine")
    noise_size = 2

    @property
    def sampler(self) -> nn.Module:
        return self.net


class Sized(Fine):
    """One that does not say how much noise it takes."""

    spec: ClassVar[GeneratorSpec] = spec("unsized")
    noise_size = None  # type: ignore[assignment]


class Drawing(Fine):
    """One that draws noise of its own."""

    spec: ClassVar[GeneratorSpec] = spec("drawing")

    def made(self) -> nn.Module:
        class Own(Net):
            def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
                return super().forward(noise + torch.randn_like(noise), labels)

        return Own()


class Branching(Fine):
    """One that does another thing where its noise is negative."""

    spec: ClassVar[GeneratorSpec] = spec("branching")

    def made(self) -> nn.Module:
        class Own(Net):
            def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
                rows = super().forward(noise, labels)
                return rows + 5 if float(noise.sum()) > 0 else rows

        return Own()


class Whole(Fine):
    """One that returns whole numbers."""

    spec: ClassVar[GeneratorSpec] = spec("whole")

    def made(self) -> nn.Module:
        class Own(Net):
            def forward(self, noise: Tensor, labels: Tensor | None) -> Tensor:
                return super().forward(noise, labels).long()

        return Own()


class NoModule(Fine):
    """A function in the place of a module."""

    spec: ClassVar[GeneratorSpec] = spec("no-module")
    sampler = staticmethod(lambda noise, labels: noise)  # type: ignore[assignment]
