"""A look inside the rows of a table: pictures made of codes, and what a linear probe reads there.

Details are read out of records that anybody may have written: what is not a number is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench.report.images import artefact
from genbench.report.placing import Place, RowSamples, grid
from genbench.report.rows import Row, Table
from genbench.report.text import finite
from genbench.results import Entry

PROBE = "probe_accuracy"
PICTURES = {
    "reconstructions": "Test rows, each above its reconstruction",
    "interpolations": "From one test row to another of its class",
    "traversals": "The numbers of a code that change most, from low to high",
}
_MOST_COUNTS = 6  # of labels that a table shows


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """A line of the table of probes: a generator, or raw pixels."""

    label: str
    length: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inside:
    """All that a page shows of codes."""

    headers: tuple[str, ...]
    lines: tuple[ProbeLine, ...]
    rows: tuple[RowSamples, ...]

    def __bool__(self) -> bool:
        return bool(self.lines or self.rows)


def inside(board: Table, place: Place) -> Inside:
    """The probes and pictures of a table's rows, each at its first seed that has some."""
    probes = [(row.label, found) for row in board.rows if (found := _probe(row)) is not None]
    counts = sorted({n for _, probe in probes for n in probe.accuracy})[-_MOST_COUNTS:]
    lines = [ProbeLine(name, p.length, _cells(p.accuracy, counts)) for name, p in probes]
    if probes:
        pixels = _cells(probes[0][1].pixels, counts)
        lines.append(ProbeLine("raw pixels, the same probe", "", pixels))
    headers = tuple(f"{n:,} labels" for n in counts)
    return Inside(headers, tuple(lines), tuple(_pictures(board, place)))


@dataclass(frozen=True, slots=True)
class _Probe:
    """Accuracies by the number of labels, of codes of a length, and of raw pixels."""

    length: str
    accuracy: Mapping[int, float]
    pixels: Mapping[int, float]


def _cells(shares: Mapping[int, float], counts: list[int]) -> tuple[str, ...]:
    return tuple(f"{100 * shares[n]:.1f} %" if n in shares else "—" for n in counts)


def _probe(row: Row) -> _Probe | None:
    """The probe of a row's first seed that has one."""
    values = (entry.record.metrics.get(PROBE) for entry in row.done)
    value = next((v for v in values if v is not None and v.value is not None), None)
    if value is None:
        return None
    few = value.details.get("few_labels")
    found = [{**value.details, "accuracy": value.value}, *(few if isinstance(few, list) else [])]
    length = value.details.get("latent_size")
    shares = (_by_labels(found, name) for name in ("accuracy", "pixels"))
    return _Probe(f"{length:,}" if type(length) is int else "", *shares)


def _by_labels(found: Sequence[Any], name: str) -> dict[int, float]:
    """A share by the number of labels, of those entries that have both."""
    shares = {}
    for one in found:
        n = one.get("labels") if isinstance(one, Mapping) else None
        if type(n) is int and (share := finite(one.get(name))) is not None:
            shares[n] = share
    return shares


def _pictures(board: Table, place: Place) -> list[RowSamples]:
    found = []
    for row in board.rows:
        entry = next((e for e in row.done if _roles(e)), None)
        if entry is not None:
            shown = tuple(grid(entry, role, PICTURES[role], place) for role in _roles(entry))
            found.append(RowSamples(row, entry.record.seed, shown))
    return found


def _roles(entry: Entry) -> list[str]:
    return [role for role in PICTURES if artefact(entry, role)]
