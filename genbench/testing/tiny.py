"""Tiny data of every kind: easy enough to learn something from in a blink."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench import kinds
from genbench.errors import UsageError
from genbench.generator import Space

ROWS = 256


def tiny_space(kind: str, shape: tuple[int, ...] | None = None) -> Space:
    """The space that a kind is checked on: images have 17 grey levels and 3 classes.

    `UsageError` if there is no such kind. A `shape` that is not one of the kind is passed over.
    """
    if kind not in kinds.names():
        known = ", ".join(kinds.names())
        raise UsageError(f"there is no tiny data of kind {kind!r}: known are {known}")
    tiny = kinds.of(kind).tiny
    fits = shape is not None and len(shape) == len(tiny.shape)
    chosen = shape if shape is not None and fits else tiny.shape
    return Space(kind, chosen, tiny.levels, tiny.classes, tiny.pad, tiny.rate)


def tiny_labels(space: Space, n: int) -> Tensor | None:
    """Labels that go round the classes, int64 ``(n,)``; None where there are none."""
    return torch.arange(n) % space.classes if space.classes else None


def tiny_rows(space: Space, n: int = ROWS) -> Tensor:
    """`n` rows of `space`, the same every time; an image's bright spot lies where its class says.

    Every row has noise of its own, so that two rows are never alike and a copy is known as one.
    """
    return kinds.of(space.kind).tiny_rows(space, n)
