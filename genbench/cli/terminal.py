"""What a run shows: a live line on a terminal, a line per cell elsewhere, JSON lines if asked."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table

from genbench.plan import Cell
from genbench.publish import task_results
from genbench.records import Record
from genbench.report.columns import Column
from genbench.report.rows import Row, table
from genbench.report.rows import Table as Leaderboard
from genbench.runner import Listener, Progress, RunResult
from genbench.store import Store
from genbench.suite import Suite

PHASES = {
    "import": "loading",
    "data": "reading data",
    "fit": "training",
    "sample": "sampling",
    "state": "saving",
    "log_prob": "likelihood",
    "metrics": "scoring",
}


@contextmanager
def listener(suite: Suite, *, as_json: bool) -> Iterator[Listener]:
    """Whoever shows a run of `suite`, for as long as it lasts."""
    if sys.stderr.isatty():
        with Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[news]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        ) as bars:
            yield _Live(suite, bars, as_json)
    else:
        yield _Lines(suite, as_json)


class _Lines:
    """A line per cell, and one every quarter minute while it runs."""

    def __init__(self, suite: Suite, as_json: bool) -> None:
        self.suite = suite
        self._as_json = as_json
        self._cells = 0
        self._todo = 0
        self._count = 0
        self._last = 0.0

    def planned(self, cells: Sequence[Cell]) -> None:
        self._cells = len(cells)
        self._todo = sum(c.todo not in ("done", "kept") for c in cells)
        again = sum(c.todo == "score" for c in cells)
        more = f", {again} of them from stored samples" if again else ""
        self.say(
            f"{self.suite.name} {self.suite.version}, profile {self.suite.profile}: "
            f"{self._cells} cells, {self._todo} to do{more}"
        )
        for cell in cells:
            if cell.todo == "run" and cell.latest is not None:
                status = cell.latest.record.status
                why = "--fresh" if status in ("ok", "skipped") else f"it was {status}"
                self.say(f"{cell.label} runs again: {why}")
            elif cell.todo == "resume":
                self.say(f"{cell.label} continues from its checkpoint")

    def started(self, cell: Cell) -> None:
        self._last = time.monotonic()

    def progressed(self, cell: Cell, progress: Progress, seconds_left: float | None) -> None:
        if time.monotonic() - self._last >= 15:
            self._last = time.monotonic()
            self.say(f"  {cell.label}: {describe(progress)}{left(seconds_left)}")

    def ended(self, cell: Cell, record: Record) -> None:
        self._count += 1
        self.say(f"[{self._count}/{self._todo}] {cell.label}: {self.outcome(record)}")
        if self._as_json:
            click.echo(json.dumps(cell_line(record), sort_keys=True, allow_nan=False))

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

    def say(self, text: str) -> None:
        """A line for people."""
        click.echo(text, err=True)


class _Live(_Lines):
    """A bar per running cell that is redrawn in place."""

    def __init__(self, suite: Suite, bars: Bars, as_json: bool) -> None:
        super().__init__(suite, as_json)
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def started(self, cell: Cell) -> None:
        self._tasks[cell.key] = self._bars.add_task(cell.label, total=None, news="starting")

    def progressed(self, cell: Cell, progress: Progress, seconds_left: float | None) -> None:
        self._bars.update(
            self._tasks[cell.key],
            total=progress.total or None,
            completed=progress.done,
            news=describe(progress) + left(seconds_left),
        )

    def ended(self, cell: Cell, record: Record) -> None:
        self._bars.remove_task(self._tasks.pop(cell.key))
        super().ended(cell, record)

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


def describe(progress: Progress) -> str:
    """What a cell is doing, in a few words."""
    words = [PHASES.get(progress.phase, progress.phase)]
    if progress.detail:
        words.append(progress.detail)
    if progress.total:
        words.append(f"{progress.done:,} of {progress.total:,}")
    words += [f"{k} {v:.4g}" for k, v in sorted(progress.scalars.items()) if v is not None]
    return " · ".join(words)


def left(seconds: float | None) -> str:
    """The time left, to the precision that such an estimate deserves."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f" · about {max(5, round(seconds / 5) * 5)} s left"
    return f" · about {round(seconds / 60)} min left"


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
        "timing": dict(record.timing),
    }


