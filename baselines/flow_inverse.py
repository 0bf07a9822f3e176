"""Sampling from `flow`: its inverse, scalar by scalar. A card replays one graph for all of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genbench.baselines.flow_networks import Density, Place, put
from genbench.generator import CapturedStep, captures


class Inverse:
    """The map z -> u of `n` examples at once, for a density's weights as they are now.

    A scalar takes a hundred small kernels and an image has many scalars: a card that is told of
    every kernel mostly waits. So what is done for a scalar is one step, and where is its input.
    """

    @torch.no_grad()
    def __init__(self, density: Density, n: int) -> None:
        self.density, net, zeros = density, density.net, density.low.new_zeros
        device, columns = density.low.device, range(density.width)
        self.x = zeros(n, len(columns), net.first.n_in)  # features of the row at hand
        self.context, *self.hidden = (zeros(n, len(columns), net.first.n_out) for _ in range(3))
        self.cdfs, self.knots = density.maps.cdfs(), density.maps.knots()
        self.table = self.cdfs(self.knots)
        self.columns: Sequence[Place] = columns
        if captures(device):
            self.columns = torch.arange(len(columns), device=device)[:, None].unbind()
        self.step = CapturedStep(self._scalar, device)

    @torch.no_grad()
    def __call__(self, z: Tensor, y: Tensor) -> Tensor:
        """u, (n, channels, rows, columns) or (n, d), of z in (0, 1), (n, rows, width)."""
        v, net = torch.empty_like(z), self.density.net
        past: list[list[Tensor]] = [[] for _ in net.blocks]
        for r in range(self.density.rows):
            above = self.x.flatten(1) if r else None
            self.context.copy_(net.begin_row(above, y, past).view_as(self.context))
            for part in (self.x, *self.hidden):
                part.zero_()
            for c, column in enumerate(self.columns):
                (v[:, r, c],) = self.step(column, z[:, r, c])
        return self.density.from_rows(v)

    def _scalar(self, column: Place, z: Tensor) -> tuple[Tensor]:
        net, maps = self.density.net, self.density.maps
        logits = net.scalar(column, self.x, self.context, self.hidden)
        v = maps.inverse(z, logits, self.cdfs, self.knots, self.table)
        put(self.x, column, net.features(v[:, None]))
        return (v,)
