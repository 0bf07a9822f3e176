"""Tiny data of every kind: easy enough to learn something from in a blink."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.errors import UsageError
from genbench.generator import Space

ROWS = 256
LEVELS = 17
CLASSES = 3
TOKENS = 5

_SHAPES: dict[str, tuple[int, ...]] = {
    "image": (1, 8, 8),
    "points": (2,),
    "sequence": (12,),
    "waveform": (32,),
}
_RANKS = {"image": 3, "points": 1, "sequence": 1, "waveform": 1}


def tiny_space(kind: str, shape: tuple[int, ...] | None = None) -> Space:
    """The space that a kind is checked on: images have 17 grey levels and 3 classes.

    Raises
    ------
    UsageError
        If there is no such kind. A `shape` that is not one of the kind is passed over.
    """
    if kind not in _SHAPES:
        raise UsageError(f"there is no tiny data of kind {kind!r}: known are {', '.join(_SHAPES)}")
    fits = shape is not None and len(shape) == _RANKS[kind]
    chosen = shape if shape is not None and fits else _SHAPES[kind]
    match kind:
        case "image":
            return Space("image", chosen, levels=LEVELS, classes=CLASSES)
        case "sequence":
            return Space("sequence", chosen, levels=TOKENS, pad=0)
        case "waveform":
            return Space("waveform", chosen)
    return Space("points", chosen)


def tiny_labels(space: Space, n: int) -> Tensor | None:
    """Labels that go round the classes, int64 ``(n,)``; None where there are none."""
    return torch.arange(n) % space.classes if space.classes else None


def tiny_rows(space: Space, n: int = ROWS) -> Tensor:
    """`n` rows of `space`, the same every time; an image's bright spot lies where its class says.

    Every row has noise of its own, so that two rows are never alike and a copy is known as one.
    """
    rng = torch.Generator().manual_seed(0)
    match space.kind:
        case "image":
            return _spots(space, n, rng)
        case "sequence":
            steps = torch.randint(0, 2, (n, space.dims), generator=rng)
            return (1 + steps.cumsum(1) % (space.levels - 1)).long()
        case "waveform":
            phase = 6.3 * torch.rand(n, 1, generator=rng)
            noise = 0.05 * torch.randn(n, space.dims, generator=rng)
            return (0.8 * torch.sin(torch.arange(space.dims) / 3 + phase) + noise).clamp(-1, 1)
    centre = (torch.arange(n) % 2 * 4.0 - 2.0)[:, None]
    return centre + 0.4 * torch.randn(n, space.dims, generator=rng)


def _spots(space: Space, n: int, rng: torch.Generator) -> Tensor:
    channels, height, width = space.shape
    place = (torch.arange(n) % max(1, space.classes) + 0.5) / max(1, space.classes)
    across = torch.exp(-8 * ((torch.arange(width) + 0.5) / width - place[:, None]).square())
    down = torch.exp(-8 * ((torch.arange(height) + 0.5) / height - place[:, None]).square())
    spot = 0.8 * across[:, None, None, :] * down[:, None, :, None]
    noise = 0.2 * torch.rand(n, channels, height, width, generator=rng)
    return ((space.levels - 1) * (spot + noise)).round().to(torch.uint8)
