"""Cells on Dask's workers, one of which is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PLUGINS, TINY, Command, command
from tests.test_run import records, wait_for_fit

pytest.importorskip("distributed", reason="Dask is not installed: pip install 'genbench[dask]'")

RUN = (
    "run", "--suite", TINY, "--plugin", PLUGINS / "slow.py", "-g",
    "slow:pause=0.05,save_every=0.3", "--no-controls", "--no-report", "--seeds", "0,1",
)  # fmt: skip


def start(folder: Path, *words: object) -> subprocess.Popen[bytes]:
    """A program of Dask's, at the head of a group of its own."""
    with (folder / "dask.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *map(str, words)], cwd=folder, stdout=log, stderr=log,
            start_new_session=True, env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )  # fmt: skip


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler's address, and its two workers."""
    file = tmp_path / "scheduler.json"
    place = ("--scheduler-file", file)
    programs = [start(tmp_path, "distributed.cli.dask_scheduler", *place, "--port", 0,
                      "--host", "127.0.0.1", "--no-dashboard")]  # fmt: skip
    programs += [start(tmp_path, "distributed.cli.dask_worker", *place, "--no-nanny",
                       "--nthreads", 1, "--no-dashboard") for _ in range(2)]  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not file.exists():
            assert time.monotonic() < deadline, (tmp_path / "dask.log").read_text()
            time.sleep(0.1)
        address = file.read_text().partition('"address": "')[2].partition('"')[0]
        yield address, programs[1:]
    finally:
        for program in programs:
            if program.poll() is None:
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()


@pytest.mark.slow
@pytest.mark.alone
def test_a_killed_worker_costs_no_cell(
    dask: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, workers = dask
    words = (*RUN, "--executor", f"dask:scheduler={address},lease=4")
    run = subprocess.Popen(command(words), cwd=tmp_path, text=True, stderr=subprocess.PIPE)
    for seed in (0, 1):
        wait_for_fit(tmp_path / "results", 100, seed=seed)
    os.killpg(workers[0].pid, signal.SIGKILL)
    _, err = run.communicate(timeout=400)
    assert run.returncode == 0, err
    found = records(tmp_path / "results")
    assert sorted(record.attempt["n"] for record in found.values()) == [1, 2]
    (again,) = (record for record in found.values() if record.attempt["n"] == 2)
    # The last checkpoint lies behind what was served by as much as a loaded machine makes it.
    assert again.attempt["resumed_at"] > 0
    assert {record.status for record in found.values()} == {"ok"}


def test_dask_does_not_stay_behind_and_names_a_scheduler_that_is_not_there(
    run_genbench: Command,
) -> None:
    done = run_genbench(*RUN, "--executor", "dask:scheduler=tcp://127.0.0.1:9")
    assert done.code == 2
    assert "no Dask scheduler at tcp://127.0.0.1:9" in done.err
