"""Metrics of sounds as a meter hears them, whatever the extractor."""

from __future__ import annotations

from functools import partial
from math import inf

from genbench.metrics.entry import Claim, MetricInfo

SOUNDS = ("waveform",)

_sound = partial(MetricInfo, kinds=SOUNDS, needs=frozenset({"features", "sound"}))
_share = partial(
    _sound, group="quality", higher_is_better=False, bounds=(0, 1), cost="n T",
    implementation="levels/1",
)  # fmt: skip

ENTRIES = (
    _sound(
        id="spectral_distance", title="Log-spectral distance", group="quality", unit="dB",
        higher_is_better=False, bounds=(0, inf), cost="n T ln T", defaults={"segment": 512},
        implementation="spectrum/1",
        description="Root mean square difference of the mean power spectra of real and generated"
        " rows, in dB.",
        reference="Gray & Markel 1976, doi:10.1109/TASSP.1976.1162849",
        maker="genbench.metrics.sound:measure_spectral",
        oracle="tests.oracles.sound:spectral_distance",
        claims=(
            Claim("sounds against themselves: 0", 0, 1e-9, "heard", ("real",)),
            Claim("ten times as soft: 20 dB", 19.9, 20.1, "heard", ("soft",)),
        ),
    ),
    _sound(
        id="loudness_distance", title="Loudness distance", group="quality", unit="LU",
        higher_is_better=False, bounds=(0, inf), cost="n T", defaults={"rate": 8000},
        implementation="loudness/1",
        description="Wasserstein distance between the gated loudness of real and generated rows.",
        reference="ITU-R BS.1770-5 (2023)",
        maker="genbench.metrics.sound:measure_loudness",
        oracle="tests.oracles.sound:loudness_distance",
        claims=(
            Claim("sounds against themselves: 0", 0, 1e-9, "heard", ("real",)),
            Claim("ten times as soft: 20 LU", 19.9, 20.1, "heard", ("soft",)),
        ),
    ),
    _sound(
        id="pitch_distance", title="Pitch distance", group="quality", unit="semitones",
        higher_is_better=False, bounds=(0, inf), cost="n T ln T", defaults={"rate": 8000},
        implementation="pitch/1",
        description="Wasserstein distance between the pitches of real and generated rows.",
        reference="Villani 2009, Optimal transport, chapter 6; pitch by the comb of harmonics that"
        " holds most energy",
        maker="genbench.metrics.sound:measure_pitch",
        oracle="tests.oracles.sound:pitch_distance",
        claims=(
            Claim("sounds against themselves: 0", 0, 1e-9, "heard", ("real",)),
            Claim("two semitones higher: 2", 1.9, 2.1, "heard", ("high",)),
        ),
    ),
    _sound(
        id="pitch_accuracy", title="Pitch accuracy", group="quality", higher_is_better=True,
        needs=frozenset({"features", "sound", "labels"}), bounds=(0, 1), cost="n T ln T",
        defaults={"rate": 8000}, implementation="pitch/1",
        description="Share of generated rows whose pitch class is their label, where labels are"
        " pitch classes from C on.",
        reference="the comb of harmonics that holds most energy; 99.5 % of real tones or more",
        maker="genbench.metrics.sound:measure_pitch_accuracy",
        oracle="tests.oracles.sound:pitch_accuracy",
        claims=(
            Claim("notes under their names: 1", 0.995, 1, "heard", ("real",)),
            Claim("two semitones higher: 0", 0, 0.005, "heard", ("high",)),
        ),
    ),
    _share(
        id="clipped", title="Clipped",
        description="Share of generated rows with three samples in a row at the edge of the range.",
        reference="as defined here", maker="genbench.metrics.sound:measure_clipped",
        oracle="tests.oracles.sound:clipped",
        claims=(Claim("twenty times as loud: all", 0.99, 1, "heard", ("loud",)),),
    ),
    _share(
        id="silent", title="Silent",
        description="Share of generated rows whose mean square is 60 dB below full scale.",
        reference="as defined here", maker="genbench.metrics.sound:measure_silent",
        oracle="tests.oracles.sound:silent",
        claims=(Claim("zeros: all", 1, 1, "heard", ("zeros",)),),
    ),
)  # fmt: skip
