"""The process between a caller and isolated work: it forks the work, watches and ends it.

It does nothing else and holds nothing of anyone's, so that it can adopt whatever the work leaves
behind and need spare no other process when it ends the tree.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import fcntl
import gc
import json
import os
import resource
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import psutil

from genbench.system.proctree import adopt_orphans, descendants, end_children, kill_children

LOG_MAX_BYTES = 4 << 20
GRACE_SECONDS = 20.0
OVERDUE_SECONDS = 2.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # to stop, to end at once
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """The order to a supervisor. Limits are seconds and bytes of the whole tree; None is no limit.

    Stdout and stderr of the work are appended to the file `log`, or go to this process's stderr. Of
    the caller's open files the work is given those to `keep`; `scratch`, its temporary folder, is
    removed with it.
    """

    work: Callable[[], None]
    log: Path | None
    timeout: float | None
    memory_limit: int | None
    keep: tuple[int, ...] = ()
    scratch: Path | None = None


def supervise(order: WorkOrder, caller: int, answer: int) -> NoReturn:
    """Be the supervisor: run the work to its end, tell `answer` how it ended, and end."""
    try:
        os.setsid()  # out of reach of signals to the caller's group, and of those to the work's
        gc.disable()  # memory that is not touched stays shared with the caller
        adopt_orphans()
        supervisor = _Supervisor(order, caller)
        _close_others({answer, *order.keep})
        ending = supervisor.run()
        if order.scratch is not None:  # here, as the caller may have been killed
            shutil.rmtree(order.scratch, ignore_errors=True)
        os.write(answer, json.dumps(ending).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def die_with_parent(parent: int) -> None:
    """End this process within a second of its parent's end, however that came about.

    Where the system does it no thread is started: this process may fork.
    """
    if killed_with_parent(parent):
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def settled(log: Path, seconds: float = 5.0) -> None:
    """Wait until no supervisor appends to `log`, at most `seconds`.

    A supervisor whose caller was killed needs a moment to notice it and to end its tree.
    """
    deadline = time.monotonic() + seconds
    with contextlib.suppress(OSError), log.open("rb") as file:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                time.sleep(0.02)


def killed_with_parent(parent: int) -> bool:
    """Have the system kill this process when its parent ends; whether it can (Linux)."""
    if sys.platform != "linux":
        return False
    granted = bool(ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), signal.SIGKILL)
    return granted


def _close_others(kept: set[int]) -> None:
    """Put /dev/null in the place of every open file but the kept and the first three.

    They are not closed: objects inherited from the caller close their numbers when they go.
    """
    devnull = os.open(os.devnull, os.O_RDWR)
    for name in os.listdir("/dev/fd"):
        number = int(name)
        if number > 2 and number != devnull and number not in kept:
            with contextlib.suppress(OSError):
                os.fstat(number)
                os.dup2(devnull, number)
    os.close(devnull)


def _work(order: WorkOrder, output: int) -> NoReturn:
    """Be the work."""
    code = 1
    try:
        supervisor = os.getppid()
        os.setsid()
        gc.enable()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _close_others(set(order.keep))
        faulthandler.enable(file=2, all_threads=False)
        die_with_parent(supervisor)
        order.work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class _Supervisor:
    """Copies the log, samples memory, enforces the limits, ends the tree."""

    def __init__(self, order: WorkOrder, caller: int) -> None:
        self._order = order
        self._caller = caller
        self._kept = 0
        self._peak = 0
        self._stopping = False
        self._killing = False
        self._ended_by: str | None = None

    def run(self) -> dict[str, Any]:
        """Run the work to its end and end what it leaves; how that went, as JSON data."""
        reader, writer = os.pipe()
        wake_reader, wake_writer = os.pipe()
        for end in (wake_reader, wake_writer, reader):
            os.set_blocking(end, False)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGUSR1, self._on_kill)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _work(self._order, writer)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        os.close(writer)
        for number in self._order.keep:  # whoever reads from the work hears when it ends
            os.close(number)
        with self._opened_log() as log:
            self._wakes = [reader, wake_reader]
            self._reader, self._log = reader, log
            status = self._watch(pid, start)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            end_children()
            self._copy_log()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = os.waitstatus_to_exitcode(status)
        return {
            "status": self._ended_by
            or ("killed" if code < 0 else "exited" if code else "returned"),
            "code": code,
            "signal_name": signal.Signals(-code).name if code < 0 else None,
            "peak_rss_bytes": self._peak,
            "seconds": time.monotonic() - start,
            "core_seconds": used.ru_utime + used.ru_stime,
        }

    def _opened_log(self) -> IO[bytes]:
        if self._order.log is None:
            return os.fdopen(os.dup(2), "wb", buffering=0)
        log = self._order.log.open("ab", buffering=0)
        with contextlib.suppress(OSError):  # a file system without locks: `settled` waits for none
            fcntl.flock(log, fcntl.LOCK_SH)
        return log

    def _on_kill(self, number: int, frame: Any) -> None:
        self._killing = True

    def _on_stop(self, number: int, frame: Any) -> None:
        self._stopping = True

    def _watch(self, pid: int, start: float) -> int:
        """Until the work has ended by itself or by us: its wait status."""
        deadline = None if self._order.timeout is None else start + self._order.timeout
        kill_at: float | None = None
        next_sample = 0.0
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status
            now = time.monotonic()
            if now >= next_sample:
                self._sample_memory()
                next_sample = now + 0.2
            if self._ended_by is None and deadline is not None and now > deadline:
                self._ended_by = "timeout"
            if kill_at is None and (self._stopping or self._ended_by):
                kill_at = now + (OVERDUE_SECONDS if self._ended_by else GRACE_SECONDS)
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGTERM)
            overdue = self._killing or (kill_at is not None and now > kill_at)
            if overdue or self._ended_by == "oom" or os.getppid() != self._caller:
                kill_children()
                return os.waitpid(pid, 0)[1]
            self._wait()

    def _wait(self) -> None:
        ready = select.select(self._wakes, [], [], 0.05)[0]
        if self._reader in ready:
            self._copy_log()
        for end in ready:
            if end != self._reader:
                with contextlib.suppress(BlockingIOError):
                    os.read(end, 4096)

    def _sample_memory(self) -> None:
        rss = 0
        for process in descendants(os.getpid()):
            with contextlib.suppress(psutil.Error):
                rss += process.memory_info().rss
        self._peak = max(self._peak, rss)
        if self._order.memory_limit is not None and rss > self._order.memory_limit:
            self._ended_by = "oom"

    def _copy_log(self) -> None:
        """Append what there is; a full disk costs the log, not the cell."""
        while True:
            try:
                data = os.read(self._reader, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._wakes = [end for end in self._wakes if end != self._reader]
                return
            room = LOG_MAX_BYTES - self._kept
            if room > 0:
                with contextlib.suppress(OSError):
                    self._log.write(data[:room])
                    if len(data) > room:
                        self._log.write(b"\n[log cut here: more than 4 MiB]\n")
            self._kept += len(data)
