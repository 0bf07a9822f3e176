"""``dinov2-vitb14`` and ``clip-vitb32``: transformers of images, from the files of their authors.

timm and open-clip build them; the extra ``embeddings`` has both. Images are resized to 224 pixels
by an antialiased bicubic filter, to whole grey levels; none has class probabilities. DINOv2's
features are the class token after the last norm (Stein et al. 2023, arXiv:2306.04675), CLIP's the
projected embeddings, of the length that they have.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench.errors import DataError, UsageError
from genbench.features.imagenet import ImageNetExtractor
from genbench.features.published import Published, Weights
from genbench.generator import Space

ROWS = 16  # at a time on a CPU
GRID, OFFSET = 37, 0.1  # DINOv2: patches a side while it was trained; added to the side asked for
PATCH = 14
# Mean and deviation of red, green and blue in [0, 1].
IMAGENET_COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP_COLOURS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

Colours = tuple[tuple[float, float, float], tuple[float, float, float]]


def load_dinov2(published: Published, space: Space) -> ImageNetExtractor:
    """DINOv2's ViT-B/14.

    Raises
    ------
    UsageError
        If timm is not installed.
    DataError
        If the weights are missing or are others.
    """
    timm = _package("timm", published)
    side = published.info.side

    def build(weights: Weights) -> nn.Module:
        state = torch.load(io.BytesIO(weights.data), map_location="cpu", weights_only=True)
        state.pop("mask_token")  # for training alone
        state["pos_embed"] = _at_size(state["pos_embed"], side // PATCH)
        with torch.device("meta"):  # no initial weights: loading draws no random numbers
            net = timm.create_model("vit_base_patch14_dinov2", img_size=side, num_classes=0)
        net.load_state_dict(state, assign=True)
        return net  # type: ignore[no-any-return]

    return _extractor(published, space, build, IMAGENET_COLOURS)


def load_clip(published: Published, space: Space) -> ImageNetExtractor:
    """The image half of CLIP's ViT-B/32; raises as `load_dinov2` does, for open-clip."""
    transformer = _package("open_clip", published).transformer
    side = published.info.side

    def build(weights: Weights) -> nn.Module:
        # A TorchScript archive, code and all: taken only as the file whose hash is pinned.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch, which has a newer form
            archive: Any = torch.jit.load(io.BytesIO(weights.data), "cpu")  # type: ignore[no-untyped-call]
        whole: dict[str, Tensor] = archive.state_dict()
        state = {
            name.removeprefix("visual."): x.float()
            for name, x in whole.items()
            if name.startswith("visual.")
        }
        with torch.device("meta"):
            net = transformer.VisionTransformer(
                image_size=side, patch_size=32, width=768, layers=12, heads=12, mlp_ratio=4.0,
                output_dim=published.info.dims, act_layer=transformer.QuickGELU,
            )  # fmt: skip
        net.load_state_dict(state, assign=True)
        return net  # type: ignore[no-any-return]

    return _extractor(published, space, build, CLIP_COLOURS)


def _extractor(
    published: Published, space: Space, build: Callable[[Weights], nn.Module], colours: Colours
) -> ImageNetExtractor:
    weights = published.weights()
    try:
        net = build(weights).eval().requires_grad_(False)
    except Exception as error:  # zip, missing keys, other shapes: all mean another file
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{weights.path} does not fit {published.info.name} ({text[:120]}): "
            f"put the file {published.file} there"
        ) from error
    forward = partial(_features, published.info.side, colours)
    return ImageNetExtractor(published.info, space, net, forward, weights.sha256, rows=ROWS)


def _package(name: str, published: Published) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f"extractor {published.info.name} needs {name}, which is not installed: "
            "pip install 'genbench[embeddings]'"
        ) from error


def _features(side: int, colours: Colours, net: nn.Module, rows: Tensor) -> tuple[Tensor, None]:
    """Features of uint8 rows ``(n, 3, H, W)``."""
    mean, spread = (torch.tensor(c, device=rows.device)[:, None, None] for c in colours)
    features: Tensor = net((resized(rows, side) / 255 - mean) / spread)
    return features, None


def resized(rows: Tensor, side: int) -> Tensor:
    """Whole grey levels in float32, ``(n, 3, side, side)``: bicubic with antialiasing.

    What Pillow makes of a picture to one level, but where it goes beyond black and white: Pillow
    cuts that off between rows and columns too, in an order that depends on its version.
    """
    x = F.interpolate(rows.float(), (side, side), mode="bicubic", antialias=True)
    return x.round().clamp(0, 255)


def _at_size(embedding: Tensor, side: int) -> Tensor:
    """Positions of ``37 x 37`` patches for ``side x side``, as DINOv2's authors interpolate them.

    From ``(1, 1 + 37^2, d)``; the first is the class token's, which has no place.
    """
    first, rest = embedding[:, :1], embedding[:, 1:]
    grid = rest.reshape(1, GRID, GRID, -1).permute(0, 3, 1, 2)
    scale = (side + OFFSET) / GRID
    grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([first, grid.permute(0, 2, 3, 1).flatten(1, 2)], 1)
