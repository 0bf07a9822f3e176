"""What a meter tells of sounds, the slow way; loudness by pyloudnorm, spectra by SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.signal
from scipy.stats import wasserstein_distance


def spectral_distance(real_sounds: Any, fake_sounds: Any) -> float:
    """Welch's spectra of SciPy, averaged over rows, as decibels apart."""
    real, fake = (
        scipy.signal.welch(
            x, nperseg=512, noverlap=256, window="hann", detrend=False, return_onesided=False
        )[1].mean(0)[:257]
        for x in (real_sounds, fake_sounds)
    )
    floor = 1e-8 * real.mean()
    return float(np.sqrt(np.mean((10 * np.log10((fake + floor) / (real + floor))) ** 2)))


def _loudness(x: Any) -> list[float]:
    import pyloudnorm

    meter = pyloudnorm.Meter(8000, filter_class="DeMan")
    return [max(meter.integrated_loudness(row), -70.0) for row in x]


def loudness_distance(real_sounds: Any, fake_sounds: Any) -> float:
    """Wasserstein's distance of what pyloudnorm reads."""
    return float(wasserstein_distance(_loudness(real_sounds), _loudness(fake_sounds)))


def _pitches(x: Any) -> np.ndarray:
    """The candidate whose harmonics' bands, as a mask over the spectrum, hold most power."""
    rows = np.asarray(x, np.float64)
    length = rows.shape[1]
    power = np.abs(np.fft.rfft(rows * np.hanning(length), 2 * length)) ** 2
    notes = 440 * 2 ** (-21 / 12) * 2 ** (np.arange(-47.5, 2350, 5) / 1200)
    held = np.zeros((len(notes), power.shape[1]))
    for i, note in enumerate(notes):
        for h in range(1, 7):
            half = max(2.5, h * note * (2 ** (12 / 1200) - 1))
            low, high = ((h * note + s * half) * 2 * length / 8000 for s in (-1, 1))
            held[i, round(low) : round(high) + 1] += 1
    return notes[(power @ held.T).argmax(1)]


def pitch_distance(real_sounds: Any, fake_sounds: Any) -> float:
    """Wasserstein's distance of pitches in semitones."""
    real, fake = (12 * np.log2(_pitches(x)) for x in (real_sounds, fake_sounds))
    return float(wasserstein_distance(real, fake))


def pitch_accuracy(fake_sounds: Any, fake_labels: Any) -> float:
    """The share of rows whose nearest note is their label, from C on."""
    notes = np.round(12 * np.log2(_pitches(fake_sounds) / (440 * 2 ** (-21 / 12)))) % 12
    return float(np.mean(notes == fake_labels))


def clipped(fake_sounds: Any) -> float:
    """The share of rows with three samples in a row at the edge, sample by sample."""
    found = 0
    for row in fake_sounds:
        run = longest = 0
        for sample in row:
            run = run + 1 if abs(sample) >= 1 - 1 / 4096 else 0
            longest = max(longest, run)
        found += longest >= 3
    return found / len(fake_sounds)


def silent(fake_sounds: Any) -> float:
    """The share of rows 60 dB below full scale."""
    power = np.mean(np.asarray(fake_sounds, np.float64) ** 2, axis=1)
    return float(np.mean(10 * np.log10(power + 1e-30) < -60))
