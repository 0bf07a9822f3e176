"""Tasks of Dask: each works on a group of cells, on whatever workers its scheduler has.

Orders cross as JSON text; a task runs ``genbench work`` beside its Dask worker, which stays free to
tell that it lives. A task whose worker is lost is started again elsewhere by Dask itself, and goes
on from the checkpoints once the claims of the lost one have run out.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar

from genbench.errors import UsageError, shorten
from genbench.running.executors import Lost, RunSetting
from genbench.running.executors.folder import LEASE, LEASE_SECONDS
from genbench.running.executors.options import number_of, text_of
from genbench.running.executors.sizing import grouped, seconds_by_generator
from genbench.running.queue.manifest import Manifest, add_tasks
from genbench.system import python_module

CONNECT_SECONDS = 10


class DaskExecutor:
    """Runs cells as tasks of Dask, at a scheduler's address or on processes of this machine."""

    options: ClassVar[Mapping[str, str]] = {
        "scheduler": "the scheduler's address; without it: processes of this machine",
        "workers": "how many of those (as many as -j says)",
        "cells": "cells in a task while nothing is known of how long they take (1)",
        "minutes": "how long a task of several short cells is meant to take (10)",
        "lease": LEASE,
    }

    def __init__(self, run: RunSetting) -> None:
        try:
            distributed: Any = import_module("distributed")
        except ImportError as error:
            raise UsageError("Dask is not installed: pip install 'genbench[dask]'") from error
        self.detaches = False
        self.poll_seconds = 1.0
        self.away = ""
        self.lease = number_of(run.options, "lease", LEASE_SECONDS)
        self._root = run.results
        self._seconds = 60 * number_of(run.options, "minutes", 10.0)
        self._cells = int(number_of(run.options, "cells", 1.0, 0.5))
        workers = int(number_of(run.options, "workers", run.jobs_here, 0.5))
        self._tasks: dict[str, tuple[Any, tuple[int, ...]]] = {}
        address = text_of(run.options, "scheduler")
        try:
            self._cluster = None if address else distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None
            )  # fmt: skip
            self._client = distributed.Client(address or self._cluster, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            reason = shorten(str(error), 200)
            raise UsageError(
                f"no Dask scheduler at {address or 'this machine'}: {reason}"
            ) from error

    def launch(self, manifest: Manifest, orders: Sequence[int]) -> None:
        """Submit a task for each group of these orders."""
        known = seconds_by_generator(self._root, manifest)
        groups = grouped(manifest, orders, known, seconds=self._seconds, cells=self._cells)
        first = add_tasks(manifest, [group.orders for group in groups])
        for number, group in enumerate(groups, first):
            name = f"dask-{manifest.id}-{number}"
            words = ["work", str(self._root), "-j", "1", "--manifest", manifest.id]
            text = json.dumps([*words, "--task", str(number), "--task-name", name])
            task = self._client.submit(run_task, text, key=name, pure=False)
            self._tasks[name] = (task, group.orders)

    def gone(self, manifest: Manifest) -> list[Lost]:
        """The tasks that Dask has ended or given up; told once."""
        found = []
        for name, (task, orders) in list(self._tasks.items()):
            if task.status != "pending":
                del self._tasks[name]
                found.append(Lost(name, orders, f"task {name} {_end_of(task)}"))
        return found

    def cancel(self, manifest: Manifest) -> None:
        """Nothing to do: workers see that the manifest is stopped."""

    def close(self) -> None:
        """Let go of the scheduler, and end one that was started here."""
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def run_task(text: str) -> int:
    """Work on a group of cells, in a process beside this Dask worker; its exit code."""
    done = subprocess.run(
        python_module("genbench", *json.loads(text)), stdin=subprocess.DEVNULL, check=False
    )
    return done.returncode


def _end_of(task: Any) -> str:
    """How a task ended, in a few words."""
    if task.status == "finished":
        return f"ended with exit code {task.result()}: see what its Dask worker printed"
    if task.status == "error":
        return f"was given up by Dask: {shorten(str(task.exception()), 200)}"
    return f"is {task.status}"
