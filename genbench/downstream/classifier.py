"""A classifier of the downstream protocols, and a judge: the way in which one is trained.

A judge is the same for every arm of every protocol. Its name and version are part of every
downstream signature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]
Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Lesson:
    """All that decides a classifier beside its rows and its judge.

    Parameters
    ----------
    steps, batch_size
        Optimiser steps and rows per step, of judges that are trained step by step.
    seed
        Decides the initial weights, the order and the dropout.
    transform
        Random changes of rows, drawn from torch's global random state; None for rows as they are.
    class_weights
        Weight of each class in the loss; None for equal ones.
    """

    steps: int
    batch_size: int
    seed: int
    device: torch.device
    transform: Transform | None = None
    class_weights: Sequence[float] | None = None


class Classifier(Protocol):
    """A trained classifier."""

    @property
    def device(self) -> torch.device: ...

    def probabilities(self, rows: Tensor) -> Tensor:
        """Class probabilities float32 ``(n, classes)`` of rows on its device."""

    def state(self) -> dict[str, Tensor]:
        """The tensors that its judge's `load` makes it of again."""


class Judge(Protocol):
    """The way in which a classifier is trained, for one space."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def stepwise(self) -> bool:
        """Whether a lesson's steps and batch size decide the classifier."""

    def train(self, x: Tensor, y: Tensor, lesson: Lesson) -> Classifier:
        """A classifier of rows `x` ``(n, *shape)`` with int64 labels `y` ``(n,)``, on the CPU.

        Same rows, lesson, machine and threads: same weights. The global random state is left as it
        was found.
        """

    def load(self, state: dict[str, Tensor], device: torch.device) -> Classifier:
        """The classifier of this state; RuntimeError if it is of another form."""


def predict(
    classifier: Classifier, x: Tensor | Array, *, batch_size: int = 250
) -> NDArray[np.float32]:
    """Class probabilities, float32 ``(n, classes)``."""
    rows = tensor(x)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size].to(classifier.device)
            parts.append(classifier.probabilities(part).cpu())
    probabilities: NDArray[np.float32] = torch.cat(parts).numpy()
    return probabilities


def tensor(values: Tensor | Array) -> Tensor:
    """The same rows as a tensor."""
    return (
        torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values
    )
