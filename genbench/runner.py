"""The run loop: plan, start workers, watch them, keep the report fresh, lose nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from genbench.account import record_of_loss
from genbench.cellspec import PARTS, CellSpec, GeneratorChoice
from genbench.errors import StoreError
from genbench.executors import Executor
from genbench.executors.local import Ended
from genbench.machine import available_cores, default_memory_limit
from genbench.plan import WORKER_LOST, Cell, build_plan
from genbench.records import Record
from genbench.store import CACHE, Store, Stored, new_ulid, newest, read_record
from genbench.suite import Suite
from genbench.timeleft import Progress, TimeLeft, read_progress

POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a run does, apart from the suite and the generators.

    Parameters
    ----------
    jobs
        Workers at a time; threads are divided among them.
    parts
        Which of ``metrics`` and ``downstream`` to compute.
    device, devices
        Where cells run; with several `devices` each takes as many cells at a time as the others.
    fresh
        Run every cell again, whatever is stored.
    keep_failed
        Leave failed cells alone.
    timeout, memory_limit
        Seconds and bytes for each cell's generator; memory defaults to 80 % of RAM over `jobs`.
    sandbox
        Whether processes that import a generator are confined, where the system can.
    """

    seeds: tuple[int, ...]
    jobs: int = 1
    device: str = "cpu"
    devices: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    fresh: bool = False
    keep_failed: bool = False
    timeout: float | None = None
    memory_limit: int | None = None
    sandbox: bool = True
    argv_source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """Threads of each worker."""
        return max(1, available_cores() // self.jobs)


class Listener(Protocol):
    """What the run loop tells whoever shows it."""

    def planned(self, cells: Sequence[Cell]) -> None:
        """The plan stands."""

    def started(self, cell: Cell) -> None:
        """A worker took the cell."""

    def progressed(self, cell: Cell, progress: Progress, seconds_left: float | None) -> None:
        """News of a running cell, and an estimate for the whole run."""

    def ended(self, cell: Cell, record: Record) -> None:
        """The cell has its record."""

    def stopping(self, hard: bool) -> None:
        """The run is being stopped."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Parameters
    ----------
    stored
        The record that counts of every planned cell that has one.
    """

    suite: Suite
    cells: tuple[Cell, ...]
    stored: tuple[Stored, ...]
    interrupted: bool

    @property
    def failed(self) -> tuple[Stored, ...]:
        """Cells whose record is neither ok nor skipped."""
        return tuple(s for s in self.stored if s.record.status not in ("ok", "skipped"))

    @property
    def exit_code(self) -> int:
        """0, 3 if some cell failed, 130 if stopped."""
        if self.interrupted:
            return 130
        return 3 if self.failed or len(self.stored) < len(self.cells) else 0


def run_suite(
    suite: Suite,
    choices: Sequence[GeneratorChoice],
    store: Store,
    options: RunOptions,
    executor: Executor,
    listener: Listener,
    after_cell: Callable[[], object] = lambda: None,
) -> RunResult:
    """Run what is missing of a suite.

    Parameters
    ----------
    after_cell
        Called after every cell's record, to renew the report.
    """
    store.prepare()
    cells = plan(suite, choices, store, options)
    listener.planned(cells)
    store.write_suite(suite.folder_name, suite.describe())
    loop = _Loop(suite, cells, store, options, executor, listener, after_cell)
    with _signals(loop):
        loop.run()
    stored = [s for cell in cells if (s := _latest(store, cell)) is not None]
    return RunResult(suite, tuple(cells), tuple(stored), loop.stops > 0)


def plan(
    suite: Suite, choices: Sequence[GeneratorChoice], store: Store, options: RunOptions
) -> list[Cell]:
    """The cells of a run and what is to be done about each."""
    return build_plan(
        suite,
        choices,
        options.seeds,
        store,
        threads=options.threads,
        parts=options.parts,
        fresh=options.fresh,
        keep_failed=options.keep_failed,
    )


class _Loop:
    """The state of one run."""

    def __init__(
        self,
        suite: Suite,
        cells: Sequence[Cell],
        store: Store,
        options: RunOptions,
        executor: Executor,
        listener: Listener,
        after_cell: Callable[[], object],
    ) -> None:
        self.stops = 0
        self._passed_on = 0
        self._suite = suite
        self._waiting = [c for c in cells if c.todo not in ("done", "kept")]
        self._store = store
        self._options = options
        self._executor = executor
        self._listener = listener
        self._after_cell = after_cell
        self._under_way: dict[Path, tuple[Cell, float]] = {}
        self._devices: dict[Path, str] = {}
        self._eta = TimeLeft(suite, store)

    def run(self) -> None:
        while (self._waiting and not self.stops) or self._under_way:
            self._pass_on_stops()
            while self._waiting and not self.stops and len(self._under_way) < self._options.jobs:
                self._start(self._waiting.pop(0))
            for ended in self._executor.poll(POLL_SECONDS):
                self._end(ended)
            self._show()

    def stop(self) -> None:
        """Called by a signal, between any two instructions: so it counts and does nothing more."""
        self.stops += 1
        self._executor.stopping = True

    def _pass_on_stops(self) -> None:
        """First ask the workers to finish writing; from the second time on, end them at once."""
        if self.stops > self._passed_on:
            self._passed_on = self.stops
            self._listener.stopping(self.stops > 1)
            if self.stops == 1:
                self._executor.stop()
            else:
                self._executor.kill()

    def _start(self, cell: Cell) -> None:
        options = self._options
        folder = self._store.root / cell.folder / new_ulid()
        scores_again = cell.todo == "score" and cell.source is not None
        spec = CellSpec(
            folder=folder.resolve(),
            cache=(self._store.root / CACHE).resolve(),
            cell_key=cell.key,
            suite=self._suite,
            generator=cell.generator,
            seed=cell.seed,
            device=self._slot(),
            threads=options.threads,
            attempt=cell.attempt,
            reuse=cell.source.folder.resolve() if scores_again and cell.source else None,
            resume=None if cell.checkpoint is None else cell.checkpoint.resolve(),
            parts=cell.parts,
            timeout=options.timeout,
            memory_limit=options.memory_limit or default_memory_limit(options.jobs),
            exclusive=options.jobs == 1,
            fresh=options.fresh,
            sandbox=options.sandbox,
            source=options.argv_source,
        )
        self._under_way[spec.folder] = (cell, time.monotonic())
        self._devices[spec.folder] = spec.device
        self._listener.started(cell)
        self._executor.submit(spec)

    def _slot(self) -> str:
        """The device with the fewest cells under way; of equals the first."""
        taken = list(self._devices.values())
        return min(self._options.devices or (self._options.device,), key=taken.count)

    def _end(self, ended: Ended) -> None:
        cell, start = self._under_way.pop(ended.spec.folder)
        del self._devices[ended.spec.folder]
        try:
            record = read_record(ended.spec.folder / "record.json")
        except StoreError:
            record = self._lost(ended)
        self._eta.learn(cell, time.monotonic() - start)
        self._listener.ended(cell, record)
        self._after_cell()

    def _lost(self, ended: Ended) -> Record:
        """Write the record that a worker could not write."""
        if self.stops:
            message = "stopped at once, before it could write; the same command continues it"
            error = {"phase": "worker", "type": "Stopped", "message": message}
            return record_of_loss(ended.spec, "interrupted", error)
        how = f"signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
        if ended.code == -signal.SIGKILL:
            how += ", which the system sends when memory runs out"
        message = f"the worker ended by {how} and wrote no record"
        error = {"phase": "worker", "type": WORKER_LOST, "message": message}
        return record_of_loss(ended.spec, "failed", error)

    def _show(self) -> None:
        for folder, (cell, start) in self._under_way.items():
            progress = read_progress(folder)
            if progress is not None:
                left = self._eta.left(cell, time.monotonic() - start, progress, self._waiting)
                self._listener.progressed(cell, progress, left)


def _latest(store: Store, cell: Cell) -> Stored | None:
    found = store.attempts_in(store.root / cell.folder)
    mine = [a for a in found if isinstance(a, Stored) and a.record.cell_key == cell.key]
    return newest(mine)


@contextmanager
def _signals(loop: _Loop) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGUSR1 stop the loop; twice ends it at once."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    try:
        before = {n: signal.signal(n, lambda number, frame: loop.stop()) for n in numbers}
    except ValueError:  # not the main thread, as in some notebooks: signals are the host's
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
