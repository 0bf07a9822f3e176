"""Copies among sounds: how far generated clips are from the nearest of others, by spectrogram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FRAME, BANDS = 512, 32  # samples of a frame, and bands that its spectrum is summed into
_LEAST = 1e-6  # power of a band: what is below is equally silent
_ROWS_AT_ONCE, _QUERIES_AT_ONCE = 500, 16


@dataclass(frozen=True, slots=True)
class NearestSounds:
    """The nearest of other sounds to each of some: its number, int64 ``(n,)``, and how far it is,
    float64 ``(n,)``: the root mean square difference of spectrograms in dB.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float64]


def nearest_sounds(x: NDArray[np.float32], others: NDArray[np.float32]) -> NearestSounds:
    """The nearest of `others` ``(m, T)`` to each of `x` ``(n, T)``.

    By spectrograms of `BANDS` bands and frames of `FRAME` samples that do not overlap, in dB: the
    phase of a sound is no part of it, and a delay of a few samples hardly. Cost: n m T / 16.
    """
    known = _spectrograms(others)
    index = np.empty(len(x), np.int64)
    distance = np.empty(len(x), np.float64)
    for start in range(0, len(x), _QUERIES_AT_ONCE):
        rows = slice(start, start + _QUERIES_AT_ONCE)
        squares = np.stack([((known - row) ** 2).mean(1) for row in _spectrograms(x[rows])])
        index[rows] = squares.argmin(1)
        distance[rows] = np.sqrt(squares.min(1))
    return NearestSounds(index, distance)


def _spectrograms(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Spectrograms in dB, frames times bands in a row, float32 ``(n, frames * bands)``."""
    size = min(FRAME, x.shape[1])
    frames = x.shape[1] // size
    edges = np.unique(np.linspace(0, size // 2, BANDS + 1).astype(int))[:-1]
    parts = []
    for start in range(0, len(x), _ROWS_AT_ONCE):
        rows = x[start : start + _ROWS_AT_ONCE, : frames * size].reshape(-1, frames, size)
        power = np.abs(np.fft.rfft(rows * np.hanning(size), axis=2)) ** 2
        bands = np.add.reduceat(power, edges, axis=2)
        parts.append(10 * np.log10(bands + _LEAST).reshape(len(rows), -1).astype(np.float32))
    return np.concatenate(parts)
