"""What a running cell last said, and an estimate of the time that the run still takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.errors import StoreError
from genbench.plan import Cell
from genbench.store import PROGRESS, Store, read_json
from genbench.suite import Suite


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running cell last said of itself."""

    phase: str
    done: int
    total: int
    scalars: Mapping[str, float | None]
    detail: str = ""


def read_progress(folder: Path) -> Progress | None:
    """What the cell that runs in an attempt's folder last said, or None."""
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


class TimeLeft:
    """An estimate of the time left: what each generator's cells took so far."""

    def __init__(self, suite: Suite, store: Store) -> None:
        self._known: dict[tuple[str, bool], float] = {}
        for stored in store.records(store.root / suite.folder_name):
            wall = stored.record.times.get("wall_s")
            scored = stored.record.attempt.get("resumed_from") is not None
            if stored.record.status == "ok" and isinstance(wall, int | float):
                self._known[(stored.record.generator, scored)] = float(wall)

    def learn(self, cell: Cell, seconds: float) -> None:
        """A cell took so long."""
        self._known[self._key(cell)] = seconds

    def left(
        self, cell: Cell, elapsed: float, progress: Progress, waiting: Sequence[Cell]
    ) -> float | None:
        """Seconds left for `cell` and all waiting cells; None while nothing is known."""
        mine = self._known.get(self._key(cell))
        if progress.phase == "fit" and progress.total and progress.done:
            share = progress.done / progress.total
            fitted = elapsed / share
            mine = max(mine or 0.0, fitted)
        others = [self._known.get(self._key(c)) for c in waiting]
        known = [t for t in (mine, *others) if t is not None]
        if not known:
            return None
        typical = sum(known) / len(known)
        rest = max(0.0, (mine if mine is not None else typical) - elapsed)
        return rest + sum(t if t is not None else typical for t in others)

    @staticmethod
    def _key(cell: Cell) -> tuple[str, bool]:
        return cell.generator.name, cell.todo == "score"
