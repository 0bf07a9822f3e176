"""Tasks of Slurm: job arrays over the groups of a manifest, each of which runs ``genbench work``.

State comes from squeue, exit files and records; accounting is not needed. A task that squeue does
not know and that left no exit file is gone. One that is warned before its time is over (USR1) has
its cells write checkpoints and is queued again, and so is one whose node failed or that made room
for others; what it had under way is continued by whoever comes next.
"""

from __future__ import annotations

import getpass
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from genbench.errors import UsageError, one_line, shorten
from genbench.running.executors import Away, Lost, RunSetting
from genbench.running.executors.folder import LEASE, LEASE_SECONDS
from genbench.running.executors.options import number_of, text_of
from genbench.running.executors.sizing import Group, grouped, seconds_by_generator
from genbench.running.queue.manifest import Manifest, add_tasks, tasks_of
from genbench.system import exists, python_module, read_json, write_bytes, write_json

JOBS = "jobs.json"
ENDED = "ended"
LOGS = "logs"
ARRAY_SIZE = 1001  # Slurm's own default
WARNING_SECONDS = 120
COMMAND_SECONDS = 60
AWAY = "the Slurm controller does not answer"
# What sbatch says then; after a time-out it may have taken the tasks: claims keep them from harm.
_UNREACHED = re.compile("contact slurm controller|timed out", re.IGNORECASE)
GONE = "gone, as squeue does not know it"
OVER = frozenset((
    GONE,
    "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL",
    "DEADLINE", "REVOKED",
))  # fmt: skip
PASSED_ON = ("partition", "account", "qos", "gres", "mem", "constraint", "reservation", "nice")

SCRIPT = """#!/bin/bash
# Written by genbench. Warned that its time is nearly over (USR1), the worker has its cells write
# checkpoints, and the task is queued again.
{setup}
asked=
trap 'asked=1; kill -USR1 "$worker"' USR1
trap 'kill -TERM "$worker"' TERM
name="${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
{command} --task-name "$name" --task $(({first} + SLURM_ARRAY_TASK_ID)) &
worker=$!
code=129
while [ "$code" -gt 128 ]; do  # a signal ends a wait
  wait "$worker"
  code=$?
done
if [ -n "$asked" ] && [ "$code" -ne 0 ]; then
  scontrol requeue "$SLURM_JOB_ID" && exit "$code"
fi
echo "$code" > {ended}/"$name"
exit "$code"
"""


class SlurmExecutor:
    """Runs cells as tasks of a Slurm cluster whose nodes see the results folder."""

    options: ClassVar[Mapping[str, str]] = {
        **{name: f"sbatch --{name}" for name in PASSED_ON},
        "time": "sbatch --time; without it: what earlier records tell, else the partition's",
        "cpus": "sbatch --cpus-per-task",
        "extra": "more words for sbatch",
        "modules": "modules to load, separated by commas or as a list",
        "setup": "a shell command to run before the worker",
        "cells": "cells in a task while nothing is known of how long they take (1)",
        "minutes": "how long a task of several short cells is meant to take (10)",
        "poll": "seconds between two questions to squeue (15)",
        "lease": LEASE,
    }

    def __init__(self, run: RunSetting) -> None:
        if shutil.which("sbatch") is None:
            raise UsageError(
                "no sbatch here: run this where the cluster's jobs are submitted, or use "
                "--executor folder and start `genbench work` there"
            )
        self.detaches = True
        asked = run.options
        self.lease = number_of(asked, "lease", LEASE_SECONDS)
        self.poll_seconds = number_of(asked, "poll", 15.0)
        self.away = ""
        self._root = run.results
        self._at_a_time = None if run.jobs == "auto" else run.jobs
        self._seconds = 60 * number_of(asked, "minutes", 10.0)
        self._cells = int(number_of(asked, "cells", 1.0, 0.5))
        self._time = text_of(asked, "time")
        self._words = _words(asked)
        self._setup = _setup(asked)
        self._states: tuple[float, dict[str, str] | None] = (-1.0, None)

    def launch(self, manifest: Manifest, orders: Sequence[int]) -> None:
        """Submit job arrays for these orders."""
        known = {} if self._time else seconds_by_generator(self._root, manifest)
        groups = grouped(manifest, orders, known, seconds=self._seconds, cells=self._cells)
        for name in (ENDED, LOGS):
            (manifest.folder / name).mkdir(exist_ok=True)
        first = before = add_tasks(manifest, [group.orders for group in groups])
        most = _array_size()
        try:
            for limit, alike in groupby(groups, lambda group: group.minutes):
                of = list(alike)
                for start in range(0, len(of), most):
                    part = of[start : start + most]
                    self._submit(manifest, part, first, limit)
                    first += len(part)
        except UsageError:
            _cancel(job for job in _jobs_of(manifest) if job["first"] >= before)
            raise

    def gone(self, manifest: Manifest) -> list[Lost]:
        """The tasks that Slurm does not know any more; none while it does not answer."""
        states = self._asked()
        found = []
        for name, orders in _latest_tasks(manifest).items():
            ended = manifest.folder / ENDED / name
            if exists(ended):
                how = f"ended with exit code {ended.read_text(encoding='utf-8').strip()}"
            elif states is not None and states.get(name, GONE) in OVER:
                how = f"is {states.get(name, GONE)}"
            else:
                continue
            how = f"task {name} {how}, {_last_words(manifest, name)}"
            found.append(Lost(name, orders, how))
        return found

    def cancel(self, manifest: Manifest) -> None:
        """Cancel the arrays of a manifest; tasks get SIGTERM and time to write."""
        _cancel(_jobs_of(manifest))

    def close(self) -> None:
        """Nothing to do: tasks go on."""

    def _submit(
        self, manifest: Manifest, groups: Sequence[Group], first: int, minutes: int | None
    ) -> None:
        """Submit one array for the groups from number `first` on."""
        limit = self._time or (None if minutes is None else str(minutes))
        script = manifest.folder / f"tasks-{first}.sh"
        write_bytes(script, self._script(manifest, first).encode())
        most = "" if self._at_a_time is None else f"%{self._at_a_time}"
        words = [
            "sbatch", "--parsable", f"--job-name=genbench-{manifest.id[-8:]}",
            f"--array=0-{len(groups) - 1}{most}", "--requeue", "--open-mode=append",
            f"--output={manifest.folder / LOGS}/%A_%a.txt",
            f"--signal=B:USR1@{_warning(limit)}", *self._words,
            *([] if limit is None else [f"--time={limit}"]), str(script),
        ]  # fmt: skip
        done = _call(*words)
        if done.returncode:
            said = _said(done)
            if _UNREACHED.search(said):
                raise Away(f"{AWAY} and took no cells ({said}): run the same command again later")
            raise UsageError(f"sbatch refused the cells: {said}")
        job = done.stdout.strip().partition(";")[0]
        body = {"job": job, "first": first, "count": len(groups)}
        write_json(manifest.folder / JOBS, [*_jobs_of(manifest), body])

    def _script(self, manifest: Manifest, first: int) -> str:
        words = ["work", str(self._root), "-j", "1", "--manifest", manifest.id]
        command = shlex.join(python_module("genbench", *words))
        ended = shlex.quote(str(manifest.folder / ENDED))
        return SCRIPT.format(setup=self._setup, command=command, first=first, ended=ended)

    def _asked(self) -> dict[str, str] | None:
        """The states of all my tasks, asked for once a poll; None if Slurm does not answer."""
        asked_at, states = self._states
        if asked_at < 0 or time.monotonic() - asked_at > self.poll_seconds / 2:
            form = ("-h", "-r", "-t", "all", "-o", "%i %T", "-u", getpass.getuser())
            done = _call("squeue", *form)
            lines = [line.split() for line in done.stdout.splitlines()]
            states = None if done.returncode else {w[0]: w[1] for w in lines if len(w) == 2}
            self.away = f"{AWAY} ({_said(done)})" if done.returncode else ""
            self._states = (time.monotonic(), states)
        return states


