"""Sampling from `flow`, and from `pixelcnn`: scalar by scalar. A card replays one graph for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from genbench.baselines.flow_networks import Conditioner, Place, Solver, put
from genbench.generator import CapturedStep, captures


class RowModel(Protocol):
    """A distribution of rows of scalars, each given those before it."""

    net: Conditioner
    rows: int
    width: int

    def solver(self) -> Solver:
        """The inverse of a scalar's CDF."""

    def from_rows(self, v: Tensor) -> Tensor:
        """Examples of scalars (n, rows, width)."""


class Inverse:
    """The map z -> u of `n` examples at once, for a model's weights as they are now.

    A scalar takes a hundred small kernels and an image has many scalars: a card that is told of
    every kernel mostly waits. So what is done for a scalar is one step, and where is its input.
    """

    @torch.no_grad()
    def __init__(self, model: RowModel, n: int) -> None:
        self.model, net, zeros = model, model.net, model.net.place.new_zeros
        device, columns = net.place.device, range(model.width)
        self.x = zeros(n, len(columns), net.first.n_in)  # features of the row at hand
        self.context, *self.hidden = (zeros(n, len(columns), net.first.n_out) for _ in range(3))
        self.solve = model.solver()
        self.columns: Sequence[Place] = columns
        if captures(device):
            self.columns = torch.arange(len(columns), device=device)[:, None].unbind()
        self.step = CapturedStep(self._scalar, device)

    @torch.no_grad()
    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        """u, (n, channels, rows, columns) or (n, d), of z in (0, 1), (n, rows, width)."""
        v, net = torch.empty_like(z), self.model.net
        past: list[list[Tensor]] = [[] for _ in net.blocks]
        for r in range(self.model.rows):
            above = self.x.flatten(1) if r else None
            self.context.copy_(net.begin_row(above, y, past).view_as(self.context))
            for part in (self.x, *self.hidden):
                part.zero_()
            for c, column in enumerate(self.columns):
                (v[:, r, c],) = self.step(column, z[:, r, c])
        return self.model.from_rows(v)

    def _scalar(self, column: Place, z: Tensor) -> tuple[Tensor]:
        net = self.model.net
        v = self.solve(z, net.scalar(column, self.x, self.context, self.hidden))
        put(self.x, column, net.features(v[:, None]))
        return (v,)
