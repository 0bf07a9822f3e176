"""The run loop: plan, start workers, watch them, keep the report fresh, lose nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from genbench.errors import StoreError
from genbench.plugins import GeneratorChoice
from genbench.results import RECORD, Record, Store, Stored, newest, read_record
from genbench.running.cells import Cell
from genbench.running.cellspec import CellSpec
from genbench.running.earlier import Earlier
from genbench.running.executors import Ended, Executor, RunSetting
from genbench.running.planning import RunOptions, cell_spec, plan_cells
from genbench.running.recording import record_of_death, record_of_loss
from genbench.running.timeleft import Progress, Running, TimeLeft, read_progress
from genbench.system import CELL_BYTES, ForkServerClient, Jobs, auto_jobs, default_memory_limit
from genbench.tasks import Suite

POLL_SECONDS = 0.25


class Listener(Protocol):
    """The events of the run loop for whoever shows them."""

    def planned(self, cells: Sequence[Cell], jobs: int) -> None:
        """The plan stands; `jobs` cells and refits go on at a time."""

    def started(self, cell: Cell) -> None:
        """A worker took the cell."""

    def progressed(self, cell: Cell, progress: Progress, seconds_left: float | None) -> None:
        """News of a running cell, and an estimate for all that is left of the run."""

    def ended(self, cell: Cell, record: Record) -> None:
        """The cell has its record."""

    def again_alone(self, cell: Cell) -> None:
        """The cell had too little memory beside others: it runs again once they are done."""

    def remarked(self, text: str) -> None:
        """A sentence about the run as a whole, for people."""

    def stopping(self, hard: bool) -> None:
        """The run is being stopped."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The outcome of a run.

    Parameters
    ----------
    stored
        The record that counts of every planned cell that has one.
    pending
        How many cells are still worked on elsewhere.
    detached
        Whether this run ordered all of those and was asked to leave then.
    """

    suite: Suite
    cells: tuple[Cell, ...]
    stored: tuple[Stored, ...]
    interrupted: bool
    pending: int = 0
    detached: bool = False

    @property
    def failed(self) -> tuple[Stored, ...]:
        """Cells whose record is neither ok nor skipped."""
        return tuple(s for s in self.stored if s.record.status not in ("ok", "skipped"))

    @property
    def exit_code(self) -> int:
        """0, 3 if some cell failed, 8 if some are pending elsewhere, 130 if stopped."""
        if self.interrupted:
            return 130
        if self.pending:
            return 0 if self.detached else 8
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
        Called after a cell's record, to renew the report; not after every one where cells are
        short, so that it takes less than a twentieth of the time.
    """
    store.prepare()
    cells = plan_cells(suite, choices, store, options)
    listener.planned(cells, executor.jobs)
    store.write_suite(suite.folder_name, suite.describe())
    loop = _Loop(suite, cells, store, options, executor, listener, after_cell)
    with signals(loop):
        loop.run()
    stored = [s for cell in cells if (s := latest_of(store, cell)) is not None]
    return RunResult(suite, tuple(cells), tuple(stored), loop.stops > 0)


def setting_of(
    suite: Suite,
    store: Store,
    options: RunOptions,
    jobs: Jobs,
    forks: ForkServerClient,
    asked: Mapping[str, Any] | None = None,
) -> RunSetting:
    """The run as its executor is told of it; `jobs` and options `asked` as the user gave them."""
    here = jobs
    if here == "auto":
        here = auto_jobs(options.devices, options.threads, _cell_bytes(store, suite))
    return RunSetting(store.root.absolute(), jobs, here, forks, asked or {})


