"""Image classifiers as extractors: weights checked against their hash, run in plain float32."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from torch import Tensor

from genbench.errors import ContractError, DataError
from genbench.features.extractors import ExtractorInfo, Features, gathered
from genbench.features.network import ClassifierNet
from genbench.system import plain_float32


class ClassifierExtractor:
    """A `ClassifierNet` in eval mode: penultimate features after ReLU, softmax probabilities."""

    def __init__(self, info: ExtractorInfo, net: ClassifierNet) -> None:
        self.name = info.name
        self.version = info.version
        self.sha256 = info.sha256
        self.identity = info.identity
        self._info = info
        # Channels-last convolutions are two to three times as fast on a CPU.
        self._net = net.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def extract(
        self,
        x: Tensor | NDArray[Any],
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 1000,
    ) -> Features:
        """Features and probabilities of grey-level images.

        Parameters
        ----------
        x
            uint8 ``(n, C, H, W)`` in ``0 .. levels - 1``.
        device
            Where the network runs and the features stay.
        batch_size
            Rows at a time.

        Raises
        ------
        ContractError
            If `x` is not a batch of such images.
        """
        images = torch.from_numpy(np.ascontiguousarray(x)) if isinstance(x, np.ndarray) else x
        self._check(images)
        net = self._net.to(device)
        features, probabilities = [], []
        with torch.inference_mode(), plain_float32(torch.device(device)):
            for start in range(0, len(images), batch_size):
                rows = images[start : start + batch_size].to(device)
                hidden = net.features(rows.float() / (self._info.levels - 1))
                features.append(hidden)
                probabilities.append(net.head(hidden).softmax(1))
        return gathered(features, probabilities)

    def _check(self, images: Tensor) -> None:
        shape = tuple(images.shape)
        if len(shape) != 4 or shape[1:] != self._info.shape or images.dtype != torch.uint8:
            raise ContractError(
                f"extractor {self.name} got {images.dtype} of shape {shape}, expected uint8 of "
                f"shape (n, {', '.join(map(str, self._info.shape))}): pass grey levels unscaled"
            )
        if shape[0] == 0:
            raise ContractError(f"extractor {self.name} got no rows: pass at least one")


def shipped_weights(info: ExtractorInfo) -> Path:
    """The file that `info` names among those that ship with genbench."""
    return Path(str(resources.files("genbench.suites"))) / "weights" / info.file


def load_classifier(info: ExtractorInfo, source: Path) -> ClassifierExtractor:
    """The classifier that `info` describes, its file checked against `info.sha256`.

    Raises
    ------
    DataError
        If the file is missing, altered or does not fit the network.
    """
    remedy = "reinstall genbench, or make anew the suite that it came with"
    try:
        data = source.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read weights {source}: {error.strerror}: {remedy}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != info.sha256:
        raise DataError(f"weights {source} have sha256 {found}, expected {info.sha256}: {remedy}")
    with torch.device("meta"):  # no initial weights: loading draws no random numbers
        net = ClassifierNet(info.shape, info.classes, info.channels)
    try:
        net.load_state_dict(parse_tensors(data), assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise DataError(f"weights {source} do not fit the network: {error}: {remedy}") from error
    return ClassifierExtractor(info, net)
