"""Run a function in a forked process that cannot take its caller down, nor outlive it."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

import psutil

LOG_MAX_BYTES = 4 << 20
GRACE_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an isolated process ended.

    Parameters
    ----------
    status
        ``returned`` (exit code 0), ``exited`` (another code), ``killed`` (by `signal_name`),
        ``timeout`` or ``oom`` (ended by us).
    peak_rss_bytes
        Greatest resident memory of its process tree seen while it ran.
    """

    status: Literal["returned", "exited", "killed", "timeout", "oom"]
    code: int
    signal_name: str | None
    peak_rss_bytes: int
    seconds: float


def run_isolated(
    work: Callable[[], None],
    *,
    log: Path,
    stopping: Callable[[], bool],
    timeout: float | None = None,
    memory_limit: int | None = None,
) -> Outcome:
    """Fork, run `work` in a process group of its own, and watch it until it ends.

    Its stdout and stderr go to `log`, of which at most `LOG_MAX_BYTES` are kept. When `stopping`
    turns true it gets SIGTERM, and SIGKILL after `GRACE_SECONDS`. Whatever it forked is killed
    with it, and so is any other process that the caller starts meanwhile: call this from a process
    that does nothing else.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    _adopt_orphans()
    ours = frozenset(psutil.Process().children())
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _child(work, writer)
    os.close(writer)
    with log.open("ab", buffering=0) as file:
        watch = _Watch(pid, ours, reader, file.write, stopping, timeout, memory_limit)
        try:
            return watch.until_end()
        finally:
            os.close(reader)


def _adopt_orphans() -> None:
    """Become the parent of descendants whose own ended, where the system can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def die_with_parent(parent: int) -> None:
    """End this process within a second of its parent's end, however that came about."""
    killed_with_parent(parent)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def killed_with_parent(parent: int) -> None:
    """Have the system kill this process when its parent ends, where the system can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            os.kill(os.getpid(), signal.SIGKILL)


def _child(work: Callable[[], None], writer: int) -> NoReturn:
    code = 1
    try:
        parent = os.getppid()
        os.setpgid(0, 0)
        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        faulthandler.enable(file=2, all_threads=False)
        die_with_parent(parent)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class _Watch:
    """The parent's side: copies the log, samples memory, enforces the limits."""

    def __init__(
        self,
        pid: int,
        ours: frozenset[psutil.Process],
        reader: int,
        write: Callable[[bytes], object],
        stopping: Callable[[], bool],
        timeout: float | None,
        memory_limit: int | None,
    ) -> None:
        self._pid = pid
        self._ours = ours
        self._reader = reader
        self._write = write
        self._stopping = stopping
        self._timeout = timeout
        self._memory_limit = memory_limit
        self._kept = 0
        self._peak = 0
        self._ended_by: Literal["timeout", "oom"] | None = None
        os.set_blocking(reader, False)

    def until_end(self) -> Outcome:
        start = time.monotonic()
        deadline = None if self._timeout is None else start + self._timeout
        kill_at: float | None = None
        next_sample = 0.0
        while True:
            ended, status = os.waitpid(self._pid, os.WNOHANG)
            if ended:
                break
            now = time.monotonic()
            if now >= next_sample:
                next_sample = now + 0.2
                self._sample_memory()
            if self._ended_by is None and deadline is not None and now > deadline:
                self._ended_by = "timeout"
            if kill_at is None and (self._stopping() or self._ended_by):
                kill_at = now + (GRACE_SECONDS if self._ended_by is None else 2.0)
                self._signal(signal.SIGTERM)
            if kill_at is not None and now > kill_at:
                self._kill_tree()
            self._copy_log(0.05)
        self._kill_tree()
        self._copy_log(0.0)
        return self._outcome(status, time.monotonic() - start)

    def _outcome(self, status: int, seconds: float) -> Outcome:
        code = os.waitstatus_to_exitcode(status)
        name = signal.Signals(-code).name if code < 0 else None
        if self._ended_by is not None:
            return Outcome(self._ended_by, code, name, self._peak, seconds)
        if code < 0:
            return Outcome("killed", code, name, self._peak, seconds)
        return Outcome("returned" if code == 0 else "exited", code, name, self._peak, seconds)

    def _sample_memory(self) -> None:
        rss = 0
        for process in self._theirs():
            with contextlib.suppress(psutil.Error):
                rss += process.memory_info().rss
        self._peak = max(self._peak, rss)
        if self._memory_limit is not None and rss > self._memory_limit:
            self._ended_by = "oom"
            self._kill_tree()

    def _copy_log(self, wait: float) -> None:
        while select.select([self._reader], [], [], wait)[0]:
            data = os.read(self._reader, 1 << 16)
            if not data:
                if wait:
                    time.sleep(wait)
                return
            room = LOG_MAX_BYTES - self._kept
            if room > 0:
                with contextlib.suppress(OSError):  # a full disk costs the log, not the cell
                    self._write(data[:room])
                    if len(data) > room:
                        self._write(b"\n[log cut here: more than 4 MiB]\n")
            self._kept += len(data)
            wait = 0.0

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, number)

    def _kill_tree(self) -> None:
        """SIGKILL to its group, and to all that left the group or whose parent is gone."""
        self._signal(signal.SIGKILL)
        for process in self._theirs():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _theirs(self) -> Iterator[psutil.Process]:
        """The process and all that it started; where their parents are gone, they are ours now."""
        with contextlib.suppress(psutil.Error):
            for child in set(psutil.Process().children()) - self._ours:
                yield from _descendants(child)
                yield child
