"""Sounds: tones of a known spectrum, meters, files, spoken digits from whatever a person has."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import wave
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genbench.baselines.controls_parts import coloured, mean_power, white
from genbench.baselines.spectrogram import Spectrogram
from genbench.data import fsdd, load_split, tones
from genbench.errors import DataError, UsageError
from genbench.features import load_extractor
from genbench.formats import decode_sound
from genbench.generator import Space
from genbench.metrics.evaluation import evaluate
from genbench.metrics.loudness import _weighting, integrated_loudness
from genbench.metrics.pitch import pitch_classes, pitches
from genbench.metrics.sound import clipped, silent
from genbench.tasks.suite import load_suite

RATE = 8000


@pytest.fixture(scope="module")
def some_tones() -> tuple[Any, Any]:
    return tones.sample(240, 8192, RATE, seed=11)


def test_tones_are_the_same_ones_and_more_begin_with_them(some_tones: tuple[Any, Any]) -> None:
    x, y = some_tones
    again, _ = tones.sample(30, 8192, RATE, seed=11)
    assert np.array_equal(x[:30], again)
    assert (x * tones.STEPS == np.round(x * tones.STEPS)).all()
    assert np.abs(x).max() < 1
    assert y[:14].tolist() == [*range(12), 0, 1]
    assert not np.array_equal(tones.sample(30, 8192, RATE, seed=12)[0], again)


@pytest.mark.slow
def test_the_mean_power_of_tones_is_what_the_formula_says() -> None:
    x, y = tones.sample(3600, 8192, RATE, seed=6)
    for label in (0, 7):
        power = np.abs(np.fft.rfft(x[y == label].astype(np.float64), axis=1)) ** 2
        bands = power[:, :4096].reshape(len(power), 32, 128).sum(2)
        known = tones.power_spectrum(label, 8192, RATE)[:4096].reshape(32, 128).sum(1)
        error = bands.std(0, ddof=1) / len(power) ** 0.5
        assert np.abs((bands.mean(0) - known) / error).max() < 4.5


def test_tones_that_would_be_folded_are_refused() -> None:
    dataset = {"name": "t", "space": {"rate": 4000}, "split": {"train": {"n": 3, "seed": 1}}}
    with pytest.raises(UsageError, match=r"set dataset\.space\.rate to 59"):
        tones.read(dataset, Space("waveform", (4096,), rate=4000), "train")


def test_the_pitch_of_real_tones_is_read(some_tones: tuple[Any, Any]) -> None:
    x, y = some_tones
    assert (pitch_classes(pitches(x, rate=RATE)) == y).mean() >= 0.995
    assert np.isnan(pitches(np.zeros((2, 4000)), rate=RATE)).all()


def test_the_filters_of_loudness_are_those_of_the_standard() -> None:
    """ITU-R BS.1770-5, tables 1 and 2, at 48 kHz; and its full-scale sine of 997 Hz."""
    (b1, a1), (b2, a2) = _weighting(48_000)
    assert b1 == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285], abs=1e-9)
    assert a1 == pytest.approx([1, -1.69065929318241, 0.73248077421585], abs=1e-9)
    assert b2.tolist() == [1, -2, 1]
    assert a2 == pytest.approx([1, -1.99004745483398, 0.99007225036621], abs=1e-9)
    sine = np.sin(2 * np.pi * 997 * np.arange(96_000) / 48_000)
    assert integrated_loudness(sine[None], rate=48_000) == pytest.approx([-3.01], abs=0.005)
    assert integrated_loudness(np.zeros((1, 48_000)), rate=48_000)[0] == -np.inf


def test_clipping_is_a_run_at_the_edge_and_silence_a_level() -> None:
    x = np.zeros((4, 100), np.float32)
    x[0, 50] = 1.0  # a peak
    x[1, 50:53] = 1.0
    x[2, 50:53] = [-1.0, 0.9, -1.0]
    assert clipped(x).tolist() == [False, True, False, False]
    assert silent(x).tolist() == [False, False, False, True]


def test_metrics_of_sounds_have_intervals(some_tones: tuple[Any, Any]) -> None:
    x, y = some_tones
    asked = ["spectral_distance", "loudness_distance", "pitch_accuracy", "silent"]
    found = evaluate(x[:120], x[120:], asked, real_labels=y[:120], fake_labels=y[120:])
    assert [value.status for value in found.values()] == ["ok"] * 4
    assert all(value.interval is not None for value in found.values())
    assert "|rate=8000|" in found["loudness_distance"].signature


def test_controls_have_the_level_and_the_spectrum_of_the_data(some_tones: tuple[Any, Any]) -> None:
    x, rng = torch.from_numpy(some_tones[0]), torch.Generator().manual_seed(0)
    level = x.square().mean(1).sqrt()
    noise = white(level, (200, 8192), rng)
    assert noise.square().mean(1).sqrt().mean() == pytest.approx(float(level.mean()), rel=0.1)
    power = mean_power(x)
    drawn = mean_power(coloured(power, 200, 8192, rng))
    loud = power > power.quantile(0.99)
    assert float(drawn[loud].sum() / power[loud].sum()) == pytest.approx(1, abs=0.05)


def test_spectrograms_are_heard_as_what_they_are_of(some_tones: tuple[Any, Any]) -> None:
    x, y = some_tones
    spectrogram = Spectrogram(8192, RATE)
    logarithms = spectrogram(torch.from_numpy(x[:36]))
    assert logarithms.shape == (36, 64, 64)
    heard = spectrogram.waveforms(logarithms, torch.Generator().manual_seed(0)).numpy()
    assert heard.shape == (36, 8192)
    assert np.abs(heard).max() <= 1
    assert (pitch_classes(pitches(heard, rate=RATE)) == y[:36]).mean() > 0.9


def test_the_network_names_tones(some_tones: tuple[Any, Any]) -> None:
    x, y = some_tones
    suite = load_suite("tones")
    found = load_extractor("tones-cnn", suite.space).extract(x)
    probabilities = np.asarray(found.probabilities)
    assert found.features.shape == (240, 128)
    assert (probabilities.argmax(1) == y).mean() > 0.98


def wav(samples: Any, *, rate: int = RATE, channels: int = 1) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return buffer.getvalue()


def test_sound_files_of_every_coding_are_read_alike() -> None:
    soundfile = pytest.importorskip("soundfile")
    samples = (3000 * np.sin(np.arange(800) / 5)).astype(np.int16)
    plain = decode_sound(wav(samples), "a.wav")
    assert (plain.rate, plain.coding, plain.samples.shape) == (RATE, "PCM_16", (800, 1))
    for name, kind, coding in (
        ("WAV", "PCM_24", "PCM_24"), ("FLAC", "PCM_16", "PCM_16"), ("WAV", "FLOAT", "FLOAT"),
        ("WAV", "ALAW", "ALAW"), ("WAV", "PCM_U8", "PCM_U8"),
    ):  # fmt: skip
        buffer = io.BytesIO()
        soundfile.write(buffer, samples / 32768, RATE, format=name, subtype=kind)
        other = decode_sound(buffer.getvalue(), "b")
        assert (other.rate, other.coding) == (RATE, coding)
        assert np.abs(other.samples - plain.samples).max() < 0.02


def not_finite() -> bytes:
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.array([0.0, np.nan, 1.0]), RATE, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (lambda: b"GIF89a nothing to hear", "is no sound that can be read"),
        (lambda: wav(np.zeros(100))[:-20], "is truncated"),
        (lambda: wav([]), "holds no samples: remove it"),
        (not_finite, r"holds NaN or infinity \(first: sample 1\)"),
    ],
)
def test_files_that_are_no_sound_are_named(data: Any, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as told:
        decode_sound(data(), "folder/clip.wav")
    assert str(told.value).startswith("folder/clip.wav")


@pytest.fixture
def clips() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    names = [f"{d}_{who}_{i}" for d in range(2) for who in ("ann", "bob") for i in range(3)]
    return {name: rng.integers(-9000, 9000, 300 + 7 * i).astype(np.int16)
            for i, name in enumerate(names)}  # fmt: skip


def dataset_of(clips: Mapping[str, Any], root: Path) -> dict[str, Any]:
    listed = "".join(f"{fsdd.digest(clip)} {name}\n" for name, clip in clips.items()).encode()
    (root / "clips.txt").write_bytes(listed)
    digest = hashlib.sha256(listed).hexdigest()
    return {
        "name": "small", "loader": "fsdd", "root": str(root),
        "files": [
            {"role": "archive", "path": "small.tar.gz", "bytes": 0, "sha256": "", "urls": ["x"]},
            {"role": "clips", "path": "clips.txt", "bytes": len(listed), "sha256": digest},
        ],
        "split": {"train": {"index": [1, 3]}, "test": {"index": [0, 1], "speakers": ["bob"]},
                  "bad": {"index": [0, 1], "speakers": ["eve"]}},
    }  # fmt: skip


def as_folder(clips: Mapping[str, Any], root: Path) -> None:
    (root / "recordings").mkdir()
    for name, clip in clips.items():
        (root / "recordings" / f"{name}.wav").write_bytes(wav(clip))


def as_tar(clips: Mapping[str, Any], root: Path) -> None:
    with tarfile.open(root / "small.tar.gz", "w:gz") as tar:
        for name, clip in clips.items():
            info, data = tarfile.TarInfo(f"repository/recordings/{name}.wav"), wav(clip)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def as_zip(clips: Mapping[str, Any], root: Path) -> None:
    with zipfile.ZipFile(root / "master.zip", "w") as file:
        for name, clip in clips.items():
            file.writestr(f"repository/recordings/{name}.wav", wav(clip))


def as_npz(clips: Mapping[str, Any], root: Path) -> None:
    parts = [name.split("_") for name in clips]
    np.savez(
        root / "fsdd.npz", audio=np.concatenate(list(clips.values())),
        lens=[len(clip) for clip in clips.values()], label=[int(p[0]) for p in parts],
        speaker=[p[1] for p in parts], index=[int(p[2]) for p in parts],
    )  # fmt: skip


SPACE = Space("waveform", (320,), classes=2, rate=RATE)


@pytest.mark.parametrize("kept", [as_folder, as_tar, as_zip, as_npz])
def test_every_source_of_spoken_digits_gives_the_same_rows(
    kept: Any, clips: dict[str, np.ndarray], tmp_path: Path
) -> None:
    dataset = dataset_of(clips, tmp_path)
    kept(clips, tmp_path)
    train, test = (fsdd.read(dataset, SPACE, split) for split in ("train", "test"))
    assert train.x.shape == (8, 320)
    assert train.x.dtype == np.float32
    order = sorted((n for n in clips if n[-1] in "12"), key=lambda n: fsdd.digest(clips[n]))
    assert train.y is not None
    assert train.y.tolist() == [int(name[0]) for name in order]
    first = clips[order[0]][:320]
    assert np.array_equal(train.x[0, : len(first)], first / np.float32(32768))
    assert not train.x[0, len(first) :].any()
    assert test.x.shape == (2, 320)
    assert all(check.ok for check in fsdd.verify(dataset))


def test_spoken_digits_that_are_missing_or_others_are_named(
    clips: dict[str, np.ndarray], tmp_path: Path
) -> None:
    dataset = dataset_of(clips, tmp_path)
    with pytest.raises(DataError, match="is not here: run genbench data fetch small, or put"):
        fsdd.read(dataset, SPACE, "train")
    as_folder({**clips, "0_bob_1": clips["0_bob_1"] + 1}, tmp_path)
    with pytest.raises(DataError, match=r"has other sound in 0_bob_1\.wav of 12 clips"):
        fsdd.read(dataset, SPACE, "train")
    for name in ("0_ann_0", "0_ann_1", "0_ann_2", "1_bob_2"):
        (tmp_path / "recordings" / f"{name}.wav").unlink()
    with pytest.raises(DataError, match=r"lacks 0_ann_0\.wav, .* and 1 more of 12 clips"):
        fsdd.read(dataset, SPACE, "train")
    (tmp_path / "recordings" / "0_ann_0.wav").write_bytes(wav(clips["0_ann_0"], rate=16_000))
    with pytest.raises(DataError, match="16000 Hz, expected 16 bits, one channel, 8,000 Hz"):
        fsdd.read(dataset, SPACE, "train")
    with pytest.raises(UsageError, match="speakers, of ann, bob"):
        fsdd.read(dataset, SPACE, "bad")


SHARED = Path(os.environ.get("GENBENCH_SHARED_DATA", "/nowhere"))


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "fsdd").is_dir(), reason="GENBENCH_SHARED_DATA has no fsdd")
def test_the_real_spoken_digits_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBENCH_DATA", str(SHARED))
    suite = load_suite("fsdd")
    sizes = [len(load_split(suite.dataset, suite.space, s).x) for s in ("train", "valid", "test")]
    assert sizes == [2400, 300, 300]
    test = load_split(suite.dataset, suite.space, "test")
    found = load_extractor("fsdd-cnn", suite.space).extract(test.x)
    assert (np.asarray(found.probabilities).argmax(1) == test.y).mean() >= 0.97
