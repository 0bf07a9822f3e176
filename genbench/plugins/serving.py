"""How training rows are served to a generator that is none the wiser: transformed, class by class.

Every generator has these two parameters beside its own, unless it has one of the same name: the
harness reads them, and the generator is not told.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genbench.errors import UsageError
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.parameters import AUGMENT, BALANCE, CLASSICAL, OFF, TRANSFORMS, is_harness
from genbench.seeds import derive_seed
from genbench.tasks import Affine, Suite

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DIFF = "diff"  # what a GAN calls its own way


@dataclass(frozen=True, slots=True)
class Serving:
    """The way in which rows are served.

    Parameters
    ----------
    transforms
        Random transforms of every image that is served, another draw each time; None for none.
    balanced
        Whether as many rows of every class are served, rare ones more often.
    """

    transforms: Affine | None = None
    balanced: bool = False

    @classmethod
    def of(cls, params: Mapping[str, Any], own: type) -> Serving:
        """The way that a choice's parameters ask for; `own` is the generator's dataclass."""
        text = params.get(TRANSFORMS) if is_harness(TRANSFORMS, own) else None
        balanced = is_harness(BALANCE, own) and bool(params.get(BALANCE, False))
        return cls(None if text is None else Affine(**json.loads(text)), balanced)

    def transformed(self, x: Tensor, levels: int, seed: int, position: int) -> Tensor:
        """Images ``(n, C, H, W)`` as they are served at that place of the training."""
        if self.transforms is None:
            return x
        import torch

        from genbench.downstream import RandomAffine

        # By the place, so that a fit that is continued sees what a whole one would have seen.
        rng = torch.Generator(x.device).manual_seed(derive_seed(seed, "augment", position))
        moved = RandomAffine(self.transforms)(x.float(), rng)
        return moved.round().clamp(0, levels - 1).to(x.dtype)

    def epoch(self, y: Tensor | None, n: int) -> int:
        """The rows of an epoch, of `n` rows; labels `y` on the CPU, which balance alone needs."""
        if not self.balanced or y is None:
            return n
        classes = len(_present(y))
        return -(-n // classes) * classes

    def order(self, y: Tensor | None, n: int, rng: torch.Generator) -> Tensor:
        """Numbers of the rows of an epoch in the order in which they are served, on the CPU."""
        import torch

        if not self.balanced:
            return torch.randperm(n, generator=rng)
        if y is None:
            raise UsageError(f"{BALANCE} needs class labels, and there are none: leave it out")
        return balanced_order(y, rng)


def balanced_order(y: Tensor, rng: torch.Generator) -> Tensor:
    """Row numbers of an epoch in rounds, each of one row of every class in some order.

    So a batch of any size holds as many of each class, but for one. The rows of a class come in
    turn, each as often as any other but for one.
    """
    import torch

    classes = _present(y)
    rounds = -(-len(y) // len(classes))
    columns = []
    for label in classes:
        rows = (y == label).nonzero().view(-1)
        turns = -(-rounds // len(rows))
        picks = [torch.randperm(len(rows), generator=rng) for _ in range(turns)]
        columns.append(rows[torch.cat(picks)[:rounds]])
    table = torch.stack(columns, 1)
    return table.gather(1, torch.rand(table.shape, generator=rng).argsort(1)).view(-1)


def _present(y: Tensor) -> Tensor:
    """The classes that there are rows of."""
    import torch

    return torch.bincount(y).nonzero().view(-1)


def for_suite(choice: GeneratorChoice, suite: Suite) -> GeneratorChoice:
    """The choice as it is trained on a suite: what that asks for, and which transforms there are.

    `UsageError` if it asks for transforms or balance that the suite cannot give.
    """
    if choice.is_control or choice.is_external:
        return choice
    asked = _asked_by(suite, choice)
    params = {**choice.params, **{k: v for k, v in asked.items() if k not in choice.params_passed}}
    offered = {p.key for p in choice.description.parameters if p.harness}
    if AUGMENT in offered and params.get(AUGMENT, OFF) == CLASSICAL:
        params[TRANSFORMS] = _transforms(choice, suite)
    if BALANCE in offered and params.get(BALANCE) and not suite.space.classes:
        raise UsageError(
            f"{choice.name}:{BALANCE}=true needs class labels, which suite {suite.name!r} has not: "
            "leave it out"
        )
    return replace(choice, params=params)


def _asked_by(suite: Suite, choice: GeneratorChoice) -> dict[str, Any]:
    """The parameters that the suite's ``[training]`` sets."""
    found: dict[str, Any] = {}
    known = {p.key: p for p in choice.description.parameters}
    if suite.training.get(AUGMENT) and AUGMENT in known:
        # A GAN would learn to make transformed images; its own way keeps it from that.
        found[AUGMENT] = DIFF if DIFF in known[AUGMENT].choices else CLASSICAL
    if suite.training.get(BALANCE) and BALANCE in known:
        found[BALANCE] = True
    return found


def _transforms(choice: GeneratorChoice, suite: Suite) -> str:
    """The suite's classical transforms, in words that go into the cell's key."""
    table = suite.classical
    if not isinstance(table, Affine):
        raise UsageError(
            f"{choice.name}:{AUGMENT}={CLASSICAL} needs classical transforms of images, which "
            f"suite {suite.name!r} has not ([downstream.classical]): leave it out"
        )
    return json.dumps(dataclasses.asdict(table), sort_keys=True)
