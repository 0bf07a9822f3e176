"""The harness's account of a generator at work: phases, times, counts, and the rows it drew.

Kept in a process that never imports the generator: times and the number of rows are measured here,
and samples are what `sample` returned, row by row. The process of the generator reports to an
`EventListener`, which is the ledger itself for a class that lives in the caller's process.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from genbench import kinds
from genbench.errors import ContractError, StoreError, shorten
from genbench.formats import unscaled
from genbench.generator import Space
from genbench.results import CHECKPOINT, PROGRESS, snapshot_name, snapshots_in, write_progress
from genbench.running import arrivals
from genbench.running.recording import GENERATION
from genbench.running.wire import Array
from genbench.system import card, npz_bytes, read_json, write_bytes, write_json

SAMPLES = "samples.npz"
STATE = "state.safetensors"
LIKELIHOOD = "likelihood.npz"
WORK = "work"  # the part of an attempt's folder that its generator may write in
AT_CHECKPOINT = "checkpoint.json"  # what the fit had cost by then
MOST_NOTES = 8  # that a generator may add to its record
MOST_TEXT = 64 << 10  # characters of an error
SPARE_BYTES = 1 << 30  # for log-probabilities
COSTED = ("fit", "sample", "course")  # phases whose CPU time is recorded
MOST_SNAPSHOTS = 64  # more than a suite can ask for


@dataclass
class GenerationResult:
    """The account of a generator's work; kept as ``generation.json``."""

    status: str = "running"
    phase: str = "import"
    error: dict[str, Any] | None = None
    likelihood_error: str | None = None
    examples_served: int = 0
    raw_access: bool = False
    checkpoints: int = 0
    resumed_at: int = 0
    seconds_before: float = 0.0
    offers_snapshots: bool | None = None
    lost_points: dict[str, str] = field(default_factory=dict)  # of the course, by examples: why
    curves: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """The account of one process, in memory.

    Parameters
    ----------
    rows
        Rows that `sample` has to return in all.
    fewer
        Whether fewer will do: a control hands out what there is.
    """

    def __init__(self, space: Space, rows: int, *, fewer: bool = False) -> None:
        self.space = space
        self.likelihood: dict[str, Array] = {}
        self.codes_found: dict[str, Array] = {}
        self.sealed = ""  # digest of the file of samples as it was written here
        self.broken: str | None = None  # why what the process sent cannot be believed
        self.cores: Callable[[], float] = _own_core_seconds
        self._fewer = fewer
        self._chunks: list[Mapping[str, Array]] = []
        self._begun: tuple[str, float, float] | None = None
        self._keeping: tuple[float, float] | None = None  # when the fit stood still for a snapshot
        self._apart = (0.0, 0.0)  # wall and CPU seconds of the snapshots
        self._snapshots = 0
        self.begin(rows)

    def begin(self, rows: int) -> None:
        """Begin a new account, of work that has to return so many rows."""
        self.result = GenerationResult()
        self.samples: dict[str, Array] | None = None
        self._want = rows

    @property
    def most_bytes(self) -> int:
        """The most bytes that all arrays sent can hold."""
        return self.bytes_of(self._want)

    def bytes_of(self, rows: int) -> int:
        """The most bytes that arrays of so many rows can hold, and what else may be sent."""
        row = self.space.dims * np.dtype(self.space.dtype).itemsize + 8  # and its label
        return rows * row + SPARE_BYTES

    def phase(self, name: str) -> None:
        """See `genbench.running.events.EventListener`."""
        self._close_phase()
        self.result.phase = name
        self._begun = (name, time.perf_counter(), self.cores() if name in COSTED else 0.0)

    def progress(self, done: int, total: int, scalars: Mapping[str, float]) -> None:
        """See `genbench.running.events.EventListener`."""

    def fitted(self, facts: Mapping[str, Any]) -> None:
        """See `genbench.running.events.EventListener`."""
        types = {"examples_served": int, "raw_access": bool, "checkpoints": int,
                 "resumed_at": int, "seconds_before": float | int, "offers_snapshots": bool,
                 "curves": dict}  # fmt: skip
        for name, wanted in types.items():
            if not isinstance(facts[name], wanted):
                raise ContractError(f"the generator's process told {name} of another type")
            setattr(self.result, name, facts[name])

    def checkpointed(self) -> None:
        """See `genbench.running.events.EventListener`."""

    def snapshotting(self) -> None:
        """See `genbench.running.events.EventListener`."""
        if self.result.phase != "fit" or self._snapshots >= MOST_SNAPSHOTS:
            raise ContractError("the generator's process told of snapshots that nobody asked for")
        self._snapshots += 1
        self._keeping = (time.perf_counter(), self.cores())

    def snapshotted(self, examples: int) -> None:
        """See `genbench.running.events.EventListener`."""
        self._go_on()

    def no_snapshot(self, examples: int, reason: str) -> None:
        """See `genbench.running.events.EventListener`."""
        self._go_on()
        self.lose(examples, reason)

    def lose(self, examples: int, reason: str) -> None:
        """Remember why a point of the course will not be there."""
        self.result.lost_points[str(int(examples))] = shorten(str(reason), 400)

    def _go_on(self) -> None:
        """The fit goes on after a snapshot, whose cost is not the fit's."""
        if self._keeping is None:
            raise ContractError("the generator's process told of a snapshot that it did not begin")
        wall, cores = self._keeping
        self._keeping = None
        self._apart = (self._apart[0] + time.perf_counter() - wall,
                       self._apart[1] + max(0.0, self.cores() - cores))  # fmt: skip

    def point(self, examples: int) -> None:
        """See `genbench.running.events.EventListener`."""
        raise ContractError("the generator's process sent a course that nobody asked for")

    def no_point(self, reason: str) -> None:
        """See `genbench.running.events.EventListener`."""
        self.point(0)

    def rows(self, arrays: Mapping[str, Array]) -> None:
        """See `genbench.running.events.EventListener`."""
        if self.result.phase != "sample":
            raise ContractError("the generator's process sent rows that nobody asked for")
        self._chunks.append(arrivals.checked_rows(self.space, arrays))
        if self._count() > self._want:
            raise ContractError(f"the generator's process sent more than {self._want} rows")

    def notes(self, texts: Sequence[str]) -> None:
        """See `genbench.running.events.EventListener`."""
        self._note(shorten(str(text), 400) for text in texts[:MOST_NOTES])

    def state(self, parameters: int, stored: bool, changed: bool) -> None:
        """See `genbench.running.events.EventListener`."""
        self.result.resources["parameters"] = int(parameters)
        self.result.resources["weights_changed"] = bool(changed)

    def log_probs(self, arrays: Mapping[str, Array]) -> None:
        """See `genbench.running.events.EventListener`."""
        self.likelihood.update(arrays)

    def codes(self, arrays: Mapping[str, Array]) -> None:
        """See `genbench.running.events.EventListener`."""
        problem = arrivals.codes_problem(self.space, arrays)
        if problem is not None:
            raise ContractError(f"the generator's process sent {problem}")
        self.codes_found.update(arrays)

    def no_log_probs(self, reason: str) -> None:
        """See `genbench.running.events.EventListener`."""
        self.result.likelihood_error = str(reason)[:MOST_TEXT]

    def held(self, peaks: Mapping[str, int]) -> None:
        """See `genbench.running.events.EventListener`."""
        self.result.resources.update({name: int(peaks[name]) for name in card.PEAKS if peaks})

    def ended(self, status: str, kind: str, message: str, trace: str) -> None:
        """See `genbench.running.events.EventListener`."""
        if status == "ok":
            self._close_phase()
        else:
            self.result.error = {
                "phase": self.result.phase,
                "type": shorten(str(kind), 200),
                "message": str(message)[:MOST_TEXT],
                "traceback": str(trace)[-MOST_TEXT:],
            }
        self.result.status = str(status)

    def _count(self) -> int:
        return sum(len(chunk["x"]) for chunk in self._chunks)

    def _close_phase(self) -> None:
        if self._begun is None:
            return
        name, wall, cores = self._begun
        self._begun = None
        timing = self.result.timing
        timing[f"{name}_s"] = time.perf_counter() - wall
        if name in COSTED:
            timing[f"{name}_core_s"] = max(0.0, self.cores() - cores)
        if name == "fit":  # an interrupted fit costs what all its parts took, snapshots apart
            timing["fit_s"] += self.result.seconds_before - self._apart[0]
            timing["fit_core_s"] = max(0.0, timing["fit_core_s"] - self._apart[1])
            if self._snapshots:
                timing["snapshots_s"] = self._apart[0]
        if name == "sample":
            self._seal()

    def _seal(self) -> None:
        count = self._count()
        if count != self._want and not (self._fewer and 0 < count < self._want):
            raise ContractError(f"the generator's process sent {count} rows, expected {self._want}")
        names = self._chunks[0]
        self.samples = {n: np.concatenate([c[n] for c in self._chunks]) for n in names}
        self._chunks = []
        self.result.resources["n_sampled"] = count
        if kinds.of(self.space.kind).pictures:
            dark = unscaled(self.samples["x"], self.space.levels)
            self._note([] if dark is None else [dark])

    def _note(self, texts: Iterable[str]) -> None:
        """Keep what is odd about the samples' values."""
        noted = [*self.result.resources.get("notes", []), *texts]
        if noted:
            self.result.resources["notes"] = noted[: MOST_NOTES + 1]


