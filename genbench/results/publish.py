"""From a results directory to what a report is made of: its records, and the published ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from genbench.results.aggregation import RowKey, asked_for, is_control_record
from genbench.results.entries import Entry, Snapshot, TaskResults
from genbench.results.records import Record
from genbench.results.store import SUITE, Problem, Store, read_suite, sound


def task_results(folder: Path, *, published: bool = False, superseded: bool = False) -> TaskResults:
    """The suite and the valid records of one task folder.

    Parameters
    ----------
    published
        The published records of the task too.
    superseded
        Earlier versions of a generator too, such as a plugin before it was edited.
    """
    store = Store(folder.parent)
    found = [Entry(s.record, s.folder) for s in store.records(folder)]
    return _task(read_suite(folder), found, published, superseded)


def _task(
    suite: Mapping[str, Any], entries: list[Entry], published: bool, superseded: bool
) -> TaskResults:
    """A task; published entries stand beside those of generators that were run."""
    kept, hidden = (entries, 0) if superseded else _newest_versions(entries)
    ran = any(not is_control_record(e.record) for e in kept)
    beside = published_entries(suite["task"]) if published and ran else ()
    return TaskResults(suite, [*kept, *beside], superseded=hidden)


def _newest_versions(entries: Sequence[Entry]) -> tuple[list[Entry], int]:
    """The entries of each generator's newest version, and how many rows of others there are.

    One generator is a name of one package or file with the parameters that were asked for; its
    version, source and defaults are what may have changed. Samples from outside are not versions of
    each other.
    """
    versions: dict[tuple[str, ...], dict[RowKey, str]] = {}
    for entry in entries:
        provider = str(entry.record.cell["generator"]["provider"])
        package = provider if provider.startswith("file ") else provider.partition(" ")[0]
        made = versions.setdefault((*asked_for(entry.record), package), {})
        row = RowKey.of(entry.record)
        made[row] = max(made.get(row, ""), entry.record.record_id)  # ids sort by time
    newest = {max(made, key=lambda row: made[row]) for made in versions.values()}
    kept = [
        entry
        for entry in entries
        if RowKey.of(entry.record) in newest
        or entry.record.cell["generator"].get("family") == "scored"
    ]
    shown = {RowKey.of(entry.record) for entry in kept}
    return kept, sum(map(len, versions.values())) - len(shown)


@cache
def published_entries(task: str) -> tuple[Entry, ...]:
    """The records of the task of this hash that ship with the package, made on another machine."""
    try:
        root = Path(str(resources.files("genbench.published")))
    except ModuleNotFoundError:  # run from a source tree that was never installed
        return ()
    store = Store(root)
    return tuple(
        Entry(stored.record, stored.folder, published=True)
        for folder in store.task_folders()
        if read_suite(folder)["task"] == task
        for stored in store.records(folder)
    )


def shipped_controls(task: str) -> dict[str, Record]:
    """The published control records of a task, by name."""
    return {
        entry.record.generator: entry.record
        for entry in published_entries(task)
        if is_control_record(entry.record) and entry.record.status == "ok"
    }


def outdated(control: Record | None, beside: Sequence[Record]) -> bool:
    """Whether a published control measured a metric otherwise than records made here.

    Its number would be no floor for theirs. How many rows entered does not matter: a control has a
    number of its own.
    """
    if control is None:
        return False
    for record in beside:
        for name, value in record.metrics.items():
            theirs = control.metrics.get(name)
            if value.status != "ok" or (theirs is not None and theirs.status != "ok"):
                continue
            if theirs is None or _measured(theirs.signature) != _measured(value.signature):
                return True
    return False


def _measured(signature: str) -> list[str]:
    """A signature without the counts of rows."""
    return [p for p in signature.split("|") if not p.startswith(("n=", "ref=", "reference=gen"))]


@dataclass
class _Gathered:
    """The records of one task in several places."""

    suite: Mapping[str, Any]
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    history: dict[str, list[Entry]] = field(default_factory=dict)

    def add(self, label: str, entries: Sequence[Entry], *, past: bool) -> None:
        self.history.setdefault(label, []).extend(entries)
        for entry in () if past else entries:
            key = (entry.record.record_id, entry.record.cell_key)
            self.entries.setdefault(key, entry)  # a copy of a record is no second attempt


def gather(
    places: Sequence[Path],
    *,
    published: bool = False,
    past: Mapping[str, Path] | None = None,
    superseded: bool = False,
) -> tuple[list[TaskResults], list[Problem]]:
    """Tasks and unusable files below several results directories or task folders.

    What several places hold of one task is put together; each place is one point of its history.

    Parameters
    ----------
    places
        Results directories or task folders.
    published
        Add the records of the same tasks that ship with the package.
    past
        Results directories by a label, which stand in the history alone.
    superseded
        Earlier versions of a generator too.

    Raises
    ------
    UsageError
        If a place is missing or holds no results.
    """
    found: dict[str, _Gathered] = {}
    problems: list[Problem] = []
    now = [(str(place), place, False) for place in places]
    for label, place, is_past in [*now, *((k, p, True) for k, p in (past or {}).items())]:
        is_task = os.path.isfile(place / SUITE)
        for folder in [place] if is_task else sound(Store(place).some_tasks(), problems):
            suite = read_suite(folder)
            attempts = [*sound(Store(folder.parent).everything(folder), problems)]
            if is_past and suite["task"] not in found:
                continue
            entries = [Entry(a.record, a.folder) for a in attempts]
            found.setdefault(suite["task"], _Gathered(suite)).add(label, entries, past=is_past)
    return [_together(task, published, superseded) for task in found.values()], problems


def _together(task: _Gathered, published: bool, superseded: bool) -> TaskResults:
    made = _task(task.suite, list(task.entries.values()), published, superseded)
    history = [Snapshot(label, entries) for label, entries in task.history.items()]
    return replace(made, history=history if len(history) > 1 else ())
