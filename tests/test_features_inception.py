"""Inception through torch-fidelity: found by its file, named by its hash, equal to the reference.

The weights here are random ones of the right architecture: the path is tested, not ImageNet.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch_fidelity
from numpy.testing import assert_allclose, assert_array_equal
from torch_fidelity import feature_extractor_inceptionv3 as reference

from genbench.errors import ContractError, DataError, UsageError
from genbench.features.extractors import INCEPTION, load_extractor
from genbench.features.published import PUBLISHED
from genbench.generator import Space
from genbench.metrics.frechet import frechet_distance
from tests.conftest import Command

FILE, VARIABLE = PUBLISHED[INCEPTION].file, PUBLISHED[INCEPTION].variable
COLOUR = Space("image", (3, 32, 32), levels=256)
GREY = Space("image", (1, 8, 8), levels=17)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights, as torch-fidelity publishes its own."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        net = reference.FeatureExtractorInceptionV3
        patch.setattr(reference, "load_state_dict_from_url", lambda *args, **more: {})
        patch.setattr(net, "load_state_dict", lambda self, state: None)
        torch.save(net("any", ["2048"]).state_dict(), path)
    return path


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv(VARIABLE, raising=False)


def images(n: int, space: Space, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, space.levels, (n, *space.shape), dtype=np.uint8)


@pytest.mark.slow
def test_features_are_those_of_torch_fidelity(weights, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(weights))
    extractor = load_extractor(INCEPTION, COLOUR)
    x = images(6, COLOUR)
    net = reference.FeatureExtractorInceptionV3(
        "any", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    features, logits = net(torch.from_numpy(x))
    found = extractor.extract(x)
    assert_allclose(found.features, features.numpy(), rtol=1e-4, atol=1e-5)
    assert_allclose(found.probabilities, logits.softmax(1).numpy(), rtol=1e-3, atol=1e-6)
    assert_allclose(extractor.extract(x, batch_size=4).features, found.features, rtol=1e-4)


@pytest.mark.slow
def test_the_canonical_fid_is_torch_fidelitys(weights, monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(weights))
    extractor = load_extractor(INCEPTION, COLOUR)
    real, fake = images(12, COLOUR), images(12, COLOUR, seed=1) // 2

    class Rows(torch.utils.data.Dataset):
        def __init__(self, x):
            self.x = x

        def __len__(self):
            return len(self.x)

        def __getitem__(self, index):
            return torch.from_numpy(self.x[index])

    theirs = torch_fidelity.calculate_metrics(
        input1=Rows(real), input2=Rows(fake), fid=True, cuda=False, verbose=False, cache=False,
        feature_extractor_weights_path=str(weights), save_cpu_ram=True,
    )  # fmt: skip
    ours = frechet_distance(extractor.extract(real).features, extractor.extract(fake).features)
    assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-3, abs=1e-6)


def test_the_hash_of_the_file_is_in_the_name(weights, monkeypatch, tmp_path):
    place = tmp_path / "torch" / "hub" / "checkpoints" / FILE
    place.parent.mkdir(parents=True)
    place.write_bytes(weights.read_bytes())
    grey = load_extractor(INCEPTION, GREY)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert grey.sha256 == digest
    assert grey.identity == f"{INCEPTION}/1:{digest[:8]}"
    rows = images(2, GREY)
    colour = np.repeat((rows * (255 / 16)).round().astype(np.uint8), 3, 1)
    wide = load_extractor(INCEPTION, Space("image", (3, 8, 8), levels=256))
    assert_array_equal(grey.extract(rows).features, wide.extract(colour).features)
    with pytest.raises(ContractError, match=r"uint8 \(n, 3, 8, 8\)"):
        wide.extract(rows)


def test_missing_weights_name_the_file_the_places_and_the_command(monkeypatch, tmp_path):
    with pytest.raises(DataError, match="genbench data fetch inception-v3-compat") as told:
        load_extractor(INCEPTION, COLOUR)
    assert str(tmp_path / "torch" / "hub" / "checkpoints" / FILE) in str(told.value)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.pth"))
    with pytest.raises(DataError, match=r"not in .*none\.pth"):
        load_extractor(INCEPTION, COLOUR)


def test_a_file_that_is_something_else_is_refused(monkeypatch, tmp_path):
    other = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2)}, other)
    monkeypatch.setenv(VARIABLE, str(other))
    with pytest.raises(DataError, match="holds no Inception weights"):
        load_extractor(INCEPTION, COLOUR)
    other.write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match="holds no Inception weights"):
        load_extractor(INCEPTION, COLOUR)


def test_only_images_of_one_or_three_channels(weights, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(weights))
    with pytest.raises(UsageError, match="reads 1 or 3 channels, the suite has 2"):
        load_extractor(INCEPTION, Space("image", (2, 8, 8), levels=256))
    with pytest.raises(UsageError, match="reads image, the suite has points"):
        load_extractor(INCEPTION, Space("points", (2,)))


CANONICAL = """
schema = 1

[suite]
name = "canonical"
version = "1.0.0"
title = "Canonical"
description = "The digits, scored by the canonical network too."
primary = "pixel_fid"

[dataset]
name = "digits"
loader = "sklearn-digits"
licence = "CC BY 4.0"
content_sha256 = "65e5b4619795efb40c1082f4c350c049e4ad552200d369b6ae99e21eef5e72c5"

[dataset.space]
kind = "image"
shape = [1, 8, 8]
levels = 17
classes = 10

[dataset.split]
seed = 0
train = 1000
valid = 757
test = 40

[protocol]
n_samples = 40
seeds = [0]
reference = "test"
extractor = "digits-cnn"

[budget]
examples = 100

[[metrics]]
id = "pixel_fid"

[[metrics]]
id = "fid@inception-v3-compat"
"""


@pytest.mark.slow
def test_a_run_says_what_is_missing_and_the_next_one_computes_just_that(
    run_genbench: Command, weights: Path, tmp_path: Path
) -> None:
    suite = tmp_path / "canonical.toml"
    suite.write_text(CANONICAL)
    words = ("run", "--suite", suite, "-g", "gan", "--no-controls")
    done = run_genbench(*words)
    assert done.code == 0, done.err
    (said,) = (line for line in done.err.splitlines() if line.startswith("no value: "))
    assert said.startswith(f"no value: fid@{INCEPTION} of gan seed 0: extractor {INCEPTION} is")
    for remedy in (f"put {FILE} at", f"name a file in {VARIABLE}", "genbench data fetch"):
        assert remedy in said
    page = (tmp_path / "results" / "report" / "index.html").read_text("utf-8")
    assert f"put {FILE} at" in page

    done = run_genbench(*words, "--json", "--no-report", env={VARIABLE: str(weights)})
    assert done.code == 0, done.err
    assert "1 to do, 1 of them from stored samples" in done.err
    (line,) = done.lines
    found = line["metrics"][f"fid@{INCEPTION}"]
    assert found["status"] == "ok"
    assert found["value"] > 0
