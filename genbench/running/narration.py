"""A run in lines of text: the plan, what each cell is doing, how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from genbench.errors import one_line, shorten
from genbench.results import Record
from genbench.running.cells import Cell
from genbench.running.timeleft import Progress
from genbench.tasks import Suite

SAY_SECONDS = 15.0

PHASES = {
    "waiting": "waiting for a free core",
    "import": "loading",
    "data": "reading data",
    "fit": "training",
    "sample": "sampling",
    "state": "saving",
    "log_prob": "likelihood",
    "codes": "codes",
    "course": "sampling earlier states",
    "refit": "fitting anew",
    "metrics": "scoring",
}


class Lines:
    """A line per cell, and one every quarter minute of each that runs.

    Parameters
    ----------
    say
        Takes a line for people.
    emit
        Takes each ended cell as data, if anyone wants it.
    """

    def __init__(
        self,
        suite: Suite,
        say: Callable[[str], None],
        emit: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.suite = suite
        self._say = say
        self._emit = emit
        self._cells = 0
        self.todo = 0
        self.count = 0
        self._said: dict[str, float] = {}  # by cell, when it was last spoken of

    def say(self, text: str) -> None:
        """Tell people a line; names and messages in it are strangers' text."""
        self._say(one_line(text))

    def planned(self, cells: Sequence[Cell], jobs: int) -> None:
        self._cells = len(cells)
        self.todo = sum(c.todo not in ("done", "kept") for c in cells)
        again = sum(c.todo == "score" for c in cells)
        more = f", {again} of them from stored samples" if again else ""
        more += f", {jobs} at a time" if jobs > 1 and self.todo else ""
        self.say(
            f"{self.suite.name} {self.suite.version}, profile {self.suite.profile}: "
            f"{self._cells} cells, {self.todo} to do{more}"
        )
        for cell in cells:
            for problem in cell.unusable:
                self.say(
                    f"{problem.path}: {problem.reason}: it does not count, and is left "
                    "where it is (genbench results verify lists all such)"
                )
            if cell.todo == "run" and cell.latest is not None:
                status = cell.latest.status
                why = "--fresh" if status in ("ok", "skipped") else f"it was {status}"
                self.say(f"{cell.label} runs again: {why}")
            elif cell.todo == "resume":
                threads = f", with {cell.threads} threads as it began" if cell.threads > 1 else ""
                self.say(f"{cell.label} continues from its checkpoint{threads}")

    def started(self, cell: Cell) -> None:
        self._said[cell.key] = time.monotonic()

    def progressed(self, cell: Cell, progress: Progress, seconds_left: float | None) -> None:
        if time.monotonic() - self._said[cell.key] >= SAY_SECONDS:
            self._said[cell.key] = time.monotonic()
            self.say(f"  {cell.label}: {describe(progress)}{left(seconds_left)}")

    def again_alone(self, cell: Cell) -> None:
        self.say(f"{cell.label} needs more memory than its share: it runs again, alone, at the end")

    def ended(self, cell: Cell, record: Record) -> None:
        self.count += 1
        self.say(f"[{self.count}/{self.todo}] {cell.label}: {self.outcome(record)}")
        for note in notes_of(record):
            self.say(f"  note: {note}")
        if self._emit is not None:
            self._emit(cell_line(record))

    def remarked(self, text: str) -> None:
        self.say(text)

    def stopping(self, hard: bool) -> None:
        self.say("stopping now" if hard else "finishing what is being written; once more stops now")

    def outcome(self, record: Record) -> str:
        """One cell's result in a few words."""
        if record.status != "ok":
            error = record.error or {}
            return f"{record.status} in {error.get('phase')}: {error.get('message')}"
        value = record.metrics.get(self.suite.primary)
        number = "" if value is None or value.value is None else f"{value.value:.4g}"
        seconds = record.times.get("wall_s", 0)
        return f"ok, {self.suite.primary} {number}, {seconds:.0f} s"


def notes_of(record: Record) -> tuple[str, ...]:
    """The notes of the generator's process on its samples."""
    notes = record.resources.get("notes")
    return tuple(shorten(str(note), 400) for note in notes) if isinstance(notes, list) else ()


def describe(progress: Progress) -> str:
    """The present work of a cell, in a few words."""
    words = [PHASES.get(progress.phase, progress.phase)]
    if progress.detail:
        words.append(progress.detail)
    if progress.total:
        words.append(f"{progress.done:,} of {progress.total:,}")
    words += [f"{k} {v:.4g}" for k, v in sorted(progress.scalars.items()) if v is not None]
    return " · ".join(words)


def left(seconds: float | None) -> str:
    """The time that a whole run still takes, to the precision that such an estimate deserves."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f" · about {max(5, round(seconds / 5) * 5)} s left in all"
    return f" · about {round(seconds / 60)} min left in all"


def cell_line(record: Record) -> dict[str, Any]:
    """A record as one line of ``--json``."""
    return {
        "record_id": record.record_id,
        "generator": record.generator,
        "params": dict(record.cell["generator"]["params"]),
        "seed": record.seed,
        "status": record.status,
        "error": None if record.error is None else record.error.get("message"),
        "metrics": {
            name: {"status": m.status, "value": m.value, "reason": m.reason}
            for name, m in record.metrics.items()
        },
        "notes": list(notes_of(record)),
        "timing": dict(record.timing),
    }
