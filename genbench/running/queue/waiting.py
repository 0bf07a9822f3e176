"""A run whose cells are worked on elsewhere: order them, wait or leave, collect."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from genbench.errors import StoreError, UsageError
from genbench.plugins import GeneratorChoice
from genbench.results import Store
from genbench.running.cells import Cell
from genbench.running.executors import Away, QueueExecutor
from genbench.running.planning import RunOptions, plan_cells
from genbench.running.queue import claims
from genbench.running.queue.heartbeats import WORKERS, new_worker
from genbench.running.queue.manifest import (
    MANIFEST,
    QUEUE,
    STOP,
    Manifest,
    manifests,
    write_manifest,
)
from genbench.running.queue.taking import Taker
from genbench.running.runner import Listener, RunResult, Seldom, latest_of, signals
from genbench.running.timeleft import read_progress
from genbench.system import exists, read_json
from genbench.tasks import Suite

NAP_SECONDS = 0.25

Place = tuple[str, int]  # a manifest's id and the index of an order in it


def run_queued(
    suite: Suite,
    choices: Sequence[GeneratorChoice],
    store: Store,
    options: RunOptions,
    executor: QueueExecutor,
    listener: Listener,
    after_cell: Callable[[], object] = lambda: None,
    *,
    name: str,
    detach: bool = False,
) -> RunResult:
    """Have what is missing of a suite worked on elsewhere, and collect it.

    Cells that an earlier run has ordered, and that nobody has collected, are not ordered again.

    Parameters
    ----------
    name
        The executor's name.
    detach
        Whether to leave once everything is ordered; the same run again collects.
    """
    if here := [choice.name for choice in choices if choice.ref.inline]:
        raise UsageError(
            f"{here[0]} is a class of this process, and executor {name!r} runs cells elsewhere: "
            "put it into a file and give that as a plugin"
        )
    if detach and not executor.detaches:
        raise UsageError(f"executor {name!r} ends its work with the run: leave --detach out")
    store.prepare()
    store = Store(store.root.resolve())
    cells = plan_cells(suite, choices, store, options)
    listener.planned(cells, 1)
    store.write_suite(suite.folder_name, suite.describe())
    run = _Waiting(suite, cells, store, options, executor, listener, after_cell, name)
    with signals(run):
        run.order()
        run.collect(once=detach)
    if run.stops and not executor.detaches:
        run.end()
    stored = [s for cell in cells if (s := latest_of(store, cell)) is not None]
    run.clear()
    return RunResult(
        suite, tuple(cells), tuple(stored), run.stops > 0 or run.is_stopped,
        pending=len(run.awaited), detached=detach and not run.was_ordered,
    )  # fmt: skip


class _Waiting:
    """The state of a run that waits."""

    def __init__(
        self, suite: Suite, cells: Sequence[Cell], store: Store, options: RunOptions,
        executor: QueueExecutor, listener: Listener, after_cell: Callable[[], object], name: str,
    ) -> None:  # fmt: skip
        self.stops = 0
        self.is_stopped = False
        self.was_ordered = False
        self.awaited: dict[Place, Cell] = {}
        self._suite = suite
        self._cells = cells
        self._store = store
        self._options = options
        self._executor = executor
        self._listener = listener
        self._report = Seldom(after_cell)
        self._name = name
        self._worker = new_worker()
        self._taker = Taker(store.root, self._worker)
        self._manifests: dict[str, Manifest] = {}
        self._shown: set[Place] = set()
        self._was_away = False

    def stop(self) -> None:
        """Called by a signal: stop waiting. What runs elsewhere goes on."""
        self.stops += 1

    def order(self) -> None:
        """Order the cells that are missing and that no manifest holds yet."""
        remove_stopped(self._store.root)
        held: dict[str, Place] = {}
        for manifest in manifests(self._store.root):
            ours = manifest.executor == self._name
            if ours and manifest.suite.task_hash == self._suite.task_hash:
                self._manifests[manifest.id] = manifest
                held.update({order.key: (manifest.id, order.index) for order in manifest.orders})
        self._note_done(held)
        missing = [cell for cell in self._cells if cell.todo not in ("done", "kept")]
        new = [cell for cell in missing if cell.key not in held]
        self.awaited = {held[cell.key]: cell for cell in missing if cell.key in held}
        settled = {(m.id, index) for m in self._manifests.values() for index in m.settled()}
        self.was_ordered = bool(self.awaited.keys() - settled)
        if not new:
            return
        manifest = write_manifest(
            self._store.root, self._suite, new, self._options,
            executor=self._name, lease=self._executor.lease,
        )  # fmt: skip
        self._manifests[manifest.id] = manifest
        self.awaited |= {(manifest.id, index): cell for index, cell in enumerate(new)}
        try:
            self._executor.launch(manifest, range(len(new)))
        except BaseException:
            manifest.remove()
            raise

    def _note_done(self, held: Mapping[str, Place]) -> None:
        """Settle orders whose cells are done, by whomever: nobody may come to see that."""
        settled = {name: manifest.settled() for name, manifest in self._manifests.items()}
        for cell in self._cells:
            name, index = held.get(cell.key, ("", 0))
            if name and cell.todo == "done" and index not in settled[name]:
                self._manifests[name].settle(index, self._worker)

    def collect(self, *, once: bool) -> None:
        """Take in what is settled and see to what is lost, until all is there or somebody stops."""
        look_at = 0.0
        while self.awaited and not self.stops:
            if time.monotonic() >= look_at:
                self._look()
                look_at = time.monotonic() + self._executor.poll_seconds
                if once or self.is_stopped:
                    return
            self._report.if_due()
            if self.awaited:
                time.sleep(NAP_SECONDS)

    def end(self) -> None:
        """Have what is worked on elsewhere write and end."""
        for manifest in self._manifests.values():
            manifest.stop()

    def clear(self) -> None:
        """Remove manifests of which nothing is left, and the claims on their cells."""
        for manifest in self._manifests.values():
            if len(manifest.settled()) == len(manifest.orders):
                manifest.remove()
                for order in manifest.orders:
                    claims.drop_all(self._store.root, order.key)

    def _look(self) -> None:
        for manifest in self._manifests.values():
            settled = manifest.settled()
            if len(settled) < len(manifest.orders):
                settled |= self._see_to_lost(manifest, settled)
            elsewhere = manifest.is_removed  # by another run, which has collected it
            for place in list(self.awaited):
                if place[0] == manifest.id and (elsewhere or place[1] in settled):
                    self._end(place)
            self.is_stopped |= manifest.is_stopped
        self._note_away()
        self._show()

    def _note_away(self) -> None:
        """Say once that nobody answers for the tasks, and once that somebody does again."""
        away = self._executor.away
        if away and not self._was_away:
            self._listener.remarked(
                f"{away}: tasks go on without it, and none is taken for lost until it does"
            )
        elif self._was_away and not away:
            self._listener.remarked(f"{self._name} answers again")
        self._was_away = bool(away)

    def _see_to_lost(self, manifest: Manifest, settled: set[int]) -> set[int]:
        """Write down whose task is gone and order it again; those that are settled by that."""
        if manifest.executor != self._name:
            return set()
        given_up, again = set(), []
        for lost in self._executor.gone(manifest):
            for index in lost.orders:
                if index in settled:
                    continue
                if self._taker.lose(manifest, manifest.orders[index], lost.task, lost.how):
                    manifest.settle(index, self._worker)
                    given_up.add(index)
                else:
                    again.append(index)
        if again:
            with suppress(Away):  # their tasks are still gone at the next look
                self._executor.launch(manifest, sorted(again))
        return given_up

    def _end(self, place: Place) -> None:
        cell = self.awaited.pop(place, None)
        stored = None if cell is None else latest_of(self._store, cell)
        if cell is None or stored is None:
            return
        if place not in self._shown:
            self._listener.started(cell)
        self._report.wanted = True
        self._listener.ended(cell, stored.record)

    def _show(self) -> None:
        """Tell what the workers' heartbeats say is under way."""
        for path in (self._store.root / QUEUE / WORKERS).glob("*.json"):
            with suppress(StoreError, TypeError, KeyError, ValueError):
                for manifest, index, folder in read_json(path)["cells"]:
                    cell = self.awaited.get((manifest, index))
                    if cell is not None:
                        self._tell((manifest, index), cell, self._store.root / folder)

    def _tell(self, place: Place, cell: Cell, folder: Path) -> None:
        if place not in self._shown:
            self._shown.add(place)
            self._listener.started(cell)
        progress = read_progress(folder)
        if progress is not None:
            self._listener.progressed(cell, progress, None)


def remove_stopped(root: Path) -> None:
    """Remove manifests that somebody stopped: a new run orders what it wants.

    Their folders go one run later, so that whoever is still at work reads that it was stopped.
    """
    for path in (root / QUEUE).glob(f"*/{STOP}"):
        manifest = path.with_name(MANIFEST)
        if exists(manifest):
            manifest.unlink(missing_ok=True)
        else:
            shutil.rmtree(path.parent, ignore_errors=True)
