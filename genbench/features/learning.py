"""The way in which the networks of extractors learn to tell classes apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Report = Callable[[int, float], None]


class Pace(Protocol):
    """What recipes share."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def smoothing(self) -> float: ...


def descend(
    net: nn.Module, logits_of: Callable[[Tensor], Tensor], y: Tensor, pace: Pace, report: Report
) -> None:
    """Train `net` by AdamW along one cycle of rates, on the cross entropy of labels ``(n,)``.

    `logits_of` gives logits ``(k, classes)`` of rows by their numbers, int64 ``(k,)``. `report` is
    called with the number of epochs done and the mean loss of the last. Draws from the global
    random state.
    """
    steps = pace.epochs * -(-len(y) // pace.batch_size)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=pace.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, pace.rate, total_steps=steps)
    for epoch in range(pace.epochs):
        total = 0.0
        for rows in torch.split(torch.randperm(len(y)), pace.batch_size):
            loss = F.cross_entropy(logits_of(rows), y[rows], label_smoothing=pace.smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        report(epoch + 1, total / len(y))
