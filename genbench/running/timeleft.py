"""The progress of running cells, and an estimate of the time that the run still takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.errors import StoreError
from genbench.results import PROGRESS, Store
from genbench.running.cells import Cell
from genbench.system import read_json
from genbench.tasks import Suite


@dataclass(frozen=True, slots=True)
class Progress:
    """The last progress of a running cell."""

    phase: str
    done: int
    total: int
    scalars: Mapping[str, float | None]
    detail: str = ""


def read_progress(folder: Path) -> Progress | None:
    """The last progress of the cell that runs in an attempt's folder, or None."""
    try:
        body = read_json(folder / PROGRESS)
        return Progress(
            str(body["phase"]),
            int(body["done"]),
            int(body["total"]),
            dict(body["scalars"]),
            str(body.get("what", "")),
        )
    except (StoreError, KeyError, TypeError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class Running:
    """A cell under way: for how many seconds, and what it said last."""

    cell: Cell
    seconds: float
    progress: Progress | None


class TimeLeft:
    """An estimate of the time left: what each generator's cells took so far.

    Parameters
    ----------
    jobs
        Cells that go on at a time.
    """

    def __init__(self, suite: Suite, store: Store, jobs: int) -> None:
        self._jobs = jobs
        self._known: dict[tuple[str, bool], float] = {}
        for stored in store.records(store.root / suite.folder_name):
            wall = stored.record.times.get("wall_s")
            scored = stored.record.attempt.get("resumed_from") is not None
            if stored.record.status == "ok" and isinstance(wall, int | float):
                self._known[(stored.record.generator, scored)] = float(wall)

    def learn(self, cell: Cell, seconds: float) -> None:
        """A cell took so long."""
        self._known[self._key(cell)] = seconds

    def left(self, running: Sequence[Running], waiting: Sequence[Cell]) -> float | None:
        """Seconds left for all running and waiting cells; None while nothing is known.

        The longest of the running cells ends no earlier than it would alone.
        """
        whole = [self._whole(one) for one in running]
        others = [self._known.get(self._key(cell)) for cell in waiting]
        known = [t for t in (*whole, *others) if t is not None]
        if not known:
            return None
        typical = sum(known) / len(known)
        rests = [
            max(0.0, (typical if t is None else t) - one.seconds)
            for t, one in zip(whole, running, strict=True)
        ]
        work = sum(rests) + sum(typical if t is None else t for t in others)
        return max([work / self._jobs, *rests])

    def _whole(self, one: Running) -> float | None:
        """Seconds that a running cell takes from beginning to end, if anything tells."""
        known = self._known.get(self._key(one.cell))
        progress = one.progress
        if progress is not None and progress.phase == "fit" and progress.total and progress.done:
            return max(known or 0.0, one.seconds * progress.total / progress.done)
        return known

    @staticmethod
    def _key(cell: Cell) -> tuple[str, bool]:
        return cell.generator.name, cell.todo == "score"
