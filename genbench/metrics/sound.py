"""What a meter tells of sounds: their mean spectrum, loudness, pitch, and broken clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from genbench.errors import MetricError
from genbench.metrics.arrays import to_host
from genbench.metrics.checks import as_pair, as_rows
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.loudness import ABSOLUTE_GATE, integrated_loudness
from genbench.metrics.pitch import pitch_classes, pitches
from genbench.metrics.uncertainty import Estimate, block_jackknife, wilson_share

Float64s = NDArray[np.float64]

FULL_SCALE = 1 - 2**-12  # from here on a sample is at the edge of its range
CLIPPED_RUN = 3  # samples in a row at the edge: a peak alone is no clipping
SILENCE = -60.0  # dB below full scale, of a row's mean square
_FLOOR = 1e-8  # of the real rows' mean power: what lies below is equally silent
_AT_ONCE = 256  # rows


def log_spectral_distance(real: Any, fake: Any, *, segment: int = 512) -> float:
    """Root mean square difference of the mean power spectra, in dB.

    ``sqrt(mean_k (10 lg (P_k / Q_k))^2)`` over the bins of spectra averaged over rows and over
    Hann-windowed segments that overlap by half (Welch 1967). Powers are raised by 1e-8 of the real
    rows' mean power.

    Parameters
    ----------
    real, fake
        Waveforms ``(n, T)``.
    segment
        Samples of a segment; cut to T.

    References
    ----------
    Gray & Markel 1976, Distance measures for speech processing.
    """
    rows = as_pair(real, fake)
    return _distance(*(_spectra(x, segment).mean(0) for x in rows))


def clipped(x: Any) -> NDArray[np.bool_]:
    """Rows ``(n, T)`` with three samples in a row within 1/4096 of the edge, bool ``(n,)``."""
    high = np.abs(to_host(as_rows("x", x))) >= FULL_SCALE
    run = high[:, : high.shape[1] - CLIPPED_RUN + 1].copy()
    for later in range(1, CLIPPED_RUN):
        run &= high[:, later : later + run.shape[1]]
    return np.asarray(run.any(1))


def silent(x: Any) -> NDArray[np.bool_]:
    """Rows ``(n, T)`` whose mean square is below -60 dB of full scale, bool ``(n,)``."""
    rows = to_host(as_rows("x", x)).astype(np.float64)
    return np.asarray((rows * rows).mean(1) < 10 ** (SILENCE / 10))


def loudness_distance(real: Any, fake: Any, *, rate: int) -> float:
    """The first Wasserstein distance between the loudness of rows, in LU.

    `integrated_loudness` of each row; what no gate lets through counts as -70 LUFS.
    """
    return _moved(*(_loudness(x, rate) for x in as_pair(real, fake)))


def pitch_distance(real: Any, fake: Any, *, rate: int) -> float:
    """The first Wasserstein distance between the pitches of rows, in semitones.

    Rows without sound have none, and are left out.

    Raises
    ------
    MetricError
        ``undefined`` if no row of a set has a pitch.
    """
    return _moved(*(_semitones(x, rate) for x in as_pair(real, fake)))


def measure_spectral(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`log_spectral_distance` with its interval.

    Naive form: ``tests.oracles.sound:spectral_distance``.
    """
    segment = int(parameters["segment"])
    real, fake = (_spectra(x, segment) for x in inputs.pair)
    return _measured(inputs, real.mean(0), fake, lambda p, rows: _distance(p, rows.mean(0)))


