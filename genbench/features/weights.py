"""Weights files of extractors: found, checked against their hash, put into their network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from torch import nn

from genbench.errors import DataError
from genbench.features.extractors import ExtractorInfo

Net = TypeVar("Net", bound=nn.Module)
REMEDY = "reinstall genbench, or make anew the suite that it came with"


def shipped_weights(info: ExtractorInfo) -> Path:
    """The file that `info` names among those that ship with genbench."""
    return Path(str(resources.files("genbench.suites"))) / "weights" / info.file


def checked_weights(info: ExtractorInfo, source: Path) -> bytes:
    """The content of a weights file.

    `DataError` if it is missing or is not the one that ``info.sha256`` names.
    """
    try:
        data = source.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read weights {source}: {error.strerror}: {REMEDY}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != info.sha256:
        raise DataError(f"weights {source} have sha256 {found}, expected {info.sha256}: {REMEDY}")
    return data


def load_net(make: Callable[[], Net], info: ExtractorInfo, source: Path) -> Net:
    """The network that `make` builds, with the weights of a safetensors file, as float32.

    Raises
    ------
    DataError
        If the file is missing, is not the one that ``info.sha256`` names, or does not fit.
    """
    data = checked_weights(info, source)
    with torch.device("meta"):  # no initial weights: loading draws no random numbers
        net = make()
    try:
        state = parse_tensors(data)
        halves = {name: x.float() for name, x in state.items() if x.dtype == torch.float16}
        net.load_state_dict(state | halves, assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise DataError(f"weights {source} do not fit the network: {error}: {REMEDY}") from error
    return net
