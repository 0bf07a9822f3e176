"""Classifiers that are networks, and the loop that trains them all.

Every step sees exactly as many rows of a stream of reshuffled epochs, so that arms with few rows
take as many steps as arms with many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.downstream.classifier import Lesson
from genbench.generator import CapturedStep, Space, captures
from genbench.seeds import derive_seed

BETA2 = 0.999  # Adam's memory of squared gradients
PEAK_RATE = 4e-3  # chosen on MNIST's validation rows: 10,000 rows, 500 steps of 128
CHUNK = 256  # rows whose view is computed at once


class JudgeNet(nn.Module, ABC):
    """A network of two parts: a view of the rows that has no weights, and the rest."""

    def seen(self, rows: Tensor) -> Tensor:
        """The view of rows ``(n, *shape)``; the rows themselves if there is nothing to compute."""
        return rows

    @abstractmethod
    def logits(self, seen: Tensor) -> Tensor:
        """Logits ``(n, classes)``."""

    def forward(self, rows: Tensor) -> Tensor:
        """Logits ``(n, classes)`` of rows ``(n, *shape)``."""
        return self.logits(self.seen(rows))


@dataclass(frozen=True)
class Network:
    """A trained network in eval mode, with the space it reads and where it runs."""

    net: JudgeNet
    space: Space
    device: torch.device

    def probabilities(self, rows: Tensor) -> Tensor:
        """The softmax of its logits."""
        logits: Tensor = self.net(rows)
        return logits.softmax(1)

    def state(self) -> dict[str, Tensor]:
        """Its weights."""
        return self.net.state_dict()


@dataclass(frozen=True)
class NetworkJudge:
    """Trains a network with Adam and a one-cycle learning rate; `make` draws initial weights."""

    name: str
    version: str
    space: Space
    make: Callable[[Space], JudgeNet]
    stepwise: bool = True

    def train(self, x: Tensor, y: Tensor, lesson: Lesson) -> Network:
        """See `genbench.downstream.classifier.Judge`."""
        target = lesson.device
        with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
            torch.manual_seed(derive_seed(lesson.seed, "classifier"))
            net = self.make(self.space).to(target).to(memory_format=torch.channels_last)
            _teach(net, x.to(target), y.to(target), lesson)
        return self._ready(net, target)

    def load(self, state: dict[str, Tensor], device: torch.device) -> Network:
        """See `genbench.downstream.classifier.Judge`."""
        with torch.device("meta"):  # no initial weights: loading draws no random numbers
            net = self.make(self.space)
        net.load_state_dict(state, assign=True)
        return self._ready(net.to(device).to(memory_format=torch.channels_last), device)

    def _ready(self, net: JudgeNet, device: torch.device) -> Network:
        return Network(net.eval().requires_grad_(False), self.space, device)


def _teach(net: JudgeNet, x: Tensor, y: Tensor, lesson: Lesson) -> None:
    """Train a network on rows and labels that are where it is."""
    steps, size, transform = lesson.steps, lesson.batch_size, lesson.transform
    weights = (
        None
        if lesson.class_weights is None
        else torch.tensor(lesson.class_weights, dtype=torch.float32, device=x.device)
    )
    optimizer = _optimizer(net)
    rows_seen = _seen(net, x) if transform is None else x

    def step(rows: Tensor, rate: float | Tensor, momentum: float | Tensor) -> tuple[()]:
        (group,) = optimizer.param_groups
        group["lr"], group["betas"] = rate, (momentum, BETA2)
        optimizer.zero_grad()
        batch = rows_seen[rows] if transform is None else net.seen(transform(x[rows]))
        F.cross_entropy(net.logits(batch), y[rows], weights).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return ()

    train = CapturedStep(step, x.device)
    order = _order(len(x), steps * size).to(x.device).view(steps, size)
    for rows, cycle in zip(order, _one_cycle(steps), strict=True):
        train(rows, *cycle)


def _seen(net: JudgeNet, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([net.seen(rows) for rows in torch.split(x, CHUNK)])


def _optimizer(net: nn.Module) -> torch.optim.Adam:
    """Adam whose rate and momentum may change from step to step, also within a captured one."""
    if captures(next(net.parameters()).device):  # the fused kernel takes no momentum as a tensor
        return torch.optim.Adam(net.parameters(), foreach=False, capturable=True)
    return torch.optim.Adam(net.parameters(), fused=True)


def _one_cycle(steps: int) -> Iterator[tuple[float, float]]:
    """The rate and the momentum of each step: torch's one-cycle schedule, of an idle optimiser."""
    optimizer = torch.optim.Adam([torch.zeros(())], betas=(0.9, BETA2))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for _ in range(steps):
        (group,) = optimizer.param_groups
        yield group["lr"], group["betas"][0]
        optimizer.step()
        schedule.step()


def _order(n: int, total: int) -> Tensor:
    """`total` row numbers: as many whole permutations of ``0 .. n - 1`` as it takes."""
    epochs = -(-total // n)
    return torch.cat([torch.randperm(n) for _ in range(epochs)])[:total]
