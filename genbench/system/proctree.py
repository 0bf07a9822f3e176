"""Process trees: who is in one, what it costs, and how all of it is ended.

A process can leave its group and its session, and a daemon has no parent: what ties it to us is
that orphans are given to the nearest ancestor that asked for them (`adopt_orphans`, Linux).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_END_SECONDS = 60.0  # a process that waits for a dead disk cannot even be killed
_STOP_SECONDS = 0.1


def adopt_orphans() -> None:
    """Become the parent of descendants whose own ended, where the system can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def descendants(pid: int) -> list[psutil.Process]:
    """All processes below `pid`; those that end meanwhile may be among them."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return []


def core_seconds(pid: int) -> float:
    """CPU seconds that the processes below `pid` have used, those it has waited for included."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        own = psutil.Process(pid).cpu_times()
        total += own.children_user + own.children_system
    for process in descendants(pid):
        with contextlib.suppress(psutil.Error):
            total += sum(process.cpu_times()[:4])  # its own and its children's, user and system
    return total


def end_children(spare: frozenset[int] = frozenset()) -> None:
    """End every process below this one until none is left, however fast they fork.

    What leaves its group at every fork is found again among our own children, whom it comes to as
    an orphan. Children to `spare` are left alone, with all below them.
    """
    end = time.monotonic() + _END_SECONDS
    while _reap(spare) and time.monotonic() < end:
        kill_children(spare)


def kill_children(spare: frozenset[int] = frozenset()) -> None:
    """SIGKILL to all below this process; they are not waited for.

    They are stopped before any is killed, so that none answers another's end, and killed by group
    as well: the system lets no fork out of a group that is being killed.
    """
    seen: set[int] = set()
    end = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < end:
        new = [(pid, group) for pid, group in _below(os.getpid(), spare) if pid not in seen]
        for pid, group in new:
            _kill(pid, group, signal.SIGSTOP)
        seen |= {pid for pid, _ in new}
        if not new:
            break
    for pid, group in list(_below(os.getpid(), spare)):
        _kill(pid, group, signal.SIGKILL)


def _kill(pid: int, group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
    if group not in (0, os.getpgrp()):  # one that we have just forked is still in ours
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _reap(spare: frozenset[int]) -> bool:
    """Wait for children that have ended; whether any is left."""
    if spare:
        # The quick list can miss one while another ends: only a look at every process can say none.
        listed = [pid for pid in children(os.getpid()) if pid not in spare and _is_left(pid)]
        return bool(listed) or any(
            _is_left(child.pid) for child in psutil.Process().children() if child.pid not in spare
        )
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


def _is_left(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False


def _below(pid: int, spare: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Processes below `pid` that live, each with its process group."""
    for child in children(pid):
        if child in spare:
            continue
        group = _living_group(child)
        if group is not None:
            yield child, group
        yield from _below(child, spare)


def children(pid: int) -> list[int]:
    """Pids of the children of a process. Reading them must take less time than a fork."""
    if sys.platform != "linux":
        with contextlib.suppress(psutil.Error):
            return [child.pid for child in psutil.Process(pid).children()]
        return []
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
                found += map(int, words)
    return found


def _living_group(pid: int) -> int | None:
    """The group of a process; None of one that has ended and is waited for."""
    if sys.platform != "linux":
        with contextlib.suppress(OSError):
            return os.getpgid(pid)
        return None
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[2])
