"""Work of one cell in processes of its own, side by side in slots that nobody waits for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from genbench.system import IsolatedWork, ProcessOutcome, Slots

OWN_SLOT = -1  # the slot that the caller holds
POLL_SECONDS = 0.1

T = TypeVar("T")


class SideBySide(Generic[T]):
    """Items of work that wait, and those under way with the slots that they hold.

    Parameters
    ----------
    waiting
        Taken from the left; more may be added while it runs.
    start
        Begins an item; None if there is nothing to do any more.
    ended
        Told how the process of an item ended.
    tell
        Told the items under way, again and again; may raise to stop.
    slots
        Where more slots than the caller's are taken from; None for that one alone.
    """

    def __init__(
        self,
        waiting: Iterable[T],
        start: Callable[[T], IsolatedWork | None],
        ended: Callable[[T, ProcessOutcome], None],
        tell: Callable[[Sequence[T]], None],
        slots: Slots | None,
    ) -> None:
        self.waiting = deque(waiting)
        self._calls = start, ended, tell
        self._slots = slots
        self._running: dict[int, tuple[T, IsolatedWork]] = {}  # by slot

    def run(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Until all have ended; once it is stopped none begins, and those under way are told."""
        start, _, tell = self._calls
        stopped = False
        try:
            while self._running or (self.waiting and not stopping()):
                while self.waiting and not stopping() and (slot := self._slot()) is not None:
                    item = self.waiting.popleft()
                    process = start(item)
                    if process is None:
                        self._free(slot)
                    else:
                        self._running[slot] = item, process
                if stopping() and not stopped:
                    stopped = True
                    self._stop()
                tell([item for item, _ in self._running.values()])
                self._look()
            tell([])
        finally:
            self._stop()
            while self._running:
                self._look()

    def _slot(self) -> int | None:
        if OWN_SLOT not in self._running:
            return OWN_SLOT
        return None if self._slots is None else self._slots.spare()

    def _free(self, slot: int) -> None:
        if slot != OWN_SLOT and self._slots is not None:
            self._slots.give(slot)

    def _stop(self) -> None:
        for _, process in self._running.values():
            process.stop()

    def _look(self) -> None:
        """Wait a moment for those under way, and free the slots of those that ended."""
        for slot, (item, process) in list(self._running.items()):
            outcome = process.poll(POLL_SECONDS / len(self._running))
            if outcome is not None:
                del self._running[slot]
                self._free(slot)
                self._calls[1](item, outcome)
