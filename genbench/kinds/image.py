"""Images: uint8 ``(n, C, H, W)`` in ``0 .. levels - 1``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genbench.kinds.base import DataKind, Draft, LikelihoodUnit, SpaceFields, Tiny

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_SIDE = 8  # pixels, for the two convolutions of the downstream classifier


class Image(DataKind):
    """Grey or colour pictures of one size."""

    name = "image"
    dtype = "uint8"
    cast = "convert with to_uint8(x, low, high)"
    tiny = Tiny((1, 8, 8), levels=17, classes=3)
    checks = ("probability",)
    likelihood = LikelihoodUnit("bits/dim")
    pictures = True
    labelled = True
    shown_as = "grid"
    scored_from = ("arrays", "images")
    synthesised_as = "images"
    controls = ("heldout", "train-copy", "gaussian", "noise", "mode-dropped")
    judges = ("two-conv",)
    classical = "affine"
    attackable = True
    draft = Draft("fid", 100, ("vendi",), ("fid_per_class", "classifier_score"))

    def tiny_rows(self, space: SpaceFields, n: int) -> Tensor:
        """A bright spot where the row's class says, and noise; labels go round the classes."""
        import torch

        rng = torch.Generator().manual_seed(0)
        channels, height, width = space.shape
        place = (torch.arange(n) % max(1, space.classes) + 0.5) / max(1, space.classes)
        across = torch.exp(-8 * ((torch.arange(width) + 0.5) / width - place[:, None]).square())
        down = torch.exp(-8 * ((torch.arange(height) + 0.5) / height - place[:, None]).square())
        spot = 0.8 * across[:, None, None, :] * down[:, None, :, None]
        noise = 0.2 * torch.rand(n, channels, height, width, generator=rng)
        return ((space.levels - 1) * (spot + noise)).round().to(torch.uint8)

    def complaint(self, table: Mapping[str, Any]) -> tuple[str, str, str] | None:
        """Levels are as many as a byte holds."""
        if 2 <= table.get("levels", 0) <= 256:
            return None
        return "an image space needs levels", "set levels between 2 and 256", "levels"

    def classifiable(self, space: SpaceFields) -> bool:
        """If no side is too short."""
        return min(space.shape[1:]) >= SMALLEST_SIDE

    def default_extractor(self, classes: int) -> str:
        """A classifier trained on the spot where there are labels, one of ImageNet elsewhere."""
        return "train" if classes >= 2 else "efficientnet-lite0"

    def described(self, space: SpaceFields) -> str:
        """Colour, size, classes."""
        channels, height, width = space.shape
        colour = "grey" if channels == 1 else "colour"
        classes = f", {space.classes} classes" if space.classes else ", no labels"
        return f"{colour} images of {width} x {height} pixels{classes}"


IMAGE = Image()
