"""From a results directory to what a report is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genbench.errors import UsageError
from genbench.report.inputs import Entry, TaskResults
from genbench.store import SUITE, Problem, Store, Stored, read_json


def task_results(folder: Path) -> TaskResults:
    """The suite and the valid records of one task folder."""
    store = Store(folder.parent)
    found = [Entry(s.record, s.folder) for s in store.records(folder)]
    return TaskResults(read_json(folder / SUITE), found)


def renew_report(store: Store, out: Path, folder_name: str | None = None) -> Path:
    """Write the report of one task, or of all of them; returns the page."""
    from genbench.report import build_report

    folders = store.task_folders()
    if folder_name is not None:
        folders = [f for f in folders if f.name == folder_name]
    return build_report([task_results(f) for f in folders], out)


def gather(places: Sequence[Path]) -> tuple[list[TaskResults], list[Problem]]:
    """Tasks and unusable files below several results directories or task folders.

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
            tasks.append(TaskResults(read_json(folder / SUITE), entries))
            problems += [a for a in attempts if isinstance(a, Problem)]
    return tasks, problems
