"""`WhitenedNet`: it learns colours and shapes, in half precision too, and repeats itself."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional as F

from genbench.data import Split
from genbench.errors import DataError
from genbench.features.classifier import load_classifier
from genbench.features.training import ExtractorPlan, Trained, accuracy, train_on
from genbench.features.whitened import WhitenedNet, WhitenedRecipe, train_whitened
from genbench.generator import Space

SPACE = Space("image", (3, 16, 16), levels=256, classes=3)
RECIPE = WhitenedRecipe(epochs=10, batch_size=50, channels=(8, 16, 16))
PLAN = ExtractorPlan("none", "1", RECIPE, "stripes", "Apache-2.0")


def stripes(n: int, seed: int) -> Split:
    """Stripes across, down or of one colour, whose colours and places say nothing of the class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = rng.integers(0, 100, (n, 3, 16, 16))
    for row, label in enumerate(y):
        colour = rng.integers(60, 150, (3, 1, 1))
        wave = (np.arange(16) + rng.integers(4)) // 2 % 2
        x[row] += colour * (wave[:, None], wave[None, :], np.full((16, 16), 0.5))[label].astype(int)
        if label == 2:
            x[row] += colour // 2
    return Split(x.astype(np.uint8), y)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train_on("stripes-cnn", stripes(600, 0), SPACE, PLAN)


def test_it_learns_and_its_file_says_the_same(trained: Trained, tmp_path: Path) -> None:
    test = stripes(300, 1)
    assert accuracy(trained.extractor, test) > 0.9
    path = tmp_path / trained.info.file
    path.write_bytes(trained.data)
    assert hashlib.sha256(trained.data).hexdigest() == trained.info.sha256
    loaded = load_classifier(trained.info, path).extract(test.x)
    ours = trained.extractor.extract(test.x)
    assert loaded.features.shape == (300, trained.info.dims) == (300, 16)
    assert_allclose(loaded.features, ours.features, rtol=1e-5, atol=1e-6)
    assert_allclose(loaded.probabilities, ours.probabilities, rtol=1e-4, atol=1e-6)
    with pytest.raises(DataError, match="do not fit the network"):
        load_classifier(replace(trained.info, network="plain"), path)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_leaves_the_random_state(trained: Trained) -> None:
    before = torch.get_rng_state()
    again = train_on("stripes-cnn", stripes(600, 0), SPACE, PLAN)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.data == trained.data
    other = replace(PLAN, recipe=replace(RECIPE, seed=1))
    assert train_on("stripes-cnn", stripes(600, 0), SPACE, other).data != trained.data


def test_patches_come_out_white() -> None:
    """The frozen convolution gives uncorrelated numbers of variance one, and their negatives."""
    rows = stripes(500, 2)
    x = torch.from_numpy(rows.x)
    net = train_whitened(x, torch.from_numpy(rows.y), 255, 3, replace(RECIPE, epochs=1))
    with torch.no_grad():
        pixels = (x.float() / 255 - net.mean) / net.spread
        assert_allclose(pixels.mean((0, 2, 3)), 0, atol=1e-4)
        assert_allclose(pixels.std((0, 2, 3)), 1, rtol=1e-4)
        white = F.conv2d(pixels, net.whiten.weight[:12]).transpose(0, 1).flatten(1)
    assert_allclose(white @ white.T / white.shape[1], np.eye(12), atol=0.1)
    assert torch.equal(net.whiten.weight[:12], -net.whiten.weight[12:])


def test_larger_images_pass_through_the_same_weights() -> None:
    net = WhitenedNet((3, 32, 32), 5).eval()
    assert net.features(torch.rand(2, 3, 32, 32)).shape == (2, 192)
    assert net(torch.rand(2, 3, 64, 48)).shape == (2, 5)
