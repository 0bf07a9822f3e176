"""The notes below the table on a terminal: the meaning of its signs, and the cost of a ranking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from genbench.report import Column, Table, finite, notes, shorten
from genbench.results import Record, is_control_record, is_fixed

MORE_SEEDS = "0,1,2"


@dataclass(frozen=True, slots=True)
class Price:
    """The cost of ranks: the seeds to ask for, and the time in words."""

    seeds: str
    duration: str


def table_notes(found: Table, shown: Sequence[Column]) -> list[str]:
    """Lines below the table: of the errors, the floor, marks of rows and notes of values."""
    lines = _errors(found)
    verdicts = {r.values[c.id].floor for r in found.generators for c in shown}
    if verdicts & {"at", "cannot tell"}:
        lines.append(
            "≈floor: shown to be as good as real data, within the suite's margin; "
            "floor?: these rows cannot tell."
        )
    for mark in dict.fromkeys(mark for row in found.rows for mark in row.marks):
        who = ", ".join(shorten(row.label) for row in found.rows if mark in row.marks)
        lines.append(f"{mark.text} ({who}): {mark.why}.")
    return lines + [f"‡ {n.where}: {shorten(n.text, 300)}" for n in notes(found, shown)]


def _errors(found: Table) -> list[str]:
    trained = [row for row in found.generators if row.done and not row.fixed]
    seeds = {e.record.seed for row in trained for e in row.done}
    if trained and all(len(row.done) == 1 for row in trained):
        return [
            "One seed: an order, no ranks: ± is sampling error, and what another training would "
            "give is unknown."
        ]
    if trained:
        return [f"{len(seeds)} seeds: ± is the 95 % interval over trainings."]
    return ["± is sampling error."] if found.generators else []


def price_of_ranks(records: Iterable[Record]) -> Price | None:
    """The option that gives a command of one seed ranks, and about how long that takes.

    None where no generator was trained, or where one has several seeds already. The price is the
    own wall time of the `records`, those that count of one run, for each seed more, at as many
    cells at a time as ran beside each other.
    """
    trained = [r for r in records if not is_control_record(r) and not is_fixed(r)]
    seeds = {r.seed for r in trained}
    if len(seeds) != 1:
        return None
    wanted = MORE_SEEDS if seeds <= {0, 1, 2} else ",".join(str(min(seeds) + i) for i in range(3))
    done = [r for r in trained if r.status == "ok"]
    if not done:
        return None
    minutes = 2 * sum(map(_seconds, done)) / _side_by_side(done) / 60
    price = f"about {minutes:.0f} minutes" if minutes >= 1.5 else "about a minute"
    if minutes < 0.5:
        price = f"less than {'a' if minutes > 0.05 else '0.1'} minute"
    return Price(wanted, price)


def _seconds(record: Record) -> float:
    """The seconds of a cell, with the training of samples taken from an earlier attempt."""
    wall = finite(record.times.get("wall_s")) or 0.0
    parts = (finite(record.timing.get(f"{p}_s")) for p in ("fit", "sample", "refits", "metrics"))
    return max(wall, sum(part or 0.0 for part in parts))


def _side_by_side(records: Sequence[Record]) -> float:
    """The mean number of cells at a time: their wall times over the time they cover."""
    spans = sorted(span for r in records if (span := _span(r)) is not None)
    covered, end = 0.0, float("-inf")
    for first, last in spans:
        covered += max(0.0, last - max(first, end))
        end = max(end, last)
    total = sum(last - first for first, last in spans)
    return max(1.0, total / covered) if covered > 0 else 1.0


def _span(record: Record) -> tuple[float, float] | None:
    wall = finite(record.times.get("wall_s"))
    try:
        end = datetime.fromisoformat(str(record.times["finished"])).timestamp()
    except (KeyError, ValueError, OverflowError):
        return None
    return None if wall is None else (end - wall, end)
