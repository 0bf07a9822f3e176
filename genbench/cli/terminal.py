"""What a run shows: a live line on a terminal, a line per cell elsewhere, JSON lines if asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from genbench.aggregation import is_control
from genbench.api import Result
from genbench.cli.output import Sheet, above, echo, echo_json, harmless, room
from genbench.narration import Lines, describe, left
from genbench.plan import Cell
from genbench.publish import task_results
from genbench.records import Record
from genbench.report.columns import Column
from genbench.report.rows import Row, table
from genbench.report.rows import Table as Leaderboard
from genbench.report.text import shorten
from genbench.runner import Listener
from genbench.store import Stored
from genbench.suite import Suite
from genbench.timeleft import Progress


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
        yield Lines(suite, _say, _print_json if as_json else None)


def _say(text: str) -> None:
    echo(text, err=True)


def _print_json(line: dict[str, Any]) -> None:
    echo_json(line, sort_keys=True)


class _Live(Lines):
    """A bar per running cell that is redrawn in place."""

    def __init__(self, suite: Suite, bars: Bars, as_json: bool) -> None:
        super().__init__(suite, self._print, _print_json if as_json else None)
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def started(self, cell: Cell) -> None:
        self._tasks[cell.key] = self._bars.add_task(
            harmless(cell.label, err=True), total=None, news="starting"
        )

    def progressed(self, cell: Cell, progress: Progress, seconds_left: float | None) -> None:
        self._bars.update(
            self._tasks[cell.key],
            total=progress.total or None,
            completed=progress.done,
            news=harmless(describe(progress) + left(seconds_left), err=True),
        )

    def ended(self, cell: Cell, record: Record) -> None:
        self._bars.remove_task(self._tasks.pop(cell.key))
        super().ended(cell, record)

    def _print(self, text: str) -> None:
        above(self._bars.console, text)


def print_plan(cells: Sequence[Cell], *, as_json: bool) -> None:
    """What a run would do."""
    if as_json:
        for cell in cells:
            echo_json({"cell": cell.label, "key": cell.key, "todo": cell.todo})
        return
    for cell in cells:
        echo(f"{cell.todo:7} {cell.label}")
    echo(f"{sum(c.todo not in ('done', 'kept') for c in cells)} of {len(cells)} cells to do")


def print_result(result: Result, *, as_json: bool) -> None:
    """The table, what failed, the paths written, and the next command."""
    ended = result.ended
    if not as_json:
        print_table(result.folder)
    for note in result.notes:
        _say(f"note:    {note}")
    for stored in ended.failed:
        error = stored.record.error or {}
        _say(
            f"{stored.record.status}: {stored.record.generator} seed {stored.record.seed} in "
            f"{error.get('phase')}: {error.get('message')} (see {stored.folder / 'log.txt'})"
        )
    for line in _without_value(ended.stored):
        _say(line)
    _say(f"records: {result.folder}")
    if result.page is not None:
        _say(f"report:  {result.page}")
    scored = any(cell.generator.is_external for cell in ended.cells)
    if ended.interrupted:
        _say("next:    the same command again continues where this stopped")
    elif ended.failed:
        _say("next:    the same command again retries the failed cells only")
    elif scored:
        _say("next:    genbench run with the same --suite puts trained models beside this row")
    elif ended.suite.profile == "smoke":
        _say(f"next:    genbench run --suite {ended.suite.name}   (profile standard)")
    elif len({s.record.seed for s in ended.stored}) == 1:
        _say("next:    add --seeds 0,1,2 to see the spread between trainings (runs two more seeds)")


def _without_value(stored: Sequence[Stored]) -> list[str]:
    """A line per metric and reason for values that should be there and are not."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in stored:
        control = is_control(one.record)  # may lack a class on purpose
        for name, value in one.record.metrics.items():
            if value.status == "failed" or (value.status == "undefined" and not control):
                who = f"{one.record.generator} seed {one.record.seed}"
                found.setdefault((name, value.reason or value.status), []).append(who)
    return [
        f"no value: {shorten(name, 80)} of {_some(who)}: {shorten(reason, 1000)}"
        for (name, reason), who in found.items()
    ]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def print_table(folder: Path) -> None:
    """The leaderboard of one task folder, on stdout; what does not fit the terminal is left out."""
    found = table(task_results(folder))
    shown = [c for c in found.columns if any(r.values[c.id].number is not None for r in found.rows)]
    sheet = _sheet(found, shown)
    columns = [*range(len(shown) + 3)]  # rank and generator, the metrics, the seconds
    while len(columns) > 4 and sheet.width(columns) > room():
        del columns[-2]
    sheet.print(columns)
    left_out = len(shown) + 3 - len(columns)
    if left_out:
        echo(f"{left_out} more columns in a wider terminal and in the report.")
    seeds = {e.record.seed for row in found.generators for e in row.done}
    if len(seeds) == 1:
        echo("One seed: ± is sampling error; the spread between trainings is unknown.")
    elif seeds:
        echo(f"{len(seeds)} seeds: ± is the 95 % interval over trainings.")


def _sheet(found: Leaderboard, shown: Sequence[Column]) -> Sheet:
    """Ranked rows, then unranked ones, then controls."""
    sheet = Sheet()
    sheet.column("rank", right=True)
    sheet.column("generator", wrap=False)
    for column in shown:
        sheet.column(f"{column.title} {column.arrow}".strip(), right=True, wrap=False)
    sheet.column("fit s", right=True)
    ids = [c.id for c in shown]
    for row in (*found.ranked, *found.unranked):
        rank = row.values[found.columns[0].id].rank or "–"
        sheet.row(_cells(row, ids, rank, " (scored)" if row.family == "scored" else ""))
    if found.controls:
        sheet.section()
    for row in found.controls:
        sheet.row(_cells(row, ids, "", " (the floor)" if row.name == "heldout" else ""))
    return sheet


def _cells(row: Row, metrics: Sequence[str], rank: str, note: str = "") -> list[str]:
    seconds = "" if row.fit_s is None else f"{row.fit_s:.0f}"
    values = []
    for name in metrics:
        value = row.values[name]
        error = f" ±{value.half}" if value.half else ""
        values.append(f"{value.text}{error}{' ≈floor' if value.at_floor else ''}")
    return [rank, shorten(row.label, 100) + note, *values, seconds]
