"""Arrangements of an array's axes that mean the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench import kinds
from genbench.generator import Space


def arranged(x: NDArray[Any], space: Space) -> NDArray[Any]:
    """`x` with the axes of the space, where there is one way only to see it so; else as it is.

    Grey images may come flat or without their channel axis, colour ones with it last; sounds with
    an axis of one channel, as networks have it.
    """
    if kinds.of(space.kind).sounds and x.shape[1:] in ((1, *space.shape), (*space.shape, 1)):
        return x.reshape(len(x), *space.shape)
    if not kinds.of(space.kind).pictures or x.shape[1:] == space.shape:
        return x
    channels, height, width = space.shape
    if x.shape[1:] == (height, width, channels):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    if channels == 1 and x.shape[1:] in ((height, width), (space.dims,)):
        return x.reshape(len(x), *space.shape)
    return x


def unclear_layout(shape: tuple[int, ...], space: Space) -> str | None:
    """That flat rows of colour images, an array of this shape, do not say what lies together."""
    if not kinds.of(space.kind).pictures or space.shape[0] == 1 or shape[1:] != (space.dims,):
        return None
    channels, height, width = space.shape
    return (
        f"has flat rows of {space.dims} numbers, in which the colours of a pixel may lie together "
        f"or apart: save x.reshape(-1, {height}, {width}, {channels}) or "
        f"x.reshape(-1, {channels}, {height}, {width}), whichever is right"
    )


def assumed_layout(shape: tuple[int, ...], space: Space) -> str | None:
    """The reading of an array whose shape allows channels first and last alike; or None."""
    if not kinds.of(space.kind).pictures or space.shape[0] == 1 or shape[1:] != space.shape:
        return None
    channels, height, width = space.shape
    if (height, width, channels) != space.shape:
        return None
    return f"x of shape {shape} is read with its channels first, as (n, C, H, W)"