def _said(done: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed said of it."""
    return shorten(one_line(done.stderr.strip() or done.stdout.strip()), 400)


def _cancel(jobs: Iterable[Mapping[str, Any]]) -> None:
    if names := [str(job["job"]) for job in jobs]:
        _call("scancel", *names)


def _words(asked: Mapping[str, Any]) -> list[str]:
    """The user's options as sbatch takes them."""
    names = {**{name: name for name in PASSED_ON}, "cpus": "cpus-per-task"}
    found = [f"--{word}={text}" for name, word in names.items() if (text := text_of(asked, name))]
    return found + shlex.split(text_of(asked, "extra") or "")


def _setup(asked: Mapping[str, Any]) -> str:
    """The shell commands that come before the worker."""
    modules = (text_of(asked, "modules") or "").replace(",", " ").split()
    lines = [f"module load {shlex.quote(name)}" for name in modules]
    return "\n".join([*lines, text_of(asked, "setup") or ""])


def _warning(limit: str | None) -> int:
    """Seconds before its end that a task is warned; Slurm may be a minute early."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+)(?::(\d+))?", limit or "")
    if found is None:
        return WARNING_SECONDS
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    if found[2] and not found[4] and not found[1]:  # MINUTES:SECONDS
        hours, minutes, seconds = 0, hours, minutes
    elif found[1] and not found[2]:  # DAYS-HOURS
        hours, minutes = minutes, 0
    whole = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return max(1, min(WARNING_SECONDS, whole // 2))


def _array_size() -> int:
    """The most tasks that the site takes in one array."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _call("scontrol", "show", "config").stdout)
    return max(1, int(found[1]) - 1 if found else ARRAY_SIZE - 1)


def _jobs_of(manifest: Manifest) -> list[dict[str, Any]]:
    path = manifest.folder / JOBS
    return list(read_json(path)) if exists(path) else []


def _latest_tasks(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """The orders of each task, by its name; of several tasks an order is the last one's."""
    tasks = tasks_of(manifest)
    names = {
        job["first"] + number: f"{job['job']}_{number}"
        for job in _jobs_of(manifest)
        for number in range(job["count"])
    }
    last = {index: task for task, orders in enumerate(tasks) for index in orders if task in names}
    found: dict[str, list[int]] = {}
    for index, task in last.items():
        found.setdefault(names[task], []).append(index)
    return {name: tuple(orders) for name, orders in found.items()}


def _last_words(manifest: Manifest, task: str) -> str:
    """The last words of a task."""
    path: Path = manifest.folder / LOGS / f"{task}.txt"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "and left no log in the results folder: does its node see that?"
    return f"and said last: {shorten(lines[-1], 200)}" if lines else "and said nothing"


def _call(*words: str) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands; one that hangs has failed."""
    try:
        return subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", f"{words[0]}: {error}")
