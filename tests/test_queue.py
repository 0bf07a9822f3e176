"""Cells worked on elsewhere: claims, heartbeats, workers that die or sleep, collection."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from genbench import api
from genbench.errors import GenbenchError, StoreError, UsageError
from genbench.results import archive
from genbench.results.records import Record
from genbench.results.store import CHECKPOINT, RecordedAlready, Store, write_record
from genbench.running.cells import build_plan
from genbench.running.cellspec import CellSpec
from genbench.running.executors import QueueExecutor, RunSetting, sizing, slurm, started
from genbench.running.executors.site import ExecutorChoice, choose_executor
from genbench.running.narration import Lines
from genbench.running.planning import RunOptions
from genbench.running.queue import claims, heartbeats, showing
from genbench.running.queue import manifest as manifests
from genbench.running.queue import work as working
from genbench.running.queue.manifest import Manifest, OtherBuild, write_manifest
from genbench.running.queue.taking import Next, Place, Taker
from genbench.running.queue.waiting import _Waiting
from genbench.running.queue.work import Share, work
from genbench.running.recording import WORKER_LOST, record_of_death, record_of_loss
from genbench.system import write_bytes
from genbench.system.forking import ForkServerClient
from genbench.tasks.suite import load_suite
from tests.conftest import PLUGINS, ROOT, TINY, Command
from tests.test_scheduling import choice

HERE = Place("cpu", 1, True)

WORKERS, CELLS, LEASE, TROUBLES = 8, 60, 2.0, 16


def ordered(root: Path, cells: int, lease: float = LEASE) -> Manifest:
    """A manifest of so many cells of one generator."""
    suite, store = load_suite(str(TINY)), Store(root)
    store.prepare()
    store.write_suite(suite.folder_name, suite.describe())
    seeds = tuple(range(cells))
    plan = build_plan(suite, [choice()], seeds, store, threads=1)
    options = RunOptions(seeds)
    return write_manifest(root, suite, plan, options, executor="folder", lease=lease)


def records(root: Path) -> dict[str, list[Record]]:
    """All records by cell."""
    found = defaultdict(list)
    for folder in Store(root).task_folders():
        for stored in Store(root).records(folder):
            found[stored.record.cell_key].append(stored.record)
    return found


def momentary_worker(root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.queue_worker", root],
        cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip


class Trouble:
    """Kills workers and puts them to sleep, at random."""

    def __init__(self, root: Path) -> None:
        self.done: Counter[str] = Counter()
        self.root = root
        self.workers = [momentary_worker(root) for _ in range(WORKERS)]
        self._asleep: dict[subprocess.Popen[bytes], float] = {}
        self._random = random.Random(0)

    def make(self) -> None:
        """Trouble one worker, and wake those that have slept enough."""
        for worker, wake_at in list(self._asleep.items()):
            if time.monotonic() > wake_at:
                worker.send_signal(signal.SIGCONT)
                del self._asleep[worker]
        alive = [w for w in self.workers if w.poll() is None and w not in self._asleep]
        if not alive:
            return
        victim = self._random.choice(alive)
        if self._random.random() < 0.5:
            victim.kill()
            victim.wait()
            self.workers.remove(victim)
            self.workers.append(momentary_worker(self.root))
            self.done["killed"] += 1
        else:
            # Past the lease or not: some are taken for dead, and wake up.
            self._asleep[victim] = time.monotonic() + self._random.uniform(0.5, 3 * LEASE)
            victim.send_signal(signal.SIGSTOP)
            self.done["put to sleep"] += 1

    def end(self) -> list[int]:
        """Wake all, and wait for them to end: their exit codes."""
        for worker in self._asleep:
            worker.send_signal(signal.SIGCONT)
        return [worker.wait(timeout=60) for worker in self.workers]


@pytest.mark.slow
@pytest.mark.alone
def test_workers_killed_and_put_to_sleep_lose_no_cell_and_do_none_twice(tmp_path: Path) -> None:
    manifest = ordered(tmp_path, CELLS)
    trouble = Trouble(tmp_path)
    deadline = time.monotonic() + 240
    while (settled := len(manifest.settled())) < CELLS and time.monotonic() < deadline:
        time.sleep(0.3)
        if settled and trouble.done.total() < TROUBLES:
            trouble.make()
    assert trouble.end() == [0] * WORKERS
    found = records(tmp_path)
    assert len(found) == CELLS
    for attempts in found.values():
        statuses = Counter(record.status for record in attempts)
        assert statuses.pop("ok") == 1
        assert set(statuses) <= {"interrupted"}
        assert len({record.attempt["n"] for record in attempts}) == len(attempts)
    lost = [r for attempts in found.values() for r in attempts if r.status == "interrupted"]
    assert trouble.done["killed"] >= 5
    assert trouble.done["put to sleep"] >= 5
    assert lost, "nobody was interrupted in the middle of a cell"
    assert all("no sign of life" in str((r.error or {})["message"]) for r in lost)
    assert os.listdir(tmp_path / ".queue" / "workers") == [] or trouble.done["killed"]
    assert not archive.verify(tmp_path).problems


def taken(got: CellSpec | Next) -> CellSpec:
    """The order that a taker got."""
    assert isinstance(got, CellSpec)
    return got


def ended_ok(spec: CellSpec) -> Record:
    """The record of a cell that went well."""
    return record_of_loss(spec, "ok", {"phase": "fit", "type": "None", "message": "none"})


def test_of_many_who_claim_an_attempt_one_gets_it(tmp_path: Path) -> None:
    def one(number: int) -> bool:
        return claims.take(tmp_path, claims.Claim("sha256:ab", 1, str(number), "", "01A", 1))

    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(one, range(40)))
    assert sum(got) == 1
    held = claims.holder(tmp_path, "sha256:ab", 1)
    assert held is not None
    assert got[int(held.worker)]
    assert list(tmp_path.rglob("*.json")) == [claims.claim_file(tmp_path, "sha256:ab", 1)]


def test_a_worker_is_dead_once_its_heartbeat_has_not_changed_for_us(tmp_path: Path) -> None:
    """Whatever time of day its machine has: none is written."""
    now = [100.0]
    watch = heartbeats.Watch(tmp_path, lambda: now[0])
    path = heartbeats.heartbeat_file(tmp_path, "w")
    write_bytes(path, b'{"beat": 1, "cells": []}')
    os.utime(path, (0, 0))
    assert watch.silence("w") == 0
    now[0] += 50
    assert watch.silence("w") == 50
    write_bytes(path, b'{"beat": 2, "cells": []}')
    os.utime(path, (0, 0))
    assert watch.silence("w") == 0
    now[0] += 70
    assert watch.silence("w") == 70
    assert watch.silence("one that never said anything") == 0


def test_a_live_workers_cell_is_left_alone_and_a_dead_ones_goes_on(tmp_path: Path) -> None:
    manifest = ordered(tmp_path, 1, lease=0.05)
    (order,) = manifest.orders
    first, second = Taker(tmp_path, "first"), Taker(tmp_path, "second")
    with heartbeats.Heart(tmp_path, "first", 0.05, list):
        spec = taken(first.take(manifest, order, HERE))
        for _ in range(4):
            assert second.take(manifest, order, HERE) is Next.TAKEN
            time.sleep(0.05)
    spec.folder.mkdir(parents=True)
    (spec.folder / CHECKPOINT).write_bytes(b"half of it")
    assert second.take(manifest, order, HERE) is Next.TAKEN
    time.sleep(0.1)
    again = taken(second.take(manifest, order, HERE))
    assert (again.attempt, again.resume) == (2, spec.folder / CHECKPOINT)
    with pytest.raises(RecordedAlready):
        ended_ok(spec)  # the first was not dead, and it is too late
    ended_ok(again)
    assert first.take(manifest, order, HERE) is Next.SETTLED
    (lost, ok) = sorted(records(tmp_path)[order.key], key=lambda r: int(r.attempt["n"]))
    assert (lost.status, ok.status) == ("interrupted", "ok")
    assert "its worker first gave no sign of life" in str((lost.error or {})["message"])
    assert not archive.verify(tmp_path).problems


def test_three_attempts_that_leave_nothing_new_settle_a_cell_as_failed(tmp_path: Path) -> None:
    manifest = ordered(tmp_path, 1)
    (order,) = manifest.orders
    taker = Taker(tmp_path, "w")
    (tmp_path / "kept").write_bytes(b"as far as it ever got")

    def one() -> CellSpec:
        spec = taken(taker.take(manifest, order, HERE))
        spec.folder.mkdir(parents=True)
        os.link(tmp_path / "kept", spec.folder / CHECKPOINT)
        return spec

    for _ in range(3):
        record_of_death(one(), -9)
    spec = one()  # the first of the three had got somewhere
    record_of_loss(spec, "interrupted", {"phase": "fit", "type": "Stopped", "message": "limit"})
    assert taker.take(manifest, order, HERE) is Next.SETTLED
    last = max(records(tmp_path)[order.key], key=lambda r: int(r.attempt["n"]))
    error: Any = last.error
    assert (last.status, error["type"]) == ("failed", "NoProgress")
    assert "no progress in 3 attempts: attempt 2: the worker ended by signal 9" in error["message"]
    assert error["message"].endswith("attempt 4: limit")


def test_a_task_that_vanished_leaves_a_record_and_loses_no_checkpoint(tmp_path: Path) -> None:
    manifest = ordered(tmp_path, 1)
    (order,) = manifest.orders
    spec = taken(Taker(tmp_path, "w", "5_0").take(manifest, order, HERE))
    spec.folder.mkdir(parents=True)
    (spec.folder / CHECKPOINT).write_bytes(b"half of it")
    run = Taker(tmp_path, "run")
    assert run.lose(manifest, order, "4_0", "task 4_0 is gone") is False
    assert not records(tmp_path), "another task is at it"
    assert run.lose(manifest, order, "5_0", "task 5_0 is gone") is False
    assert run.lose(manifest, order, "5_0", "told again") is False
    (lost,) = records(tmp_path)[order.key]
    error: Any = lost.error
    assert (lost.status, error["type"]) == ("interrupted", WORKER_LOST)
    assert error["message"] == "task 5_0 is gone; it goes on elsewhere"
    for _ in range(2):  # told again where nobody took the next try; it was gone before it began
        assert run.lose(manifest, order, "6_0", "task 6_0 is gone") is False
    again = taken(Taker(tmp_path, "w", "7_0").take(manifest, order, HERE))
    assert again.attempt == 3
    assert again.resume is not None
    assert again.resume.read_bytes() == b"half of it"


def test_a_cell_with_too_little_memory_beside_others_runs_again_alone(tmp_path: Path) -> None:
    manifest = ordered(tmp_path, 1)
    (order,) = manifest.orders
    taker = Taker(tmp_path, "w")
    spec = taken(taker.take(manifest, order, Place("cpu", 4, False)))
    assert spec.slots == 4
    record_of_loss(spec, "oom", {"phase": "fit", "type": "MemoryError", "message": "too much"})
    assert taker.take(manifest, order, Place("cpu", 4, False)) is Next.ALONE
    alone = taken(taker.take(manifest, order, Place("cpu", 4, True)))
    assert alone.slots == 1
    record_of_loss(alone, "oom", {"phase": "fit", "type": "MemoryError", "message": "too much"})
    assert taker.take(manifest, order, HERE) is Next.SETTLED


def test_an_attempt_has_one_record(tmp_path: Path) -> None:
    spec = taken(Taker(tmp_path, "w").take(m := ordered(tmp_path, 1), m.orders[0], HERE))
    record = ended_ok(spec)
    with pytest.raises(RecordedAlready, match="taken for dead meanwhile"):
        write_record(spec.folder, dataclasses.replace(record, status="failed"), new=True)


def test_a_manifest_reads_as_it_was_written_and_one_of_another_genbench_is_refused(
    tmp_path: Path,
) -> None:
    written = ordered(tmp_path, 2500)  # several files of orders
    (found,) = manifests.manifests(tmp_path)
    assert found.orders == written.orders
    assert dataclasses.replace(found.options, seeds=written.options.seeds) == written.options
    path = written.folder / manifests.MANIFEST
    body = json.loads(path.read_text())
    body["build"]["code"] = "0123456789abcdef"
    path.write_text(json.dumps(body))
    with pytest.raises(
        OtherBuild, match=r"is of genbench .* install the same one on every machine"
    ):
        manifests.manifests(tmp_path)
    refused: list[GenbenchError] = []
    assert manifests.manifests(tmp_path, refused) == []
    assert showing.queue_overview(tmp_path) == [str(refused[0])]


def test_a_full_disk_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device: make room there"):
        write_bytes(tmp_path / "record.json", b"{}", new=True)
    assert not list(tmp_path.iterdir())


def test_the_command_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    below = tmp_path / "project" / "deep"
    below.mkdir(parents=True)
    home = tmp_path / "home" / "genbench"
    home.mkdir(parents=True)
    environ = {"XDG_CONFIG_HOME": str(home.parent)}
    assert choose_executor(None, below, environ) == ExecutorChoice("local", {})
    (home / "genbench.toml").write_text('[executor]\nname = "folder"\nfolder = { lease = 9 }')
    assert choose_executor(None, below, environ) == ExecutorChoice("folder", {"lease": 9})
    (tmp_path / "project" / "genbench.toml").write_text(
        '[executor]\nname = "slurm"\n[executor.slurm]\npartition = "a"\ntime = "1:00"\nmem = "1G"'
    )
    of_file = {"partition": "a", "time": "1:00", "mem": "1G"}
    assert choose_executor(None, below, environ) == ExecutorChoice("slurm", of_file)
    environ["GENBENCH_EXECUTOR"] = "slurm:partition=b,time=2:00"
    assert choose_executor("slurm:time=3:00", below, environ) == ExecutorChoice(
        "slurm", {"partition": "b", "time": "3:00", "mem": "1G"}
    )
    assert choose_executor("folder", below, environ) == ExecutorChoice("folder", {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[executor", "no TOML file that can be read"),
        ("[slurm]", "has slurm: it holds"),
        ("executor = 3", "write .executor. with name"),
        ("[executor]\nslurm = 3", "executor.slurm is no table"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "genbench.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        choose_executor(None, tmp_path, {})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("folder", {"partition": "x"}, "'folder' has no option 'partition': known: lease"),
        ("folder", {"lease": "long"}, "option lease is 'long': give a number above 0"),
        ("local", {"lease": "3"}, "'local' has no option 'lease': it takes none"),
    ],
)
def test_options_are_checked(
    tmp_path: Path, name: str, options: dict[str, str], message: str
) -> None:
    setting = RunSetting(tmp_path, "auto", 1, ForkServerClient(()), options)
    with pytest.raises(UsageError, match=message), started(name, setting):
        pass
    with pytest.raises(UsageError, match="'partition' is no key=value"):
        choose_executor("slurm:partition", tmp_path, {})


def test_short_cells_share_a_task_and_its_time_follows_from_records(tmp_path: Path) -> None:
    manifest = ordered(tmp_path, 10)
    unknown = sizing.grouped(manifest, range(10), {}, seconds=600, cells=4)
    assert [len(group.orders) for group in unknown] == [4, 4, 2]
    assert {group.minutes for group in unknown} == {None}
    name = manifest.orders[0].generator.name
    known = sizing.grouped(manifest, range(10), {name: 250.0}, seconds=600, cells=4)
    assert [len(group.orders) for group in known] == [2] * 5
    assert {group.minutes for group in known} == {32}  # the power of two above 2 * 500 s + 5 min
    long = sizing.grouped(manifest, range(2), {name: 9000.0}, seconds=600, cells=4)
    assert [group.orders for group in long] == [(0,), (1,)]


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [(None, 120), ("2", 60), ("1", 30), ("04:00:00", 120), ("3:00", 90), ("1-00", 120),
     ("0-0:2", 60), ("0:00:20", 10)],
)  # fmt: skip
def test_a_task_is_warned_before_half_its_time_is_over(limit: str | None, seconds: int) -> None:
    assert slurm._warning(limit) == seconds


class Shell:
    """Stands in for Slurm's commands: each says what a file holds and ends as another says."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._place = place / "bin"
        self._place.mkdir()
        monkeypatch.setenv("PATH", f"{self._place}:{os.environ['PATH']}")
        for name in ("sbatch", "scancel", "scontrol", "squeue"):
            self.says(name, "")

    def says(self, name: str, text: str, code: int = 0) -> None:
        """Have a command say this, on stderr if it fails."""
        path = self._place / name
        to = ">&2" if code else ""
        path.write_text(f"#!/bin/sh\ncat <<'END' {to}\n{text}\nEND\nexit {code}\n")
        path.chmod(0o755)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Slurm's commands, which know of nothing."""
    return Shell(tmp_path, monkeypatch)


