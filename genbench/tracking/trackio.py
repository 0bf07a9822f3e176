"""trackio: a run for each cell in its local store, those of a suite and profile in a group."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from genbench.errors import UsageError
from genbench.tracking.account import Account, TrackedRun
from genbench.tracking.contract import Outcome, library

PROJECT = "genbench"
MARK = "genbench."  # before a run's id: the project's note of the record that the run holds


class TrackioTracker:
    """Writes each cell to trackio's store on this machine, which `trackio show` shows.

    Raises
    ------
    UsageError
        If trackio is not installed, or cannot have a project of this name.
    """

    def __init__(self, place: str) -> None:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # it imports their library
        self._trackio = library("trackio", "trackio")
        self._storage = library("trackio.sqlite_storage", "trackio").SQLiteStorage
        self._project = place or PROJECT
        try:
            self._storage.validate_project_name(self._project)
        except ValueError as error:
            raise UsageError(str(error)) from error
        self._storage.init_db(self._project)
        found = self._storage.get_run_records(self._project)
        self._names = {str(run["id"]): str(run["name"]) for run in found}
        self._live: dict[str, Any] = {}

    def progress(self, run: TrackedRun, examples: int, scalars: Mapping[str, float]) -> None:
        """See `genbench.tracking.contract.Tracker`."""
        if run.id not in self._live:
            self._drop(run)
            self._live[run.id] = self._begun(run, {})
        self._live[run.id].log({f"live/{k}": v for k, v in scalars.items()}, step=examples)

    def record(self, account: Account) -> Outcome:
        """See `genbench.tracking.contract.Tracker`; news of the fit go when its curves come."""
        earlier = self._held(account.run)
        if earlier == account.stamp and account.run.id not in self._live:
            return "same"
        if account.run.id in self._live:
            self._live.pop(account.run.id).finish()
        self._drop(account.run)
        made = self._begun(account.run, _config(account))
        rows = account.rows()
        for examples, values in rows:
            made.log(values, step=examples)
        image = self._trackio.Image
        shown = {f"pictures/{role}": image(path) for role, path in account.pictures.items()}
        made.log({**account.values, **shown}, step=rows[-1][0] if rows else 0)
        made.finish()
        self._hold(account.run, account.stamp)
        return "renewed" if earlier else "new"

    def report(self, group: str, page: Path) -> Outcome:
        """See `genbench.tracking.contract.Tracker`; an artefact of a run called ``report``."""
        run = TrackedRun(sha256(f"report {group}".encode()).hexdigest()[:32], group, "report")
        stamp = sha256(page.read_bytes()).hexdigest()
        earlier = self._held(run)
        if earlier == stamp:
            return "same"
        self._drop(run)
        made = self._begun(run, {})
        made.log({"report": 1})  # a run without a number is not shown
        made.log_artifact(page, name=f"report-{run.id[:8]}", type="report", overwrite=True)
        made.finish()
        self._hold(run, stamp)
        return "renewed" if earlier else "new"

    def close(self) -> None:
        """See `genbench.tracking.contract.Tracker`."""
        for run in self._live.values():
            run.finish()

    def _begun(self, run: TrackedRun, config: Mapping[str, Any]) -> Any:
        """A run under its own id. `trackio.init` would end the one that was begun before."""
        self._names[run.id] = run.name
        return self._trackio.Run(
            url=None, project=self._project, client=None, name=run.name, run_id=run.id,
            group=run.group, config=dict(config), existing_runs=[],
        )  # fmt: skip

    def _drop(self, run: TrackedRun) -> None:
        """What an earlier attempt left; first the note of it, so that no half run looks whole."""
        if run.id in self._names:
            self._hold(run, "")
            self._storage.delete_run(self._project, self._names.pop(run.id), run_id=run.id)

    def _held(self, run: TrackedRun) -> str:
        """The stamp of what a run holds; empty if it is not there, or not whole."""
        if run.id not in self._names:
            return ""
        return self._storage.get_project_metadata(self._project, MARK + run.id) or ""

    def _hold(self, run: TrackedRun, stamp: str) -> None:
        self._storage.set_project_metadata(self._project, MARK + run.id, stamp)


def _config(account: Account) -> dict[str, Any]:
    return {**account.facts, "error": account.error, "parameters": dict(account.parameters),
            "signatures": dict(account.signatures), "without": dict(account.without)}  # fmt: skip