def _cell_bytes(store: Store, suite: Suite) -> int:
    """The memory a cell is expected to need: that of the greediest cell of the task before."""
    peaks = [
        peak
        for stored in store.each_record(store.root / suite.folder_name)
        for name in ("peak_rss_bytes", "metrics_peak_rss_bytes")
        if isinstance(peak := stored.record.resources.get(name), int) and peak > 0
    ]
    return max(peaks, default=CELL_BYTES)


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
        self._alone: list[Cell] = []  # to run when all others are done, without any beside it
        self._store = store
        self._options = options
        self._executor = executor
        self._listener = listener
        self._report = Seldom(after_cell)
        self._under_way: dict[Path, _UnderWay] = {}
        self._eta = TimeLeft(suite, store, executor.jobs)

    def run(self) -> None:
        while ((self._waiting or self._alone) and not self.stops) or self._under_way:
            self._pass_on_stops()
            self._fill()
            self._report.if_due()  # after the next cells have been started: they do not wait for it
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

    def _fill(self) -> None:
        """Start as many cells as may go on at a time."""
        jobs = self._executor.jobs
        while self._waiting and not self.stops and len(self._under_way) < jobs:
            self._start(self._waiting.pop(0), jobs if self._executor.here else 1)
        if self._alone and not self._waiting and not self.stops and not self._under_way:
            self._start(self._alone.pop(0), 1)

    def _start(self, cell: Cell, slots: int) -> None:
        here = self._executor.here
        spec = cell_spec(
            cell, self._suite, self._store, self._options,
            device=self._device(), slots=slots, share=default_memory_limit(slots) if here else None,
        )  # fmt: skip
        self._under_way[spec.folder] = _UnderWay(cell, spec)
        self._listener.started(cell)
        self._executor.submit(spec)

    def _device(self) -> str:
        """The device with the fewest cells under way; of equals the first."""
        taken = [one.spec.device for one in self._under_way.values()]
        return min(self._options.devices or (self._options.device,), key=taken.count)

    def _end(self, ended: Ended) -> None:
        one = self._under_way.pop(ended.spec.folder)
        cell = one.cell
        try:
            record = read_record(ended.spec.folder / RECORD)
        except StoreError:
            record = self._lost(ended)
        self._eta.learn(cell, one.seconds)
        self._report.wanted = True
        if record.status == "oom" and ended.spec.slots > 1 and not self._options.memory_limit:
            latest = Earlier.of(Stored(record, ended.spec.folder))
            self._alone.append(replace(cell, todo="run", latest=latest, source=None))
            self._listener.again_alone(cell)
        else:
            self._listener.ended(cell, record)

    def _lost(self, ended: Ended) -> Record:
        """Write the record that a worker could not write."""
        if self.stops:
            message = "stopped at once, before it could write; the same command continues it"
            error = {"phase": "worker", "type": "Stopped", "message": message}
            return record_of_loss(ended.spec, "interrupted", error)
        return record_of_death(ended.spec, ended.code)

    def _show(self) -> None:
        running = []
        for one in self._under_way.values():
            one.progress = read_progress(one.spec.folder) or one.progress
            running.append(Running(one.cell, one.seconds, one.progress))
        left = self._eta.left(running, [*self._waiting, *self._alone])
        for now in running:
            if now.progress is not None:
                self._listener.progressed(now.cell, now.progress, left)


@dataclass(slots=True)
class _UnderWay:
    """A cell that was started, and what it said last."""

    cell: Cell
    spec: CellSpec
    start: float = field(default_factory=time.monotonic)
    progress: Progress | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


class Seldom:
    """Work that is wanted now and then, done so seldom that it takes little of the time."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.wanted = False
        self._work = work
        self._rests_until = 0.0

    def if_due(self) -> None:
        """Do it, if it is wanted and the last time is long enough ago."""
        start = time.monotonic()
        if self.wanted and start >= self._rests_until:
            self.wanted = False
            self._work()
            end = time.monotonic()
            self._rests_until = end + 20 * (end - start)


def latest_of(store: Store, cell: Cell) -> Stored | None:
    """The record of a cell that counts."""
    found = store.attempts_in(store.root / cell.folder)
    mine = [a for a in found if isinstance(a, Stored) and a.record.cell_key == cell.key]
    return newest(mine)


class Stoppable(Protocol):
    """Whatever a signal can stop, at any moment."""

    def stop(self) -> None:
        """Note that a stop was asked for, and do nothing more."""


@contextmanager
def signals(loop: Stoppable) -> Iterator[None]:
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
