"""The common part of networks for images of every size: colour, batches, probabilities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.errors import ContractError
from genbench.features.extractors import ExtractorInfo, Features, gathered
from genbench.generator import Space
from genbench.system import plain_float32

if TYPE_CHECKING:
    from torch import Tensor

MOST_ROWS = 50  # at a time: at 299 x 299 pixels they need about 1 GB


class ImageNetExtractor:
    """Pooled features and class probabilities of a network that reads colour images.

    Parameters
    ----------
    net
        The frozen module, moved to where rows are.
    forward
        Given `net` and uint8 rows ``(n, 3, H, W)`` in 0 .. 255: features ``(n, d)``, and logits or
        None of what is no classifier.
    sha256
        Of the file that the weights came from.
    rows
        The most rows at a time on a CPU.
    """

    def __init__(
        self,
        info: ExtractorInfo,
        space: Space,
        net: Any,
        forward: Callable[[Any, Tensor], tuple[Tensor, Tensor | None]],
        sha256: str,
        *,
        rows: int = MOST_ROWS,
    ) -> None:
        self.name = info.name
        self.version = info.version
        self.sha256 = sha256
        self.identity = info.identity_with(sha256)
        self._space = space
        self._net = net
        self._forward = forward
        self._rows = rows

    def extract(
        self,
        x: Tensor | NDArray[Any],
        *,
        device: torch.device | str = "cpu",
        batch_size: int = MOST_ROWS,
    ) -> Features:
        """Features and probabilities float32 of images ``(n, C, H, W)`` with 1 or 3 channels.

        Grey images become three equal channels; grey levels are spread over 0 .. 255.

        Raises
        ------
        ContractError
            If `x` is not a batch of uint8 images of the suite's shape.
        """
        images = torch.from_numpy(np.ascontiguousarray(x)) if isinstance(x, np.ndarray) else x
        shape = tuple(images.shape)
        if shape[1:] != self._space.shape or images.dtype != torch.uint8 or not len(images):
            raise ContractError(
                f"extractor {self.name} got {images.dtype} of shape {shape}, expected at least one "
                f"row of uint8 (n, {', '.join(map(str, self._space.shape))})"
            )
        net = self._net.to(device)
        size = min(batch_size, self._rows if torch.device(device).type == "cpu" else MOST_ROWS)
        features, probabilities = [], []
        with torch.inference_mode(), plain_float32(torch.device(device)):
            for rows in torch.split(images, size):
                found, logits = self._forward(net, self._colour(rows.to(device)))
                features.append(found)
                if logits is not None:
                    probabilities.append(logits.softmax(1))
        return gathered(features, probabilities)

    def _colour(self, rows: Tensor) -> Tensor:
        top = self._space.levels - 1
        if top != 255:
            rows = (rows.float() * (255 / top)).round().to(torch.uint8)
        return rows.expand(-1, 3, -1, -1) if rows.shape[1] == 1 else rows
