"""Points: finite float32 ``(n, d)``, measured numbers in columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genbench.kinds.base import DataKind, Draft, LikelihoodUnit, SpaceFields, Tiny

if TYPE_CHECKING:
    from torch import Tensor


class Points(DataKind):
    """Rows of numbers. Their likelihood is a density, told in nats."""

    name = "points"
    dtype = "float32"
    tiny = Tiny((2,))
    checks = ("density",)
    likelihood = LikelihoodUnit("nats", dequantised=False, integrable=True)
    columns = True
    repeats = True
    shown_as = "scatter"
    scored_from = ("arrays", "csv")
    controls = ("heldout", "train-copy", "gaussian", "noise", "mode-dropped")
    draft = Draft("emd", 20)

    def tiny_rows(self, space: SpaceFields, n: int) -> Tensor:
        """Two clouds by turns."""
        import torch

        rng = torch.Generator().manual_seed(0)
        centre = (torch.arange(n) % 2 * 4.0 - 2.0)[:, None]
        return centre + 0.4 * torch.randn(n, space.dims, generator=rng)

    def default_extractor(self, classes: int) -> str:
        """Columns on one scale."""
        return "standardised"

    def described(self, space: SpaceFields) -> str:
        """Their number."""
        return f"{space.shape[0]} numbers"


POINTS = Points()
