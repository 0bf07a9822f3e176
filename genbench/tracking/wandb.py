"""Weights & Biases: a run for each cell, those of a suite and profile in a group."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from genbench.errors import UsageError
from genbench.tracking.account import Account, TrackedRun
from genbench.tracking.contract import Outcome, library

PROJECT = "genbench"
MARK = "genbench-record.txt"  # beside a run's files on this machine: the record that they hold
EXAMPLES = "examples"
# What is left out of a run, as far as this version of the library knows it: the machine and the
# packages are the record's to tell, and this machine may be another.
QUIET = {"console": "off", "silent": True, "disable_git": True, "disable_code": True,
         "x_disable_stats": True, "x_disable_meta": True, "x_disable_machine_info": True,
         "x_save_requirements": False}  # fmt: skip


class WandbTracker:
    """Sends each cell to Weights & Biases, or keeps it for `wandb sync` where it is offline.

    Raises
    ------
    UsageError
        If wandb is not installed, or online and nobody has logged in.
    """

    def __init__(self, place: str) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to its makers, not to the target
        self._wandb = library("wandb", "wandb")
        entity, _, project = place.rpartition("/")
        self._entity, self._project = entity or None, project or PROJECT
        settings = self._wandb.setup().settings
        self._offline = bool(settings._offline) or settings.mode == "disabled"
        if not self._offline and not self._wandb.api.api_key:
            raise UsageError("nobody has logged in: type `wandb login`, or set WANDB_MODE=offline")
        self._kept = Path(settings.wandb_dir)
        known = type(settings).model_fields
        self._quiet = {key: value for key, value in QUIET.items() if key in known}
        self._open: dict[str, Any] = {}

    def progress(self, run: TrackedRun, examples: int, scalars: Mapping[str, float]) -> None:
        """See `genbench.tracking.contract.Tracker`."""
        if run.id not in self._open:
            self._open[run.id] = self._begun(run)
        told = {f"live/{name}": value for name, value in scalars.items()}
        self._open[run.id].log({EXAMPLES: examples, **told})

    def record(self, account: Account) -> Outcome:
        """See `genbench.tracking.contract.Tracker`."""
        run = account.run
        earlier = [mark.parent for mark in self._marked(run.id)]
        if run.id not in self._open and any(_read(f) == account.stamp for f in earlier):
            return "same"
        made = self._open.pop(run.id, None) or self._begun(run)
        made.config.update(_config(account), allow_val_change=True)
        for examples, values in account.rows():
            made.log({EXAMPLES: examples, **values})
        shown = {f"pictures/{r}": self._wandb.Image(p) for r, p in account.pictures.items()}
        made.log({**account.values, **shown})
        made.summary.update({"status": account.status, "error": account.error})
        self._end(made, account.stamp, 0 if account.succeeded else 1)
        return self._instead_of(earlier)

    def report(self, group: str, page: Path) -> Outcome:
        """See `genbench.tracking.contract.Tracker`; an artefact of a run called ``report``."""
        run = TrackedRun(sha256(f"report {group}".encode()).hexdigest()[:32], group, "report")
        stamp = sha256(page.read_bytes()).hexdigest()
        earlier = [mark.parent for mark in self._marked(run.id)]
        if any(_read(folder) == stamp for folder in earlier):
            return "same"
        made = self._begun(run, job_type="report")
        artifact = self._wandb.Artifact(f"report-{run.id[:8]}", "report", description=group)
        artifact.add_file(str(page), "report.html")
        made.log_artifact(artifact)
        self._end(made, stamp, 0)
        return self._instead_of(earlier)

    def close(self) -> None:
        """See `genbench.tracking.contract.Tracker`."""
        for run in self._open.values():
            run.finish(exit_code=1)  # the run ended before this cell had a record
        self._wandb.teardown()

    def _begun(self, run: TrackedRun, job_type: str = "cell") -> Any:
        """A run under its own id: what was there under it is written over."""
        made = self._wandb.init(
            entity=self._entity, project=self._project, id=run.id, name=run.name, group=run.group,
            job_type=job_type, reinit="create_new", settings=self._wandb.Settings(**self._quiet),
        )  # fmt: skip
        made.define_metric(EXAMPLES, hidden=True)
        for curves in ("live/*", "curves/*", "course/*"):
            made.define_metric(curves, step_metric=EXAMPLES)
        return made

    @staticmethod
    def _end(run: Any, stamp: str, code: int) -> None:
        folder = Path(run.dir).parent
        run.finish(exit_code=code)
        if folder.is_dir():
            (folder / MARK).write_text(stamp, "utf-8")

    def _marked(self, run_id: str) -> Iterator[Path]:
        """Marks of what this machine sent, or where it is offline keeps, under an id."""
        kind = "offline-run" if self._offline else "run"
        return self._kept.glob(f"{kind}-*-{run_id}/{MARK}")

    def _instead_of(self, earlier: list[Path]) -> Outcome:
        """Folders of earlier attempts go: `wandb sync` would send them too."""
        for folder in earlier:
            shutil.rmtree(folder, ignore_errors=True)
        return "renewed" if earlier else "new"


def _read(folder: Path) -> str:
    return (folder / MARK).read_text("utf-8", "replace")


def _config(account: Account) -> dict[str, Any]:
    return {**account.facts, "parameters": dict(account.parameters),
            "signatures": dict(account.signatures), "without": dict(account.without),
            "record": account.stamp}  # fmt: skip
