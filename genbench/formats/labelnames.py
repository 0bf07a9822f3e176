"""Labels as the names of classes, whatever they are written as: numbers, texts, truth values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LONG = 19  # characters that a whole number of 64 bits may be short of
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")


def is_number(name: str) -> bool:
    """Whether a class is called by a whole number."""
    return _NUMBER.fullmatch(name) is not None


def in_order(names: set[str]) -> list[str]:
    """Names of classes in the order of their numbers: by value if all are whole, else by letter."""
    if all(len(name) < _LONG and name.removeprefix("-").isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def names_of_labels(y: NDArray[Any]) -> NDArray[np.str_]:
    """Each label as the name of its class, ``(n,)``.

    `TypeError` if they are neither whole numbers nor texts nor truth values; its text goes behind
    the name of the array.
    """
    if y.ndim != 1:
        raise TypeError(f"has shape {y.shape}, expected one label per row: {_remedy(y)}")
    match y.dtype.kind:
        case "i" | "u":
            return y.astype(np.str_)
        case "b":
            return y.astype(np.int64).astype(np.str_)
        case "U":
            try:
                np.char.encode(np.unique(y), "utf-8")
            except UnicodeEncodeError as error:
                raise TypeError("holds a text that is no Unicode: save it anew") from error
            return np.char.strip(y)
        case "S":
            return np.char.strip(np.char.decode(y, "utf-8", "replace"))
    raise TypeError(f"is {y.dtype}, expected int64 labels or texts: {_remedy(y)}")


def _remedy(y: NDArray[Any]) -> str:
    if y.ndim == 2 and y.shape[1] > 1:
        return "of one-hot rows save y.argmax(1)"
    if y.ndim != 1:
        return "save y.reshape(-1)"
    return "save y.astype(numpy.int64)"
