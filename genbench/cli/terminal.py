"""What a run shows: a live line on a terminal, a line per cell elsewhere, JSON lines if asked."""

from __future__ import annotations

import json
import sys
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
from rich.text import Text

from genbench.aggregation import is_control
from genbench.api import Result
from genbench.cli.footnotes import metric_cell, price_of_ranks, table_notes
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
        with bars(Console(stderr=True)) as shown:
            yield Live(suite, shown, as_json=as_json)
    else:
        yield Lines(suite, _say, _print_json if as_json else None)


def bars(console: Console) -> Bars:
    """Bars on a terminal, each with its news."""
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[news]}", markup=False),
        console=console,
        transient=True,
    )


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print_json(line: dict[str, Any]) -> None:
    click.echo(json.dumps(line, sort_keys=True, allow_nan=False))


class Live(Lines):
    """A bar per running cell and one for the whole run, redrawn in place."""

    def __init__(self, suite: Suite, bars: Bars, *, as_json: bool) -> None:
        super().__init__(suite, self._print, _print_json if as_json else None)
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._whole: TaskID | None = None

    def planned(self, cells: Sequence[Cell], jobs: int) -> None:
        super().planned(cells, jobs)
        self._whole = self._bars.add_task("all cells", total=self.todo or None, news="")

    def started(self, cell: Cell) -> None:
        self._tasks[cell.key] = self._bars.add_task(cell.label, total=None, news="starting")

    def progressed(self, cell: Cell, progress: Progress, seconds_left: float | None) -> None:
        self._bars.update(
            self._tasks[cell.key],
            total=progress.total or None,
            completed=progress.done,
            news=describe(progress),
        )
        self._show_whole(left(seconds_left))

    def again_alone(self, cell: Cell) -> None:
        self._bars.remove_task(self._tasks.pop(cell.key))
        super().again_alone(cell)

    def ended(self, cell: Cell, record: Record) -> None:
        self._bars.remove_task(self._tasks.pop(cell.key))
        super().ended(cell, record)
        self._show_whole("")

    def _show_whole(self, more: str) -> None:
        if self._whole is not None:
            news = f"{self.count} of {self.todo}{more}"
            self._bars.update(self._whole, completed=self.count, news=news)

    def _print(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


def print_plan(cells: Sequence[Cell], *, as_json: bool) -> None:
    """What a run would do."""
    if as_json:
        for cell in cells:
            click.echo(json.dumps({"cell": cell.label, "key": cell.key, "todo": cell.todo}))
        return
    for cell in cells:
        click.echo(f"{cell.todo:7} {cell.label}")
    click.echo(f"{sum(c.todo not in ('done', 'kept') for c in cells)} of {len(cells)} cells to do")


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
    if not ended.interrupted and (price := price_of_ranks(s.record for s in ended.stored)):
        _say(price)


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
    for line in table_notes(found, shown):
        click.echo(line)


def _sheet(found: Leaderboard, shown: Sequence[Column]) -> Table:
    """Rows in order, ranked or not, then those without a place, then controls."""
    sheet = Table(box=None, pad_edge=False, header_style="bold")
    sheet.add_column("rank", justify="right")
    sheet.add_column("generator", no_wrap=True)
    for column in shown:
        heading = f"{column.title} {column.arrow}".strip()
        sheet.add_column(heading, justify="right", no_wrap=True)
    sheet.add_column("fit core s", justify="right")
    ids = [c.id for c in shown]
    for row in found.generators:
        rank = row.values[found.columns[0].id].rank or "–"
        sheet.add_row(*_cells(row, ids, rank, "scored" if row.family == "scored" else ""))
    if found.controls:
        sheet.add_section()
    for row in found.controls:
        sheet.add_row(*_cells(row, ids, "", "the floor" if row.name == "heldout" else ""))
    return sheet


def _cells(row: Row, metrics: Sequence[str], rank: str, note: str = "") -> list[str | Text]:
    values = [metric_cell(row.values[name]) for name in metrics]
    told = ", ".join([note] * bool(note) + [mark.text for mark in row.marks])
    return [rank, row.label + (f" ({told})" if told else ""), *values, _fit_seconds(row)]


def _fit_seconds(row: Row) -> str:
    """CPU seconds of a fit; a record of before they were kept knows its wall time alone."""
    if row.fit_core_s is not None:
        return f"{row.fit_core_s:.0f}"
    return "" if row.fit_s is None else f"{row.fit_s:.0f} wall"
