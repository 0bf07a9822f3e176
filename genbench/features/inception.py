"""``inception-v3-compat``: the network of the canonical FID, through torch-fidelity.

The weights (95 MB) do not ship: see `genbench.features.published`. Whichever file they are, its
hash is in every signature.
"""

from __future__ import annotations

import io
from typing import Any

import torch

from genbench.errors import DataError
from genbench.features.imagenet import ImageNetExtractor
from genbench.features.published import Published, Weights
from genbench.generator import Space


def load_inception(published: Published, space: Space) -> ImageNetExtractor:
    """The extractor with the first weights file found.

    Raises
    ------
    DataError
        If there is no weights file, it cannot be read, or it is not one of this network.
    """
    weights = published.weights()
    # 2,048 pooled features and 1,008 logits; it resizes to 299 x 299 as TensorFlow 1 did.
    net = _network(weights, published.file)
    return ImageNetExtractor(
        published.info, space, net, lambda net, rows: net(rows), weights.sha256
    )


def _network(weights: Weights, file: str) -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        state = torch.load(io.BytesIO(weights.data), map_location="cpu", weights_only=True)
        # torch-fidelity unpickles what it is given: it gets tensors that were read safely before.
        safe = io.BytesIO()
        torch.save(state, safe)
        safe.seek(0)
        with torch.random.fork_rng(devices=[]):
            return FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"],
                feature_extractor_weights_path=safe,
            )  # fmt: skip
    except Exception as error:  # pickle, zip, missing keys, other shapes: all mean another file
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{weights.path} holds no Inception weights as torch-fidelity publishes them ({text}): "
            f"put the file {file} there"
        ) from error
