"""A training step that a card replays as one graph; elsewhere it is an ordinary call.

Launching the few hundred small kernels of a step costs ten times what they take. A graph launches
them at once. Before it records a step, `CapturedStep` watches it run (`genbench.system.watch`): one
that could not be replayed is told apart there, where nothing has been changed yet.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from genbench.errors import ContractError, shorten
from genbench.system.cudagraphs import CudaGraphs, Outputs
from genbench.system.watch import Watch

Input = Tensor | float | None
Given = tuple[Tensor | None, ...]  # the inputs, numbers as tensors
Signature = tuple[Any, ...]  # their shapes, dtypes and devices
LEAST_WARM_UP = 3  # calls: the first makes the optimiser's state, two more are compared


class GraphBackend(Protocol):
    """A card's graphs: the part of `CapturedStep` that needs the card."""

    def eager(self, step: Callable[[], Outputs]) -> Outputs:
        """Run the step, on the stream that will capture it."""

    def capture(self, step: Callable[[], Outputs]) -> Callable[[], Outputs]:
        """Record the step without running it; what runs it again and where that leaves its outputs.

        If it cannot be recorded, torch is left as it was and the reason raised.
        """


# How a device captures, by its type. A test without a card puts its own here.
BACKENDS: dict[str, Callable[[torch.device, Sequence[torch.Generator]], GraphBackend]] = {
    "cuda": CudaGraphs
}


def captures(device: torch.device) -> bool:
    """Whether steps are captured on this kind of device, so that what lives on changes in place."""
    return device.type in BACKENDS


