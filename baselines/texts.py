"""What every baseline for text needs: where a text ends, how it is cut into batches, dropout, dice.

A text is a row of token ids, int64 ``(length,)``. It ends at its first pad, which is an event of
its own and part of the likelihood; what follows is pad and was decided. A text that fills its row
ends there without one. In a space without a pad all texts are of one length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.errors import UsageError
from genbench.generator import Batch, Space

GROUP = 8  # batches whose texts are sorted by length together, so that each is short or long


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of a space: rows of `length` tokens in ``0 .. tokens - 1``."""

    length: int
    tokens: int
    classes: int
    pad: int | None

    @classmethod
    def of(cls, space: Space) -> Texts:
        """Those of a space of sequences."""
        return cls(space.dims, space.levels, space.classes, space.pad)

    @property
    def start(self) -> int:
        """The id, none of a token's, that stands before the first token."""
        return self.tokens

    def shifted(self, x: Tensor) -> Tensor:
        """What is known before each token of rows ``(n, length)``: the one before it."""
        return F.pad(x[:, :-1], (1, 0), value=self.start)

    def events(self, x: Tensor) -> Tensor:
        """The tokens of rows ``(n, length)`` that are decided, bool: up to the first pad."""
        if self.pad is None:
            return torch.ones_like(x, dtype=torch.bool)
        return ((x == self.pad).long().cumsum(1) - (x == self.pad).long()) == 0

    def closed(self, x: Tensor) -> Tensor:
        """Rows in which all is pad from the first pad on."""
        return x if self.pad is None else x.masked_fill(~self.events(x), self.pad)

    def trimmed(self, x: Tensor) -> Tensor:
        """Rows without the columns that no text of theirs decides; on a CPU, where it saves time.

        Elsewhere shapes stay what they are: a step that is captured has one.
        """
        if x.device.type != "cpu" or self.pad is None or not len(x):
            return x
        return x[:, : max(1, int(self.events(x).sum(1).max()))]

    def batches(self, x: Tensor, y: Tensor | None, size: int, rng: torch.Generator) -> list[Batch]:
        """Served rows as trimmed batches of `size` texts of like length, in random order.

        Losses must be sums over tokens: averages over batches would count short texts more. On a
        card rows stay as they are served.
        """
        if x.device.type != "cpu" or len(x) <= size:
            return [Batch(self.trimmed(x), y)]
        order = torch.argsort(self.events(x).sum(1), stable=True)
        parts = torch.split(order, size)
        shuffled = torch.randperm(len(parts), generator=rng).tolist()
        chosen = (parts[i] for i in shuffled)
        return [Batch(self.trimmed(x[i]), None if y is None else y[i]) for i in chosen]

    def served_at_once(self, size: int, device: torch.device) -> int:
        """Rows to ask for at a time, where steps take batches of `size`."""
        return size * GROUP if device.type == "cpu" else size


def classes_of(owner: str, labels: Tensor | None, rows: int, texts: Texts, like: Tensor) -> Tensor:
    """Labels ``(rows,)`` on the device of `like`, or zeros where the space has none.

    Raises
    ------
    UsageError
        If there are classes and no labels.
    """
    if not texts.classes:
        return torch.zeros(rows, dtype=torch.int64, device=like.device)
    if labels is None:
        raise UsageError(
            f"{owner} got labels=None in a space of {texts.classes} classes: pass int64 (n,)"
        )
    return labels.to(like.device)


def surprise(logits: Tensor, x: Tensor, events: Tensor) -> Tensor:
    """Nats of each row ``(n,)``: of its events ``(n, t)``, under logits ``(n, t, tokens)``."""
    nats = F.cross_entropy(logits.float().flatten(0, 1), x.flatten(), reduction="none")
    return (nats.view_as(x) * events).sum(1)


def dropped(x: Tensor, share: float, rng: torch.Generator | None, *, by_row: bool = True) -> Tensor:
    """`x` ``(n, t, width)`` with that share of its numbers zeroed, the others larger by as much.

    The same numbers at all places of a row (Gal & Ghahramani, 2016), or else whole places. Without
    an `rng`, which is how a network is used after training, as it is.
    """
    if rng is None or not share:
        return x
    shape = (len(x), 1, x.shape[2]) if by_row else (*x.shape[:2], 1)
    kept = torch.rand(shape, generator=rng, device=x.device) >= share
    return x * (kept.to(x.dtype) / (1 - share))


def dropout_share(share: float, budget: int, n: int, crowding: float = 1.0) -> float:
    """The dropout for so many passes over the rows: all of it from 20 passes on, less for fewer.

    Who sees each row three times has nothing to fear from learning it by heart. Nor has a network
    of fewer weights than the rows have room for tokens: `crowding` is the ratio of the two.
    """
    return share * min(1.0, budget / max(1, n) / 20) * min(1.0, crowding)


def choice(logits: Tensor, dice: Tensor) -> Tensor:
    """A token of each row, int64 ``(n,)``, by dice ``(n,)`` evenly spread over [0, 1)."""
    below = logits.double().softmax(1).cumsum(1)
    token = (below <= (dice * below[:, -1])[:, None]).sum(1)
    return token.clamp_max(logits.shape[1] - 1)


def bfloat16_helps(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 by itself: cards, and processors with such units."""
    if device.type != "cpu":
        return device.type == "cuda"
    # torch says it under these names alone; one without them computes in float32.
    names: Sequence[str] = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def mixed(device: torch.device, enabled: bool = True) -> torch.autocast:
    """bfloat16 networks where they are faster; float32 elsewhere, and when not `enabled`."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    on = enabled and bfloat16_helps(device)
    # No cache of weights: it would outlive the capture of a step.
    return torch.autocast(kind, torch.bfloat16, enabled=on, cache_enabled=kind == "cpu" and on)


def chunks(x: Tensor, y: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and their classes, `size` at a time."""
    return zip(torch.split(x, size), torch.split(y, size), strict=True)
