"""Nested dicts and lists of tensors and scalars in one safetensors file: no pickle, no code.

The structure goes as JSON into the file's header and the tensors beside it, so that optimiser
states and random-generator states can be checkpointed and read back safely.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as _serialise
from torch import Tensor

from genbench.errors import StoreError
from genbench.system.files import write_bytes

DEEPEST = 64  # dicts and lists within each other; an optimiser has about six


def save(path: Path, body: Mapping[str, Any]) -> None:
    """Write `body` atomically: dicts with str or int keys, lists, tuples, tensors, numbers,
    strings, booleans, None. `StoreError` for anything else, or if the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_encode(body, tensors, "state"))
    data = _serialise(tensors or {"_": torch.zeros(1)}, {"structure": structure})
    write_bytes(path, data, private=True)


def load(path: Path, *, device: torch.device | str = "cpu") -> Any:
    """Read what `save` wrote; tensors that were on another device than the CPU go to `device`.

    `StoreError` if the file is missing, truncated or not of this form.
    """
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            structure = json.loads((file.metadata() or {})["structure"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _decode(structure, tensors, torch.device(device))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"cannot read {path} as a tensor file: {error}") from error


def _encode(value: Any, tensors: dict[str, Tensor], where: str, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise StoreError(f"{where[:60]}... is nested deeper than {DEEPEST}: keep a flatter state")
    if isinstance(value, Tensor):
        key = str(len(tensors))
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"tensor": key, "device": value.device.type}
    if isinstance(value, Mapping):
        items = [[k, _encode(v, tensors, f"{where}.{k}", depth + 1)] for k, v in value.items()]
        return {"dict": items}
    if isinstance(value, list | tuple):
        return {
            "list": [_encode(v, tensors, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
        }
    if value is None or isinstance(value, bool | int | float | str):
        return {"scalar": value}
    raise StoreError(
        f"{where} is a {type(value).__name__}: a checkpoint holds tensors, numbers, strings, None"
    )


def _decode(node: Any, tensors: Mapping[str, Tensor], device: torch.device, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST}")
    if "tensor" in node:
        tensor = tensors[node["tensor"]]
        return tensor if node["device"] == "cpu" else tensor.to(device)
    if "dict" in node:
        return {k: _decode(v, tensors, device, depth + 1) for k, v in node["dict"]}
    if "list" in node:
        return [_decode(v, tensors, device, depth + 1) for v in node["list"]]
    return node["scalar"]
