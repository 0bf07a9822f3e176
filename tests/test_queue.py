"""Cells worked on elsewhere: claims, heartbeats, workers that die or sleep, collection."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from genbench.results import archive
from genbench.results.records import Record
from genbench.results.store import Store
from genbench.running.cells import build_plan
from genbench.running.planning import RunOptions
from genbench.running.queue.manifest import Manifest, write_manifest
from genbench.tasks.suite import load_suite
from tests.conftest import ROOT, TINY
from tests.test_scheduling import choice

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
