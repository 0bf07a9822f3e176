"""The leaderboard in few words: what a terminal, a notebook and ``repr`` show of it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.errors import one_line
from genbench.report.columns import Column
from genbench.report.rows import Row, Table, Value
from genbench.report.text import shorten

LONGEST_LABEL = 100
FLOOR_SIGNS = {"at": "≈floor", "cannot tell": "floor?"}


@dataclass(frozen=True, slots=True)
class Brief:
    """Headings, and lines of as many cells: ranked rows, unranked ones, and apart the controls.

    The first two columns are rank and generator, the last is the time of a fit; between them are
    the metrics that any row has a value of (`columns`), the suite's primary metric first, then the
    first of every other group: a narrow terminal has room for few.
    """

    columns: tuple[Column, ...]
    head: tuple[str, ...]
    models: tuple[tuple[str, ...], ...]
    controls: tuple[tuple[str, ...], ...]

    def only(self, columns: Sequence[int]) -> Brief:
        """These of the columns."""

        def cut(line: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(line[i] for i in columns)

        kept = tuple(c for i, c in enumerate(self.columns, 2) if i in columns)
        return Brief(
            kept, cut(self.head), tuple(map(cut, self.models)), tuple(map(cut, self.controls))
        )

    def fitting(self, width: int) -> Brief:
        """The leading metrics that stand side by side in so many characters, one at least."""
        columns = [*range(len(self.head))]
        lines = (self.head, *self.models, *self.controls)
        while (
            len(columns) > 4
            and sum(2 + max(len(line[i]) for line in lines) for i in columns) > width
        ):
            del columns[-2]
        return self.only(columns)

    def text(self) -> str:
        """As lines of text, generators to the left and numbers to the right."""
        lines = [self.head, *self.models, *self.controls]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i == 1 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def html(self) -> str:
        """As an HTML table; every text is escaped."""

        def line(cells: Sequence[str], tag: str) -> str:
            return "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)

        rows = "".join(f"<tr>{line(c, 'td')}</tr>" for c in (*self.models, *self.controls))
        return (
            f"<table><thead><tr>{line(self.head, 'th')}</tr></thead><tbody>{rows}</tbody></table>"
        )


def brief(found: Table) -> Brief:
    """The table of a task as text."""
    known = [c for c in found.columns if any(r.values[c.id].number is not None for r in found.rows)]
    leading = {c.group: c for c in reversed(known)}  # the first of each group
    shown = sorted(known, key=lambda c: leading[c.group] is not c)  # stable
    first = found.columns[0].id if found.columns else ""
    return Brief(
        tuple(shown),
        ("rank", "generator", *map(_heading, shown), "fit core s"),
        tuple(
            _cells(row, shown, (row.values[first].rank or "–") if first else "–", _note(row))
            for row in found.generators
        ),
        tuple(
            _cells(row, shown, "", "the floor" if row.name == "heldout" else "")
            for row in found.controls
        ),
    )


def _heading(column: Column) -> str:
    return one_line(f"{column.title} {column.arrow}".strip())


def _note(row: Row) -> str:
    if row.published:
        return "published"
    return "scored" if row.family == "scored" else ""


def _cells(row: Row, shown: Sequence[Column], rank: str, note: str) -> tuple[str, ...]:
    remarks = ", ".join([note] * bool(note) + [mark.text for mark in row.marks])
    label = one_line(shorten(row.label, LONGEST_LABEL)) + (f" ({remarks})" if remarks else "")
    return (rank, label, *(metric_text(row.values[c.id]) for c in shown), _fit_seconds(row))


def metric_text(value: Value) -> str:
    """A number with its error, and whether it is shown to be as good as real data."""
    error = f" ±{value.half}" if value.half else ""
    floor = FLOOR_SIGNS.get(value.floor, "")
    return f"{value.text}{'‡' if value.note else ''}{error}{' ' if floor else ''}{floor}"


def _fit_seconds(row: Row) -> str:
    """CPU seconds of a fit; a record of before they were kept knows its wall time alone."""
    if row.fit_core_s is not None:
        return f"{row.fit_core_s:.0f}"
    return "" if row.fit_s is None else f"{row.fit_s:.0f} wall"