class CapturedStep:
    """A training step, captured once on CUDA and replayed; on other devices it is just called.

    Parameters
    ----------
    step
        Called with the inputs; returns a tuple of tensors, such as its losses. It ends with the
        optimiser's step. Every tensor that lives on from one call to the next is changed in place;
        nothing in it depends on a value on the card or on a Python number that changes; it clears
        gradients with ``zero_grad()``; its optimisers are made with `optimizer_options`.
    device
        The device of the run.
    generators
        The generators it draws from, which are on `device`.
    warm_up
        Calls that run as they are before the capture, at least 3.

    Notes
    -----
    Replays give the same bytes as calls. Inputs of other shapes than those that were captured run
    as they are, on the same state. A step that cannot be captured does so always, and one line on
    stderr says why. Python in the step runs while it is recorded, not when it is replayed.

    Raises
    ------
    ContractError
        If `warm_up` is below 3.
    """

    def __init__(
        self,
        step: Callable[..., Outputs],
        device: torch.device | str,
        *,
        generators: Sequence[torch.Generator] = (),
        warm_up: int = 3,
    ) -> None:
        if warm_up < LEAST_WARM_UP:
            raise ContractError(f"warm_up is {warm_up}: a step is captured after 3 calls or more")
        self._step = step
        self._device = torch.device(device)
        make = BACKENDS.get(self._device.type)
        self._graphs = None if make is None else make(self._device, tuple(generators))
        self._warm_up = warm_up
        self._calls = Counter[Signature]()
        self._watch = Watch()
        self._numbers: dict[int, Tensor] = {}  # by their place among the inputs
        self._optimizers: dict[int, Optimizer] = {}  # those that the step steps
        self._recorded: _Recorded | None = None
        self._refused: str | None = None

    def __call__(self, *inputs: Input) -> Outputs:
        """Run the step once on these inputs.

        Parameters
        ----------
        *inputs
            Tensors on the device; numbers, which on CUDA reach the step as 0-d float32 tensors
            there and elsewhere as they are; None, which stays None.

        Returns
        -------
        tuple of Tensor
            The step's own, which later calls do not change.
        """
        if self._graphs is None:
            return self._step(*inputs)
        given = tuple(self._on_device(place, value) for place, value in enumerate(inputs))
        signature = tuple(None if x is None else (x.shape, x.dtype, x.device) for x in given)
        if self._recorded is None and self._refused is None:
            self._calls[signature] += 1
            if self._calls[signature] <= self._warm_up:
                return self._watched(signature, given)
            self._record(signature, given)
        recorded = self._recorded
        if recorded is not None and recorded.settings != self._settings():
            self._refuse("a setting of its optimiser is a number that changed")
            recorded = None
        if recorded is None or recorded.signature != signature:
            return self._step(*given)
        return recorded.replay(given)

    def _on_device(self, place: int, value: Input) -> Tensor | None:
        """An input as a tensor; a number in the place that it always has on the card."""
        if value is None or isinstance(value, Tensor):
            return value
        if place not in self._numbers:
            self._numbers[place] = torch.empty((), dtype=torch.float32, device=self._device)
        return self._numbers[place].fill_(value)

    def _watched(self, signature: Signature, given: Given) -> Outputs:
        """A call before the capture: run on its stream, with eyes on what it does."""

        def seen(optimizer: Optimizer, *_: Any) -> None:
            self._optimizers[id(optimizer)] = optimizer

        def step() -> Outputs:
            with self._watch.run(signature, given):
                return self._step(*given)

        assert self._graphs is not None
        hook = register_optimizer_step_pre_hook(seen)
        try:
            outputs = self._graphs.eager(step)
        finally:
            hook.remove()
        if self._watch.reason is not None:
            self._refuse(self._watch.reason)
        return outputs

    def _record(self, signature: Signature, given: Given) -> None:
        """Capture the step on inputs of its own, or leave all as it was."""
        numbers = {id(number) for number in self._numbers.values()}
        inputs = tuple(
            x if x is None or id(x) in numbers else torch.empty_like(x).copy_(x) for x in given
        )
        # Gradients that are made during a capture lie in the graph's memory and are never computed.
        gradients = [(p, p.grad) for group in self._groups() for p in group["params"]]
        assert self._graphs is not None
        try:
            launch = self._graphs.capture(lambda: self._step(*inputs))
        except Exception as error:
            for parameter, gradient in gradients:
                parameter.grad = gradient
            self._refuse(shorten(f"{type(error).__name__}: {error}".partition("\n")[0], 200))
        else:
            self._recorded = _Recorded(signature, self._settings(), inputs, launch)

    def _refuse(self, reason: str) -> None:
        """Run the step as it is from now on, and say why."""
        print(f"genbench: a training step runs slowly, uncaptured: {reason}", file=sys.stderr)
        sys.stderr.flush()
        self._refused, self._recorded = reason, None

    def _groups(self) -> Iterator[dict[str, Any]]:
        return chain.from_iterable(o.param_groups for o in self._optimizers.values())

    def _settings(self) -> list[float]:
        """What the optimisers keep as Python's numbers, which a replay does not read again."""
        values = chain.from_iterable(group.values() for group in self._groups())
        flat = chain.from_iterable(v if isinstance(v, tuple) else (v,) for v in values)
        return [v for v in flat if isinstance(v, float)]


@dataclass(frozen=True)
class _Recorded:
    """A step that was captured."""

    signature: Signature
    settings: list[float]
    inputs: Given
    launch: Callable[[], Outputs]

    def replay(self, given: Given) -> Outputs:
        """Run it on these inputs."""
        for mine, new in zip(self.inputs, given, strict=True):
            if mine is not None and new is not None and mine is not new:
                mine.copy_(new)
        return tuple(output.clone() for output in self.launch())


def optimizer_options(device: torch.device) -> dict[str, bool]:
    """Options of ``torch.optim.Adam`` and its like: one kernel for all tensors, to be captured.

    Its rate is set within the step, ``group["lr"] = rate``, to one of the step's inputs: a number
    on a CPU, a tensor that each replay reads on CUDA.
    """
    fused = {"fused": True} if device.type in ("cpu", "cuda") else {}
    return fused | ({"capturable": True} if captures(device) else {})


@torch.no_grad()
def move_average(
    average: Iterable[Tensor], latest: Iterable[Tensor], share: float | Tensor
) -> None:
    """Move averaged weights in place towards the latest ones, by `share` of the way.

    `average` and `latest` are floats of the same shapes; `share` is a number or a 0-d tensor on
    their device.
    """
    kept, now = list(average), list(latest)
    if not isinstance(share, Tensor):
        torch._foreach_lerp_(kept, now, share)
        return
    way = torch._foreach_sub(now, kept)
    torch._foreach_mul_(way, share)
    torch._foreach_add_(kept, way)
