"""Sample sounds of a cell: generated rows, each beside its nearest training row, and real rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench.data import Split
from genbench.generator import Space
from genbench.metrics import nearest_sounds, random_rows
from genbench.system import save_arrays

Array = npt.NDArray[Any]

ROWS = 6  # clips of a cell: a page of many rows has to stay small
_STEPS = 32767


def write_sounds(
    folder: Path, space: Space, samples: Mapping[str, Array], real: Split, train: Split
) -> dict[str, str]:
    """Write ``sounds.npz`` and ``real-sounds.npz`` into `folder`; returns role -> file name.

    Unselected clips in 16 bits, ``x`` ``(k, T)``, of different classes as far as there are some,
    with their labels ``y``, the sampling rate and, of the generated ones, the training rows that
    are nearest by log spectrum, ``nearest``, and how far they are in dB, ``distance``.
    """
    for role, x, y in (("sounds", samples["x"], samples.get("y")), ("real-sounds", real.x, real.y)):
        rows = _chosen(len(x), y, space.classes)
        found: dict[str, Array] = {"x": _in_16_bits(x[rows]), "rate": np.array(space.rate)}
        if y is not None:
            found["y"] = np.asarray(y)[rows]
        if role == "sounds":
            near = nearest_sounds(x[rows], train.x)
            found["nearest"] = _in_16_bits(train.x[near.index])
            found["distance"] = near.distance
        save_arrays(folder / f"{role}.npz", found)
    return {"sounds": "sounds.npz", "real-sounds": "real-sounds.npz"}


def _chosen(n: int, y: Array | None, classes: int) -> npt.NDArray[np.int64]:
    """`ROWS` rows in a random order, each of another class where there are labels."""
    order = random_rows(n, n, seed=0)
    if y is None or not classes:
        return order[:ROWS]
    labels = np.asarray(y)[order]
    asked = np.linspace(0, classes - 1, min(ROWS, classes)).round().astype(int)
    return np.array([order[labels == c][0] for c in asked if (labels == c).any()], np.int64)


def _in_16_bits(x: Array) -> npt.NDArray[np.int16]:
    return np.asarray(np.rint(np.clip(x, -1, 1) * _STEPS), np.int16)
