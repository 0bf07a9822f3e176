"""Sequences: int64 ``(n, length)`` token ids in ``0 .. levels - 1``, padded with a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from genbench.kinds.base import DataKind, LikelihoodUnit, SpaceFields, Tiny

if TYPE_CHECKING:
    from torch import Tensor


class Sequence(DataKind):
    """Texts, a token for each character."""

    name = "sequence"
    dtype = "int64"
    tiny = Tiny((12,), levels=5, pad=0)
    likelihood = LikelihoodUnit("bits/character", signed="bits/character")
    shown_as = "text"

    def tiny_rows(self, space: SpaceFields, n: int) -> Tensor:
        """Tokens that stay or go on to the next, round and round; no padding."""
        import torch

        rng = torch.Generator().manual_seed(0)
        steps = torch.randint(0, 2, (n, space.dims), generator=rng)
        return (1 + steps.cumsum(1) % (space.levels - 1)).long()

    def parts(self, space: SpaceFields, rows: Any) -> float:
        """Its characters, on average over `rows` ``(n, length)``; padding is none of them."""
        if space.pad is None:
            return space.dims
        return float((rows != space.pad).sum(1).mean()) or 1.0  # empty texts alone

    def default_extractor(self, classes: int) -> str:
        """None of genbench's reads token ids."""
        return ""


SEQUENCE = Sequence()
