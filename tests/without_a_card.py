"""What a card does, checked where there is none.

`graphs` puts a made-up card behind `CapturedStep`: it replays by calling the step again. So a whole
step, backward and optimiser included, is captured on ``meta``, where a value that is asked for, a
copy to the host or a mixture of devices fails. `fake_cuda` makes tensors that say they are on CUDA;
no backward runs there without a driver, so it is left out. `OneDevice` refuses every operation with
tensors on two devices, such as those that make a tensor of Python's numbers.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genbench.system.capture import BACKENDS

Outputs = tuple[Tensor, ...]


@dataclass
class Graphs:
    """The made-up card: what was asked of it, in order; a capture fails with `error`, if given."""

    asked: list[str] = field(default_factory=list)
    generators: Sequence[torch.Generator] = ()
    error: Exception | None = None
    half_way: Callable[[], None] = lambda: None

    def eager(self, step: Callable[[], Outputs]) -> Outputs:
        self.asked.append("eager")
        return step()

    def capture(self, step: Callable[[], Outputs]) -> Callable[[], Outputs]:
        self.asked.append("capture")
        if self.error is not None:
            self.half_way()
            raise self.error

        def replay() -> Outputs:
            self.asked.append("replay")
            return step()

        return replay


def graphs(monkeypatch: pytest.MonkeyPatch, kind: str = "cpu", **options: Any) -> Graphs:
    """A card behind every step on devices of this kind; all steps share it."""
    card = Graphs(**options)

    def made(device: torch.device, generators: Sequence[torch.Generator]) -> Graphs:
        card.generators = generators
        return card

    monkeypatch.setitem(BACKENDS, kind, made)
    # Adam takes a rate on the device only where graphs are known to it.
    known = "_get_capturable_supported_devices"
    monkeypatch.setattr(sys.modules["torch.optim.adam"], known, lambda **_: ["cuda", "cpu", "meta"])
    return card


class OneDevice(TorchDispatchMode):
    """Refuses operations whose tensors lie on several devices."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)]
        places = sorted({str(x.device.type) for x in tensors})
        assert len(places) <= 1, f"{func} works on {' and '.join(places)}"
        return out


@contextmanager
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Graphs]:
    """Tensors on "cuda" that have no numbers, a card that captures them, and no backward."""
    card = graphs(monkeypatch, "cuda")
    with suppress(ImportError):  # fake tensors import it, and it reads torch.Generator as a type
        import_module("torch.distributed.tensor._random")
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": _cpu_generator())
    monkeypatch.setattr(torch.Tensor, "backward", lambda self, gradient=None: None)
    monkeypatch.setattr(torch.autograd, "backward", lambda *args, **kwargs: None)
    monkeypatch.setattr(torch.autograd, "grad", lambda out, x, **kwargs: (torch.zeros_like(x),))
    monkeypatch.setattr(torch.nn.Module, "to", _moved)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    mode = FakeTensorMode()
    monkeypatch.setattr(FakeTensorMode, "__deepcopy__", lambda self, memo: self, raising=False)
    with mode, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
        yield card


_Generator = torch.Generator


def _cpu_generator() -> torch.Generator:
    """Random numbers for tensors without any come from the CPU."""
    return _Generator()


def _moved(module: torch.nn.Module, device: Any = None, **_: Any) -> torch.nn.Module:
    """``Module.to``, which cannot exchange tensors that have no numbers."""
    for part in module.modules():
        for name, x in part._parameters.items():
            if x is not None and device is not None:
                part._parameters[name] = torch.nn.Parameter(x.data.to(device), x.requires_grad)
        for name, x in part._buffers.items():
            if x is not None and device is not None:
                part._buffers[name] = x.to(device)
    return module
