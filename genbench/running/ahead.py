"""Classifiers trained ahead of their use, side by side, where cores of the run are idle.

The protocols train and test one classifier after the other. Before they do, as many processes as
there are slots train them and leave the weights in a folder, where the protocols then find them:
the same weights, as each training depends on its own rows and seed alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from genbench.system import Isolated, Slots, start_isolated

OWN_SLOT = -1  # the slot that the caller holds
POLL_SECONDS = 0.1

Work = Callable[[], None]


def train_ahead(
    works: Sequence[Work], slots: Slots, log: Path, progress: Callable[[str], None]
) -> bool:
    """Do `works` side by side in processes of their own; nothing, and False, if no slot is spare.

    Parameters
    ----------
    works
        Each trains some classifiers and leaves their weights; what fails is done again in its turn.
    slots
        The caller holds one, which is used too.
    progress
        Told how far they are; may raise to stop.
    """
    spare = slots.spare() if len(works) > 1 else None
    if spare is None:
        return False
    _Ahead(works, slots, spare, log, progress).run()
    return True


class _Ahead:
    """Works that wait, and those under way with the slots that they hold."""

    def __init__(
        self,
        works: Sequence[Work],
        slots: Slots,
        spare: int,
        log: Path,
        progress: Callable[[str], None],
    ) -> None:
        self._waiting = deque(works)
        self._all = len(works)
        self._slots = slots
        self._free = [OWN_SLOT, spare]
        self._log = log
        self._progress = progress
        self._running: list[tuple[Isolated, int]] = []

    def run(self) -> None:
        """Until all are done; those under way end with whatever `progress` raises."""
        try:
            while self._waiting or self._running:
                done = self._all - len(self._waiting) - len(self._running)
                self._progress(f"classifiers, {done} of {self._all}")
                self._start()
                self._look()
        finally:
            for process, _ in self._running:
                process.stop()
            while self._running:
                self._look()
            self._give_back()

    def _start(self) -> None:
        while self._waiting and (slot := self._slot()) is not None:
            process = start_isolated(self._waiting.popleft(), log=self._log)
            self._running.append((process, slot))

    def _slot(self) -> int | None:
        return self._free.pop(0) if self._free else self._slots.spare()

    def _look(self) -> None:
        """Wait a moment for those under way, and free the slots of those that ended."""
        for process, slot in list(self._running):
            if process.poll(POLL_SECONDS / len(self._running)) is not None:
                self._running.remove((process, slot))
                self._free.append(slot)
                self._give_back()

    def _give_back(self) -> None:
        """All but the caller's own: a cell that waits comes first."""
        for slot in self._free:
            if slot != OWN_SLOT:
                self._slots.give(slot)
        self._free = [slot for slot in self._free if slot == OWN_SLOT]
