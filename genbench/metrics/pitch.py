"""The pitch of tones: the note whose harmonics hold most of the energy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HARMONICS = 6
C3 = 440 * 2 ** (-21 / 12)  # Hz
_STEP = 5  # cents between candidates
_BAND = 12.0  # cents on each side of a harmonic
_LEAST = 2.5  # Hz on each side of a harmonic: a decay of 0.1 s makes a line about so wide
_AT_ONCE = 256  # rows


def pitches(x: Any, *, rate: int, lowest: float = C3, octaves: int = 2) -> NDArray[np.float64]:
    """Fundamental frequencies of tones, in Hz.

    Every candidate, 5 cents apart, is a comb of bands around its first six harmonics, and the comb
    that holds most energy wins: the true note holds all of a tone's, its octaves and fifths only
    the harmonics that they share with it. Of equals the lowest wins.

    Parameters
    ----------
    x
        Waveforms ``(n, T)``; two semitones at `lowest` must be further apart than ``rate / T``.
    rate
        Sampling rate in Hz.
    lowest, octaves
        The range: from half a semitone below the note of `lowest` Hz up, that many octaves.

    Returns
    -------
    numpy.ndarray
        Float64 ``(n,)``; NaN for rows without sound.
    """
    rows = np.asarray(x, np.float64)
    cents = np.arange(-50 + _STEP / 2, 1200 * octaves - 50, _STEP)
    notes = lowest * 2.0 ** (cents / 1200)
    found = np.full(len(rows), np.nan)
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        below = _energy_below(some)
        held = np.stack([_held(below, note, rate) for note in notes], axis=1)
        sounds = below[:, -1] > 0
        found[start : start + len(some)][sounds] = notes[held.argmax(1)[sounds]]
    return found


def pitch_classes(frequencies: Any, *, lowest: float = C3) -> NDArray[np.float64]:
    """Classes 0 .. 11 of the nearest notes, counted from that of `lowest` Hz; NaN stays."""
    semitones = np.round(12 * np.log2(np.asarray(frequencies, np.float64) / lowest))
    return np.asarray(semitones % 12)


def _energy_below(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Energy below each bin of spectra of twice the rows' length, ``(n, T + 2)``."""
    length = x.shape[1]
    power = np.abs(np.fft.rfft(x * np.hanning(length), 2 * length, axis=1)) ** 2
    return np.concatenate([np.zeros((len(x), 1)), power.cumsum(1)], axis=1)


def _held(below: NDArray[np.float64], note: float, rate: int) -> NDArray[np.float64]:
    """The energy within the comb of a note, ``(n,)``."""
    bins = below.shape[1] - 1
    by_hz = 2 * (bins - 1) / rate
    found = np.zeros(len(below))
    for harmonic in note * np.arange(1, HARMONICS + 1):
        half = max(_LEAST, harmonic * (2 ** (_BAND / 1200) - 1))
        low, high = round((harmonic - half) * by_hz), round((harmonic + half) * by_hz) + 1
        found += below[:, min(high, bins)] - below[:, min(low, bins)]
    return found
