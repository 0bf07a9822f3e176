"""The progress of running cells, and an estimate of the time that the run still takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.errors import StoreError
from genbench.results import CONTROLS, PROGRESS, Store
from genbench.running import refits
from genbench.running.cells import Cell
from genbench.system import read_json
from genbench.tasks import Suite, protocols


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
        self._budget = suite.budget
        asked = protocols.read(suite.document)
        each = asked.augmentation.budget if asked else 0
        self._refits = each * len(list(refits.jobs(asked))) if asked else 0
        self._known: dict[tuple[str, bool], float] = {}
        for stored in store.each_record(store.root / suite.folder_name):
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
        cells = [*(one.cell for one in running), *waiting]
        filled = _filled([*whole, *others], [cell.generator.is_control for cell in cells])
        if filled is None:
            return None
        rests = [
            max(0.0, all_of_it - one.seconds)
            for all_of_it, one in zip(filled, running, strict=False)
        ]
        work = sum(rests) + sum(filled[len(running) :])
        return max([work / self._jobs, *rests])

    def _whole(self, one: Running) -> float | None:
        """Seconds that a running cell takes from beginning to end, if anything tells.

        Examples are served at one speed: those of the fit, and those of the refits after it.
        """
        known = self._known.get(self._key(one.cell))
        progress = one.progress
        if progress is None or progress.phase not in ("fit", "refit"):
            return known
        before = self._budget if progress.phase == "refit" else 0
        after = self._refitted(one.cell) if progress.phase == "fit" else 0
        if not before + progress.done:
            return known
        whole = (before + progress.total + after) / (before + progress.done)
        return max(known or 0.0, one.seconds * whole + self._scoring())

    def _refitted(self, cell: Cell) -> int:
        """Examples that a cell's refits are served after its fit."""
        if "downstream" not in cell.parts or cell.generator.is_control:
            return 0
        return self._refits

    def _scoring(self) -> float:
        """Seconds of scoring alone: the mean of the controls, which do little else."""
        known = [t for (name, scored), t in self._known.items() if name in CONTROLS and not scored]
        return sum(known) / len(known) if known else 0.0

    @staticmethod
    def _key(cell: Cell) -> tuple[str, bool]:
        return cell.generator.name, cell.todo == "score"


def _filled(times: Sequence[float | None], alike: Sequence[bool]) -> list[float] | None:
    """Every time that is not known as the mean of the known ones of its like, or else of all."""
    known = [t for t in times if t is not None]
    if not known:
        return None
    typical = {
        like: [t for t, other in zip(times, alike, strict=True) if t is not None and other == like]
        or known
        for like in set(alike)
    }
    return [
        sum(typical[like]) / len(typical[like]) if t is None else t
        for t, like in zip(times, alike, strict=True)
    ]
