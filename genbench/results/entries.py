"""The input of a report: records with the folders of their artefacts, and the suite as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.results.records import Record


@dataclass(frozen=True, slots=True)
class Entry:
    """One record and where its artefacts lie.

    Parameters
    ----------
    record
        The record of one attempt at a cell.
    folder
        The attempt's folder; artefact paths are relative to it. None if only the record is left.
    published
        The record ships with the package: another machine made it.
    """

    record: Record
    folder: Path | None = None
    published: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The records of a task in one of several results folders, or at one revision of a folder."""

    label: str
    entries: Sequence[Entry]

    @property
    def time(self) -> str:
        """The time its newest record was finished, ISO 8601; empty if no record says so."""
        return max((str(e.record.times.get("finished", "")) for e in self.entries), default="")


@dataclass(frozen=True, slots=True)
class TaskResults:
    """All entries of one task (suite, version, profile): one page of the report.

    Parameters
    ----------
    suite
        The resolved suite as JSON data, as stored in ``suite.json`` of a results folder.
    entries
        In any order; several attempts at a cell may be given, the newest ok one counts.
    history
        The folders and revisions that were given, for values over time; empty for a single one.
    superseded
        Rows of earlier versions of a generator that `entries` leaves out.
    """

    suite: Mapping[str, Any]
    entries: Sequence[Entry]
    history: Sequence[Snapshot] = ()
    superseded: int = 0
