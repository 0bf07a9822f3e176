"""``efficientnet-lite0``: features of an ImageNet network whose weights ship with genbench.

Images are resized as torch-fidelity does for Inception (bilinear, TensorFlow 1's grid), to 96
pixels a side or, as ``efficientnet-lite0-224``, to the 224 that it was trained on, and scaled as
``(x - 127) / 128`` (Tan & Le 2019, arXiv:1905.11946; Lite variant 2020).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from genbench.features.efficientnet_net import EfficientNetLite0
from genbench.features.extractors import ExtractorInfo
from genbench.features.imagenet import ImageNetExtractor
from genbench.features.weights import load_net, shipped_weights
from genbench.generator import Space

PIXELS = 200_000  # of all rows at a time on a CPU: more no longer fit into its caches


def load_efficientnet(info: ExtractorInfo, space: Space) -> ImageNetExtractor:
    """The extractor; `DataError` if its weights are missing or altered."""
    net = load_net(EfficientNetLite0, info, shipped_weights(info)).eval().requires_grad_(False)
    net = net.to(memory_format=torch.channels_last)
    forward, rows = partial(_features, info.side), max(PIXELS // info.side**2, 1)
    return ImageNetExtractor(info, space, net, forward, info.sha256, rows=rows)


def _features(side: int, net: EfficientNetLite0, rows: Tensor) -> tuple[Tensor, Tensor]:
    """1,280 pooled features and 1,000 logits of uint8 rows ``(n, 3, H, W)``."""
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x as resize,
    )

    x = resize(rows.float(), (side, side), align_corners=False)
    x = ((x - 127) / 128).contiguous(memory_format=torch.channels_last)
    features = net.features(x)
    return features, net.classes(features)
