"""The extractor of point suites: samples are their own features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import ContractError
from genbench.features.extractors import ExtractorInfo, Features
from genbench.generator import Space

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class IdentityExtractor:
    """Points as they are, float32; no class probabilities."""

    def __init__(self, info: ExtractorInfo, space: Space) -> None:
        self.name = info.name
        self.version = info.version
        self.sha256 = info.sha256
        self.identity = info.identity
        self._shape = space.shape

    def extract(
        self,
        x: Tensor | NDArray[Any],
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 1000,
    ) -> Features:
        """`x` ``(n, d)`` as float32; `device` and `batch_size` change nothing."""
        points = np.ascontiguousarray(
            x if isinstance(x, np.ndarray) else x.detach().cpu().numpy(), dtype=np.float32
        )
        if points.shape[1:] != self._shape:
            raise ContractError(
                f"extractor {self.name} got rows of shape {points.shape[1:]}, "
                f"expected {self._shape}: pass samples of the suite's space"
            )
        return Features(points, None)
