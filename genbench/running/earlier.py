"""Earlier attempts at a cell: their records in short, and the checkpoints that they left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.results import CHECKPOINT, RECORD, Record, Status, Store, Stored, read_record
from genbench.running.recording import WORKER_LOST
from genbench.system import inside

MOST_THREADS = 1024


@dataclass(frozen=True, slots=True)
class Earlier:
    """An attempt that has its record, in as much of it as a plan of many cells can hold.

    Parameters
    ----------
    number
        Its number, from 1 on.
    was_cut_short
        Whether it was ended from outside: `cut_short`.
    """

    folder: Path
    number: int
    status: Status
    was_cut_short: bool

    @classmethod
    def of(cls, stored: Stored) -> Earlier:
        """As a record tells it."""
        record = stored.record
        number = int(record.attempt.get("n", 1))
        return cls(stored.folder, number, record.status, cut_short(record))

    def stored(self) -> Stored:
        """Its record, read again; `StoreError` if it has changed since."""
        return Stored(read_record(self.folder / RECORD), self.folder)


def cut_short(record: Record) -> bool:
    """Whether the attempt ended from outside: stopped, or its worker was killed."""
    error = record.error or {}
    return record.status == "interrupted" or error.get("type") == WORKER_LOST


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The checkpoint of a fit that stopped, and the threads with which it had come there.

    Only with as many do the rest of a fit and a whole one give the same bytes.
    """

    path: Path
    threads: int


def checkpoint_of(store: Store, folder: Path, key: str, latest: Stored | None) -> Checkpoint | None:
    """The newest checkpoint of this cell: of an attempt killed without a record, or of `latest`."""
    for attempt, order in store.unfinished(store.root / folder):
        if order.get("cell_key") == key:
            found = _with_threads(inside(attempt, CHECKPOINT), order)
            if found is not None and (latest is None or attempt.name > latest.record.record_id):
                return found
    if latest is None:
        return None
    return _with_threads(latest.artifact("checkpoint"), latest.record.environment)


def _with_threads(path: Path | None, stated: Mapping[str, Any]) -> Checkpoint | None:
    threads = threads_of(stated)
    return Checkpoint(path, threads) if path is not None and threads is not None else None


def threads_of(stated: Mapping[str, Any]) -> int | None:
    """The threads that an order or an environment names, if that is a number of threads."""
    threads = stated.get("threads")
    return threads if isinstance(threads, int) and 0 < threads <= MOST_THREADS else None
