"""The rows of one split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Split:
    """Rows and labels of one split.

    Parameters
    ----------
    x
        ``(n, *space.shape)`` of the space's dtype (images uint8, points float32).
    y
        int64 ``(n,)``, or None where the space has no classes.
    """

    x: NDArray[Any]
    y: NDArray[np.int64] | None
