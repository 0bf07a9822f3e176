r"""`tones`: sums of decaying harmonics whose pitch and mean power spectrum are known.

A tone of pitch class c (0 is C), at the suite's sampling rate R, is

.. math:: w_t = L\, (1 - e^{-t / 4\,\mathrm{ms}}) \sum_{h=1}^{6}
          \frac{u_h}{h} e^{-t / \tau_h} \sin(2 \pi h f_0 t + \phi_h),

with :math:`f_0 = 130.8\,\mathrm{Hz} \cdot 2^{o + c / 12 + d / 1200}`, its octave o 0 or 1, its
detuning d one of -20, -15, ... 20 cents, :math:`u_h \sim U(0.2, 1)`, decays :math:`\tau_h` one of
0.1, 0.2, 0.4 s, phases uniform, and its level L log-uniform in 0.1 .. 0.4: each independent. It
stays in [-1, 1], and is rounded to 16 bits, so that the last bit of a sine is nobody's matter.
Independent uniform phases make the expected power spectrum a finite sum: see `power_spectrum`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.files import FileCheck
from genbench.data.rows import drawn_rows
from genbench.data.split import Split
from genbench.errors import UsageError
from genbench.generator import Space
from genbench.seeds import derive_seed

Float64s = NDArray[np.float64]

CLASSES, OCTAVES, HARMONICS = 12, 2, 6
LOWEST = 440 * 2 ** (-21 / 12)  # Hz, C3
CENTS = np.arange(-20, 21, 5)
DECAYS = np.array([0.1, 0.2, 0.4])  # s
ATTACK = 0.004  # s
AMPLITUDES = (0.2, 1.0)  # of the first harmonic; that of the h-th is an h-th of it
LEVELS = (0.1, 0.4)
STEPS = 1 << 15  # of 16 bits, on each side of 0
_AT_ONCE = 256  # rows


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """Draw a split ``{ n = 2400, seed = 1 }``: float32 ``(n, T)`` and pitch classes ``(n,)``."""
    n, seed = drawn_rows(dataset, split)
    return Split(*sample(n, space.shape[0], _rate(dataset), seed=seed))


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """Nothing to check: the rows are made, not stored."""
    _rate(dataset)
    return []


def sample(
    n: int, length: int, rate: int, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """`n` tones, float32 ``(n, length)``, and their pitch classes, int64 ``(n,)``, in turn.

    The same seed gives the same tones; so many more of a seed begin with the same ones.
    """
    tones = np.empty((n, length), np.float32)
    labels = np.arange(n, dtype=np.int64) % CLASSES
    seconds = np.arange(length) / rate
    for start in range(0, n, _AT_ONCE):
        # RandomState's stream is frozen across NumPy releases; Generator's is not.
        random = np.random.RandomState(derive_seed(seed, f"tones {start}") % 2**32)
        some = slice(start, start + _AT_ONCE)
        exact = _tones(labels[some], seconds, random)
        tones[some] = np.round(exact * STEPS) / STEPS
    return tones, labels


def _tones(labels: NDArray[np.int64], t: Float64s, random: np.random.RandomState) -> Float64s:
    """Tones ``(n, T)`` at the times `t` in seconds, before they are rounded."""
    # As many rows are drawn as there can be, so that fewer are the first of them.
    draw = (_AT_ONCE, HARMONICS)
    octave = random.randint(OCTAVES, size=_AT_ONCE)
    cents = CENTS[random.randint(len(CENTS), size=_AT_ONCE)]
    level = np.exp(random.uniform(math.log(LEVELS[0]), math.log(LEVELS[1]), _AT_ONCE))
    harmonic = np.arange(1, HARMONICS + 1)
    amplitude = level[:, None] * random.uniform(AMPLITUDES[0], AMPLITUDES[1], draw) / harmonic
    decay = random.randint(len(DECAYS), size=draw)
    phase = random.uniform(0, 2 * math.pi, draw)
    n = len(labels)
    f0 = LOWEST * 2.0 ** (octave[:n] + labels / CLASSES + cents[:n] / 1200)
    found, attack = np.zeros((n, len(t))), 1 - np.exp(-t / ATTACK)
    decaying = np.exp(-t / DECAYS[:, None])
    for i in range(n):  # a row at a time stays in the processor's cache
        for h in range(HARMONICS):
            wave = np.sin(2 * math.pi * (h + 1) * f0[i] * t + phase[i, h])
            found[i] += amplitude[i, h] * decaying[decay[i, h]] * wave
        found[i] *= attack
    return found


def power_spectrum(label: int, length: int, rate: int) -> Float64s:
    r"""The expected power :math:`E |\hat w_k|^2` of a pitch class, ``(length // 2 + 1,)``.

    Of the discrete Fourier transform of all `length` samples, unwindowed, as `numpy.fft.rfft` has
    it. Uniform phases leave of each harmonic
    :math:`E[L^2] E[u^2] h^{-2} (|D(f - h f_0)|^2 + |D(f + h f_0)|^2) / 4`, where D is the transform
    of its envelope, a difference of two geometric series; the mean over octaves, detunings and
    decays is a finite sum. The rounding to 16 bits adds :math:`T / (12 \cdot 2^{30})`.
    """
    frequency = np.fft.rfftfreq(length, 1 / rate)
    low, high = LEVELS
    level = (high**2 - low**2) / (2 * math.log(high / low))
    low, high = AMPLITUDES
    amplitude = (high**3 - low**3) / (3 * (high - low))
    found = np.zeros(len(frequency))
    for octave in range(OCTAVES):
        for cents in CENTS:
            f0 = LOWEST * 2.0 ** (octave + label / CLASSES + cents / 1200)
            for h in range(1, HARMONICS + 1):
                for decay in DECAYS:
                    around = [
                        np.abs(_envelope(frequency + s * h * f0, decay, length, rate)) ** 2
                        for s in (-1, 1)
                    ]
                    found += sum(around) / h**2
    of_one = level * amplitude / 4
    return of_one * found / (OCTAVES * len(CENTS) * len(DECAYS)) + length / (12 * STEPS**2)


def _envelope(frequency: Float64s, decay: float, length: int, rate: int) -> NDArray[Any]:
    """The transform of attack and decay at these frequencies in Hz."""
    found = np.zeros(len(frequency), complex)
    for sign, slope in ((1, 1 / decay), (-1, 1 / decay + 1 / ATTACK)):
        step = np.exp(-(slope + 2j * math.pi * frequency) / rate)
        found += sign * (1 - step**length) / (1 - step)
    return found


def _rate(dataset: Mapping[str, Any]) -> int:
    """The sampling rate in Hz; `UsageError` where the highest harmonic would be folded."""
    rate = dataset.get("space", {}).get("rate", 0)
    highest = 2 * HARMONICS * LOWEST * 2.0 ** (OCTAVES - 1 + (CLASSES - 1) / CLASSES + 20 / 1200)
    if rate < highest:
        raise UsageError(
            f"data set {dataset['name']!r}: tones reach {highest / 2:.0f} Hz, rate is {rate}: "
            f"set dataset.space.rate to {math.ceil(highest)} or more"
        )
    return int(rate)
