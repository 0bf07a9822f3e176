"""A plain function that returns samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from genbench.adapters.frozen import UNKNOWN, Draw, caller, frozen
from genbench.adapters.ranges import stated
from genbench.generator import Kind, Space

if TYPE_CHECKING:
    import torch


def function(
    name: str,
    sample: Callable[..., Any],
    *,
    kinds: Sequence[Kind] = ("image",),
    labels: bool = False,
    low: float | None = None,
    high: float | None = None,
    pretrained_on: str | None = UNKNOWN,
) -> type:
    """A generator from ``sample(n, seed)``, or ``sample(n, seed, labels)`` with `labels` true.

    Parameters
    ----------
    sample
        Returns `n` rows as an array or tensor: images ``(n, C, H, W)`` as uint8, or as floats with
        `low` and `high` given; points ``(n, d)`` as floats; of kind ``sequence`` token ids
        ``(n, length)``; of kind ``waveform`` floats ``(n, T)`` in [-1, 1]. Labels come as an int64
        array ``(n,)``.
    kinds
        What the rows are; images, unless something else is said.
    low, high
        The floats that stand for black and white; both or neither.
    pretrained_on
        What shaped the model; None only if nothing but the suite's train split did.
    """

    def load(space: Space, device: torch.device) -> Draw:
        def draw(n: int, seed: int, given: Any) -> Any:
            if not labels:
                return sample(n, seed)
            return sample(n, seed, None if given is None else given.cpu().numpy())

        return draw

    return frozen(
        name,
        load,
        caller(),
        family="function",
        summary=(sample.__doc__ or f"The function {sample.__name__}.").strip(),
        kinds=kinds,
        labels=labels,
        pretrained_on=pretrained_on,
        values=stated(name, low, high),
        code=sample,
    )
