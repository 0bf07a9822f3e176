"""Sample sounds of a cell: generated rows, each beside its nearest training row, and real rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench.data import Split
from genbench.generator import Space
from genbench.metrics import random_rows
from genbench.system import save_arrays

Array = npt.NDArray[Any]

ROWS = 6  # clips of a cell: a page of many rows has to stay small
FRAME, BANDS = 512, 32  # samples of a frame, and bands that its spectrum is summed into
_STEPS = 32767
_AT_ONCE = 500  # rows


def write_sounds(
    folder: Path, space: Space, samples: Mapping[str, Array], real: Split, train: Split
) -> dict[str, str]:
    """Write ``sounds.npz`` and ``real-sounds.npz`` into `folder`; returns role -> file name.

    Unselected clips in 16 bits, ``x`` ``(k, T)``, of different classes as far as there are some,
    with their labels ``y``, the sampling rate and, of the generated ones, the training rows that
    are nearest by log spectrum, ``nearest``, and how far they are in dB, ``distance``.
    """
    known = _spectra(train.x)
    for role, x, y in (("sounds", samples["x"], samples.get("y")), ("real-sounds", real.x, real.y)):
        rows = _chosen(len(x), y, space.classes)
        found: dict[str, Array] = {"x": _in_16_bits(x[rows]), "rate": np.array(space.rate)}
        if y is not None:
            found["y"] = np.asarray(y)[rows]
        if role == "sounds":
            distances = np.sqrt(
                np.stack([((known - row) ** 2).mean(1) for row in _spectra(x[rows])])
            )
            near = distances.argmin(1)
            found["nearest"] = _in_16_bits(train.x[near])
            found["distance"] = distances[np.arange(len(near)), near]
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


def _spectra(x: Array) -> npt.NDArray[np.float32]:
    """Spectrograms in dB, frames times bands in a row, float32 ``(n, frames * 32)``."""
    size = min(FRAME, x.shape[1])
    frames = x.shape[1] // size
    edges = np.unique(np.linspace(0, size // 2, BANDS + 1).astype(int))[:-1]
    parts = []
    for start in range(0, len(x), _AT_ONCE):
        rows = x[start : start + _AT_ONCE, : frames * size].reshape(-1, frames, size)
        power = np.abs(np.fft.rfft(rows * np.hanning(size), axis=2)) ** 2
        bands = np.add.reduceat(power, edges, axis=2)
        parts.append(10 * np.log10(bands + 1e-6).reshape(len(rows), -1).astype(np.float32))
    return np.concatenate(parts)


def _in_16_bits(x: Array) -> npt.NDArray[np.int16]:
    return np.asarray(np.rint(np.clip(x, -1, 1) * _STEPS), np.int16)
