"""``inception-v3-compat``: the network of the canonical FID, through torch-fidelity.

The weights (95 MB) do not ship. They are read from the file that ``GENBENCH_INCEPTION`` names, from
torch's hub folder, or from the data home; whichever file it is, its hash is in every signature.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.data.files import home
from genbench.errors import ContractError, DataError
from genbench.features import ExtractorInfo, Features
from genbench.features.classifier import plain_float32
from genbench.generator import Space

if TYPE_CHECKING:
    from torch import Tensor

VARIABLE = "GENBENCH_INCEPTION"
SHA256_PREFIX = "6726825d"  # torch hub writes it into the name
FILE = f"weights-inception-2015-12-05-{SHA256_PREFIX}.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"
MOST_ROWS = 50  # at a time: at 299 x 299 pixels they need about 1 GB


def places() -> list[Path]:
    """Where the weights are looked for, in this order."""
    named = os.environ.get(VARIABLE)
    hub = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    return ([Path(named)] if named else []) + [hub, home() / "weights" / FILE]


def load_inception(info: ExtractorInfo, space: Space) -> InceptionExtractor:
    """The extractor with the first weights file found.

    Raises
    ------
    DataError
        If there is no weights file, or it is not one of this network.
    """
    path = next((place for place in places() if place.is_file()), None)
    if path is None or (os.environ.get(VARIABLE) and path != places()[0]):
        looked = ", ".join(map(str, places()[: 1 if os.environ.get(VARIABLE) else None]))
        raise DataError(
            f"extractor {info.name} is not available, its weights are not in {looked}: "
            f"put {FILE} at {places()[-1]}, name a file in {VARIABLE}, "
            f"or run `genbench data fetch {info.name}`"
        )
    data = path.read_bytes()
    return InceptionExtractor(info, space, _network(data, path), hashlib.sha256(data).hexdigest())


def _network(data: bytes, path: Path) -> Any:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
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
            f"{path} holds no Inception weights as torch-fidelity publishes them ({text}): "
            f"put the file {FILE} there"
        ) from error


class InceptionExtractor:
    """2,048 pooled features and class probabilities of the 2015 TensorFlow Inception."""

    def __init__(self, info: ExtractorInfo, space: Space, net: Any, sha256: str) -> None:
        self.name = info.name
        self.version = info.version
        self.sha256 = sha256
        self.identity = f"{info.name}/{info.version}:{sha256[:8]}"
        self._space = space
        self._net = net

    def extract(
        self,
        x: Tensor | NDArray[Any],
        *,
        device: torch.device | str = "cpu",
        batch_size: int = MOST_ROWS,
    ) -> Features:
        """Features float32 ``(n, 2048)`` and probabilities ``(n, 1008)`` of images.

        Grey images become three equal channels; grey levels are spread over 0 .. 255. The network
        resizes to 299 x 299 as TensorFlow 1 did.

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
        net, size = self._net.to(device), min(batch_size, MOST_ROWS)
        features, probabilities = [], []
        with torch.inference_mode(), plain_float32(torch.device(device)):
            for rows in torch.split(images, size):
                found, logits = net(self._colour(rows.to(device)))
                features.append(found.cpu())
                probabilities.append(logits.softmax(1).cpu())
        return Features(torch.cat(features).numpy(), torch.cat(probabilities).numpy())

    def _colour(self, rows: Tensor) -> Tensor:
        top = self._space.levels - 1
        if top != 255:
            rows = (rows.float() * (255 / top)).round().to(torch.uint8)
        return rows.expand(-1, 3, -1, -1) if rows.shape[1] == 1 else rows
