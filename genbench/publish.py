"""From a results directory to what a report is made of: its records, and the published ones."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from genbench.errors import UsageError
from genbench.report.inputs import Entry, Snapshot, TaskResults
from genbench.store import SUITE, Problem, Store, Stored, read_suite


def task_results(folder: Path, *, published: bool = False) -> TaskResults:
    """The suite and the valid records of one task folder; if asked, the published ones too."""
    store = Store(folder.parent)
    found = [Entry(s.record, s.folder) for s in store.records(folder)]
    return _task(read_suite(folder), found, published)


def _task(suite: Mapping[str, Any], entries: list[Entry], published: bool) -> TaskResults:
    """A task; published entries stand beside those of generators that were run."""
    ran = any(e.record.cell["generator"].get("family") != "control" for e in entries)
    beside = published_entries(suite["task"]) if published and ran else ()
    return TaskResults(suite, [*entries, *beside])


@cache
def published_entries(task: str) -> tuple[Entry, ...]:
    """The records of this task that ship with the package: made by us, on another machine.

    Parameters
    ----------
    task
        The task's hash, ``sha256:...``.
    """
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


def renew_report(store: Store, out: Path, folder_name: str | None = None) -> Path:
    """Write the report of one task, or of all of them; returns the page."""
    from genbench.report import build_report

    folders = store.task_folders()
    if folder_name is not None:
        folders = [f for f in folders if f.name == folder_name]
    return build_report([task_results(f, published=True) for f in folders], out)


@dataclass
class _Gathered:
    """What several places hold of one task."""

    suite: Mapping[str, Any]
    entries: dict[tuple[str, str], Entry] = field(default_factory=dict)
    history: dict[str, list[Entry]] = field(default_factory=dict)

    def add(self, label: str, entries: Sequence[Entry], *, past: bool) -> None:
        self.history.setdefault(label, []).extend(entries)
        for entry in () if past else entries:
            key = (entry.record.record_id, entry.record.cell_key)
            self.entries.setdefault(key, entry)  # a copy of a record is no second attempt


def gather(
    places: Sequence[Path], *, published: bool = False, past: Mapping[str, Path] | None = None
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

    Raises
    ------
    UsageError
        If a place is missing or holds no results.
    """
    found: dict[str, _Gathered] = {}
    problems: list[Problem] = []
    now = [(str(place), place, False) for place in places]
    for label, place, is_past in [*now, *((k, p, True) for k, p in (past or {}).items())]:
        for folder in _task_folders(place):
            if isinstance(folder, Problem):
                problems.append(folder)
                continue
            suite = read_suite(folder)
            attempts = Store(folder.parent).everything(folder)
            problems += [a for a in attempts if isinstance(a, Problem)]
            if is_past and suite["task"] not in found:
                continue
            entries = [Entry(a.record, a.folder) for a in attempts if isinstance(a, Stored)]
            found.setdefault(suite["task"], _Gathered(suite)).add(label, entries, past=is_past)
    return [_together(task, published) for task in found.values()], problems


def _task_folders(place: Path) -> list[Path | Problem]:
    if os.path.isfile(place / SUITE):
        return [place]
    folders = list(Store(place).tasks())
    if not folders:
        raise UsageError(f"no results in {place}: give a folder that `genbench run` wrote to")
    return folders


def _together(task: _Gathered, published: bool) -> TaskResults:
    made = _task(task.suite, list(task.entries.values()), published)
    history = [Snapshot(label, entries) for label, entries in task.history.items()]
    return replace(made, history=history if len(history) > 1 else ())
