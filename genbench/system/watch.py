"""A watch on a step while it runs: what in it could not be replayed as a graph.

A graph repeats kernels on fixed addresses. It cannot ask the card for a value, and it would go on
with what was true when it was recorded: a number of Python's that has changed since, the address of
a tensor that the step replaces instead of changing it. Two calls in a row give all that away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Operation = tuple[Any, ...]  # its name and its arguments, tensors by shape and dtype
ASKS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The operations of a step's calls, compared from one call to the next.

    Attributes
    ----------
    reason
        The first thing seen that cannot be captured, in words; None so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reason: str | None = None
        self._operations: list[Operation] = []
        self._made: dict[int, StorageWeakRef] = {}  # storages made by the call that runs
        self._made_before: dict[int, StorageWeakRef] = {}  # by the call before it, and still there
        self._last: dict[Any, list[Operation]] = {}  # the operations of the latest call, by shapes
        self._calls = 0  # the first makes the optimiser's state and is like no other

    @contextlib.contextmanager
    def run(self, signature: Any, inputs: Sequence[Any]) -> Iterator[None]:
        """Watch one call with these inputs, whose shapes `signature` stands for."""
        given = {_storage(x).cdata for x in inputs if isinstance(x, Tensor)}
        self._made_before = {}
        for key, made in self._made.items() if self._calls > 1 else ():
            if key not in given and not made.expired():  # type: ignore[no-untyped-call]
                self._made_before[key] = made
        self._made, self._operations, self._calls = {}, [], self._calls + 1
        with self:
            yield
        before = self._last.get(signature)
        if before is not None and self.reason is None:
            self.reason = _difference(before, self._operations)
        if self._calls > 1:
            self._last[signature] = self._operations

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self.reason is None:
            self._note(func, tree_leaves((args, kwargs)), tree_leaves(out))
        return out

    def _note(self, func: Any, leaves: list[Any], results: list[Any]) -> None:
        name = func._schema.name
        taken = [x for x in leaves if isinstance(x, Tensor)]
        given = [x for x in results if isinstance(x, Tensor)]
        known = {_storage(x).cdata for x in taken}
        if _asks(func, taken):
            self.reason = f"{name} hands a value from the device to Python"
        elif len(places := {x.device.type for x in (*taken, *given)}) > 1:
            self.reason = f"{name} copies between {' and '.join(sorted(places))}"
        elif known & self._made_before.keys():
            self.reason = f"{name} reads what the step before it made: keep it in place, with copy_"
        for x in given:
            if (storage := _storage(x)).cdata not in known:
                self._made[storage.cdata] = storage
        self._operations.append((name, *map(_plain, leaves)))


def _plain(x: Any) -> Any:
    """An argument as what two calls are compared by."""
    if isinstance(x, Tensor):
        return x.shape, x.dtype
    return x if isinstance(x, bool | int | float | str) else type(x)


def _storage(x: Tensor) -> StorageWeakRef:
    """What a tensor's numbers lie in; all its views share it."""
    return StorageWeakRef(x.untyped_storage())  # type: ignore[no-untyped-call]


def _asks(func: Any, taken: Sequence[Tensor]) -> bool:
    """Whether an operation needs values to say what it returns, or how large it is."""
    if func._schema.name in INDEXING:
        return any(x.dtype in (torch.bool, torch.uint8) for x in taken[1:])
    return bool(ASKS & set(func.tags))


def _difference(before: list[Operation], now: list[Operation]) -> str | None:
    """How two calls on inputs of the same shapes differ, in words; None if they do not."""
    for old, new in zip(before, now, strict=False):
        if old[0] != new[0]:
            return f"{new[0]} runs where the step before it ran {old[0]}"
        if old != new:
            return f"{new[0]} gets a number or a shape that changes: make it an input of the step"
    if len(before) != len(now):
        return "it does not do the same every time"
    return None
