"""Models people already have, as generators: each is one call in a plugin file or a notebook.

>>> from genbench.adapters import torch_module
>>> Mine = torch_module("mine", Net, "net.pt", latent=64)  # doctest: +SKIP

Nothing is trained: `fit` takes no training rows, the record shows 0 examples served. What a model
was trained on is unknown to the harness, and the record says so unless you say what it was. The
digests of the model's files are in the generator's version: another file is another generator.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genbench.adapters.commands import command
    from genbench.adapters.diffusion import diffusers_pipeline
    from genbench.adapters.functions import function
    from genbench.adapters.networks import onnx, torch_module, torchscript

_HOME = {
    "command": "commands",
    "diffusers_pipeline": "diffusion",
    "function": "functions",
    "onnx": "networks",
    "torch_module": "networks",
    "torchscript": "networks",
}

__all__ = ["command", "diffusers_pipeline", "function", "onnx", "torch_module", "torchscript"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
