"""Independent pixels given the class: a mixture whose parameters are counted, not trained.

What it cannot know is that strokes are connected; what it knows is how bright each pixel of each
class is. A model that does not beat it has learned nothing about shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.generator import GeneratorSpec, Run, Samples, Space, TrainData


@dataclass(frozen=True)
class PixelCountsParams:
    """What ``-g pixel-counts:smoothing=0.5`` sets."""

    smoothing: float = 1.0
    """Added to every count, so that no grey level is impossible."""
    batch_size: int = 200
    """Rows counted at once."""


class PixelCounts:
    """See the module's docstring and `genbench.generator.DensityGenerator`."""

    spec: ClassVar[GeneratorSpec] = GeneratorSpec(
        name="pixel-counts",
        version="1",
        family="mixture",
        kinds=("image",),
        labels="own",
        likelihood="exact",
        params=PixelCountsParams,
    )

    def __init__(self, params: PixelCountsParams, space: Space, device: torch.device) -> None:
        self.params, self.space, self.device = params, space, device
        self.classes = max(1, space.classes)
        self.log_class = torch.zeros(self.classes, device=device)
        self.log_level = torch.zeros(self.classes, space.dims, space.levels, device=device)

    def fit(self, train: TrainData, run: Run) -> None:
        """Count."""
        seen = torch.zeros_like(self.log_class)
        counts = torch.full_like(self.log_level, self.params.smoothing)
        if (saved := run.restore()) is not None:
            seen, counts = saved["seen"], saved["counts"]
        for x, y in train.batches(self.params.batch_size, seed=run.seed, start=run.served):
            label = torch.zeros(len(x), dtype=torch.int64, device=self.device) if y is None else y
            seen.index_add_(0, label, torch.ones(len(x), device=self.device))
            counts.index_add_(0, label, F.one_hot(x.flatten(1).long(), self.space.levels).float())
            run.checkpoint(lambda: {"seen": seen, "counts": counts})
        self.log_class = (seen / seen.sum()).log()
        self.log_level = (counts / counts.sum(2, keepdim=True)).log()

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor | Samples:
        """Draw a class, then every pixel by itself."""
        rng = torch.Generator(self.device).manual_seed(seed)
        y = self._draw(self.log_class.expand(n, -1), rng)
        x = self._draw(self.log_level[y], rng).to(torch.uint8).view(n, *self.space.shape)
        return Samples(x, y) if self.space.classes else x

    def _draw(self, log_probability: Tensor, rng: torch.Generator) -> Tensor:
        """An index per row by inverting the cumulative distribution of the last dimension."""
        steps = log_probability.double().exp().cumsum(-1)
        place = torch.rand(
            *steps.shape[:-1], 1, generator=rng, device=self.device, dtype=torch.float64
        )
        return (steps < place * steps[..., -1:]).sum(-1)

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        """log p(x), the classes summed over, in nats."""
        levels = x.flatten(1).long()  # (n, d)
        each = self.log_level.gather(2, levels.T.expand(self.classes, -1, -1))  # (k, d, n)
        joint: Tensor = each.sum(1) + self.log_class[:, None]
        return joint.logsumexp(0)

    def state_dict(self) -> dict[str, Tensor]:
        """The two tables."""
        return {"log_class": self.log_class, "log_level": self.log_level}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Undo `state_dict`."""
        self.log_class, self.log_level = state["log_class"], state["log_level"]
