"""``inception-v3-compat``: the network of the canonical FID, through torch-fidelity.

The weights (95 MB) do not ship. They are read from the file that ``GENBENCH_INCEPTION`` names, from
torch's hub folder, or from the data home; whichever file it is, its hash is in every signature.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from genbench.errors import DataError
from genbench.features.extractors import ExtractorInfo
from genbench.features.imagenet import ImageNetExtractor
from genbench.generator import Space
from genbench.system import data_home

VARIABLE = "GENBENCH_INCEPTION"
SHA256_PREFIX = "6726825d"  # torch hub writes it into the name
FILE = f"weights-inception-2015-12-05-{SHA256_PREFIX}.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"


def places() -> list[Path]:
    """The places that are searched for the weights, in this order."""
    named = os.environ.get(VARIABLE)
    hub = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    return ([Path(named)] if named else []) + [hub, data_home() / "weights" / FILE]


def load_inception(info: ExtractorInfo, space: Space) -> ImageNetExtractor:
    """The extractor with the first weights file found.

    Raises
    ------
    DataError
        If there is no weights file, it cannot be read, or it is not one of this network.
    """
    # Path.is_file would raise for a folder that we may not look into.
    path = next((place for place in places() if os.path.isfile(place)), None)
    if path is None or (os.environ.get(VARIABLE) and path != places()[0]):
        looked = ", ".join(map(str, places()[: 1 if os.environ.get(VARIABLE) else None]))
        raise DataError(
            f"extractor {info.name} is not available, its weights are not in {looked}: "
            f"put {FILE} at {places()[-1]}, name a file in {VARIABLE}, "
            f"or run `genbench data fetch {info.name}`"
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read the weights {path} of {info.name}: {error.strerror}: "
            f"make the file readable, or name another in {VARIABLE}"
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    # 2,048 pooled features and 1,008 logits; it resizes to 299 x 299 as TensorFlow 1 did.
    return ImageNetExtractor(
        info, space, _network(data, path), lambda net, rows: net(rows), sha256
    )  # fmt: skip


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
