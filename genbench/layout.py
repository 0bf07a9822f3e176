"""Arrangements of an array's axes that mean the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.generator import Space


def arranged(x: NDArray[Any], space: Space) -> NDArray[Any]:
    """`x` with the axes of the space, where there is one way only to see it so; else as it is.

    Grey images may come without their channel axis, colour ones with it last, all of them flat.
    """
    if space.kind != "image" or x.shape[1:] == space.shape:
        return x
    channels, height, width = space.shape
    if x.shape[1:] == (height, width, channels):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    if (channels == 1 and x.shape[1:] == (height, width)) or x.shape[1:] == (space.dims,):
        return x.reshape(len(x), *space.shape)
    return x
