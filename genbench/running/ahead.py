"""Classifiers trained ahead of their use, side by side, where cores of the run are idle.

The protocols train and test one classifier after the other. Before they do, as many processes as
there are slots train them and leave the weights in a folder, where the protocols then find them:
the same weights, as each training depends on its own rows and seed alone. Those that need no
metric may begin while metrics are computed (`Meanwhile`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from genbench.running.side_by_side import POLL_SECONDS, SideBySide
from genbench.system import Isolated, Slots, start_isolated

Work = Callable[[], object]


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
    slots.give(spare)  # it is taken again in its turn

    def tell(under_way: Sequence[Work]) -> None:
        done = len(works) - len(all_of_them.waiting) - len(under_way)
        progress(f"classifiers, {done} of {len(works)}")

    start = partial(start_isolated, log=log)
    all_of_them = SideBySide(works, start, lambda work, outcome: None, tell, slots)
    all_of_them.run()
    return True


class Meanwhile:
    """Works that a process of its own does while the caller is busy, and both once it is free.

    Each is done once. Where no slot is spare nothing begins, and `finish` is `train_ahead`.

    Parameters
    ----------
    works, slots, log
        See `train_ahead`; None for slots does nothing ahead at all.
    taken
        A folder in which the works that are begun are marked.
    """

    def __init__(self, works: Sequence[Work], slots: Slots | None, taken: Path, log: Path) -> None:
        self._works = [partial(_once, taken / f".begun-{i}", w) for i, w in enumerate(works)]
        self._slots = slots
        self._log = log
        self._slot = None if slots is None or not works else slots.spare()
        self._process: Isolated | None = None
        if self._slot is not None:
            self._process = start_isolated(self._all, log=log)

    def finish(self, progress: Callable[[str], None]) -> None:
        """Do what nobody has begun, and wait for the rest; `progress` may raise to stop."""
        if self._process is None:
            if self._slots is not None:
                train_ahead(self._works, self._slots, self._log, progress)
            return
        for i, work in enumerate(self._works):
            progress(f"classifiers, {i} of {len(self._works)}")
            work()
        while self._running():
            progress(f"classifiers, {len(self._works) - 1} of {len(self._works)}")

    def stop(self) -> None:
        """End what is under way, if anything is."""
        if self._process is not None:
            self._process.stop()
        while self._running():
            pass

    def _all(self) -> None:
        for work in self._works:
            work()

    def _running(self) -> bool:
        if self._process is not None and self._process.poll(POLL_SECONDS) is not None:
            self._process = None
            if self._slots is not None and self._slot is not None:
                self._slots.give(self._slot)
        return self._process is not None


def _once(mark: Path, work: Work) -> None:
    """Do `work` unless somebody has begun it, which `mark` tells."""
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    work()