def measure_loudness(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`loudness_distance` with its interval, and the mean loudness of both sets beside it.

    Naive form: ``tests.oracles.sound:loudness_distance``.
    """
    rate = int(parameters["rate"])
    real, fake = (_loudness(x, rate) for x in inputs.pair)
    details = {"real": float(real.mean()), "generated": float(fake.mean())}
    return _measured(inputs, real, fake, _moved, details)


def measure_pitch(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`pitch_distance` with its interval.

    Naive form: ``tests.oracles.sound:pitch_distance``.
    """
    rate = int(parameters["rate"])
    real, fake = (pitches(to_host(x), rate=rate) for x in inputs.pair)
    return _measured(inputs, real, fake, lambda a, b: _moved(_sounding(a), _sounding(b)))


def measure_pitch_accuracy(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The share of generated rows whose pitch class is their label, and of the real rows.

    Naive form: ``tests.oracles.sound:pitch_accuracy``.
    """
    rate, labels = int(parameters["rate"]), inputs.labels
    real, fake = (pitch_classes(pitches(to_host(x), rate=rate)) for x in inputs.pair)
    details = {"real": float((real == labels.real).mean())}
    found = wilson_share(int((fake == labels.fake).sum()), len(fake))
    return Measurement(inputs.maybe(found), details)


def measure_clipped(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The share of clipped rows among the generated ones, and among the real ones beside it.

    Naive form: ``tests.oracles.sound:clipped``.
    """
    return _share(inputs, clipped)


def measure_silent(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The share of silent rows among the generated ones, and among the real ones beside it.

    Naive form: ``tests.oracles.sound:silent``.
    """
    return _share(inputs, silent)


def _share(inputs: Inputs, broken: Callable[[Any], NDArray[np.bool_]]) -> Measurement:
    real, fake = (broken(x) for x in inputs.pair)
    found = wilson_share(int(fake.sum()), len(fake))
    return Measurement(inputs.maybe(found), {"real": float(real.mean())})


def _measured(
    inputs: Inputs,
    real: Float64s,
    fake: Float64s,
    distance: Callable[[Float64s, Float64s], float],
    details: Mapping[str, Any] | None = None,
) -> Measurement:
    """A distance to what was found of each generated row ``(n, ...)``, with its interval."""
    value = distance(real, fake)
    if inputs.blocks is None:
        return Measurement(Estimate(value), details or {})
    block = inputs.blocks.of_row
    left_out = [distance(real, fake[block != b]) for b in range(inputs.blocks.count)]
    return Measurement(block_jackknife(value, np.array(left_out), low=0.0), details or {})


def _spectra(x: Any, segment: int) -> Float64s:
    """The mean power of the segments of each row, ``(n, segment // 2 + 1)``."""
    rows = to_host(x).astype(np.float64)
    size = min(segment, rows.shape[1])
    window = np.hanning(size + 1)[:size]
    starts = range(0, rows.shape[1] - size + 1, max(1, size // 2))
    found = np.zeros((len(rows), size // 2 + 1))
    for first in range(0, len(rows), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        for start in starts:
            spectrum = np.fft.rfft(rows[some, start : start + size] * window, axis=1)
            found[some] += np.abs(spectrum) ** 2
    return found / len(starts)


def _distance(real: Float64s, fake: Float64s) -> float:
    """Between mean power spectra ``(k,)``, in dB."""
    floor = _FLOOR * float(real.mean())
    if floor == 0:
        raise MetricError("the real rows are silent: there is no spectrum", status="undefined")
    return float(np.sqrt(np.mean((10 * np.log10((fake + floor) / (real + floor))) ** 2)))


def _loudness(x: Any, rate: int) -> Float64s:
    found = integrated_loudness(to_host(x), rate=rate)
    return np.maximum(found, ABSOLUTE_GATE)


def _semitones(x: Any, rate: int) -> Float64s:
    return _sounding(pitches(to_host(x), rate=rate))


def _sounding(frequencies: Float64s) -> Float64s:
    """Pitches in semitones, of the rows that have one."""
    heard = frequencies[~np.isnan(frequencies)]
    if len(heard) == 0:
        raise MetricError("no row of a set has a sound: there is no pitch", status="undefined")
    return 12 * np.log2(heard)


def _moved(real: Float64s, fake: Float64s) -> float:
    return float(wasserstein_distance(real, fake))
