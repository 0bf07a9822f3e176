"""The monotone maps of `flow`: mixtures of smooth plateaus, their slopes and their inverses."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EVEN_KNOTS = 33  # of the table in which an inverse is looked up, beside those around the edges
SECANT_STEPS = 5  # that follow the table


class MixtureLogDensity(torch.autograd.Function):
    """log sum_k w_k h_k sigmoid(p_k) sigmoid(-q_k) with its gradient by hand, to save passes.

    p_k = rate_k (v - a_k) and q_k = rate_k (v - b_k) are the distances to a plateau's edges.
    """

    @staticmethod
    def forward(
        ctx: Any, v: Tensor, logits: Tensor, a: Tensor, b: Tensor, rate: Tensor, height: Tensor
    ) -> Tensor:
        v = v[..., None]
        left = torch.addcmul(-a * rate, v, rate).sigmoid_()  # (..., k)
        right = torch.addcmul(b * rate, v, -rate).sigmoid_()
        weights = logits.softmax(-1)
        share = (left * right).mul_(height).mul_(weights)
        density = share.sum(-1, keepdim=True).clamp_min_(1e-37)
        share /= density  # posterior probabilities of the pieces
        ctx.save_for_backward(v, weights, share, left, right, a, b, rate, height)
        return density.log()[..., 0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        v, weights, share, left, right, a, b, rate, height = ctx.saved_tensors
        grad, k = grad[..., None], len(a)
        share = share * grad
        d_logits = torch.addcmul(share, weights, grad, value=-1)
        basis = torch.cat([torch.ones_like(v), v], -1).view(-1, 2).T  # (2, rows)
        total = basis[0] @ share.view(-1, k)
        to_p, v_to_p = basis @ torch.addcmul(share, share, left, value=-1).view(-1, k)
        to_q, v_to_q = basis @ torch.addcmul(share, share, right, value=-1).view(-1, k)
        d_rate = v_to_p - a * to_p + b * to_q - v_to_q
        return None, d_logits, -rate * to_p, rate * to_q, d_rate, total / height


class Plateaus(nn.Module):
    """Monotone maps F(v) = sum_k w_k G_k(v) of [0, 1] (`bounded`) or the line onto (0, 1).

    Parameters
    ----------
    n
        Plateaus.
    sharpest
        The smallest scale of a plateau's edge, in units of the range.
    """

    home: Tensor
    tile: Tensor

    def __init__(self, n: int, bounded: bool, sharpest: float) -> None:
        super().__init__()
        self.bounded, self.sharpest = bounded, sharpest
        # Tiles, narrow near both ends of a bounded range, where data like to sit.
        edges = torch.linspace(0, 1, n + 1)
        if bounded:
            edges = (1 - torch.cos(math.pi * edges)) / 2
        width = edges.diff()
        scale = width * 0.1
        if not bounded:
            scale[[0, -1]] *= 10  # tails
        self.register_buffer("home", (edges[1:] + edges[:-1]) / 2)
        self.register_buffer("tile", width.clone())
        self.shift = nn.Parameter(torch.zeros(n))  # of the centre, in tiles
        self.log_width = nn.Parameter(width.log())
        self.log_scale = nn.Parameter(scale.log())

    def pieces(self) -> tuple[Tensor, Tensor, Tensor]:
        """Left edges, right edges and edge scales, each ``(n,)``."""
        centre = self.home + self.shift * self.tile
        if self.bounded:
            centre = centre.clamp(0, 1)
        half = self.log_width.exp() / 2
        return centre - half, centre + half, self.log_scale.exp() + self.sharpest

    def cdf(self, v: Tensor) -> Tensor:
        """G_k(v), (..., k); over [0, 1] cut and renormalised, so that G(0) = 0 and G(1) = 1."""
        a, b, s = self.pieces()
        cdf = self._on_line(v, a, b, s)
        if self.bounded:
            low, high = self._on_line(v.new_tensor([0.0, 1.0]), a, b, s)
            cdf = (cdf - low) / (high - low)
        return cdf

    @staticmethod
    def _on_line(v: Tensor, a: Tensor, b: Tensor, s: Tensor) -> Tensor:
        rate, v = 1 / s, v[..., None]
        left, right = torch.addcmul(-a * rate, v, rate), torch.addcmul(-b * rate, v, rate)
        # The default threshold of 20 would leave steps of 2e-9 in F.
        return (F.softplus(left, threshold=60) - F.softplus(right, threshold=60)) * (s / (b - a))

    def log_density(self, v: Tensor, logits: Tensor) -> Tensor:
        """log F'(v) for weights softmax(logits), (..., k): the log-determinant's terms, (...)."""
        a, b, s = self.pieces()
        # sigmoid(p) - sigmoid(q) = sigmoid(p) sigmoid(-q) (1 - exp(q - p)), all terms positive.
        height = -torch.expm1((a - b) / s) / (b - a)
        if self.bounded:
            low, high = self._on_line(v.new_tensor([0.0, 1.0]), a, b, s)
            height = height / (high - low)
        result: Tensor = MixtureLogDensity.apply(v, logits, a, b, 1 / s, height)
        return result

    def knots(self) -> Tensor:
        """Ordered places, (m,), between which every F is nearly straight; dense around edges."""
        a, b, s = self.pieces()
        around = s.new_tensor([-9, -5, -3, -2, -1, 0, 1, 2, 3, 5, 9])[:, None] * s
        span = (0.0, 1.0) if self.bounded else (-9.0, 10.0)
        even = torch.linspace(*span, EVEN_KNOTS, device=s.device, dtype=s.dtype)
        places = torch.cat([even, (a + around).flatten(), (b + around).flatten()])
        return places.clamp(*span).sort().values

    def inverse(self, z: Tensor, logits: Tensor, knots: Tensor, table: Tensor) -> Tensor:
        """The v, (n,), with F(v) = z, by bracketed secant steps (Illinois).

        Parameters
        ----------
        z, logits
            ``(n,)`` in (0, 1), and the weights' ``(n, k)``.
        knots, table
            `knots()`, ``(m,)``, and ``cdf(knots)``, ``(m, k)``.
        """
        weights = logits.softmax(-1)
        heights = weights @ table.T  # (n, knots)
        cell = torch.searchsorted(heights, z[:, None].contiguous()).clamp(1, len(knots) - 1)
        low, high = knots[cell[:, 0] - 1], knots[cell[:, 0]]
        f_low = heights.gather(1, cell - 1)[:, 0] - z
        f_high = heights.gather(1, cell)[:, 0] - z
        v, was_below = low, None
        for _ in range(SECANT_STEPS):
            slope = (high - low) / (f_high - f_low).clamp_min(1e-30)
            v = torch.minimum(torch.maximum(low - f_low * slope, low), high)
            f = (weights * self.cdf(v)).sum(-1) - z
            below = f < 0
            again = below == was_below if was_below is not None else torch.zeros_like(below)
            low, high = torch.where(below, v, low), torch.where(below, high, v)
            # An end kept twice counts half, or the secant would creep.
            kept = torch.where(again, 0.5, 1.0)
            f_low, f_high = (
                torch.where(below, f, f_low * kept),
                torch.where(below, f_high * kept, f),
            )
            was_below = below
        return v
