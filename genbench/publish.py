"""From a results directory to what a report is made of: its records, and the published ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from genbench.errors import UsageError
from genbench.report.inputs import Entry, TaskResults
from genbench.store import SUITE, Problem, Store, Stored, read_json


def task_results(folder: Path, *, published: bool = False) -> TaskResults:
    """The suite and the valid records of one task folder; if asked, the published ones too."""
    store = Store(folder.parent)
    found = [Entry(s.record, s.folder) for s in store.records(folder)]
    return _task(read_json(folder / SUITE), found, published)


def _task(suite: Any, entries: list[Entry], published: bool) -> TaskResults:
    """A task; published entries stand beside those of generators that were run."""
    ran = any(e.record.cell["generator"].get("family") != "control" for e in entries)
    task = str(suite.get("task", "")) if isinstance(suite, dict) else ""
    return TaskResults(suite, [*entries, *(published_entries(task) if published and ran else ())])


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
        if read_json(folder / SUITE).get("task") == task
        for stored in store.records(folder)
    )


def renew_report(store: Store, out: Path, folder_name: str | None = None) -> Path:
    """Write the report of one task, or of all of them; returns the page."""
    from genbench.report import build_report

    folders = store.task_folders()
    if folder_name is not None:
        folders = [f for f in folders if f.name == folder_name]
    return build_report([task_results(f, published=True) for f in folders], out)


def gather(
    places: Sequence[Path], *, published: bool = False
) -> tuple[list[TaskResults], list[Problem]]:
    """Tasks and unusable files below several results directories or task folders.

    Parameters
    ----------
    places
        Results directories or task folders.
    published
        Add the records of the same tasks that ship with the package.

    Raises
    ------
    UsageError
        If a place is missing or holds no results.
    """
    tasks: list[TaskResults] = []
    problems: list[Problem] = []
    for place in places:
        folders = [place] if (place / SUITE).is_file() else Store(place).task_folders()
        if not folders:
            raise UsageError(f"no results in {place}: give a folder that `genbench run` wrote to")
        for folder in folders:
            attempts = list(Store(folder.parent).attempts(folder))
            entries = [Entry(a.record, a.folder) for a in attempts if isinstance(a, Stored)]
            tasks.append(_task(read_json(folder / SUITE), entries, published))
            problems += [a for a in attempts if isinstance(a, Problem)]
    return tasks, problems
