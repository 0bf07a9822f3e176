"""A card where there is none: tensors on another device, whose values are in the host's memory.

`Carded` tensors lie on torch's ``meta`` device for all who ask, but they hold values, so that every
operation is made and branches on values are taken. What would fail on a card fails here: tensors of
two devices in one operation (numbers without dimensions aside), and NumPy without a copy to host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CARD = torch.device("meta")
HOST = torch.device("cpu")


class Carded(torch.Tensor):
    """A tensor that says that it is on the card."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Carded:
        made: Carded = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=CARD,
        )  # fmt: skip
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return on_card(func, args, kwargs or {})


def on_card(func: Any, args: Any, kwargs: Any) -> Any:
    """The operation on the values held; refused for tensors of two devices."""
    given = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    carded = [x for x in given if isinstance(x, Carded)]
    mixed = carded and any(x.ndim for x in given if not isinstance(x, Carded))
    if mixed and "_to_copy" not in func.__name__:
        raise RuntimeError(f"{func} got tensors on the card and in the host's memory")
    target = kwargs.get("device")
    there = bool(carded) if target is None else torch.device(target) == CARD
    if target is not None:
        kwargs = {**kwargs, "device": HOST}
    args, kwargs = tree_map(lambda x: x.held if isinstance(x, Carded) else x, (args, kwargs))
    result = func(*args, **kwargs)
    # An operation in place, or into `out`, gives back the tensor that it was given.
    known = {id(x.held): x for x in carded} if func._schema.is_mutable else {}

    def wrapped(x: Any) -> Any:
        if not (there and isinstance(x, torch.Tensor)):
            return x
        return known[id(x)] if id(x) in known else Carded(x)

    return tree_map(wrapped, result)


class _Card(TorchDispatchMode):
    """Catches tensors that are made on the card, or moved there; counts numbers that leave it."""

    def __init__(self, left: list[int]) -> None:
        super().__init__()
        self.left = left

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = on_card(func, args, kwargs or {})
        if "_to_copy" in func.__name__ and not isinstance(result, Carded):
            self.left.append(result.numel())
        return result


@contextmanager
def pretended() -> Iterator[list[int]]:
    """Within, tensors that are made on `CARD` are on it; how many numbers each copy took off it."""
    left: list[int] = []
    plain = patch.object(torch, "autocast", lambda *args, **options: nullcontext())
    pool = partial(ThreadPoolExecutor, initializer=lambda: _Card(left).__enter__())
    threads = patch("genbench.metrics.threads.ThreadPoolExecutor", pool)
    with torch.no_grad(), plain, threads, _Card(left):
        yield left


def carded(x: Any) -> Any:
    """An array on the card; anything else as it is."""
    return Carded(torch.from_numpy(np.array(x))) if isinstance(x, np.ndarray) else x


@contextmanager
def real_card() -> Iterator[list[int]]:
    """The card of this machine; copies off it are not counted."""
    yield []


Place = tuple[Callable[[], AbstractContextManager[list[int]]], Callable[[Any], Any]]
# Where tensors may be: a context, and the function that puts an array there.
PLACES: dict[str, Place] = {"pretended card": (pretended, carded)}
if torch.cuda.is_available():
    PLACES["cuda"] = (
        real_card,
        lambda x: torch.from_numpy(np.array(x)).cuda() if isinstance(x, np.ndarray) else x,
    )
