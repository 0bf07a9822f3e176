"""The network of `dna`, `ddpm` and `flow-matching` for points: residual dense layers."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class PointsNet(nn.Module):
    """A point, ``(n, d)``, and a condition to ``(n, outputs d)`` values.

    Parameters
    ----------
    width
        Units of each layer.
    condition
        Width of the condition, ``(n, condition)``.
    outputs
        Values of each scalar: by default its correction and its log-variance.
    """

    def __init__(self, dims: int, *, width: int, condition: int, outputs: int = 2) -> None:
        super().__init__()
        self.stem = nn.Linear(dims, width)
        self.modulate = nn.Linear(condition, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.out = nn.Linear(width, outputs * dims)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        hidden = self.stem(x) + self.modulate(condition)
        for layer in self.layers:
            hidden = hidden + layer(F.silu(hidden))
        y: Tensor = self.out(F.silu(hidden))
        return y
