"""Extractors: named, hashed, checked, independent of batching, and as accurate as they say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from genbench.data.loading import load_split, verify_files
from genbench.errors import ContractError, DataError, UsageError
from genbench.features import extractors
from genbench.features.extractors import list_extractors, load_extractor
from genbench.features.shifting import shifted
from genbench.features.training import (
    PLANS,
    Hyperparameters,
    _suite_data,
    train_classifier_net,
)
from genbench.generator import Space
from genbench.metrics.frechet import frechet_distance

MNIST = Space("image", (1, 28, 28), levels=256, classes=10)
DIGITS = Space("image", (1, 8, 8), levels=17, classes=10)
PLANE = Space("points", (2,))
CNN = {"mnist-cnn": MNIST, "fashion-cnn": MNIST, "digits-cnn": DIGITS}


def images(space: Space, n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, space.levels, (n, *space.shape), dtype=np.uint8)


def test_listing_extractors_imports_no_torch():
    code = (
        "import sys, genbench.features as f; print(sorted(f.list_extractors()));"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    others = (
        "identity",
        "inception-v3-compat",
        "efficientnet-lite0",
        "efficientnet-lite0-224",
        "cifar10-cnn",
        "emoji-cnn",
        "dinov2-vitb14",
        "clip-vitb32",
        "crepe",
        "crepe-tiny",
        "fsdd-cnn",
        "minilm",
        "names-cnn",
        "fsdd-speakers-cnn",
        "names-tfidf",
        "oracle-lm-tfidf",
        "snips-cnn",
        "snips-tfidf",
        "resemblyzer",
        "tones-cnn",
        "vggish",
    )
    assert done.stdout.strip() == str(sorted([*CNN, *others]))


@pytest.mark.parametrize("name", CNN)
def test_features_are_non_negative_float32_and_probabilities_sum_to_one(name):
    found = load_extractor(name, CNN[name]).extract(images(CNN[name], 30))
    assert found.features.shape == (30, 128)
    assert found.features.dtype == found.probabilities.dtype == np.float32
    assert found.features.min() >= 0
    assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", CNN)
def test_the_batch_size_the_container_and_plugin_settings_change_nothing(name):
    x = images(CNN[name], 33)
    extractor = load_extractor(name, CNN[name])
    whole = extractor.extract(x).features
    assert_allclose(extractor.extract(x, batch_size=5).features, whole, rtol=1e-4, atol=1e-4)
    assert_array_equal(extractor.extract(torch.from_numpy(x)).features, whole)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert_array_equal(extractor.extract(x).features, whole)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_loading_draws_no_random_numbers():
    before = torch.get_rng_state()
    load_extractor("mnist-cnn", MNIST).extract(images(MNIST, 2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", CNN)
def test_the_table_says_what_ships(name):
    info = list_extractors()[name]
    assert info.identity == f"{name}/{info.version}:{info.sha256[:8]}"
    assert load_extractor(name, CNN[name]).identity == info.identity
    assert "trained on" in info.licence
    file = Path(str(resources.files("genbench.suites"))) / "weights" / info.file
    assert file.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("mnist-cnn", 0.992),
        ("fashion-cnn", 0.91),
        ("digits-cnn", 0.97),
        ("names-cnn", 0.8),
        ("snips-cnn", 0.97),
    ],
)
def test_accuracy_on_real_test_rows_is_what_the_table_says(name, least):
    dataset, space = _suite_data(PLANS[name].suite)
    if any(check.absent for check in verify_files(dataset)):
        pytest.skip(f"needs data that do not ship: genbench data fetch {PLANS[name].suite}")
    test = load_split(dataset, space, "test")
    probabilities = load_extractor(name, space).extract(test.x).probabilities
    share = float((probabilities.argmax(1) == test.y).mean())
    assert share >= least
    assert_allclose(share, list_extractors()[name].accuracy, atol=3e-4)


@pytest.mark.slow
def test_the_mnist_features_discriminate():
    """Noise stands far above the floor, which is what validation rows score."""
    dataset, space = _suite_data("mnist")
    extractor = load_extractor("mnist-cnn", space)
    real = extractor.extract(load_split(dataset, space, "test").x).features
    floor = frechet_distance(
        real, extractor.extract(load_split(dataset, space, "valid").x).features
    )
    noise = frechet_distance(real, extractor.extract(images(space, 10_000)).features)
    assert noise >= 500 * floor


def test_unknown_names_and_spaces_are_usage_errors():
    with pytest.raises(UsageError, match=r"no extractor 'mnist-cn'.*did you mean 'mnist-cnn'"):
        load_extractor("mnist-cn", MNIST)
    with pytest.raises(UsageError, match=r"reads shape \(1, 28, 28\).*use digits-cnn"):
        load_extractor("mnist-cnn", DIGITS)
    with pytest.raises(UsageError, match="reads image, the suite has points: use identity"):
        load_extractor("mnist-cnn", PLANE)


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the shipped weights that a test may damage."""
    root = Path(str(resources.files("genbench.suites")))
    shutil.copytree(root / "weights", tmp_path / "weights")
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    extractors._table.cache_clear()
    yield tmp_path / "weights"
    extractors._table.cache_clear()


