"""Classifiers as extractors: weights checked against their hash, run in plain float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genbench import kinds
from genbench.errors import ContractError
from genbench.features.extractors import ExtractorInfo, Features, gathered
from genbench.features.logmel import LogMelNet
from genbench.features.network import ClassifierNet
from genbench.features.weights import load_net
from genbench.features.whitened import WhitenedNet
from genbench.features.wordcnn import WordNet
from genbench.system import plain_float32

Net: TypeAlias = ClassifierNet | WhitenedNet | LogMelNet | WordNet

NETWORKS: dict[str, type[Net]] = {
    "plain": ClassifierNet,
    "whitened": WhitenedNet,
    "logmel": LogMelNet,
    "words": WordNet,
}


class ClassifierExtractor:
    """A classifier in eval mode: penultimate features after ReLU, softmax probabilities."""

    def __init__(self, info: ExtractorInfo, net: Net) -> None:
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
        """Features and probabilities of rows.

        Parameters
        ----------
        x
            Images uint8 ``(n, C, H, W)`` in ``0 .. levels - 1``, waveforms float32 ``(n, T)``, or
            token ids int64 ``(n, length)``.
        device
            Where the network runs and the features stay.
        batch_size
            Rows at a time.

        Raises
        ------
        ContractError
            If `x` is not a batch of such rows.
        """
        given = torch.from_numpy(np.ascontiguousarray(x)) if isinstance(x, np.ndarray) else x
        self._check(given)
        top = max(1, self._info.levels - 1)  # of grey levels; waveforms are as they are
        named = kinds.of(self._info.kind).texts  # ids, which are names and no amounts
        net = self._net.to(device)
        features, probabilities = [], []
        with torch.inference_mode(), plain_float32(torch.device(device)):
            for start in range(0, len(given), batch_size):
                rows = given[start : start + batch_size].to(device)
                hidden = net.features(rows if named else rows.float() / top)
                features.append(hidden)
                probabilities.append(net.head(hidden).softmax(1))
        return gathered(features, probabilities)

    def _check(self, rows: Tensor) -> None:
        shape, dtype = tuple(rows.shape), kinds.of(self._info.kind).dtype
        if not shape or shape[1:] != self._info.shape or rows.dtype != getattr(torch, dtype):
            pictures = kinds.of(self._info.kind).pictures
            remedy = "pass grey levels unscaled" if pictures else "pass rows of the space"
            raise ContractError(
                f"extractor {self.name} got {rows.dtype} of shape {shape}, expected {dtype} of "
                f"shape (n, {', '.join(map(str, self._info.shape))}): {remedy}"
            )
        if shape[0] == 0:
            raise ContractError(f"extractor {self.name} got no rows: pass at least one")


def load_classifier(info: ExtractorInfo, source: Path) -> ClassifierExtractor:
    """The classifier that `info` describes; `DataError` if its file is not the one it names."""
    make = NETWORKS[info.network]
    net = load_net(lambda: make(info.shape, info.classes, info.channels), info, source)
    return ClassifierExtractor(info, net)
