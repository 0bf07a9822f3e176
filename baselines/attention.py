"""A layer of a transformer, as `transformer` and the text half of `dna` have it.

Normalised at its entrance (Xiong et al., 2020). A causal one sees the places so far; it can go
place by place, with the keys and values of those before.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.baselines.texts import dropped

DEVIATION = 0.02  # of weights at the start


class Layer(nn.Module):
    """Attention to all places or, `causal`, those so far; an MLP; each added to what came in."""

    def __init__(self, dim: int, heads: int, expand: int, depth: int, *, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.ask, self.answer = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.wide, self.narrow = nn.Linear(dim, expand * dim), nn.Linear(expand * dim, dim)
        for linear in (self.ask, self.wide):
            nn.init.normal_(linear.weight, 0, 2 * DEVIATION)
        for linear in (self.answer, self.narrow):  # what all layers add stays of unit size
            nn.init.normal_(linear.weight, 0, 2 * DEVIATION / math.sqrt(2 * depth))

    def forward(self, x: Tensor, dropout: float, rng: torch.Generator | None) -> Tensor:
        """Of all places ``(n, t, dim)``."""
        query, key, value = self._asked(x)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=self.causal)
        x = x + dropped(self._answered(seen), dropout, rng)
        return x + dropped(self._thought(x), dropout, rng)

    def step(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Of one place ``(n, 1, dim)``, after the keys and values of the past; and those now.

        Both are ``(n, 2, heads, t, width)``.
        """
        query, key, value = self._asked(x)
        past = torch.cat([past, torch.stack([key, value], 1)], 3)
        seen = F.scaled_dot_product_attention(query, past[:, 0], past[:, 1])
        x = x + self._answered(seen)
        return x + self._thought(x), past

    def _asked(self, x: Tensor) -> tuple[Tensor, ...]:
        """Queries, keys and values, ``(n, heads, t, width)``."""
        split = self.ask(self.before(x)).unflatten(2, (3, self.heads, -1))
        return split.permute(2, 0, 3, 1, 4).unbind(0)

    def _answered(self, seen: Tensor) -> Tensor:
        out: Tensor = self.answer(seen.transpose(1, 2).flatten(2))
        return out

    def _thought(self, x: Tensor) -> Tensor:
        out: Tensor = self.narrow(F.gelu(self.wide(self.between(x))))
        return out