def test_altered_weights_are_refused(weights):
    file = weights / list_extractors()["mnist-cnn"].file
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"sha256 .* expected .*: reinstall"):
        load_extractor("mnist-cnn", MNIST)


def test_missing_weights_are_named(weights):
    (weights / list_extractors()["mnist-cnn"].file).unlink()
    with pytest.raises(DataError, match=r"cannot read weights .*mnist-cnn-1"):
        load_extractor("mnist-cnn", MNIST)


def test_weights_of_another_network_are_refused(weights):
    table = json.loads((weights / "extractors.json").read_text())
    table["mnist-cnn"]["channels"] = [8, 16]
    (weights / "extractors.json").write_text(json.dumps(table))
    extractors._table.cache_clear()
    with pytest.raises(DataError, match="do not fit"):
        load_extractor("mnist-cnn", MNIST)


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((2, 28, 28), np.uint8),
        np.zeros((2, 1, 28, 28), np.float32),
        np.zeros((0, 1, 28, 28), np.uint8),
    ],
    ids=["no channel", "float", "empty"],
)
def test_what_is_no_batch_of_grey_levels_is_refused(x):
    with pytest.raises(ContractError, match="mnist-cnn got"):
        load_extractor("mnist-cnn", MNIST).extract(x)


def test_identity_returns_the_points():
    x = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    extractor = load_extractor("identity", PLANE)
    found: Any = extractor.extract(torch.from_numpy(x))
    assert_array_equal(found.features, x)
    assert found.probabilities is None
    assert extractor.identity == "identity/1"
    with pytest.raises(ContractError, match="rows of shape"):
        extractor.extract(x[:, :1])


def test_training_is_reproducible_and_learns_and_leaves_the_random_state():
    dataset, space = _suite_data("digits")
    train = load_split(dataset, space, "train")
    x, y = torch.from_numpy(train.x[:200]), torch.from_numpy(train.y[:200])
    before = torch.get_rng_state()
    nets = [
        train_classifier_net(x, y, space, Hyperparameters(epochs=5, batch_size=40))
        for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    first, second = (net.state_dict() for net in nets)
    assert all(torch.equal(first[key], second[key]) for key in first)
    with torch.no_grad():
        right = nets[0](x.float() / 16).argmax(1) == y
    assert right.float().mean() > 0.6


def test_shifts_move_whole_images():
    x = torch.zeros(200, 1, 5, 5)
    x[:, 0, 2, 2] = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        moved = shifted(x, 1)
    assert_array_equal(moved.sum((1, 2, 3)), np.ones(200))
    places = moved.flatten(1).argmax(1).unique()
    assert places.tolist() == [6, 7, 8, 11, 12, 13, 16, 17, 18]
    assert shifted(x, 0) is x
