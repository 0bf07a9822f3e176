"""The likely origin of an array that is not as wanted, by its type and values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SLACK = 1e-3  # what rounding and resizing add to 0..1 and -1..1
_MASKED = np.float32(1e20)  # what NumPy fills the masked numbers of a float array with


def no_numbers(dtype: np.dtype[Any]) -> str | None:
    """That rows of this type are no real numbers, with the way out; or None."""
    if dtype.kind in "iufb":
        return None
    if dtype.names:
        return "has named columns: save numpy.column_stack([x[name] for name in x.dtype.names])"
    if dtype.kind == "V" and dtype.itemsize == 2:  # NumPy alone has no name for it
        return f"is {dtype}, as bfloat16 is written: save x.astype(numpy.float32)"
    if dtype.kind == "O":
        return "holds Python objects: save one array of numbers, its rows of one shape"
    return f"is {dtype}: save numbers"


def without_mask(x: Any) -> NDArray[Any]:
    """The array of a masked one; `ValueError` if anything is masked: what lies below is no data."""
    if isinstance(x, np.ma.MaskedArray):
        if np.ma.getmaskarray(x).any():
            n = int(np.ma.getmaskarray(x).sum())
            raise ValueError(f"has {n} masked entries: leave out the rows that have any")
        return np.asarray(x.data)
    return np.asarray(x)


def masked_fill(x: NDArray[Any]) -> str | None:
    """That floats are what NumPy fills masked entries with, which no file tells apart; or None."""
    if x.dtype.kind != "f":
        return None
    n = int((x.astype(np.float32) == _MASKED).sum())
    if not n:
        return None
    return f"holds 1e20 {n} times, as NumPy fills masked entries: leave out the rows that have any"


def scale_hint(x: NDArray[Any], levels: int) -> str:
    """The look of values that are not of the space, with the way to make them levels of it.

    They are numbers or truth values of any shape, not empty; `levels` are the space's grey levels.
    """
    top = levels - 1
    if x.dtype.kind == "b":
        return f"holds truth values: save (x * {top}).astype(numpy.uint8)"
    low, high = float(x.min()), float(x.max())
    if not np.isfinite([low, high]).all():
        return "holds NaN or infinity: leave those rows out"
    held = f"holds {x.dtype} in {low:.4g}..{high:.4g}"
    if x.dtype.kind in "iu" or bool((x == np.rint(x)).all() and high > 1):
        if low >= 0 and high <= top:
            return f"{held}: save x.astype(numpy.uint8)"
        return f"{held}, expected 0..{top}: save the levels themselves"
    if low >= -_SLACK and high <= 1 + _SLACK:
        return f"{held}, so 0..1 it seems: convert with to_uint8(x, 0, 1)"
    if low >= -1 - _SLACK and high <= 1 + _SLACK:
        return f"{held}, so -1..1 it seems: convert with to_uint8(x, -1, 1)"
    return f"{held}: convert with to_uint8(x, LOW, HIGH), the values of black and white"


def unscaled(x: NDArray[np.uint8], levels: int) -> str | None:
    """That images hold 0 and 1 alone, as floats in 0..1 do once they are cast; or None.

    Images that are black altogether are not meant: they may be a model's own.
    """
    if levels <= 2 or x.size == 0 or int(x.max()) != 1:
        return None
    return (
        f"holds 0 and 1 only, of 0..{levels - 1}: images in 0..1 that were cast before they were "
        f"scaled? save (x * {levels - 1}).astype(numpy.uint8)"
    )
