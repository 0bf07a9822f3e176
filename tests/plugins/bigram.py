"""A bigram model of the tokens of each class: exact, and fitted in a blink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData


@dataclass(frozen=True, slots=True)
class Params:
    """What every pair of tokens is counted as seen."""

    prior: float = 0.1


class Bigram:
    """Draws each token by the one before it; nothing comes after an end."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        "bigram", "1", "ngram", ("sequence",), "given", "exact", Params
    )

    def __init__(self, params: Params, space: Space, device: torch.device) -> None:
        self._params, self._space = params, space
        self._logits = torch.zeros(0)

    def fit(self, train: TrainData, run: Run) -> None:
        levels = self._space.levels
        counts = torch.full((max(1, self._space.classes), levels, levels), self._params.prior)
        for x, y in train.batches(500, seed=run.seed, start=run.served):
            before, live = self._before(x)
            labels = self._classes(y, len(x))[:, None].expand_as(x)
            one = torch.ones(int(live.sum()))
            counts.index_put_((labels[live], before[live], x[live]), one, accumulate=True)
        self._logits = (counts / counts.sum(2, keepdim=True)).log()

    def _classes(self, y: Tensor | None, n: int) -> Tensor:
        return torch.zeros(n, dtype=torch.long) if y is None else y

    def _before(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The token before each, padding before the first; and whether its text had not ended."""
        before = torch.cat([torch.zeros(len(x), 1, dtype=torch.long), x[:, :-1]], 1)
        return before, (before != 0) | (torch.arange(x.shape[1]) == 0)

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        y, x = self._classes(labels, n), torch.zeros(n, self._space.dims, dtype=torch.long)
        going = torch.ones(n, dtype=torch.bool)
        for place in range(self._space.dims):
            before = x[:, place - 1] if place else torch.zeros(n, dtype=torch.long)
            drawn = torch.multinomial(self._logits[y, before].exp(), 1, generator=rng)[:, 0]
            x[:, place] = torch.where(going, drawn, 0)
            going &= drawn != 0
        return x

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        before, live = self._before(x)
        y = self._classes(labels, len(x))[:, None]
        return (self._logits[y, before, x] * live).sum(1)

    def state_dict(self) -> dict[str, Tensor]:
        return {"logits": self._logits}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._logits = state["logits"]
