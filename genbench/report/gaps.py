"""The gaps of the table, with reasons: failed cells, missing numbers, rows without a rank."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from genbench.report.columns import Column
from genbench.report.rows import Row, Table
from genbench.report.text import shorten
from genbench.results import ONE_SEED, Entry


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell without a result, with where and why it ended."""

    row: Row
    entry: Entry
    phase: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A metric that has no number although its cell is ok."""

    row: Row
    column: Column
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """A note of metrics on their own values, such as that these have too few rows.

    `where` tells of which metrics and rows it is said: ``FID, KID of a, b; Vendi of a``.
    """

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Unranked:
    """Numbers of a row that have no rank for one reason; `everywhere` if none of its has one."""

    row: Row
    reason: str
    columns: tuple[Column, ...]
    everywhere: bool


def failures(board: Table) -> tuple[Failure, ...]:
    """Every cell without a result."""
    return tuple(
        _failure(row, entry)
        for row in board.rows
        for entry in row.entries
        if entry.record.status != "ok"
    )


def _failure(row: Row, entry: Entry) -> Failure:
    error = entry.record.error or {}
    message = error.get("message") or error.get("reason") or "no message was recorded"
    phase, kind = error.get("phase") or "unknown", error.get("type") or entry.record.status
    return Failure(row, entry, str(phase), str(kind), str(message))


def gaps(board: Table) -> tuple[Gap, ...]:
    """Every metric of a finished row that has no number."""
    return tuple(
        Gap(row, column, value.status, value.reason)
        for column in board.columns
        for row in board.rows
        if (value := row.values[column.id]).number is None and row.done
    )


def notes(board: Table, shown: Sequence[Column]) -> tuple[Note, ...]:
    """Each note of a value once, with the values in the columns `shown` that carry it."""
    carriers: dict[str, dict[str, list[str]]] = {}
    for column in shown:
        for row in board.rows:
            if note := row.values[column.id].note:
                carriers.setdefault(note, {}).setdefault(column.title, []).append(row.label)
    return tuple(Note(_where(rows), text) for text, rows in carriers.items())


def _where(rows: Mapping[str, Sequence[str]]) -> str:
    """Metrics with the rows of each; metrics of the same rows stand together."""
    titles: dict[tuple[str, ...], list[str]] = {}
    for title, names in rows.items():
        titles.setdefault(tuple(names), []).append(shorten(title, 40))
    return "; ".join(f"{', '.join(of)} of {_some(names)}" for names, of in titles.items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shorten(name) for name in names[:3]) + more


def unranked(board: Table) -> tuple[Unranked, ...]:
    """Generators, or single numbers of theirs, without a rank; one entry per row and reason.

    That a row has one seed is said once for all, below the table.
    """
    directed = [c for c in board.columns if c.higher_is_better is not None]
    return tuple(found for row in board.generators for found in _of(row, directed, board))


def _of(row: Row, directed: list[Column], board: Table) -> Iterator[Unranked]:
    reasons: dict[str, list[Column]] = {}
    if row.unranked:
        reasons[row.unranked] = [board.columns[0]]
    numbers = [c for c in directed if row.values[c.id].number is not None]
    for column in numbers:
        reason = row.values[column.id].reason
        if reason and reason != ONE_SEED and column not in reasons.setdefault(reason, []):
            reasons[reason].append(column)
    for reason, columns in reasons.items():
        yield Unranked(row, reason, tuple(columns), set(numbers) <= set(columns))
