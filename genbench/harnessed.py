"""A generator held to its contract: fitted on rows within a budget, drawn from, everything checked.

What a cell's generation, the refits of the downstream protocols and `synthesize` share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genbench import plugins
from genbench.cellspec import GeneratorChoice
from genbench.data import Split
from genbench.errors import ContractError
from genbench.generator import Samples, Space
from genbench.seeds import derive_seed
from genbench.training import Budget, HarnessRun, MemoryTrainData, Stopped

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
Report = Callable[[int, int, Mapping[str, float]], None]


@dataclass
class FitResult:
    """What a fit leaves behind besides the generator; filled in even if the fit raises."""

    examples_served: int = 0
    raw_access: bool = False
    checkpoints: int = 0
    resumed_at: int = 0
    curves: dict[str, Any] = field(default_factory=dict)


class Harnessed:
    """One generator on one device.

    Parameters
    ----------
    choice
        Which generator, with all its parameters.
    stopping
        Asked between batches and chunks; True ends the work with `Stopped`.
    report
        Told ``(done, total, scalars)`` as the work goes on.

    Raises
    ------
    PluginError
        If the generator cannot be imported.
    """

    def __init__(
        self,
        choice: GeneratorChoice,
        space: Space,
        device: torch.device,
        *,
        stopping: Callable[[], bool] = lambda: False,
        report: Report = lambda done, total, scalars: None,
    ) -> None:
        cls: Any = plugins.load(choice.ref)
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in choice.params.items()}
        self.generator: Any = cls(cls.spec.params(**values), space, device)
        self.choice = choice
        self.space = space
        self.device = device
        self._stopping = stopping
        self._report = report

    @property
    def takes_labels(self) -> bool:
        """Whether it samples the classes it is asked for."""
        return self.choice.description.labels == "given" and self.space.classes > 0

    @property
    def labels_itself(self) -> bool:
        """Whether its samples come with labels of its own."""
        return self.choice.description.labels == "own" and self.space.classes > 0

    def fit(
        self,
        train: Split,
        budget: int,
        seed: int,
        result: FitResult,
        *,
        checkpoint_file: Path | None = None,
        resume_file: Path | None = None,
    ) -> None:
        """Fit on exactly these rows, serving at most `budget` examples; `result` is filled in."""
        count = Budget(budget)
        data = MemoryTrainData(
            torch.from_numpy(train.x),
            None if train.y is None else torch.from_numpy(train.y),
            self.space,
            self.device,
            count,
            stop=self._stopping,
        )
        run = HarnessRun(
            derive_seed(seed, "fit"),
            self.device,
            count,
            checkpoint_file=checkpoint_file,
            resume_file=resume_file,
            stop=self._stopping,
            report=self._report,
        )
        try:
            self.generator.fit(data, run)
        finally:
            result.examples_served = count.served
            result.raw_access = data.raw_access
            result.checkpoints = run.checkpoints
            result.resumed_at = run.restored_from
            result.curves = run.curves
        if self._stopping():
            raise Stopped

    def draw(self, n: int, *, chunk: int, seed: int, labels: Labels | None) -> dict[str, Array]:
        """Draw `n` rows, at most `chunk` in a call, as arrays ``x`` and, if labelled, ``y``.

        Raises
        ------
        ContractError
            If what `sample` returns is not of the space, or its labels are not labels.
        """
        xs, ys = [], []
        for start in range(0, n, chunk):
            if self._stopping():
                raise Stopped
            size = min(chunk, n - start)
            part = None if labels is None else labels[start : start + size]
            x, y = self._draw(size, derive_seed(seed, "chunk", start), part)
            xs.append(x)
            ys.append(y)
            self._report(start + size, n, {})
        arrays = {"x": np.concatenate(xs)}
        if ys[0] is not None:
            arrays["y"] = np.concatenate([y for y in ys if y is not None])
        return arrays

    def _draw(self, n: int, seed: int, labels: Labels | None) -> tuple[Array, Labels | None]:
        given = None if labels is None else torch.from_numpy(labels).to(self.device)
        with torch.no_grad():
            drawn = self.generator.sample(n, seed=seed, labels=given)
        if self.labels_itself and not isinstance(drawn, Samples):
            raise self.breach("sample()", 'must return Samples(x, y), as its labels are "own"')
        x, y = drawn if isinstance(drawn, Samples) else (drawn, None)
        problem = self.space.violation(x, n)
        if problem is not None:
            raise self.breach("the tensor that sample() returned", problem)
        if self.labels_itself:
            problem = label_violation(y, n, self.space.classes)
            if problem is not None:
                raise self.breach("the labels that sample() returned", problem)
            return _to_numpy(x), _to_numpy(y)
        return _to_numpy(x), labels

    def log_prob(
        self, x: Array, *, seed: int, labels: Labels | None, draws: int, first: int
    ) -> npt.NDArray[np.float64]:
        """Log-probabilities of the rows `x`, of which the first is row `first` of its split.

        Raises
        ------
        ContractError
            If they are not `len(x)` finite numbers.
        """
        rows = torch.from_numpy(x).to(self.device)
        given = None if labels is None else torch.from_numpy(labels).to(self.device)
        with torch.no_grad():
            value = self.generator.log_prob(rows, seed=seed, labels=given, draws=draws)
        n = len(x)
        if not isinstance(value, Tensor) or tuple(value.shape) != (n,):
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise self.breach("log_prob()", f"returned {shape}, expected a tensor ({n},)")
        found: npt.NDArray[np.float64] = value.detach().double().cpu().numpy()
        bad = ~np.isfinite(found)
        if bad.any():
            row = first + int(bad.argmax())
            raise self.breach("log_prob()", f"is not finite for reference row {row}")
        return found

    def breach(self, what: str, problem: str) -> ContractError:
        """The error that says what the generator did against its contract."""
        return ContractError(f"generator {self.choice.name!r}: {what} {problem}")


def requested_labels(train: Labels, classes: int, n: int, seed: int) -> Labels:
    """`n` labels in the training split's proportions (largest remainder), order by the seed.

    Parameters
    ----------
    train
        Training labels, int64 ``(n_train,)``.
    """
    share = np.bincount(train, minlength=classes) / len(train) * n
    counts = np.floor(share).astype(np.int64)
    remainder = np.argsort(-(share - counts), kind="stable")[: n - counts.sum()]
    counts[remainder] += 1
    return permuted_labels(counts, seed)


def permuted_labels(counts: npt.NDArray[np.int64], seed: int) -> Labels:
    """``counts[c]`` labels of each class c, order by the seed."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return np.random.default_rng(derive_seed(seed, "labels")).permutation(labels)


def label_violation(y: Any, n: int, classes: int) -> str | None:
    """What keeps `y` from being `n` labels, or None."""
    if not isinstance(y, Tensor) or tuple(y.shape) != (n,) or y.dtype != torch.int64:
        return f"must be an int64 tensor of shape ({n},)"
    if y.numel() and (int(y.min()) < 0 or int(y.max()) >= classes):
        return f"leave 0..{classes - 1}"
    return None


def _to_numpy(x: Any) -> Array:
    return np.asarray(x.detach().cpu().numpy())
