"""One generator on one device, driven: fitted within a budget, sampled in chunks, stopped.

Shared by a cell's generation, the refits of the downstream protocols and `synthesize`. What the
generator returns is held to the contract by `genbench.plugins.contract`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genbench.data import Split, proportional
from genbench.errors import shorten
from genbench.generator import Space
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.contract import checked_log_prob, checked_samples, make_generator
from genbench.plugins.serving import Serving
from genbench.plugins.snapshots import Snapshots
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData, Stopped
from genbench.seeds import derive_seed

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
Report = Callable[[int, int, Mapping[str, float]], None]


@dataclass
class FitResult:
    """The results of a fit besides the generator; filled in even if the fit raises."""

    examples_served: int = 0
    raw_access: bool = False
    checkpoints: int = 0
    resumed_at: int = 0
    seconds_before: float = 0.0
    offers_snapshots: bool = False
    curves: dict[str, Any] = field(default_factory=dict)


class GeneratorDriver:
    """The harness's driver of one generator on one device.

    Parameters
    ----------
    choice
        Which generator, with all its parameters.
    cls
        Its class, where that lives in this process; None to import it.
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
        cls: type | None = None,
        stopping: Callable[[], bool] = lambda: False,
        report: Report = lambda done, total, scalars: None,
    ) -> None:
        self._made = partial(make_generator, choice.ref, choice.params, space, device, cls)
        self.generator = self._made()
        self.choice = choice
        self.space = space
        self.device = device
        self._stopping = stopping
        self._report = report

    def new(self) -> Any:
        """Another one as this was made, not fitted."""
        return self._made()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on with another one as this was made, which has loaded a state."""
        self.generator = self._made()
        self.generator.load_state_dict(state)

    @property
    def takes_labels(self) -> bool:
        """Whether it samples the classes it is asked for."""
        return self.choice.description.labels == "given" and self.space.classes > 0

    def fit(
        self,
        train: Split,
        budget: int,
        seed: int,
        result: FitResult,
        *,
        checkpoint_file: Path | None = None,
        resume_file: Path | None = None,
        saved: Callable[[], None] = lambda: None,
        snapshots: Snapshots | None = None,
    ) -> None:
        """Fit on exactly these rows, serving at most `budget` examples; `result` is filled in."""
        kept = snapshots or Snapshots(Path(), ())
        try:
            self._fit(train, budget, seed, result, checkpoint_file, resume_file, saved, kept)
        except (Stopped, MemoryError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as error:
            # A state that is not what this generator wrote shows when it is used, which is soon.
            if not result.resumed_at or result.checkpoints:
                raise
            reason = shorten(f"{type(error).__name__}: {error}", 200)
            print(f"genbench: starting afresh, not from the checkpoint: {reason}", file=sys.stderr)
            self.generator = self._made()
            self._fit(train, budget, seed, result, checkpoint_file, None, saved, kept)

    def _fit(
        self,
        train: Split,
        budget: int,
        seed: int,
        result: FitResult,
        checkpoint_file: Path | None,
        resume_file: Path | None,
        saved: Callable[[], None],
        snapshots: Snapshots,
    ) -> None:
        count = Budget(budget)
        data = MemoryTrainData(
            torch.from_numpy(train.x),
            None if train.y is None else torch.from_numpy(train.y),
            self.space,
            self.device,
            count,
            serving=Serving.of(self.choice.params, type(self.generator).spec.params),
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
            saved=saved,
            snapshots=snapshots,
        )
        try:
            self.generator.fit(data, run)
        finally:
            result.examples_served = count.served
            result.raw_access = data.raw_access
            result.checkpoints = run.checkpoints
            result.resumed_at = run.restored_from
            result.seconds_before = run.seconds_before
            result.offers_snapshots = snapshots.offered
            result.curves = run.curves
        if self._stopping():
            raise Stopped

    def chunks(
        self, n: int, *, chunk: int, seed: int, labels: Labels | None
    ) -> Iterator[dict[str, Array]]:
        """`n` rows, at most `chunk` in a call of `sample`: arrays ``x`` and, if labelled, ``y``.

        Raises
        ------
        ContractError
            If what `sample` returns is not of the space, or its labels are not labels.
        """
        for start in range(0, n, chunk):
            if self._stopping():
                raise Stopped
            size = min(chunk, n - start)
            part = None if labels is None else self._here(labels[start : start + size])
            seed_here = derive_seed(seed, "chunk", start)
            drawn = checked_samples(self.generator, self.space, size, seed=seed_here, labels=part)
            rows = {"x": drawn.x.detach().cpu().numpy()}
            if drawn.y is not None:
                rows["y"] = drawn.y.detach().cpu().numpy()
            yield rows
            self._report(start + size, n, {})

    def log_prob(
        self,
        x: Array,
        *,
        seed: int,
        labels: Labels | None,
        draws: int,
        first: int,
        of: str = "reference row",
    ) -> npt.NDArray[np.float64]:
        """Log-probabilities of the rows `x`, of which the first is row `first` of its split.

        Raises
        ------
        ContractError
            If they are not `len(x)` finite numbers.
        """
        given = None if labels is None else self._here(labels)
        rows = self._here(x)
        return checked_log_prob(
            self.generator, rows, seed=seed, labels=given, draws=draws, first=first, of=of
        )  # fmt: skip

    def _here(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def requested_labels(train: Labels, classes: int, n: int, seed: int) -> Labels:
    """`n` labels in the training split's proportions (largest remainder), order by the seed.

    Parameters
    ----------
    train
        Training labels, int64 ``(n_train,)``.
    """
    return permuted_labels(proportional(train, classes, n), seed)


def permuted_labels(counts: npt.NDArray[np.int64], seed: int) -> Labels:
    """``counts[c]`` labels of each class c, order by the seed."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    return np.random.default_rng(derive_seed(seed, "labels")).permutation(labels)
