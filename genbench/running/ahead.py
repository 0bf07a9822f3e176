"""Classifiers trained ahead of their use, side by side, where cores of the run are idle.

The protocols train and test one classifier after the other. Before they do, as many processes as
there are slots train them and leave the weights in a folder, where the protocols then find them:
the same weights, as each training depends on its own rows and seed alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from genbench.running.side_by_side import SideBySide
from genbench.system import Slots, start_isolated

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
