"""The harness's side of `fit`: rows served and counted, progress, checkpoints, snapshots."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genbench.errors import StoreError, UsageError, shorten
from genbench.generator import Batch, Space
from genbench.plugins.serving import Serving
from genbench.plugins.snapshots import Snapshots
from genbench.seeds import derive_seed
from genbench.system import tensorfile

CURVE_POINTS = 200
CHECKPOINT_SECONDS = 30.0
CHECKPOINT_SHARE = 20  # times what a checkpoint took: large ones on slow disks cost a twentieth
_LONGEST = 1e9  # seconds, thirty years: a checkpoint that claims more is not ours


class Stopped(Exception):
    """Raised inside `fit` when the run is being stopped and nothing more will be served."""


class Budget:
    """Training examples served, counted here and nowhere else."""

    def __init__(self, examples: int, served: int = 0) -> None:
        self.examples = examples
        self.served = served

    @property
    def left(self) -> int:
        """Examples that may still be served."""
        return max(0, self.examples - self.served)


class HarnessRun:
    """The `genbench.generator.Run` that a worker hands to `fit`.

    Parameters
    ----------
    seed, device, budget
        As the contract says; `budget` is shared with the `MemoryTrainData` of the same fit.
    checkpoint_file
        Where checkpoints go, or None to keep none.
    resume_file
        A checkpoint of an interrupted attempt at the same cell, or None.
    stop
        Asked after every batch; True ends the fit.
    report
        Called with ``(served, budget, scalars)`` at most every half second, for progress display.
    saved
        Called after each checkpoint.
    snapshots
        Where states go that are kept on the way, or None to keep none.
    """

    def __init__(
        self,
        seed: int,
        device: torch.device,
        budget: Budget,
        *,
        checkpoint_file: Path | None = None,
        resume_file: Path | None = None,
        stop: Callable[[], bool] = lambda: False,
        report: Callable[[int, int, Mapping[str, float]], None] | None = None,
        saved: Callable[[], None] = lambda: None,
        snapshots: Snapshots | None = None,
    ) -> None:
        self.seed = seed
        self.device = device
        self.budget = budget.examples
        self._budget = budget
        self._checkpoint_file = checkpoint_file
        self._resume_file = resume_file
        self._stop = stop
        self._report = report
        self._saved = saved
        self._snapshots = snapshots or Snapshots(Path(), ())
        self._snapshots.begin(0)
        self._apart = self._snapshots.seconds  # of a fit that was begun before this one
        self._curves = _Curves(budget.examples)
        self._began = self._last_report = self._last_save = time.monotonic()
        self._save_took = 0.0
        self.restored_from = 0
        self.seconds_before = 0.0
        self.checkpoints = 0

    @property
    def served(self) -> int:
        """Training examples served so far."""
        return self._budget.served

    @property
    def fraction(self) -> float:
        """Share of the budget served so far, 0 to 1."""
        return self._budget.served / self._budget.examples

    @property
    def curves(self) -> dict[str, Any]:
        """Every reported scalar, averaged within equal slices of the budget."""
        return self._curves.as_json()

    def progress(self, **scalars: float | Tensor) -> None:
        """See `genbench.generator.Run.progress`."""
        self._curves.add(self.served, scalars)
        now = time.monotonic()
        if self._report is not None and now - self._last_report >= 0.5:
            self._last_report = now
            self._report(self.served, self.budget, {k: float(v) for k, v in scalars.items()})

    def should_stop(self) -> bool:
        """See `genbench.generator.Run.should_stop`."""
        return self._stop()

    def snapshot(self, state: Callable[[], Mapping[str, Tensor]]) -> None:
        """See `genbench.generator.Run.snapshot`."""
        self._snapshots.offer(self.served, self.budget, state)

    def checkpoint(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """See `genbench.generator.Run.checkpoint`. Saves every 30 s and when stopping.

        Where that takes more than a twentieth of the time it is done less often.
        """
        stopping = self._stop()
        began = time.monotonic()
        due = began - self._last_save >= max(CHECKPOINT_SECONDS, CHECKPOINT_SHARE * self._save_took)
        if self._checkpoint_file is not None and (stopping or due):
            body = {
                "served": self.served,
                "seconds": self._seconds(),
                "curves": self._curves.state(),
                "state": dict(state()),
            }
            self._save(self._checkpoint_file, body)
            self._last_save = time.monotonic()
            self._save_took = self._last_save - began
        if stopping:
            raise Stopped

    def _seconds(self) -> float:
        """Seconds of the fit by now, those of earlier attempts included, snapshots left out."""
        spent = time.monotonic() - self._began - (self._snapshots.seconds - self._apart)
        return self.seconds_before + spent

    def _save(self, path: Path, body: Mapping[str, Any]) -> None:
        """Write a checkpoint; one that cannot be written costs time after a crash, not the fit."""
        try:
            tensorfile.save(path, body)
        except StoreError as error:
            if not isinstance(error.__cause__, OSError):
                raise  # the state is not made of tensors: the author's mistake, not the disk's
            print(f"genbench: no checkpoint: {error}", file=sys.stderr, flush=True)
        else:
            self.checkpoints += 1
            self._saved()

    def restore(self) -> Mapping[str, Any] | None:
        """See `genbench.generator.Run.restore`. A checkpoint that is damaged counts as none."""
        if self._resume_file is None:
            return None
        curves = _Curves(self.budget)
        try:
            body = tensorfile.load(self._resume_file, device=self.device)
            served, seconds, state = _parts(body, self.budget)
            curves.load(body["curves"])
        except (StoreError, KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            reason = shorten(f"{type(error).__name__}: {error}", 200)
            print(f"genbench: starting afresh: {reason}", file=sys.stderr, flush=True)
            return None
        self._budget.served = self.restored_from = served
        self._snapshots.begin(served)
        self.seconds_before, self._curves = seconds, curves
        return state


def _parts(body: Any, budget: int) -> tuple[int, float, Mapping[str, Any]]:
    """Examples served, seconds spent and state of a checkpoint; ValueError if it is none of ours.

    The file lies where a plugin may write, and outlives a crash.
    """
    served, seconds, state = body["served"], body.get("seconds", 0.0), body["state"]
    if type(served) is not int or not 0 <= served <= budget:
        raise ValueError(f"the checkpoint is at {served!r} of {budget} examples")
    if not (isinstance(seconds, int | float) and 0 <= seconds < _LONGEST):
        raise ValueError(f"the checkpoint took {seconds!r} seconds")
    if not isinstance(state, Mapping):
        raise TypeError(f"the checkpoint's state is {type(state).__name__}, not a dictionary")
    return served, float(seconds), state


class MemoryTrainData:
    """The `genbench.generator.TrainData` of a worker: tensors on the device, no per-row Python.

    Parameters
    ----------
    x
        Rows as `space` says, ``(n, *space.shape)``.
    y
        int64 labels ``(n,)`` or None.
    serving
        How they are served; `x` and `y`, if they are asked for, are as they are.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor | None,
        space: Space,
        device: torch.device,
        budget: Budget,
        *,
        serving: Serving | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.space = space
        self.n = int(x.shape[0])
        self.raw_access = False
        self._x = x.to(device)
        self._y = None if y is None else y.to(device)
        self._budget = budget
        self._serving = serving or Serving()
        self._labels = y.cpu() if y is not None and self._serving.balanced else None
        self._stop = stop

    @property
    def x(self) -> Tensor:
        """All rows (a copy); recorded as raw access."""
        self.raw_access = True
        return self._x.clone()

    @property
    def y(self) -> Tensor | None:
        """All labels (a copy) or None; recorded as raw access."""
        self.raw_access = True
        return None if self._y is None else self._y.clone()

    def batches(self, batch_size: int, *, seed: int, start: int = 0) -> Iterator[Batch]:
        """See `genbench.generator.TrainData.batches`."""
        if batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}: it must be at least 1")
        return self._serve(batch_size, seed, start)

    def _serve(self, batch_size: int, seed: int, start: int) -> Iterator[Batch]:
        length = self._serving.epoch(self._labels, self.n)
        epoch, offset = divmod(start, length)
        stopping = False
        while self._budget.left:
            order = self._order(seed, epoch)
            while offset < length and self._budget.left:
                # One more batch after the stop, so that the generator reaches its checkpoint.
                if stopping:
                    raise Stopped
                stopping = self._stop()
                rows = order[offset : offset + min(batch_size, self._budget.left)]
                place = epoch * length + offset
                offset += len(rows)
                self._budget.served += len(rows)
                x = self._serving.transformed(self._x[rows], self.space.levels, seed, place)
                yield Batch(x, None if self._y is None else self._y[rows])
            epoch, offset = epoch + 1, 0

    def _order(self, seed: int, epoch: int) -> Tensor:
        generator = torch.Generator().manual_seed(derive_seed(seed, "epoch", epoch))
        return self._serving.order(self._labels, self.n, generator).to(self._x.device)


