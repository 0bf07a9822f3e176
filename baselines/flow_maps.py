"""The monotone maps of `flow`: mixtures of smooth plateaus, their slopes and their inverses."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EVEN_KNOTS = 33  # of the table in which an inverse is looked up, beside those around the edges
AROUND = (-9.0, -5.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 9.0)  # in scales of the edge
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


class Cdfs:
    """The CDFs G_k of plateaus, on the line or cut to an interval and renormalised.

    What does not depend on v is kept from the first call on: an inverse asks often.

    Parameters
    ----------
    a, b, s
        Left edges, right edges and edge scales, each ``(k,)``.
    limits
        Where G_k is 0 and where it is 1, ``(2,)``; None on the line.
    """

    def __init__(self, a: Tensor, b: Tensor, s: Tensor, limits: Tensor | None) -> None:
        self.a, self.b, self.s, self.rate = a, b, s, 1 / s
        self.cut = False
        if limits is not None:
            low, high = self(limits)
            self.low, self.span, self.cut = low, high - low, True

    def __call__(self, v: Tensor) -> Tensor:
        """G_k(v), (..., k)."""
        v = v[..., None]
        left = torch.addcmul(self._left, v, self.rate)
        right = torch.addcmul(self._right, v, self.rate)
        # The default threshold of 20 would leave steps of 2e-9 in F.
        cdf = (F.softplus(left, threshold=60) - F.softplus(right, threshold=60)) * self._gain
        return (cdf - self.low) / self.span if self.cut else cdf

    @cached_property
    def _left(self) -> Tensor:
        return -self.a * self.rate

    @cached_property
    def _right(self) -> Tensor:
        return -self.b * self.rate

    @cached_property
    def _gain(self) -> Tensor:
        return self.s / (self.b - self.a)


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
    limits: Tensor
    lower: Tensor
    around: Tensor

    def __init__(self, n: int, bounded: bool, sharpest: float) -> None:
        super().__init__()
        self.bounded, self.sharpest = bounded, sharpest
        # Constants that lie on the device: a captured step cannot copy them there.
        self.register_buffer("limits", torch.tensor([0.0, 1.0]), persistent=False)
        self.register_buffer("lower", torch.tensor([True, False]), persistent=False)
        self.register_buffer("around", torch.tensor(AROUND)[:, None], persistent=False)
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

    def cdfs(self) -> Cdfs:
        """The CDFs of the plateaus as they lie now."""
        return Cdfs(*self.pieces(), self.limits if self.bounded else None)

    def cdf(self, v: Tensor) -> Tensor:
        """G_k(v), (..., k)."""
        return self.cdfs()(v)

    def log_density(self, v: Tensor, logits: Tensor) -> Tensor:
        """log F'(v) for weights softmax(logits), (..., k): the log-determinant's terms, (...)."""
        a, b, s = self.pieces()
        # sigmoid(p) - sigmoid(q) = sigmoid(p) sigmoid(-q) (1 - exp(q - p)), all terms positive.
        height = -torch.expm1((a - b) / s) / (b - a)
        if self.bounded:
            height = height / Cdfs(a, b, s, self.limits).span
        result: Tensor = MixtureLogDensity.apply(v, logits, a, b, 1 / s, height)
        return result

    def knots(self) -> Tensor:
        """Ordered places, (m,), between which every F is nearly straight; dense around edges."""
        a, b, s = self.pieces()
        around = self.around * s
        span = (0.0, 1.0) if self.bounded else (-9.0, 10.0)
        even = torch.linspace(*span, EVEN_KNOTS, device=s.device, dtype=s.dtype)
        places = torch.cat([even, (a + around).flatten(), (b + around).flatten()])
        return places.clamp(*span).sort().values

    def inverse(
        self, z: Tensor, logits: Tensor, cdfs: Cdfs, knots: Tensor, table: Tensor
    ) -> Tensor:
        """The v, (n,), with F(v) = z, by bracketed secant steps (Illinois).

        Parameters
        ----------
        z, logits
            ``(n,)`` in (0, 1), and the weights' ``(n, k)``.
        cdfs, knots, table
            `cdfs()`, `knots()`, ``(m,)``, and the CDFs there, ``(m, k)``.
        """
        weights, z = logits.softmax(-1), z[:, None]
        heights = weights @ table.T  # (n, knots)
        cell = torch.searchsorted(heights, z.contiguous()).clamp(1, len(knots) - 1)
        cell = torch.cat([cell - 1, cell], 1)
        ends, f = knots[cell], heights.gather(1, cell) - z  # of the bracket, (n, 2)
        moved = None
        for _ in range(SECANT_STEPS - 1):
            v = _secant(ends, f)
            f_v = (weights * cdfs(v)).sum(-1, keepdim=True) - z
            before, moved = moved, (f_v < 0) == self.lower
            # An end kept twice counts half, or the secant would creep.
            f = f if before is None else torch.where(moved == before, f * 0.5, f)
            ends, f = torch.where(moved, v[:, None], ends), torch.where(moved, f_v, f)
        return _secant(ends, f)


def _secant(ends: Tensor, f: Tensor) -> Tensor:
    """Where the line through both ends crosses 0, (n,)."""
    (low, high), (f_low, f_high) = ends.unbind(1), f.unbind(1)
    slope = (high - low) / (f_high - f_low).clamp_min(1e-30)
    return (low - f_low * slope).clamp(low, high)
