"""The course of training: samples of the states that a fit kept on its way. Light to import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from genbench.errors import ContractError, StoreError
from genbench.results import PROGRESS, snapshots_in, write_progress
from genbench.running.arrivals import checked_rows
from genbench.running.cellspec import CellSpec
from genbench.running.ledger import STATE, Ledger
from genbench.running.recording import COURSE
from genbench.running.wire import Array
from genbench.system import load_arrays, save_arrays


def points_of(folder: Path, served: int) -> dict[int, Path]:
    """The stored states of a fit by examples served, ascending; the last is the final one."""
    states = {n: path for n, path in snapshots_in(folder).items() if n < served}
    return {**states, served: folder / STATE}


class CourseLedger(Ledger):
    """The account of a process that samples stored states.

    Parameters
    ----------
    points
        Examples served, one for each state.
    """

    def __init__(self, spec: CellSpec, points: Iterable[int]) -> None:
        super().__init__(spec.suite.space, 0)
        self._points = set(points)
        self._rows = 0 if spec.suite.course is None else spec.suite.course.rows
        self._parts: dict[int, list[Mapping[str, Array]]] = {}
        self._at = 0
        self._progress = spec.folder / PROGRESS

    def progress(self, done: int, total: int, scalars: Mapping[str, float]) -> None:
        """See `genbench.running.events.EventListener`: of all states, not of one."""
        before = max(0, len(self._parts) - 1) * self._rows
        whole = len(self._points) * self._rows
        write_progress(self._progress, self.result.phase, before + int(done), whole)

    @property
    def most_bytes(self) -> int:
        """See `Ledger.most_bytes`."""
        return self.bytes_of(self._rows * len(self._points))

    def point(self, examples: int) -> None:
        """See `genbench.running.events.EventListener`."""
        if self.result.phase != "course" or examples not in self._points - set(self._parts):
            raise ContractError("the generator's process sent rows of a state that nobody stored")
        self._at = examples
        self._parts[examples] = []

    def rows(self, arrays: Mapping[str, Array]) -> None:
        """See `genbench.running.events.EventListener`."""
        parts = self._parts.get(self._at)
        if parts is None:
            raise ContractError("the generator's process sent rows that nobody asked for")
        parts.append(checked_rows(self.space, arrays))
        if set(arrays) != set(parts[0]):
            raise ContractError("the generator's process sent rows with labels and without")
        if sum(len(part["x"]) for part in parts) > self._rows:
            raise ContractError(f"the generator's process sent more than {self._rows} rows")

    def no_point(self, reason: str) -> None:
        """See `genbench.running.events.EventListener`."""
        self.lose(self._at, reason)

    def lose_all(self, reason: str) -> dict[str, str]:
        """No state has rows, for this reason."""
        for examples in self._points:
            self.lose(examples, reason)
        return dict(self.result.lost_points)

    @property
    def course_timing(self) -> dict[str, float]:
        """Seconds that the drawing took, apart from those of its preparation."""
        return {name: s for name, s in self.result.timing.items() if name.startswith("course_")}

    def drawn(self) -> dict[int, dict[str, Array]]:
        """The rows of every state that has all of them; of others it remembers that."""
        found = {}
        for examples in sorted(self._points):
            parts = self._parts.get(examples, [])
            if str(examples) in self.result.lost_points:
                continue
            if sum(len(part["x"]) for part in parts) == self._rows:
                found[examples] = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
            else:
                self.lose(examples, "it drew too few rows")
        return found


def settle(folder: Path, ledger: CourseLedger, problem: str | None) -> dict[str, str]:
    """Store the rows of a course in its attempt's folder; why some are missing, by examples.

    All are if its process met with a problem: the same command then draws it again.
    """
    if problem is not None:
        return ledger.lose_all(problem)
    drawn = ledger.drawn()
    arrays = {f"{n}_{at}": array for at, rows in drawn.items() for n, array in rows.items()}
    try:
        if arrays:
            save_arrays(folder / COURSE, arrays)
    except StoreError as error:  # a full disk costs the course alone
        for examples in drawn:
            ledger.lose(examples, f"its samples could not be stored: {error}")
    return dict(ledger.result.lost_points)


def drawn_in(folder: Path) -> dict[int, dict[str, Array]]:
    """The rows that `settle` stored, by examples served, ascending; empty where there are none."""
    found: dict[int, dict[str, Array]] = {}
    if (folder / COURSE).is_file():
        for name, array in load_arrays(folder / COURSE).items():
            kind, _, at = name.partition("_")
            found.setdefault(int(at), {})[kind] = array
    return dict(sorted(found.items()))
