"""What is wrong with arrays that a generator's process sent, if anything: it is not trusted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from genbench import kinds
from genbench.errors import ContractError, shorten
from genbench.generator import Space
from genbench.running.wire import Array

CODES = ("train", "test")  # arrays of codes, by the split that they are of
# Arrays made of codes: how many of their dimensions number rows.
MADE_OF_CODES = {"rebuilt": 1, "interpolated": 2, "traversed": 2}


def checked_rows(space: Space, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
    """Rows that a generator's process sent; `ContractError` if they are none of the space."""
    if not set(arrays) <= {"x", "y"}:
        raise ContractError("the generator's process sent rows that nobody asked for")
    problem = violation(space, arrays)
    if problem is not None:
        raise ContractError(f"the generator's process sent rows that {problem}")
    return arrays


def violation(space: Space, arrays: Mapping[str, Array]) -> str | None:
    """The reason that arrays are not rows of a space, as `Space.violation` gives it for tensors."""
    x, y = arrays["x"], arrays.get("y")
    if x.shape[1:] != space.shape or x.ndim == 0 or x.dtype != np.dtype(space.dtype):
        return f"are {x.dtype} of shape {x.shape}, expected {space.dtype} of (n, *{space.shape})"
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        return "hold NaN or infinity"
    if space.levels and x.size and (x.min() < 0 or x.max() >= space.levels):
        return f"leave 0..{space.levels - 1}"
    if x.size and (left := kinds.of(space.kind).outside(x)) is not None:
        return f"leave {left}"
    if y is None:
        return None
    if y.shape != x.shape[:1] or y.dtype != np.int64:
        return f"have labels {y.dtype} of shape {y.shape}"
    return (
        "have labels of no class"
        if y.size and not 0 <= y.min() <= y.max() < space.classes
        else None
    )


def codes_problem(space: Space, arrays: Mapping[str, Array]) -> str | None:
    """The reason that arrays are neither codes nor what was made of codes."""
    for name, array in arrays.items():
        if name in CODES:
            if array.ndim != 2 or array.dtype != np.float32 or not np.isfinite(array).all():
                return f"codes of {array.dtype} and shape {array.shape}, or not finite"
        elif name in MADE_OF_CODES:
            rows = array.reshape(-1, *array.shape[MADE_OF_CODES[name] :])
            if (wrong := violation(space, {"x": rows})) is not None:
                return f"rows made of codes that {wrong}"
        else:
            return f"{shorten(name, 40)!r}, which nobody asked for"
    return None
