"""A card for tests on machines without one: tensors that say they are on it, and have values.

Within `pretended_card()` tensors made on ``CARD`` answer to its name, compute on the host, and are
as strict as those of a card: mixed with tensors of the host they raise. Fake tensors of torch do
the same without values, so that nothing that looks at one (a sort, a radius) gets far with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CARD = torch.device("cuda", 0)

_MAY_MIX = ("aten::_to_copy", "aten::copy_", "aten::index.Tensor", "aten::index_put_")


class _OnCard(torch.Tensor):
    """A tensor that says it is on the card; `held` is the one on the host that it stands for."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> _OnCard:
        shell = torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device="meta")
        made: Any = torch.Tensor._make_subclass(
            cls, shell, False, dispatch_device=True, device_for_backend_keys=CARD
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return CARD
        raise RuntimeError(f"{func} on the card outside of pretended_card()")


class Card(TorchDispatchMode):
    """Answers every operation; `to_host` counts the bytes that were copied off the card."""

    to_host = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return CARD
        kwargs = dict(kwargs or {})
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        there = any(isinstance(x, _OnCard) for x in given)
        mixed = there and any(x.ndim and not isinstance(x, _OnCard) for x in given)
        if mixed and func.name() not in _MAY_MIX:
            raise RuntimeError(f"{func.name()} mixes tensors of the card and of the host")
        made_there, device = there, kwargs.get("device")
        if device is not None:
            made_there = torch.device(device).type == CARD.type
            kwargs["device"] = torch.device("cpu")
        known = {id(_held(x)): x for x in given}

        def place(x: Any) -> Any:
            if id(x) in known:  # changed in place
                return known[id(x)]
            return _OnCard(x) if made_there and isinstance(x, torch.Tensor) else x

        made = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if there and not made_there:
            self.to_host += sum(x.nbytes for x in tree_leaves(made))
        return tree_map(place, made)


def _held(x: Any) -> Any:
    return x.held if isinstance(x, _OnCard) else x


@contextmanager
def pretended_card() -> Iterator[Card]:
    """The card, to which ``torch.asarray(x, device=CARD)`` takes an array."""
    torch._C._ensureCUDADeviceGuardSet()  # as torch's fake tensors do where there is no driver
    with mock.patch.object(torch.cuda, "_lazy_init"), Card() as card:
        yield card
