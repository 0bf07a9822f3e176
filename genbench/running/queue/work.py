"""A worker of the queue: it takes cells that nobody has, until none is left."""

from __future__ import annotations

import contextlib
import signal
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.errors import GenbenchError, StoreError, UsageError
from genbench.results import RECORD, Record, RecordedAlready, read_record
from genbench.running.earlier import cut_short
from genbench.running.executors import Ended, RunSetting
from genbench.running.executors.local import LocalExecutor
from genbench.running.queue.heartbeats import Heart, new_worker
from genbench.running.queue.manifest import Manifest, Order, manifests, tasks_of
from genbench.running.queue.taking import Next, Place, Taker
from genbench.running.recording import record_of_death
from genbench.system import (
    CELL_BYTES,
    ForkServerClient,
    Jobs,
    auto_jobs,
    exists,
    resolve_devices,
)

LOOK_SECONDS = 2.0  # at least, between two looks whether it goes on and at what others settled
LOOK_SHARE = 20  # times what a look took: of many workers each has a file to be read
POLL_SECONDS = 0.25
TRIES = 50  # orders that are looked at between two polls
PENDING, STOPPED = 8, 130
LEASE = 60.0


@dataclass(frozen=True, slots=True)
class Share:
    """The part of the queue that a worker works on.

    Parameters
    ----------
    manifest
        The id of one manifest; None for all.
    task
        The number of a group of its cells; None for all.
    name
        The scheduler's name of the task that it works for.
    """

    manifest: str | None = None
    task: int | None = None
    name: str = ""


