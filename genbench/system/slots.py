"""The slots of a run: at how many places its cells and refits go on at the same time.

A slot is a byte of a file without a name that the processes of a run inherit; who works on it holds
the byte's lock. The system takes the lock from a process that ends, however that came about, and
does not pass it on to what that process forks. The byte after the last is held by those who wait.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL_SECONDS = 0.1
SAY_SECONDS = 10.0


class Slots:
    """Slots 0 to `n` - 1, shared with every process that inherited `file`; not between threads.

    That is an open file's descriptor, as `slots_file` makes it; None for slots of this process.
    """

    def __init__(self, file: int | None, n: int) -> None:
        self._file = slots_file() if file is None else file
        self._n = n
        self._mine: set[int] = set()  # a process may lock again what it has locked

    def take(self) -> int | None:
        """A slot that was free and is held now, or None."""
        for slot in range(self._n):
            if slot not in self._mine and self._lock(slot):
                self._mine.add(slot)
                return slot
        return None

    def spare(self) -> int | None:
        """A slot that nobody waits for, or None."""
        if not self._lock(self._n):
            return None
        self._unlock(self._n)
        return self.take()

    def give(self, slot: int) -> None:
        """Let go of a slot."""
        self._mine.discard(slot)
        self._unlock(slot)

    @contextmanager
    def one(self, giving_up: Callable[[], bool], waiting: Callable[[], None]) -> Iterator[None]:
        """Wait for a slot and hold it; go on without one once `giving_up` says so.

        `waiting` is called if there is none at first, and every `SAY_SECONDS` until there is one.
        """
        slot = self.take()
        if slot is None and not giving_up():
            slot = self._wait(giving_up, waiting)
        try:
            yield
        finally:
            if slot is not None:
                self.give(slot)

    def _wait(self, giving_up: Callable[[], bool], waiting: Callable[[], None]) -> int | None:
        """As soon as one is free, a slot; while it waits `spare` finds none."""
        fcntl.lockf(self._file, fcntl.LOCK_SH, 1, self._n)
        say_at = 0.0
        try:
            while (slot := self.take()) is None and not giving_up():
                if time.monotonic() >= say_at:
                    waiting()
                    say_at = time.monotonic() + SAY_SECONDS
                time.sleep(POLL_SECONDS)
            return slot
        finally:
            self._unlock(self._n)

    def _lock(self, byte: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError:  # another process has it
            return False
        return True

    def _unlock(self, byte: int) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, byte)


def slots_file() -> int:
    """The descriptor of a new file without a name, for `Slots` of this process and its children."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
