"""The generator under examination: made, fitted and sampled as a worker does it, on tiny data."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench.errors import ContractError
from genbench.generator import Space
from genbench.plugins import (
    Budget,
    CheckedSamples,
    Description,
    GeneratorRef,
    HarnessRun,
    MemoryTrainData,
    Snapshots,
    checked_samples,
    make_generator,
)
from genbench.testing.tiny import ROWS, tiny_labels, tiny_rows

FIT_SEED = 1
SAMPLE_SEED = 3
BUDGET = 2 * ROWS  # two epochs: at least two batches, whatever the batch size


class NotChecked(Exception):
    """A check that means nothing for this generator, and why."""


class NotOffered(NotChecked):
    """A check of something optional that this generator does not have: not spoken of."""


@dataclass
class Fitted:
    """A fitted generator; which global random states and which of the training data it changed."""

    generator: Any
    disturbed: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)


@dataclass
class Subject:
    """A generator in one space.

    In `folder` checks leave what a later process compares with; `here` is the working folder of the
    generator, empty at the start.
    """

    ref: GeneratorRef
    description: Description
    space: Space
    folder: Path
    here: Path
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _fitted: Fitted | None = None

    def make(self) -> Any:
        """A new generator with its defaults, not fitted."""
        params = self.description.complete({})
        return make_generator(self.ref, params, self.space, self.device)

    def fitted(self) -> Fitted:
        """The generator fitted on the tiny rows; once per process."""
        if self._fitted is None:
            self._fitted = self.fit(self.make())
        return self._fitted

    def fit(
        self,
        generator: Any,
        *,
        rows: Tensor | None = None,
        budget: Budget | None = None,
        stop: Callable[[], bool] = lambda: False,
        checkpoint_file: Path | None = None,
        resume_file: Path | None = None,
        snapshots: Snapshots | None = None,
    ) -> Fitted:
        """Fit `generator` on `rows` of the space; watch the data and the global random state."""
        budget = budget or Budget(BUDGET)
        given = tiny_rows(self.space) if rows is None else rows
        x, y = given.clone(), tiny_labels(self.space, len(given))
        labels = None if y is None else y.clone()
        data = MemoryTrainData(x, y, self.space, self.device, budget, stop=stop)
        run = HarnessRun(
            FIT_SEED,
            self.device,
            budget,
            checkpoint_file=checkpoint_file,
            resume_file=resume_file,
            stop=stop,
            snapshots=snapshots,
        )
        before = random_states()
        generator.fit(data, run)
        fitted = Fitted(generator, changed(before))
        if not torch.equal(x, given):
            fitted.modified.append("rows")
        if y is not None and labels is not None and not torch.equal(y, labels):
            fitted.modified.append("labels")
        return fitted

    def sample(
        self, n: int, *, seed: int = SAMPLE_SEED, labels: Tensor | None = None
    ) -> CheckedSamples:
        """Samples of the fitted generator, held against the contract."""
        return self.sample_of(self.fitted().generator, n, seed=seed, labels=labels)

    def sample_of(
        self, generator: Any, n: int, *, seed: int = SAMPLE_SEED, labels: Tensor | None = None
    ) -> CheckedSamples:
        """Samples of any generator; of classes that go round where it takes labels."""
        if labels is None and self.description.labels == "given":
            labels = tiny_labels(self.space, n)
        given = None if labels is None else labels.to(self.device)
        return checked_samples(generator, self.space, n, seed=seed, labels=given)

    def require_likelihood(self) -> str:
        """The kind of its likelihood; `NotChecked` if it declares none."""
        if self.description.likelihood is None:
            raise NotChecked("spec.likelihood is None: an implicit model")
        return self.description.likelihood


def random_states() -> dict[str, Any]:
    """Every global random state that a generator could disturb, by the library's name."""
    states = {
        "random": random.getstate(),
        "numpy.random": np.random.get_state(legacy=False),  # noqa: NPY002
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["torch.cuda"] = torch.cuda.get_rng_state()
    return states


def changed(before: Mapping[str, Any]) -> list[str]:
    """The names of the states in `before` that are others now."""
    now = random_states()
    return [name for name, state in before.items() if not _same(state, now[name])]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return all(_same(one[k], other[k]) for k in one)
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    return bool(np.array_equal(one, other)) if isinstance(one, np.ndarray) else bool(one == other)


def require(holds: bool, problem: str) -> None:
    """Raise `ContractError` with `problem` unless something holds."""
    if not holds:
        raise ContractError(problem)
