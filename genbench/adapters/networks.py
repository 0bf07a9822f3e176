"""Networks that map latents to samples: torch modules, TorchScript and ONNX files."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from genbench.adapters.exportfile import require_onnxruntime
from genbench.adapters.frozen import UNKNOWN, Draw, caller, frozen, located
from genbench.adapters.onnxfile import external_files
from genbench.adapters.ranges import stated
from genbench.errors import PluginError
from genbench.generator import Kind, Space
from genbench.plugins import files_of_module

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Noise = Literal["normal", "uniform"]
Forward = Callable[..., Any]


def torch_module(
    name: str,
    module: Callable[[], Any] | str,
    checkpoint: str | Path | None = None,
    *,
    latent: int | Sequence[int],
    key: str | None = None,
    noise: Noise = "normal",
    labels: bool = False,
    low: float = -1.0,
    high: float = 1.0,
    kinds: Sequence[Kind] = ("image",),
    batch_size: int = 250,
    pretrained_on: str | None = UNKNOWN,
) -> type:
    """A generator from a ``torch.nn.Module`` z -> samples.

    It is given z as float32 ``(n, *latent)`` and returns floats of any width: images
    ``(n, C, H, W)`` in ``[low, high]``, points ``(n, d)``.

    Parameters
    ----------
    module
        The module's class, any function that makes it, or ``"package.module:Class"``, whose files
        are part of the version unless the package is an installed one.
    checkpoint
        Its ``state_dict`` as ``.safetensors`` or as ``.pt``, which is read with ``weights_only``.
    latent
        Size of z, such as ``100`` or ``(100, 1, 1)``.
    key
        The entry of the checkpoint that holds the ``state_dict``, such as ``"ema"``.
    noise
        z is standard normal, or uniform in [-1, 1).
    labels
        Call ``module(z, y)`` with labels, int64 ``(n,)``.
    low, high
        The floats that stand for black and white.
    pretrained_on
        What shaped the weights; None only if nothing but the suite's train split did.

    Raises
    ------
    PluginError
        If there is no such checkpoint; at the fit, if it does not load.
    """
    by = caller()
    weights = None if checkpoint is None else located(by, checkpoint)
    files = [] if weights is None else [weights]
    if isinstance(module, str):
        files += files_of_module(module.partition(":")[0], by.folder)

    def load(space: Space, device: torch.device) -> Draw:
        make = _imported(module) if isinstance(module, str) else module
        net = make()
        if weights is not None:
            _load_weights(net, weights, key)
        net = net.to(device).eval().requires_grad_(False)
        return drawer(net, device, latent, noise, labels, batch_size)

    return frozen(
        name, load, by, family="network", summary=f"A torch module, {name}.", kinds=kinds,
        labels=labels, files=files, pretrained_on=pretrained_on, values=stated(name, low, high),
    )  # fmt: skip


def torchscript(
    name: str,
    file: str | Path,
    *,
    latent: int | Sequence[int],
    noise: Noise = "normal",
    labels: bool = False,
    low: float = -1.0,
    high: float = 1.0,
    kinds: Sequence[Kind] = ("image",),
    batch_size: int = 250,
    pretrained_on: str | None = UNKNOWN,
) -> type:
    """A generator from a TorchScript file z -> samples; parameters as for `torch_module`."""
    by = caller()
    path = located(by, file)

    def load(space: Space, device: torch.device) -> Draw:
        return drawer(open_torchscript(path, device), device, latent, noise, labels, batch_size)

    return frozen(
        name, load, by, family="network", summary=f"A TorchScript file, {path.name}.", kinds=kinds,
        labels=labels, files=[path], pretrained_on=pretrained_on, values=stated(name, low, high),
    )  # fmt: skip


def onnx(
    name: str,
    file: str | Path,
    *,
    latent: int | Sequence[int],
    noise: Noise = "normal",
    labels: bool = False,
    low: float = -1.0,
    high: float = 1.0,
    kinds: Sequence[Kind] = ("image",),
    batch_size: int = 250,
    pretrained_on: str | None = UNKNOWN,
) -> type:
    """A generator from an ONNX file z -> samples, run by onnxruntime on the CPU.

    Its first input is z, its second, if it takes labels, is int64; its first output, the samples.
    Files of external data beside it are part of the version. Parameters as for `torch_module`.
    Needs the extra ``genbench[onnx]``.
    """
    by = caller()
    path = located(by, file)

    def load(space: Space, device: torch.device) -> Draw:
        import torch

        return drawer(open_onnx(path), torch.device("cpu"), latent, noise, labels, batch_size)

    return frozen(
        name, load, by, family="network", summary=f"An ONNX file, {path.name}.", kinds=kinds,
        labels=labels, files=[path, *external_files(path)], pretrained_on=pretrained_on,
        values=stated(name, low, high),
    )  # fmt: skip


def open_torchscript(path: Path, device: torch.device) -> Forward:
    """The network of a TorchScript file; `PluginError` if it is none."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer releases advise another format
        try:
            net = torch.jit.load(str(path), map_location=device)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise PluginError(f"{path} is no TorchScript file: {_one_line(error)}") from error
    net.eval()
    return cast(Forward, net)


def open_onnx(path: Path, threads: int = 0) -> Forward:
    """The network of an ONNX file, run by onnxruntime; `PluginError` if it is none.

    With 0 `threads` onnxruntime takes as many as it likes.
    """
    import torch

    require_onnxruntime()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no common base
        raise PluginError(f"{path} is no ONNX model: {_one_line(error)}") from error
    inputs = [entry.name for entry in session.get_inputs()]

    def forward(*given: Tensor) -> Any:
        fed = {n: v.numpy() for n, v in zip(inputs, given, strict=True)}
        return torch.from_numpy(session.run(None, fed)[0])

    return forward


def drawer(
    forward: Forward,
    device: torch.device,
    latent: int | Sequence[int],
    noise: Noise,
    labels: bool,
    batch_size: int,
) -> Draw:
    """Samples of a network that maps noise, and labels where it takes them, to samples."""
    import torch

    shape = (latent,) if isinstance(latent, int) else tuple(latent)

    def draw(n: int, seed: int, given: Any) -> Any:
        generator = torch.Generator(device).manual_seed(seed)
        z = torch.empty((n, *shape), device=device)
        if noise == "normal":
            z.normal_(generator=generator)
        else:
            z.uniform_(-1, 1, generator=generator)
        inputs = (z, given.to(device)) if labels and given is not None else (z,)
        parts = zip(*(value.split(batch_size) for value in inputs), strict=True)
        return torch.cat([forward(*part).cpu() for part in parts])

    return draw


def _load_weights(net: Any, file: Path, key: str | None) -> None:
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            state: Any = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
        if key is not None:
            if not isinstance(state, Mapping) or key not in state:
                found = ", ".join(map(str, state)) if isinstance(state, Mapping) else "no entries"
                raise PluginError(f"checkpoint {file} has no entry {key!r}: it holds {found[:200]}")
            state = state[key]
        net.load_state_dict(state)
    except (OSError, RuntimeError, TypeError, AttributeError, SafetensorError,
            pickle.UnpicklingError) as error:  # fmt: skip
        raise PluginError(
            f"checkpoint {file} does not load into {type(net).__name__}: {_one_line(error)}"
        ) from error


def _imported(path: str) -> Callable[[], Any]:
    module, _, attr = path.partition(":")
    try:
        found: Callable[[], Any] = getattr(importlib.import_module(module), attr)
    except (ImportError, AttributeError, ValueError) as error:
        raise PluginError(
            f"{path!r} does not import ({error}): write package.module:Class"
        ) from error
    return found


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
