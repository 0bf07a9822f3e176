"""Run a function in a forked process that cannot take its caller down, nor outlive it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from genbench.system.proctree import adopt_orphans, children, core_seconds, end_children
from genbench.system.supervisor import STOP_SIGNALS, WorkOrder, supervise


@dataclass(frozen=True, slots=True)
class ProcessOutcome:
    """The end of an isolated process.

    Parameters
    ----------
    status
        ``returned`` (exit code 0), ``exited`` (another code), ``killed`` (by `signal_name`),
        ``timeout`` or ``oom`` (ended by us).
    peak_rss_bytes
        Greatest resident memory of its process tree seen while it ran.
    core_seconds
        CPU time of its process tree, user and system.
    """

    status: Literal["returned", "exited", "killed", "timeout", "oom"]
    code: int
    signal_name: str | None
    peak_rss_bytes: int
    seconds: float
    core_seconds: float = 0.0


class Isolated:
    """Work under way in a process of its own; made by `start_isolated`.

    A supervisor stands between it and the caller: a process that forks the work, adopts what it
    leaves behind, and ends with the whole tree or with the caller.
    """

    # A supervisor that was killed leaves its orphans to us, among these children of other origin.
    _supervisors: ClassVar[frozenset[int]] = frozenset()
    _others: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, supervisor: int, answer: int) -> None:
        self._supervisor = supervisor
        self._answer = answer
        self._start = time.monotonic()
        self._outcome: ProcessOutcome | None = None
        Isolated._supervisors |= {supervisor}

    def poll(self, seconds: float) -> ProcessOutcome | None:
        """Wait at most `seconds` for the end of the work and of all that it started."""
        if self._outcome is None and select.select([self._answer], [], [], seconds)[0]:
            self._outcome = self._ended()
        return self._outcome

    def stop(self) -> None:
        """Have it told to end: SIGTERM, and SIGKILL after `supervisor.GRACE_SECONDS`."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Have it ended at once, with all that it started."""
        self._signal(signal.SIGUSR1)

    def _signal(self, number: signal.Signals) -> None:
        if self._outcome is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._supervisor, number)

    def core_seconds(self) -> float:
        """CPU seconds that its process tree has used up to now."""
        if self._outcome is not None:
            return self._outcome.core_seconds
        return core_seconds(self._supervisor)

    def _ended(self) -> ProcessOutcome:
        parts = []
        while part := os.read(self._answer, 1 << 16):
            parts.append(part)
        os.close(self._answer)
        _, status = os.waitpid(self._supervisor, 0)
        Isolated._supervisors -= {self._supervisor}
        try:
            return ProcessOutcome(**json.loads(b"".join(parts)))
        except ValueError:  # the supervisor was killed, by the work or by the system
            end_children(Isolated._others | Isolated._supervisors)
            number = -os.waitstatus_to_exitcode(status)
            name = signal.Signals(number).name if number > 0 else "SIGKILL"
            return ProcessOutcome("killed", -number, name, 0, time.monotonic() - self._start)


def start_isolated(
    work: Callable[[], None],
    *,
    log: Path | None,
    timeout: float | None = None,
    memory_limit: int | None = None,
    keep_open: tuple[int, ...] = (),
    scratch: Path | None = None,
) -> Isolated:
    """Fork, and run `work` under a supervisor; several at once are told apart.

    Of the caller's open files it gets those of `keep_open` alone. Its stdout and stderr go to
    `log`, or to the caller's stderr, at most `supervisor.LOG_MAX_BYTES` of them. Whatever it
    started ends with it, daemons included (Linux; elsewhere what left its process group may stay).

    Parameters
    ----------
    timeout, memory_limit
        Seconds and bytes for its whole process tree; None for no limit.
    scratch
        A temporary folder, removed with it even if the caller is killed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    adopt_orphans()
    if not Isolated._supervisors:
        Isolated._others = frozenset(children(os.getpid()))
    order = WorkOrder(work, log, timeout, memory_limit, keep_open, scratch)
    caller = os.getpid()
    reader, writer = os.pipe()
    # Whatever is sent before the supervisor listens waits until it does.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    pid = os.fork()
    if pid == 0:
        Isolated._supervisors = frozenset()
        supervise(order, caller, writer)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    os.close(writer)
    return Isolated(pid, reader)


class IsolatedWork(Protocol):
    """Isolated work under way."""

    def poll(self, seconds: float) -> ProcessOutcome | None:
        """See `Isolated.poll`."""

    def stop(self) -> None:
        """Have the work told to end."""


def wait_for_end(running: IsolatedWork, stopping: Callable[[], bool]) -> ProcessOutcome:
    """Wait for the end; once `stopping` turns true the work is told to stop."""
    stop_sent = False
    while (outcome := running.poll(0.05)) is None:
        if not stop_sent and stopping():
            running.stop()
            stop_sent = True
    return outcome


def run_isolated(
    work: Callable[[], None],
    *,
    log: Path,
    stopping: Callable[[], bool],
    timeout: float | None = None,
) -> ProcessOutcome:
    """`start_isolated`, and `wait_for_end`."""
    return wait_for_end(start_isolated(work, log=log, timeout=timeout), stopping)