def print_plan(cells: Sequence[Cell], *, as_json: bool) -> None:
    """What a run would do."""
    if as_json:
        for cell in cells:
            click.echo(json.dumps({"cell": cell.label, "key": cell.key, "todo": cell.todo}))
        return
    for cell in cells:
        click.echo(f"{cell.todo:7} {cell.label}")
    click.echo(f"{sum(c.todo not in ('done', 'kept') for c in cells)} of {len(cells)} cells to do")


def print_result(result: RunResult, store: Store, page: Path | None, *, as_json: bool) -> None:
    """The table, what failed, the paths written, and the next command."""

    def say(text: str) -> None:
        click.echo(text, err=True)

    if not as_json:
        print_table(store.root / result.suite.folder_name)
    for stored in result.failed:
        error = stored.record.error or {}
        say(
            f"{stored.record.status}: {stored.record.generator} seed {stored.record.seed} in "
            f"{error.get('phase')}: {error.get('message')} (see {stored.folder / 'log.txt'})"
        )
    say(f"records: {store.root / result.suite.folder_name}")
    if page is not None:
        say(f"report:  {page}")
    if result.interrupted:
        say("next:    the same command again continues where this stopped")
    elif result.failed:
        say("next:    the same command again retries the failed cells only")
    elif result.suite.profile == "smoke":
        say(f"next:    genbench run --suite {result.suite.name}   (profile standard)")
    elif len({s.record.seed for s in result.stored}) == 1:
        say("next:    add --seeds 0,1,2 to see the spread between trainings (runs two more seeds)")


def print_table(folder: Path) -> None:
    """The leaderboard of one task folder, on stdout; what does not fit the terminal is left out."""
    found = table(task_results(folder))
    shown = [c for c in found.columns if any(r.values[c.id].number is not None for r in found.rows)]
    # A pipe has no width: it gets every column.
    console = Console() if sys.stdout.isatty() else Console(width=100_000)
    wide = console.options.update(width=100_000)
    fitting = len(shown)
    while fitting > 1 and (
        Measurement.get(console, wide, _sheet(found, shown[:fitting])).maximum > console.width
    ):
        fitting -= 1
    console.print(_sheet(found, shown[:fitting]))
    if fitting < len(shown):
        click.echo(f"{len(shown) - fitting} more columns in a wider terminal and in the report.")
    seeds = {e.record.seed for row in found.generators for e in row.done}
    if len(seeds) == 1:
        click.echo("One seed: ± is sampling error; the spread between trainings is unknown.")
    elif seeds:
        click.echo(f"{len(seeds)} seeds: ± is the 95 % interval over trainings.")


def _sheet(found: Leaderboard, shown: Sequence[Column]) -> Table:
    """Ranked rows, then unranked ones, then controls."""
    sheet = Table(box=None, pad_edge=False, header_style="bold")
    sheet.add_column("rank", justify="right")
    sheet.add_column("generator", no_wrap=True)
    for column in shown:
        heading = f"{column.title} {column.arrow}".strip()
        sheet.add_column(heading, justify="right", no_wrap=True)
    sheet.add_column("fit s", justify="right")
    ids = [c.id for c in shown]
    for row in (*found.ranked, *found.unranked):
        sheet.add_row(*_cells(row, ids, row.values[found.columns[0].id].rank or "–"))
    if found.controls:
        sheet.add_section()
    for row in found.controls:
        sheet.add_row(*_cells(row, ids, "", " (the floor)" if row.name == "heldout" else ""))
    return sheet


def _cells(row: Row, metrics: Sequence[str], rank: str, note: str = "") -> list[str]:
    seconds = "" if row.fit_s is None else f"{row.fit_s:.0f}"
    values = []
    for name in metrics:
        value = row.values[name]
        error = f" ±{value.half}" if value.half else ""
        values.append(f"{value.text}{error}{' ≈floor' if value.at_floor else ''}")
    return [rank, row.label + note, *values, seconds]