@dataclass(slots=True)
class _Shelf:
    """A manifest and what of it is left to do; `rest` tells until when an order is left alone."""

    manifest: Manifest
    left: dict[int, Order]
    rest: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An attempt under way."""

    shelf: _Shelf
    order: Order
    device: str


def work(
    root: Path,
    *,
    jobs: Jobs,
    device: str | None,
    share: Share,
    forks: ForkServerClient,
    say: Callable[[str], None],
) -> int:
    """Work on the queue of a results directory until nothing is left of this share.

    Parameters
    ----------
    device
        The device to use, or None for what each run asked for.
    say
        Takes a line for each cell that ended.

    Returns
    -------
    int
        0 if nothing is left, 8 if it was told by SIGUSR1 to make room and something is, 130 if it
        was stopped.

    Raises
    ------
    GenbenchError
        If there is no such folder, or there are manifests and none of them is of this genbench.
    """
    if not root.is_dir():
        raise UsageError(
            f"no folder {root} here: give the results folder as this machine sees it, or mount it"
        )
    found = _Worker(root, jobs, device, share, forks, say)
    with _signals(found), Heart(root, found.name, LEASE, found.news) as heart:
        return found.run(heart)


class _Worker:
    """The state of one worker."""

    def __init__(
        self, root: Path, jobs: Jobs, device: str | None, share: Share, forks: ForkServerClient,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.name = new_worker()
        self.asked: int | None = None  # the exit code that a signal asked to end with
        self._root = root.resolve()  # as the orders name folders
        self._jobs = jobs
        self._device = device
        self._share = share
        self._forks = forks
        self._say = say
        self._taker = Taker(self._root, self.name, share.name)
        self._shelves: dict[str, _Shelf] = {}
        self._under_way: dict[Path, _Attempt] = {}
        self._devices: dict[str, tuple[str, ...]] = {}
        self._executor: LocalExecutor | None = None
        self._look_at = 0.0
        self._alone = False

    def news(self) -> list[Any]:
        """The attempts under way: manifest, order and folder of each."""
        under_way = list(self._under_way.items())
        return [
            [one.shelf.manifest.id, one.order.index, str(folder.relative_to(self._root))]
            for folder, one in under_way
        ]

    def run(self, heart: Heart) -> int:
        """Work until nothing is left, or a stop."""
        told = False
        self._look(heart)
        if not self._shelves:
            self._say(f"nothing is queued in {self._root}")
        while True:
            self._look(heart)
            stopping = self._stopping()
            if stopping and not told and self._executor is not None:
                self._executor.stop()
            told = stopping
            if not stopping:
                self._fill()
            if not self._under_way and (stopping or not self._left()):
                return self._code()
            if self._executor is None or not self._under_way:
                time.sleep(POLL_SECONDS)
                continue
            for ended in self._executor.poll(POLL_SECONDS):
                self._end(ended)

    def _code(self) -> int:
        return self.asked if self.asked is not None and self._left() else 0

    def _left(self) -> bool:
        return any(shelf.left for shelf in self._shelves.values())

    def _stopping(self) -> bool:
        """Whether it was told to end, or its run is over."""
        ids = {one.shelf.manifest.id for one in self._under_way.values()}
        return self.asked is not None or not ids <= self._shelves.keys()

    def _look(self, heart: Heart) -> None:
        """Look now and then what manifests there are, and what others have settled of them."""
        if time.monotonic() < self._look_at:
            return
        began = time.monotonic()
        refused: list[GenbenchError] = []
        known = [shelf.manifest for shelf in self._shelves.values()]
        found = [m for m in manifests(self._root, refused, known) if self._is_ours(m)]
        if refused and not found and not self._shelves:
            raise refused[0]
        before, self._shelves = self._shelves, {}
        for manifest in found:
            shelf = before.get(manifest.id) or _Shelf(manifest, self._orders(manifest))
            for index in () if self._is_full() else manifest.settled():
                shelf.left.pop(index, None)
            self._shelves[manifest.id] = shelf
            heart.hurry(manifest.lease)
        took = time.monotonic() - began
        self._look_at = time.monotonic() + max(LOOK_SECONDS, LOOK_SHARE * took)

    def _is_ours(self, manifest: Manifest) -> bool:
        return self._share.manifest in (None, manifest.id)

    def _orders(self, manifest: Manifest) -> dict[int, Order]:
        """The orders of this share, beginning somewhere: not all begin with the same one."""
        orders: Sequence[Order] = manifest.orders
        if self._share.task is not None:
            try:
                group = tasks_of(manifest)[self._share.task]
            except IndexError as error:
                raise UsageError(f"{manifest.folder} has no task {self._share.task}") from error
            return {index: orders[index] for index in group}
        start = zlib.crc32(self.name.encode()) % max(1, len(orders))
        return {order.index: order for order in (*orders[start:], *orders[:start])}

    def _fill(self) -> None:
        """Take as many cells as may go on at a time."""
        now, tries = time.monotonic(), TRIES
        for shelf in self._shelves.values():
            for index, order in list(shelf.left.items()):
                if self._is_full() or not tries:
                    return
                if shelf.rest.get(index, 0.0) <= now:
                    tries -= 1
                    self._try(shelf, order)

    def _is_full(self) -> bool:
        return self._alone or (
            self._executor is not None and len(self._under_way) >= self._executor.jobs
        )

    def _try(self, shelf: _Shelf, order: Order) -> None:
        manifest = shelf.manifest
        executor = self._started(manifest)
        place = Place(self._free(manifest), executor.jobs, not self._under_way)
        got = self._taker.take(manifest, order, place)
        if got is Next.SETTLED:
            self._settle(shelf, order)
        elif isinstance(got, Next):
            # A claim is not given back before its lease is over: to look often finds nothing.
            rest = manifest.lease / 4 if got is Next.TAKEN else LOOK_SECONDS
            shelf.rest[order.index] = time.monotonic() + rest
        else:
            self._alone = got.slots < executor.jobs
            self._under_way[got.folder] = _Attempt(shelf, order, place.device)
            executor.submit(got)

    def _started(self, manifest: Manifest) -> LocalExecutor:
        """The executor of this machine, made when the first cell is at hand."""
        if self._executor is None:
            here = self._jobs
            if here == "auto":
                threads = manifest.options.threads
                here = auto_jobs(self._devices_for(manifest), threads, CELL_BYTES)
            setting = RunSetting(self._root, self._jobs, here, self._forks)
            self._executor = LocalExecutor(setting)
        return self._executor

    def _devices_for(self, manifest: Manifest) -> tuple[str, ...]:
        asked = self._device or manifest.options.device
        if asked not in self._devices:
            self._devices[asked] = resolve_devices(asked, self._jobs)
        return self._devices[asked]

    def _free(self, manifest: Manifest) -> str:
        """The device with the fewest cells under way."""
        taken = [one.device for one in self._under_way.values()]
        return min(self._devices_for(manifest), key=taken.count)

    def _end(self, ended: Ended) -> None:
        one = self._under_way.pop(ended.spec.folder)
        shelf, order, self._alone = one.shelf, one.order, False
        self._look_at = 0.0  # others have settled orders while there was no room for any
        record = recorded(ended)
        self._say(f"{order.generator.name} seed {order.seed}: {record.status}")
        if self._taker.is_settled(shelf.manifest, order):
            self._settle(shelf, order)

    def _settle(self, shelf: _Shelf, order: Order) -> None:
        shelf.manifest.settle(order.index, self.name)
        shelf.left.pop(order.index, None)


def recorded(ended: Ended) -> Record:
    """The record of a claimed attempt whose worker ended; written here if there is none."""
    path = ended.spec.folder / RECORD
    if exists(path):
        with contextlib.suppress(StoreError):
            record = read_record(path)
            if ended.code != RecordedAlready.exit_code or cut_short(record):
                return record
        # Neither the worker nor whoever took it for dead: only a generator that was not confined.
        path.unlink()
    try:
        return record_of_death(ended.spec, ended.code)
    except RecordedAlready:
        return read_record(path)


@contextmanager
def _signals(worker: _Worker) -> Iterator[None]:
    """SIGINT and SIGTERM end a worker; SIGUSR1 does when its time is nearly over."""
    codes = {signal.SIGINT: STOPPED, signal.SIGTERM: STOPPED, signal.SIGUSR1: PENDING}

    def heard(number: int, frame: Any) -> None:
        worker.asked = codes[signal.Signals(number)]

    before = {number: signal.signal(number, heard) for number in codes}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
