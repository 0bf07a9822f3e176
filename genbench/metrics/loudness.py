"""Loudness of sounds after ITU-R BS.1770-5, of one channel at any sampling rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

BLOCK, STEP = 0.4, 0.1  # s: gating blocks that overlap by three quarters
ABSOLUTE_GATE = -70.0  # LUFS
RELATIVE_GATE = -10.0  # LU below the mean of what passed the absolute gate
_OFFSET = -0.691  # dB: a full-scale sine of 997 Hz has -3.01 LUFS


def integrated_loudness(x: Any, *, rate: int) -> NDArray[np.float64]:
    """Gated loudness of each row in LUFS, float64 ``(n,)``; -inf for what no gate lets through.

    Rows shorter than 0.4 s are one block.

    Parameters
    ----------
    x
        Waveforms ``(n, T)``, in [-1, 1].
    rate
        Sampling rate in Hz.

    References
    ----------
    ITU-R BS.1770-5 (2023), Algorithms to measure audio programme loudness. Its filters are given at
    48 kHz; other rates have the bilinear transforms of the same analogue ones.
    """
    rows = np.asarray(x, np.float64)
    for b, a in _weighting(rate):
        rows = signal.lfilter(b, a, rows, axis=1)
    power = _block_powers(rows, rate)
    passed = _in_lufs(power) > ABSOLUTE_GATE
    relative = _in_lufs(_mean(power, passed)) + RELATIVE_GATE
    passed &= _in_lufs(power) > relative[:, None]
    return _in_lufs(_mean(power, passed))


def _block_powers(x: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Mean squares of the blocks that fit, ``(n, blocks)``."""
    size, step = min(round(BLOCK * rate), x.shape[1]), max(1, round(STEP * rate))
    energy = np.concatenate([np.zeros((len(x), 1)), (x * x).cumsum(1)], axis=1)
    starts = np.arange(0, x.shape[1] - size + 1, step)
    return np.asarray((energy[:, starts + size] - energy[:, starts]).clip(min=0) / size)


def _mean(power: NDArray[np.float64], passed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean over the blocks that passed; 0 where none did."""
    return np.asarray((power * passed).sum(1) / np.maximum(passed.sum(1), 1))


def _in_lufs(power: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(_OFFSET + 10 * np.log10(power))


def _weighting(rate: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The two filters of the K weighting, numerator and denominator each.

    A high shelf of +4 dB for the head and a high pass at 38 Hz: their analogue gains, frequencies
    and qualities are those whose transforms at 48 kHz are the tabled coefficients.
    """
    gain, quality = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    k = math.tan(math.pi * min(1681.974450955533, 0.49 * rate) / rate)
    middle = gain**0.4996667741545416
    shelf = [gain + middle * k / quality + k * k, 2 * (k * k - gain)]
    shelf.append(gain - middle * k / quality + k * k)
    below = np.array([1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k])
    quality, k = 0.5003270373238773, math.tan(math.pi * 38.13547087602444 / rate)
    pole = np.array([1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k])
    return [
        (np.array(shelf) / below[0], below / below[0]),
        (np.array([1.0, -2.0, 1.0]), pole / pole[0]),
    ]
