"""From records to HTML: `build_report`. Imports no torch, and its own weight only when called."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genbench.results import Entry, Snapshot, Store, TaskResults

__all__ = ["Entry", "Snapshot", "TaskResults", "build_report", "renew_report"]


def build_report(
    tasks: Sequence[TaskResults], out: Path, *, single_file: bool = False, badge: bool = False
) -> Path:
    """Write a static report that opens from disk with the network off.

    Parameters
    ----------
    tasks
        One page each; with several, ``index.html`` is an overview.
    out
        The folder to write to. Files of an earlier report there are replaced or removed; files
        that are not of a report are left alone.
    single_file
        Put everything, pictures and cells included, into ``index.html``.
    badge
        Write ``data/<page>-badge.svg`` too: who leads on the primary metric.

    Returns
    -------
    Path
        Of ``index.html``. The same records and package versions give the same bytes.

    Raises
    ------
    StoreError
        If a file cannot be written.
    """
    from genbench.report.build import build

    return build(tasks, out, single_file, badge)


def renew_report(store: Store, out: Path) -> Path:
    """Write the report of all tasks in a results folder; returns the page."""
    from genbench.results import task_results

    return build_report([task_results(f, published=True) for f in store.task_folders()], out)
