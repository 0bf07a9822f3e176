"""A generator from a file that ``genbench export`` wrote, in any of its formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.adapters.exportfile import ExportHeader, read_header
from genbench.adapters.frozen import UNKNOWN, Caller, Draw, caller, frozen, located
from genbench.adapters.networks import drawer, open_onnx, open_torchscript
from genbench.adapters.onnxfile import external_files
from genbench.errors import ContractError, GenbenchError, PluginError
from genbench.generator import Samples, Space
from genbench.plugins import finding, make_generator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BATCH = 250  # rows that go through an exported network at once


def exported(name: str, file: str | Path, *, pretrained_on: str | None = UNKNOWN) -> type:
    """A generator from a file of ``genbench export``: ONNX, TorchScript or safetensors.

    Sizes, labels and kind of data are read from the file. ONNX needs the extra ``genbench[onnx]``;
    safetensors the generator that it holds the state of, installed at the same version.

    Raises
    ------
    PluginError
        If there is no such file, or it is none of ``genbench export``.
    """
    by = caller()
    path = located(by, file)
    header = read_header(path)
    if header is None:
        raise PluginError(
            f"{path} was not written by genbench export: see torchscript() and onnx() of "
            "genbench.adapters for networks of other origin"
        )
    return class_of(name, path, header, by, pretrained_on)


def class_of(
    name: str, path: Path, header: ExportHeader, by: Caller, pretrained_on: str | None = UNKNOWN
) -> type:
    """The generator of an exported file whose header was read."""

    def load(space: Space, device: torch.device) -> Draw:
        if space != header.space:
            raise ContractError(
                f"{path.name} makes {_described(header.space)}, asked for {_described(space)}: "
                "take a suite of its space"
            )
        if header.format == "safetensors":
            return _rebuilt(path, header, device)
        return _network(path, header, device)

    beside = external_files(path) if header.format == "onnx" else []
    return frozen(
        name, load, by, family="network", kinds=(header.space.kind,), labels=header.labels,
        files=[path, *beside], pretrained_on=pretrained_on,
        summary=f"{header.generator} as genbench export wrote it, {path.name}.",
    )  # fmt: skip


def _network(path: Path, header: ExportHeader, device: torch.device) -> Draw:
    import torch

    if header.format == "onnx":
        net, device = open_onnx(path, torch.get_num_threads()), torch.device("cpu")
    else:
        net = open_torchscript(path, device)
    return drawer(net, device, header.noise_size, "normal", header.labels, BATCH)


def _rebuilt(path: Path, header: ExportHeader, device: torch.device) -> Draw:
    """The generator itself, as it was when its state was written."""
    ref = finding.find(header.generator)
    generator = make_generator(ref, header.params, header.space, device)
    if str(generator.spec.version) != header.version:
        raise PluginError(
            f"{path.name} holds {header.generator} {header.version}, installed is version "
            f"{generator.spec.version}: install the former, or export it again"
        )
    try:
        generator.load_state_dict(read_state(path, device))
    except GenbenchError:
        raise
    except Exception as error:  # of the generator's own code
        raise PluginError(
            f"{header.generator} does not load the state of {path.name}: {error}"
        ) from error

    def draw(n: int, seed: int, given: Any) -> Any:
        drawn = generator.sample(n, seed=seed, labels=given)
        return drawn.x if isinstance(drawn, Samples) else drawn

    return draw


def read_state(path: Path, device: torch.device) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name; `PluginError` if it is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device=str(device))
    except (SafetensorError, OSError) as error:
        raise PluginError(f"{path} is no safetensors file: {error}") from error


def _described(space: Space) -> str:
    kinds = f" of {space.classes} classes" if space.classes else ""
    return f"{space.kind} {space.shape}{kinds}"
