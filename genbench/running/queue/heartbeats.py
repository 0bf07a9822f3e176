"""Heartbeats of workers, and the judgement that one is dead.

A heartbeat is a file that its worker writes anew again and again. Who watches it looks whether it
has changed, by the watcher's own steady clock: no time of day is written or read.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from genbench.errors import StoreError
from genbench.results import new_ulid
from genbench.running.queue.manifest import QUEUE
from genbench.system import read_json, serialise, write_bytes

WORKERS = "workers"
BEATS = 6  # in a lease, so that some may be late
LOOK_SECONDS = 0.5  # at the clock, as the lease may turn out to be shorter


def new_worker() -> str:
    """A name for a worker, unlike that of any other: its machine, its process, some letters."""
    host = "".join(c if c.isascii() and c.isalnum() else "-" for c in socket.gethostname())[:40]
    return f"{host}-{os.getpid()}-{new_ulid()[-8:].lower()}"


def heartbeat_file(root: Path, worker: str) -> Path:
    """The heartbeat of a worker of a results directory."""
    return root / QUEUE / WORKERS / f"{worker}.json"


def news_of(root: Path, worker: str) -> dict[str, Any] | None:
    """The heartbeat of a worker as it is now, or None."""
    with contextlib.suppress(StoreError):
        body = read_json(heartbeat_file(root, worker))
        return body if isinstance(body, dict) else None
    return None


class Heart:
    """The heartbeat of this worker, from a thread of its own: work may keep the others busy.

    Parameters
    ----------
    news
        Said with every beat: the attempts under way.
    """

    def __init__(self, root: Path, worker: str, lease: float, news: Callable[[], Any]) -> None:
        self._path = heartbeat_file(root, worker)
        self._news = news
        self._seconds = lease / BEATS
        self._beats = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heart:
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def hurry(self, lease: float) -> None:
        """Beat for a shorter lease from now on, if it is shorter."""
        self._seconds = min(self._seconds, lease / BEATS)

    def _run(self) -> None:
        beaten = time.monotonic()
        while not self._ended.wait(min(self._seconds, LOOK_SECONDS)):
            if time.monotonic() - beaten >= self._seconds:
                beaten = time.monotonic()
                with contextlib.suppress(StoreError):  # a full disk may be emptied in time
                    self._beat()

    def _beat(self) -> None:
        self._beats += 1
        body = {"beat": self._beats, "cells": self._news()}
        write_bytes(self._path, serialise(body), sync=False)


class Watch:
    """The heartbeats of other workers, as seen from here."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._seen: dict[str, tuple[Any, float]] = {}

    def silence(self, worker: str) -> float:
        """Seconds for which a worker's heartbeat has not changed while it was watched."""
        beat = (news_of(self._root, worker) or {}).get("beat")
        now = self._clock()
        before = self._seen.get(worker)
        if before is None or before[0] != beat:
            self._seen[worker] = (beat, now)
            return 0.0
        return now - before[1]