class _Curves:
    """Scalars averaged in `CURVE_POINTS` equal slices of the budget, kept on their device."""

    def __init__(self, budget: int) -> None:
        self._slice = max(1, -(-budget // CURVE_POINTS))
        self._sums: dict[str, dict[int, Tensor | float]] = {}
        self._counts: dict[str, dict[int, int]] = {}

    def add(self, served: int, scalars: Mapping[str, float | Tensor]) -> None:
        index = max(0, served - 1) // self._slice
        for name, value in scalars.items():
            value = value.detach() if isinstance(value, Tensor) else float(value)
            sums = self._sums.setdefault(name, {})
            counts = self._counts.setdefault(name, {})
            sums[index] = sums[index] + value if index in sums else value
            counts[index] = counts.get(index, 0) + 1

    def as_json(self) -> dict[str, Any]:
        curves: dict[str, Any] = {}
        for name in sorted(self._sums):
            points = sorted(self._sums[name])
            means = [float(self._sums[name][i]) / self._counts[name][i] for i in points]
            # A diverged loss is shown as a gap: JSON has no NaN.
            curves[name] = {
                "examples": [(i + 1) * self._slice for i in points],
                "value": [m if abs(m) < float("inf") else None for m in means],
            }
        return curves

    def state(self) -> dict[str, Any]:
        return {
            name: {str(i): [float(v), self._counts[name][i]] for i, v in sums.items()}
            for name, sums in self._sums.items()
        }

    def load(self, state: Mapping[str, Any]) -> None:
        for name, points in state.items():
            known = [(int(i), int(v[1])) for i, v in points.items()]
            if not isinstance(name, str) or any(
                not 0 <= i <= CURVE_POINTS or n < 1 for i, n in known
            ):
                raise ValueError(f"the checkpoint's curve {name!r} is none")
            self._sums[name] = {int(i): float(v[0]) for i, v in points.items()}
            self._counts[name] = {int(i): int(v[1]) for i, v in points.items()}