class CellLedger(Ledger):
    """The account of a cell, kept in its attempt's folder as it grows.

    Parameters
    ----------
    folder
        The attempt's. Files of the generator's are taken over from `WORK` below it.
    costs_before
        CPU seconds of the fit up to the checkpoint that it resumes from; None if unknown.
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        rows: int,
        *,
        fewer: bool = False,
        resumed: bool = False,
        costs_before: float | None = 0.0,
    ) -> None:
        super().__init__(space, rows, fewer=fewer)
        self._folder = folder
        self._resumed = resumed
        self._before = costs_before
        self._since = (time.time(), 0)  # when the phase began, and how much was done by then

    def phase(self, name: str) -> None:
        """See `EventListener`; what the phases before it found outlives this one."""
        super().phase(name)
        self._since = (time.time(), 0)
        self.keep()
        self.progress(0, 0, {})

    def progress(self, done: int, total: int, scalars: Mapping[str, float]) -> None:
        """See `genbench.running.events.EventListener`."""
        if self.result.phase == "fit" and self._resumed and self._since[1] == 0 and done:
            self._since = (time.time(), done)  # the pace is that of what was not there before
        known = {k: float(v) for k, v in scalars.items() if v is not None}
        path = self._folder / PROGRESS
        write_progress(path, self.result.phase, int(done), int(total), known, since=self._since)

    def fitted(self, facts: Mapping[str, Any]) -> None:
        """See `genbench.running.events.EventListener`."""
        super().fitted(facts)
        self.keep()

    def checkpointed(self) -> None:
        """See `genbench.running.events.EventListener`."""
        if self.take(CHECKPOINT) and self._before is not None and self._begun is not None:
            spent = self._before + self.cores() - self._begun[2] - self._apart[1]
            with contextlib.suppress(StoreError):
                write_json(self._folder / AT_CHECKPOINT, {"fit_core_s": spent})

    def snapshotted(self, examples: int) -> None:
        """See `genbench.running.events.EventListener`."""
        super().snapshotted(examples)
        if not self.take(snapshot_name(int(examples))):
            self.lose(examples, "its file was not where it had been stored")

    def state(self, parameters: int, stored: bool, changed: bool) -> None:
        """See `genbench.running.events.EventListener`."""
        super().state(parameters, stored, changed)
        if stored and not self.take(STATE):
            raise ContractError("the generator's state is not where it was stored")

    def ended(self, status: str, kind: str, message: str, trace: str) -> None:
        """See `genbench.running.events.EventListener`."""
        super().ended(status, kind, message, trace)
        self.keep()

    def keep(self) -> None:
        """Write down what is known by now."""
        write_json(self._folder / GENERATION, vars(self.result))

    def take(self, name: str) -> bool:
        """Take a file over from where the generator may write; whether there was one."""
        source, target = self._folder / WORK / name, self._folder / name
        with contextlib.suppress(OSError):
            if stat.S_ISREG(source.lstat().st_mode):
                os.replace(source, target)
                if stat.S_ISREG(target.lstat().st_mode):
                    return True
                target.unlink()  # a link that was put there since we looked
        return False

    def _close_phase(self) -> None:
        fitting = self._begun is not None and self._begun[0] == "fit"
        super()._close_phase()
        if fitting and self._before is None:
            del self.result.timing["fit_core_s"]
        elif fitting and self._before is not None:
            self.result.timing["fit_core_s"] += self._before

    def _seal(self) -> None:
        super()._seal()
        assert self.samples is not None
        data = npz_bytes(self.samples)
        self.sealed = hashlib.sha256(data).hexdigest()
        write_bytes(self._folder / SAMPLES, data)


def inherit_checkpoint(checkpoint: Path | None, folder: Path) -> float | None:
    """Keep the checkpoint that a fit continues from in its new attempt's folder, too.

    So that an attempt which ends before its own first checkpoint loses nothing; and the snapshots
    that were kept on the way there. Returns the CPU
    seconds of the fit up to there; 0 without a checkpoint, None if nobody wrote them down.
    """
    if checkpoint is None:
        return 0.0
    costs = checkpoint.with_name(AT_CHECKPOINT)
    snapshots = snapshots_in(checkpoint.parent).values()
    kept = ((checkpoint, CHECKPOINT), (costs, AT_CHECKPOINT), *((p, p.name) for p in snapshots))
    for source, name in kept:
        with contextlib.suppress(OSError):
            os.link(source, folder / name)
    try:
        return float(read_json(costs)["fit_core_s"])
    except (StoreError, KeyError, TypeError, ValueError):
        return None


def _own_core_seconds() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
