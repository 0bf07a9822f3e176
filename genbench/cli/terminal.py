"""The output of a run: a live line on a terminal, else a line per cell; JSON lines if asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from genbench.api import Result
from genbench.cli import again
from genbench.cli.footnotes import price_of_ranks, table_notes
from genbench.cli.output import Sheet, above, echo, echo_json, harmless, room
from genbench.report import brief, shorten, table
from genbench.results import Record, Stored, is_control_record, task_results
from genbench.running import Cell, Lines, Listener, Progress, describe, left
from genbench.tasks import Suite


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
    echo(text, err=True)


def _print_json(line: dict[str, Any]) -> None:
    echo_json(line, sort_keys=True)


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
        self._tasks[cell.key] = self._bars.add_task(
            harmless(cell.label, err=True), total=None, news="starting"
        )

    def progressed(self, cell: Cell, progress: Progress, seconds_left: float | None) -> None:
        self._bars.update(
            self._tasks[cell.key],
            total=progress.total or None,
            completed=progress.done,
            news=harmless(describe(progress), err=True),
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
        above(self._bars.console, text)


def print_plan(cells: Sequence[Cell], *, as_json: bool) -> None:
    """Print the plan of a run."""
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
    if not as_json and (ended.stored or not ended.pending):
        print_table(result.folder)
    for note in result.notes:
        _say(f"note:    {note}")
    for stored in ended.failed:
        error = stored.record.error or {}
        who = f"{shorten(stored.record.label, 100)} seed {stored.record.seed}"
        _say(
            f"{stored.record.status}: {who} in "
            f"{error.get('phase')}: {error.get('message')} (see {stored.folder / 'log.txt'})"
        )
    for line in _without_value(ended.stored):
        _say(line)
    _say(f"records: {result.folder}")
    if result.page is not None:
        _say(f"report:  {result.page}")
    if ended.pending:
        how = f"genbench status {result.store.root} shows them, genbench stop ends them"
        _say(f"pending: {ended.pending} of {len(ended.cells)} cells, worked on elsewhere ({how})")
    if ended.suite.profile == "smoke":
        _say("smoke:   shows that everything works; it ranks nothing")
    hint = _next(result)
    if hint:
        _say(f"next:    {hint}")
    more = _more_seeds(result)
    if more:
        label = "seeds:" if ended.suite.profile == "smoke" else "ranks:"
        _say(f"{label if hint else 'next:':8} {more}")


def _next(result: Result) -> str:
    """A command to paste, and in brackets what it does."""
    ended = result.ended
    if ended.pending:
        return f"{again.command()}   (collects what is there by then)"
    if ended.interrupted:
        return f"{again.command(without=('fresh',))}   (continues where this stopped)"
    if ended.failed:
        return f"{again.command(without=('fresh',))}   (retries the failed cells only)"
    if any(cell.generator.is_external for cell in ended.cells):
        keep = ("suite_name", "profile", "results", "device")
        return f"{again.other('run', keep=keep)}   (trains models to stand beside this row)"
    if ended.suite.profile == "smoke":
        return f"{again.command(without=('profile', 'fresh'))}   (profile standard)"
    return ""


def _more_seeds(result: Result) -> str:
    """A command that gives ranks where one seed gave an order, and what it costs."""
    if result.ended.interrupted or result.ended.pending:
        return ""
    price = price_of_ranks(s.record for s in result.ended.stored)
    if price is None:
        return ""
    more = again.command(without=("fresh",), seeds=price.seeds)
    if result.ended.suite.profile == "smoke":
        return f"{more}   (three seeds in place of one: {price.duration} more)"
    return f"{more}   (one seed gives an order, three give ranks: {price.duration} more)"


def _without_value(stored: Sequence[Stored]) -> list[str]:
    """A line per metric and reason for values that should be there and are not."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in stored:
        control = is_control_record(one.record)  # may lack a class on purpose
        for name, value in one.record.metrics.items():
            if value.status == "failed" or (value.status == "undefined" and not control):
                who = f"{shorten(one.record.label, 100)} seed {one.record.seed}"
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
    shown = task_results(folder, published=True)
    found = table(shown)
    summary = brief(found)
    sheet = Sheet()
    for index, title in enumerate(summary.head):
        sheet.column(title, right=index != 1, wrap=index in (0, len(summary.head) - 1))
    for line in summary.models:
        sheet.row(line)
    if summary.controls:
        sheet.section()
    for line in summary.controls:
        sheet.row(line)
    columns = [*range(len(summary.head))]
    while len(columns) > 4 and sheet.width(columns) > room():
        del columns[-2]
    sheet.print(columns)
    if len(columns) < len(summary.head):
        more = len(summary.head) - len(columns)
        echo(f"{more} more columns in a wider terminal and in the report.")
    if any(row.published for row in found.rows):
        echo("published: our records of this task, made on another machine.")
    if shown.superseded:
        echo(f"Not shown: {shown.superseded} of earlier versions (genbench report --superseded).")
    for note in table_notes(found, summary.columns[: len(columns) - 3]):
        echo(note)
