"""A sampler in the bytes of a format, and those bytes tried against the sampler itself."""

from __future__ import annotations

import inspect
import io
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genbench.adapters import KEY, Format, Forward, open_onnx, open_torchscript, with_metadata
from genbench.errors import ContractError, shorten
from genbench.generator import Space

OPSET = 17  # of ONNX: read by every onnxruntime since 1.12
TRACED_ROWS = 3  # neither 1 nor a size that a network has
TRIED_ROWS = (1, 4, 31)
MOST_DIFFERENT = 0.01  # share of values that rounding may change
CLOSE = 1e-3  # of floats, relative to their spread


@dataclass(frozen=True, slots=True)
class Trial:
    """A file beside the sampler that it was made of: values compared, and those that differ.

    `largest` is the greatest difference, in grey levels or the data's own unit.
    """

    values: int
    different: int
    largest: float


class Noisy(nn.Module):
    """A sampler of noise alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, noise: Tensor) -> Tensor:
        """Rows of the space."""
        rows: Tensor = self.net(noise, None)
        return rows


def to_onnx(net: nn.Module, given: tuple[Tensor, ...], text: str) -> bytes:
    """An ONNX model with inputs ``noise`` and perhaps ``labels``, output ``x``, of any n."""
    names = ["noise", "labels"][: len(given)]
    # The newer exporter needs a package more, and is no better at networks without branches.
    write: Any = torch.onnx.export
    older = {"dynamo": False} if "dynamo" in inspect.signature(write).parameters else {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        write(
            net, given, str(file), input_names=names, output_names=["x"], opset_version=OPSET,
            dynamic_axes={name: {0: "n"} for name in (*names, "x")}, **older,
        )  # fmt: skip
        return with_metadata(file.read_bytes(), text)


def to_torchscript(net: nn.Module, given: tuple[Tensor, ...], text: str) -> bytes:
    """A TorchScript archive whose ``forward`` takes noise and perhaps labels, of any n."""
    stream = io.BytesIO()
    traced: Any = torch.jit.trace(net, given, check_trace=False)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, stream, _extra_files={KEY: text})
    return stream.getvalue()


def to_safetensors(state: Mapping[str, Tensor], text: str) -> bytes:
    """A state's tensors under their own names."""
    from safetensors.torch import save

    tensors = {str(k): v.detach().cpu().contiguous().clone() for k, v in state.items()}
    return save(tensors, {KEY: text})


_WRITERS: Mapping[Format, Callable[[nn.Module, tuple[Tensor, ...], str], bytes]] = {
    "onnx": to_onnx,
    "torchscript": to_torchscript,
}


def written(
    format_: Format, net: nn.Module, given: tuple[Tensor, ...], text: str, name: str
) -> bytes:
    """A sampler in a format; `ContractError` if it cannot be put into it.

    `given` are the inputs that it is followed with: noise, and labels where it takes them.
    """
    with warnings.catch_warnings(), torch.no_grad():
        # Both ways are deprecated in favour of formats that fewer programs read, and whatever
        # following a network may miss shows when the file is tried.
        warnings.simplefilter("ignore")
        try:
            return _WRITERS[format_](net, given, text)
        except Exception as error:  # of torch's own kinds, which change, or of the network's code
            reason = shorten(f"{type(error).__name__}: {error}", 300)
            raise ContractError(
                f"generator {name!r}: its sampler cannot be put into {format_} ({reason}): it must "
                "be made of operations that the format has"
            ) from error


def opened(format_: Format, file: Path) -> Forward:
    """The network in a file."""
    if format_ == "onnx":
        return open_onnx(file, torch.get_num_threads())
    return open_torchscript(file, torch.device("cpu"))


def inputs(n: int, noise_size: int, space: Space, labels: bool) -> tuple[Tensor, ...]:
    """Noise and, where it is asked for, labels that go round, for `n` rows."""
    noise = torch.randn(n, noise_size, generator=torch.Generator().manual_seed(n))
    return (noise, torch.arange(n) % space.classes) if labels else (noise,)


@torch.no_grad()
def tried(
    forward: Forward, net: nn.Module, given: Sequence[tuple[Tensor, ...]], where: str, name: str
) -> Trial:
    """A file's answers beside those of the sampler, on the same noise and labels.

    `ContractError` if they are other than rounding makes them.
    """
    trials = [_compared(_run(forward, rows, where, name), net(*rows)) for rows in given]
    found = Trial(
        sum(t.values for t in trials),
        sum(t.different for t in trials),
        max(t.largest for t in trials),
    )
    if found.different > MOST_DIFFERENT * found.values:
        raise ContractError(
            f"generator {name!r}: the {where} of its sampler gives other rows than the sampler in "
            f"{found.different:,} of {found.values:,} values, by up to {found.largest:.3g}: no "
            "branch of it may depend on the data or on n"
        )
    return found


def _run(forward: Forward, rows: tuple[Tensor, ...], where: str, name: str) -> Tensor:
    try:
        found: Tensor = forward(*rows)
    except Exception as error:  # the runtimes' errors have no common base
        reason = shorten(str(error), 200)
        raise ContractError(
            f"generator {name!r}: the {where} of its sampler does not run with {len(rows[0])} rows "
            f"({reason}): let no shape in it depend on n but through the tensors themselves"
        ) from error
    return found


def _compared(theirs: Tensor, ours: Tensor) -> Trial:
    if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
        return Trial(ours.numel(), ours.numel(), float("inf"))
    gap = (theirs.double() - ours.double()).abs()
    slack = CLOSE * float(ours.std()) if ours.is_floating_point() and ours.numel() > 1 else 0.0
    return Trial(ours.numel(), int((gap > slack).sum()), float(gap.max()) if gap.numel() else 0.0)
