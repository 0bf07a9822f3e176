"""Sounds of one's own: a folder becomes a suite, files are scored, and what is wrong is named."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from genbench.data import Split, fsdd, load_split, verify_files
from genbench.errors import DataError, UsageError
from genbench.features import load_extractor
from genbench.formats import SoundFitting, hear, wav_bytes
from genbench.formats.soundfiles import BadSound, in_16_bits
from genbench.generator import Space
from genbench.metrics import nearest_sounds
from genbench.plugins.external import Staged, samples_path, stage
from genbench.results.store import CACHE, Store
from genbench.synthesis.write import class_folders
from genbench.system.npzfile import load_arrays
from genbench.tasks import Hearing, load_suite, new_suite
from genbench.tasks.new import extractor as on_the_spot
from genbench.tasks.new.flaws import proposed_length
from genbench.tasks.suite import Suite
from tests.test_sound import wav

RATE, LENGTH = 8000, 2048
SPACE = Space("waveform", (LENGTH,), rate=RATE)
N = 160


def beep(i: int, *, length: int = LENGTH, rate: int = RATE) -> np.ndarray:
    """A tone whose class `i % 2` is its octave, and which is otherwise one of a kind."""
    pitch = (300 if i % 2 else 900) * (1 + i / 3000)
    return (0.3 * np.sin(2 * np.pi * pitch * np.arange(length) / rate)).astype(np.float32)


def coded(x: Any, *, rate: int = RATE, name: str = "WAV", kind: str = "FLOAT") -> bytes:
    soundfile = pytest.importorskip("soundfile")
    buffer = io.BytesIO()
    soundfile.write(buffer, x, rate, format=name, subtype=kind)
    return buffer.getvalue()


def clips(folder: Path, n: int = N) -> Path:
    """`n` beeps in the folders ``low`` and ``high``."""
    for i in range(n):
        path = folder / ("low" if i % 2 else "high") / f"{i:04}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav_bytes(beep(i), RATE))
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_the_spot, "STEPS", 6)


def made(place: Path, sounds: Path, **options: Any) -> tuple[tuple[str, ...], Suite]:
    place.mkdir(exist_ok=True)
    found = new_suite("beeps", audio=sounds, folder=place, shares=(0.6, 0.2, 0.2), **options)
    return found.notes, load_suite(str(place / "beeps.toml"))


def test_a_folder_of_sounds_becomes_a_suite(tmp_path: Path, quick: None) -> None:
    sounds = clips(tmp_path / "sounds")
    (sounds / "low" / "twice.wav").write_bytes((sounds / "low" / "0001.wav").read_bytes())
    notes, suite = made(tmp_path, sounds)
    assert suite.space == Space("waveform", (LENGTH,), classes=2, rate=RATE)
    assert suite.document["dataset"]["class_names"] == ["high", "low"]
    assert "2 rows are exact copies in 1 group: each group is in one split" in notes
    parts = [load_split(suite.dataset, suite.space, split) for split in ("train", "valid", "test")]
    assert sum(len(part.x) for part in parts) == N + 1
    for part in parts:
        pitch = np.abs(np.fft.rfft(part.x, axis=1)).argmax(1) * RATE / LENGTH
        assert_array_equal(pitch < 600, part.y)
        assert set(part.y[:12]) == {0, 1}, "served mixed"
    assert all(check.ok for check in verify_files(suite.dataset))
    found = load_extractor(suite.extractor, suite.space, suite.extractors).extract(parts[2].x)
    assert found.features.shape == (len(parts[2].x), 128)
    asked = {metric["id"]: metric for metric in suite.document["metrics"]}
    assert asked["loudness_distance"]["rate"] == RATE
    assert {"spectral_distance", "clipped", "silent", "fid_per_class", "nll"} <= set(asked)
    assert not {"emd", "sliced_wasserstein"} & set(asked), "no transport between 2,048 samples"


def test_a_set_that_was_packed_as_a_whole_keeps_its_classes(tmp_path: Path, quick: None) -> None:
    """As every desktop packs a folder; what is hidden in it is not read."""
    sounds, packed = clips(tmp_path / "birds"), tmp_path / "birds.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in sorted(sounds.rglob("*.wav")):
            file.write(path, path.relative_to(tmp_path))
        file.writestr("birds/.git/0000.wav", wav_bytes(beep(900), RATE))
        file.writestr("birds/low/.cache/0001.wav", wav_bytes(beep(901), RATE))
    notes, suite = made(tmp_path / "out", packed)
    assert "all sounds lie in 'birds': classes are the folders in it" in notes
    assert suite.document["dataset"]["class_names"] == ["high", "low"]
    parts = [load_split(suite.dataset, suite.space, split) for split in ("train", "valid", "test")]
    assert sum(len(part.x) for part in parts) == N


def test_no_file_of_somebody_is_written_over_or_removed(tmp_path: Path, quick: None) -> None:
    sounds, table = clips(tmp_path / "sounds"), tmp_path / "beeps.files.csv"
    table.write_text("my own notes")
    weights = tmp_path / "beeps-cnn-1.safetensors"
    with pytest.raises(UsageError, match=r"beeps\.files\.csv is there already: choose another"):
        made(tmp_path, sounds)
    assert table.read_text() == "my own notes"
    table.unlink()
    weights.write_text("mine, too")
    with pytest.raises(UsageError, match=r"beeps-cnn-1\.safetensors is there already"):
        made(tmp_path, sounds)
    assert weights.read_text() == "mine, too"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["beeps-cnn-1.safetensors", "sounds"]


def test_a_backslash_in_a_name_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    sounds = clips(tmp_path / "sounds")
    (sounds / "low" / "0001.wav").rename(sounds / "low" / "a\\b.wav")
    with pytest.raises(DataError, match="has a backslash in its name: rename it"):
        made(tmp_path, sounds)


@pytest.mark.parametrize(
    ("rate", "length", "message"),
    [(100, LENGTH, "rate is 100: give 1,000"), (RATE, 8, "length is 8: give 16 to")],
)
def test_what_no_option_may_ask_for_no_folder_may_either(
    rate: int, length: int, message: str, tmp_path: Path
) -> None:
    for i in range(N):
        path = tmp_path / "sounds" / "ab"[i % 2] / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav_bytes(beep(i, length=length), rate))
    with pytest.raises(DataError, match=f"most sounds of .*: {message}"):
        made(tmp_path, tmp_path / "sounds")


def test_empty_files_have_no_say_in_the_length(tmp_path: Path, quick: None) -> None:
    sounds = clips(tmp_path / "sounds")
    for i in range(N + 9):
        (sounds / "low" / f"empty{i}.wav").write_bytes(wav_bytes(beep(1, length=0), RATE))
    _, suite = made(tmp_path, sounds, skip_bad=True)
    assert suite.space.shape == (LENGTH,)


def test_sounds_that_changed_since_are_named(tmp_path: Path, quick: None) -> None:
    _, suite = made(tmp_path, clips(tmp_path / "sounds"))
    (tmp_path / "sounds" / "low" / "0001.wav").write_bytes(wav_bytes(beep(7), RATE))
    with pytest.raises(DataError, match=r"sound .*low/0001\.wav has sha256 .*: put the old one"):
        [load_split(suite.dataset, suite.space, split) for split in ("train", "valid", "test")]
    assert [c.path for c in verify_files(suite.dataset) if not c.ok] == ["low/0001.wav"]


def test_other_rates_lengths_and_channels_are_changed_where_asked(
    tmp_path: Path, quick: None
) -> None:
    sounds = clips(tmp_path / "sounds")
    long, stereo = beep(500, length=9000, rate=16_000), np.stack([beep(501), beep(501)], 1)
    (sounds / "high" / "long.wav").write_bytes(wav_bytes(long, 16_000))
    (sounds / "low" / "stereo.wav").write_bytes(wav(in_16_bits(stereo) * 32768, channels=2))
    with pytest.raises(DataError) as told:
        made(tmp_path, sounds)
    for text in (
        f"2 of {N + 2} files", "high/long.wav is at 16,000 Hz", "--rate 8000 resamples them",
        "low/stereo.wav has 2 channels", "--mono averages them", "--on-bad skip",
    ):  # fmt: skip
        assert text in str(told.value)
    with pytest.raises(DataError, match=r"lengths differ, 2,048 to 4,500 .*--length 2048 pads"):
        made(tmp_path, sounds, hearing=Hearing(rate=RATE, mono=True))
    notes, suite = made(tmp_path, sounds, hearing=Hearing(RATE, LENGTH, mono=True))
    assert suite.document["dataset"]["options"] == {
        "resample": "polyphase", "mono": True, "length": LENGTH,
    }  # fmt: skip
    assert "padded with silence or cut to 2,048 samples" in suite.document["suite"]["description"]
    assert f"1 of {N + 2} sounds are resampled to 8,000 Hz" in notes
    assert f"of {N + 2} sounds 1 are cut to 2,048 samples, 0 are padded with silence" in notes
    assert sum(len(load_split(suite.dataset, suite.space, s).x) for s in ("train", "valid")) > 100


def test_resampling_keeps_the_pitch_and_the_level() -> None:
    fitting = SoundFitting(resample=True, length=LENGTH)
    heard = hear(wav_bytes(beep(3, length=11_290, rate=44_100), 44_100), SPACE, fitting)
    middle = slice(100, 1900)
    assert np.abs(heard - beep(3))[middle].max() < 2e-3
    assert (heard * 32768 == np.rint(heard * 32768)).all()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (lambda: b"MZ no sound at all", "is no sound that can be read"),
        (lambda: coded(np.where(np.arange(LENGTH) == 9, np.nan, beep(1))), "NaN or infinity .*9"),
        (lambda: coded(3 * beep(1) / 0.6), r"beyond full scale \(peak 1\.5\): lower its gain"),
        (lambda: wav_bytes(np.zeros(LENGTH, np.float32), RATE), "is silent from .*: remove it"),
        (lambda: wav_bytes(beep(1, length=0), RATE), "holds no samples: remove it"),
        (lambda: wav_bytes(beep(1), 2_000_000_003), "it is at 2,000,000,003 Hz: correct its"),
    ],
    ids=["no audio", "NaN", "beyond", "zeros", "empty", "giant rate"],
)
def test_a_suite_refuses_each_bad_sound_by_name(
    data: Callable[[], bytes], complaint: str, tmp_path: Path, quick: None
) -> None:
    sounds = clips(tmp_path / "sounds")
    (sounds / "low" / "bad.wav").write_bytes(data())
    with pytest.raises(DataError, match=rf"1 of {N + 1} files .*low/bad\.wav .*{complaint}"):
        made(tmp_path, sounds)
    assert not (tmp_path / "beeps.toml").exists()
    notes, _ = made(tmp_path, sounds, skip_bad=True)
    assert any(note.startswith("skipped: low/bad.wav") for note in notes)


@pytest.mark.parametrize(
    ("name", "kind", "error"),
    [
        ("WAV", "PCM_24", 1e-6), ("WAV", "PCM_U8", 1 / 128), ("WAV", "ALAW", 0.02),
        ("WAV", "ULAW", 0.02), ("FLAC", "PCM_16", 1e-4), ("OGG", "VORBIS", 0.1),
    ],
)  # fmt: skip
def test_codings_are_heard_right(name: str, kind: str, error: float) -> None:
    heard = hear(coded(beep(5), name=name, kind=kind), SPACE, SoundFitting(length=LENGTH))
    assert np.abs(heard - beep(5)).max() < error


def test_a_loud_file_of_a_lossy_coding_is_cut_off_at_full_scale() -> None:
    loud = coded(np.sign(beep(5)) * 0.99, name="OGG", kind="VORBIS")
    assert np.abs(hear(loud, SPACE, SoundFitting(length=LENGTH))).max() == 1


def test_coarse_and_clipped_sounds_are_told(tmp_path: Path, quick: None) -> None:
    sounds = clips(tmp_path / "sounds")
    (sounds / "low" / "alaw.wav").write_bytes(coded(beep(601), kind="ALAW"))
    (sounds / "low" / "cut.wav").write_bytes(wav_bytes((9 * beep(603)).clip(-1, 1), RATE))
    notes, _ = made(tmp_path, sounds)
    assert f"1 of {N + 2} sounds are of 8 bits or fewer, or packed into as many" in notes
    assert f"1 of {N + 2} sounds are clipped" in notes


def test_places_without_sounds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no sounds \(0 other files\): expected \.wav"):
        made(tmp_path, tmp_path / "empty")
    (tmp_path / "empty" / "a.mp3").write_bytes(b"ID3")
    with pytest.raises(DataError, match=r"\(\.mp3\): save it as wav"):
        made(tmp_path, tmp_path / "empty")


@pytest.mark.parametrize(
    ("hearing", "complaint"),
    [
        (Hearing(rate=10), "rate is 10: give 1,000 to 192,000 Hz"),
        (Hearing(length=3), "length is 3: give 16 to"),
        (Hearing(length=1000), "too short for the spectrogram .* --length 2048 pads"),
    ],
)
def test_rates_and_lengths_that_cannot_be(hearing: Hearing, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=complaint):
        made(tmp_path, clips(tmp_path / "sounds"), hearing=hearing)


def test_a_proposed_length_cuts_few() -> None:
    assert proposed_length([3000] * 96 + [90_000] * 4) == 3072
    assert proposed_length([2048]) == 2048


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"resample": "linear"}, 'by "polyphase" alone'),
        ({"mono": False}, "write mono = true, or leave it out"),
        ({"lenght": 3}, "no option 'lenght'"),
        ({"length": 1.5}, "length is 1.5"),
    ],
)
def test_options_of_a_suite_are_checked(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        SoundFitting.of(options)
    asked = SoundFitting(True, True, 4096)
    assert SoundFitting.of(asked.options) == asked


def tones() -> Suite:
    return load_suite("tones", "smoke")


def of_tones(n: int) -> np.ndarray:
    from genbench.data import tones

    return tones.sample(n, 8192, RATE, seed=77)[0]


def staged(samples: Any, place: Path, **options: Any) -> tuple[Staged, dict[str, np.ndarray]]:
    store = Store(place / "results")
    found = stage(samples, tones(), None, store, **options)
    kept = samples_path(store.root / CACHE, found.choice.description.source)
    return found, load_arrays(kept)


def scored(folder: Path, n: int = 24) -> Path:
    names = tones().document["dataset"]["class_names"]
    for i, x in enumerate(of_tones(n)):
        path = folder / names[i % 12] / f"{i:03}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav_bytes(x, RATE))
    return folder


def test_sound_files_are_scored_with_the_labels_of_their_folders(tmp_path: Path) -> None:
    folder = scored(tmp_path / "made")
    _, rows = staged(folder, tmp_path)
    order = np.lexsort((np.arange(24), [int(c) for c in rows["y"]]))
    assert np.bincount(rows["y"]).tolist() == [2] * 12
    assert_array_equal(
        rows["x"][order], of_tones(24)[np.argsort(np.arange(24) % 12, kind="stable")]
    )
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as file:
        for path in sorted(folder.rglob("*.wav")):
            file.write(path, path.relative_to(folder))
    _, packed = staged(tmp_path / "made.zip", tmp_path)
    assert_array_equal(packed["x"], rows["x"])


def test_scored_files_that_are_no_rows_are_named_one_by_one(tmp_path: Path) -> None:
    folder = scored(tmp_path / "made")
    x = of_tones(1)[0]
    (folder / "C" / "fast.wav").write_bytes(wav_bytes(x, 16_000))
    (folder / "C" / "two.wav").write_bytes(wav(np.repeat(x * 32768, 2), channels=2))
    (folder / "C" / "short.wav").write_bytes(wav_bytes(x[:8000], RATE))
    (folder / "C" / "long.wav").write_bytes(wav_bytes(np.tile(x, 2), RATE))
    (folder / "C" / "text.wav").write_text("not a sound")
    with pytest.raises(DataError) as told:
        staged(folder, tmp_path)
    for line in (
        "5 of 29 files of made are not sounds of the suite's space (8,192 samples at 8,000 Hz",
        "C/fast.wav is at 16,000 Hz, the suite at 8,000 Hz: resample it to 8000",
        "C/two.wav has 2 channels: save it in one",
        "C/short.wav has 8,000 samples, the suite 8,192: pad it with silence to 8192",
        "C/long.wav has 16,384 samples, the suite 8,192: cut it to 8192",
        "C/text.wav is no sound that can be read",
    ):
        assert line in str(told.value)
    found, rows = staged(folder, tmp_path, on_bad="skip")
    assert len(rows["x"]) == 24
    assert sum(note.startswith("skipped: C/") for note in found.notes) == 5


def test_clipped_and_silent_clips_count_and_are_told(tmp_path: Path) -> None:
    folder = scored(tmp_path / "made")
    (folder / "D" / "zeros.wav").write_bytes(wav_bytes(np.zeros(8192, np.float32), RATE))
    (folder / "D" / "loud.wav").write_bytes(wav_bytes((50 * of_tones(1)[0]).clip(-1, 1), RATE))
    found, rows = staged(folder, tmp_path)
    assert len(rows["x"]) == 26
    assert any(n.startswith("D/zeros.wav is silent and counts") for n in found.notes)
    assert any(n.startswith("D/loud.wav is clipped and counts") for n in found.notes)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda x: (x * 32768).astype(np.int16), r"is int16, .*save \(x / 32768\)\.astype"),
        (lambda x: (x * 32768).astype(np.int32), r"is int32, .*save \(x / 32768\)\.astype"),
        (lambda x: (x * 128).astype(np.int8), r"is int8, .*save \(x / 128\)\.astype"),
        (lambda x: 3 * x / np.abs(x).max(), r"leaves \[-1, 1\]: scale or clip it"),
        (lambda x: x[:, :8000], r"has shape \(24, 8000\), expected \(24, 8192\)"),
        (lambda x: np.where(x > 0.05, np.nan, x), "holds NaN or infinity"),
    ],
)
def test_arrays_that_are_no_sounds_are_refused(
    change: Callable[[Any], Any], complaint: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "made.npz", x=change(of_tones(24)))
    with pytest.raises(DataError, match=complaint):
        staged(tmp_path / "made.npz", tmp_path)


def test_arrays_of_sounds_come_in_the_layouts_and_types_of_networks(tmp_path: Path) -> None:
    x = of_tones(24)
    for given in (x, x.astype(np.float64), x[:, None], x[:, :, None]):
        np.savez(tmp_path / "made.npz", x=given)
        assert_array_equal(staged(tmp_path / "made.npz", tmp_path)[1]["x"], x)
    x[3] = 0
    np.savez(tmp_path / "made.npz", x=x)
    notes = staged(tmp_path / "made.npz", tmp_path)[0].notes
    assert any(note.startswith("row 3 is silent") for note in notes)


def test_wav_files_give_back_what_16_bits_hold() -> None:
    x = np.array([-1, -0.5, -1e-6, 0, 1e-6, 0.3, 1], np.float32)
    data = wav_bytes(np.tile(x, 10), RATE)
    heard = hear(data, Space("waveform", (70,), rate=RATE))
    assert_array_equal(heard, np.tile(in_16_bits(x), 10))
    assert in_16_bits(heard).tobytes() == heard.tobytes(), "no zero has a sign"
    with pytest.raises(BadSound, match="has 70 samples, the suite 2,048"):
        hear(data, SPACE)


def test_near_copies_of_sounds_are_near_whatever_their_phase() -> None:
    x = of_tones(60)
    train, fresh = x[:30], x[30:]
    copies = -np.roll(train, 3, axis=1)
    near, far = nearest_sounds(copies, train), nearest_sounds(fresh, train)
    assert_array_equal(near.index, np.arange(30))
    assert near.distance.max() < far.distance.min()


def test_class_folders_are_named_after_classes_where_a_disk_takes_it() -> None:
    assert class_folders(["C", "C#"], 2) == ["C", "C#"]
    for names in (["a/b", "c"], ["..", "c"], ["a", "A"], ["", "c"], [], ["x " * 40, "c"]):
        assert class_folders(names, 2) == ["0", "1"]


def test_the_network_of_the_features_confirms_labels_where_no_classifier_is_trained(
    tmp_path: Path,
) -> None:
    from genbench.data import tones
    from genbench.synthesis.build import Request
    from genbench.synthesis.run import Options, _judge, require_buildable

    suite = load_suite("tones")
    document = {k: v for k, v in suite.document.items() if k != "downstream"}
    bare = replace(suite, document=document)
    asked = Options(confidence=0.9, near_copies=True)
    require_buildable(bare, Request(10, False, {"train": 1.0}, 0), asked)
    x, y = tones.sample(60, 8192, RATE, seed=5)
    said, classify = _judge(bare, Store(tmp_path), Split(x, y), asked, "cpu", None)
    assert said.startswith("tones-cnn/1:")
    assert (classify(x).argmax(1) == y).mean() > 0.95
    unlabelled = {**document, "protocol": {**document["protocol"], "extractor": "resemblyzer"}}
    with pytest.raises(UsageError, match=r"has no classifier .*: leave --filter out"):
        require_buildable(
            replace(suite, document=unlabelled), Request(10, False, {"train": 1.0}, 0), asked
        )


def test_sounds_without_classes_need_a_network_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBENCH_RESEMBLYZER", str(tmp_path / "absent.pt"))
    sounds = clips(tmp_path / "sounds")
    for path in sorted(sounds.rglob("*.wav")):
        path.rename(sounds / path.name)
    with pytest.raises(DataError, match=r"resemblyzer is not available.*with --extractor"):
        made(tmp_path, sounds)
    assert not list(tmp_path.glob("beeps*"))


def test_held_out_speakers_are_in_no_other_split() -> None:
    suite = load_suite("fsdd-speakers")
    known = fsdd._known(suite.dataset)
    names = {s: fsdd._chosen(suite.dataset, s, known) for s in ("train", "valid", "test")}
    assert {split: len(clips) for split, clips in names.items()} == {
        "train": 2000, "valid": 500, "test": 500,
    }  # fmt: skip
    speakers = {split: {name.split("_")[1] for name in clips} for split, clips in names.items()}
    assert not speakers["train"] & (speakers["valid"] | speakers["test"])
    assert not set(names["valid"]) & set(names["test"])