class Heard(Lines):
    """The lines of a run."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        super().__init__(load_suite(str(TINY)), self.lines.append)

    def about(self, word: str) -> list[str]:
        """Those with this word, since the last question."""
        found = [line for line in self.lines if word in line]
        self.lines.clear()
        return found


def waiting_for(slurm: QueueExecutor, root: Path, heard: Heard) -> _Waiting:
    """A run of one cell that waits for tasks of Slurm."""
    suite, store, options = load_suite(str(TINY)), Store(root), RunOptions((0,))
    store.write_suite(suite.folder_name, suite.describe())
    cells = build_plan(suite, [choice()], (0,), store, threads=1)
    return _Waiting(suite, cells, store, options, slurm, heard, lambda: None, "slurm")


def test_while_the_controller_is_away_it_is_said_once_and_nothing_is_taken_for_lost(
    tmp_path: Path, shell: Shell
) -> None:
    """Nor is it an end of the run that it does not take the next try of a task that is gone."""
    root = tmp_path / "results"
    setting = RunSetting(root, "auto", 1, ForkServerClient(()), {"poll": "0.001"})
    heard = Heard()
    away = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    with started("slurm", setting) as slurm:
        assert isinstance(slurm, QueueExecutor)
        run = waiting_for(slurm, root, heard)
        shell.says("sbatch", "7")
        run.order()
        shell.says("squeue", "7_0 RUNNING")
        run.collect(once=True)
        assert not heard.about("answer")
        shell.says("squeue", away, 1)
        shell.says("sbatch", f"sbatch: error: {away}", 1)
        for _ in range(3):
            time.sleep(0.01)
            run.collect(once=True)
        (line,) = heard.about("answer")
        assert line.startswith(f"the Slurm controller does not answer ({away}): tasks go on")
        assert not records(root)
        shell.says("squeue", "")  # it is back for a moment, and the task is gone
        for _ in range(2):
            time.sleep(0.01)
            run.collect(once=True)
        assert heard.about("answer") == ["slurm answers again"]
        (lost,) = (record for of_cell in records(root).values() for record in of_cell)
        assert "left no log in the results folder: does its node see that?" in str(lost.error)
        shell.says("sbatch", "8")
        time.sleep(0.01)
        run.collect(once=True)
        shell.says("squeue", "8_0 PENDING")
        time.sleep(0.01)
        run.collect(once=True)
        assert len(records(root)) == 1
        assert len(run.awaited) == 1


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller",
         r"does not answer and took no cells .*: run the same command again later"),
        ("sbatch: error: invalid partition specified: nope",
         r"sbatch refused the cells: sbatch: error: invalid partition specified: nope"),
    ],
)  # fmt: skip
def test_what_sbatch_does_not_take_is_told_with_its_words_and_orders_nothing(
    tmp_path: Path, shell: Shell, said: str, message: str
) -> None:
    shell.says("sbatch", said, 1)
    root = tmp_path / "results"
    with started("slurm", RunSetting(root, "auto", 1, ForkServerClient(()))) as slurm:
        assert isinstance(slurm, QueueExecutor)
        with pytest.raises(UsageError, match=message):
            waiting_for(slurm, root, Heard()).order()
    assert not list(root.glob(".queue/*/manifest.json"))


def test_without_sbatch_the_way_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    setting = RunSetting(tmp_path, "auto", 1, ForkServerClient(()))
    with (
        pytest.raises(UsageError, match=r"no sbatch here: run this where .* or use --executor"),
        started("slurm", setting),
    ):
        pass


def test_a_worker_on_a_full_disk_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cells, if it had any, are others' once it gives no sign of life."""
    ordered(tmp_path, 1)

    def full(**where: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(StoreError, match=r"workers/.*: No space left on device: make room there"):
        work(tmp_path, jobs=1, device="cpu", share=Share(), forks=ForkServerClient(()), say=print)


def test_a_folder_that_a_machine_does_not_see_is_told_to_who_works_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no folder .*/nowhere here: .* or mount it"):
        work(tmp_path / "nowhere", jobs=1, device="cpu", share=Share(), forks=ForkServerClient(()),
             say=print)  # fmt: skip


def test_a_worker_with_no_room_does_not_read_what_others_have_settled(tmp_path: Path) -> None:
    """It is a file for each of them, as often as it looks."""
    manifest = ordered(tmp_path, 2)
    worker = working._Worker(tmp_path, 1, "cpu", Share(), ForkServerClient(()), print)
    with heartbeats.Heart(tmp_path, worker.name, LEASE, list) as heart:
        worker._look(heart)
        (shelf,) = worker._shelves.values()
        busy = working._Attempt(shelf, manifest.orders[0], "cpu")
        worker._under_way[tmp_path / "01A"] = busy
        worker._started(manifest).jobs = 1
        manifest.settle(1, "another")
        worker._look_at = 0.0
        worker._look(heart)
        assert set(shelf.left) == {0, 1}
        worker._under_way.clear()
        worker._look_at = 0.0
        worker._look(heart)
        assert set(shelf.left) == {0}


class Living:
    """A class of the caller's process."""


def test_what_cannot_run_elsewhere_is_refused(tmp_path: Path) -> None:
    from tests.plugins.normal import Normal

    mine = type("Mine", (Normal,), {"__module__": "__main__"})
    with pytest.raises(UsageError, match="is a class of this process, and executor 'folder' runs"):
        api.run(TINY, [mine], results=tmp_path, executor="folder", controls=False)
    with pytest.raises(UsageError, match="executor 'local' runs cells itself: leave --detach out"):
        api.run(TINY, results=tmp_path, detach=True)


RUN = ("run", "--suite", TINY, "--plugin", PLUGINS / "normal.py", "--no-report", "--detach",
       "--executor", "folder:lease=20")  # fmt: skip


@pytest.mark.slow
def test_order_leave_work_collect(run_genbench: Command, tmp_path: Path) -> None:
    first = run_genbench(*RUN)
    assert first.code == 0, first.err
    assert "pending: 3 of 3 cells" in first.err
    assert run_genbench(*RUN).code == 8
    assert len(list(tmp_path.glob("results/.queue/*/manifest.json"))) == 1, "nothing twice"
    shown = run_genbench("status").out
    assert "0 of 3 cells ended, 0 under way" in shown
    done = run_genbench("work", "results", "-j", 2)
    assert done.code == 0, done.err
    assert "3 of 3 cells ended, waits to be collected" in run_genbench("status").out
    last = run_genbench(*RUN)
    assert last.code == 0, last.err
    assert "normal" in last.out
    assert not list(tmp_path.glob("results/.queue/**/*.json")), "nothing of the queue is left"
    assert "nothing is queued" in run_genbench("work", "results").err


@pytest.mark.slow
def test_a_failed_cell_is_collected_once_and_ordered_again_after_that(
    run_genbench: Command, tmp_path: Path
) -> None:
    run = ("run", "--suite", TINY, "--plugin", PLUGINS / "faulty.py:Raises", "--no-report",
           "--no-controls", "--executor", "folder", "--detach")  # fmt: skip
    assert run_genbench(*run).code == 0
    assert run_genbench("work", "results", "-j", 1).code == 0
    collected = run_genbench(*run)
    assert collected.code == 3, collected.err
    assert "the optimiser exploded" in collected.err
    assert run_genbench(*run).code == 0
    assert len(list(tmp_path.glob("results/.queue/*/manifest.json"))) == 1
    stopped = run_genbench("stop")
    assert (stopped.code, "(folder): 1 of 1 cells left" in stopped.out) == (0, True)
    assert run_genbench("stop").code == 2
