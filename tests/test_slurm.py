"""Cells on a real Slurm of this machine: arrays, limits, lost tasks, a dead node, no controller."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genbench.results import archive
from genbench.results.records import Record
from genbench.results.store import Store
from tests.conftest import PLUGINS, TINY, Command, Done, command, genbench
from tests.slurm import Slurm, missing
from tests.test_run import wait_for_fit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(missing() is not None, reason=f"no Slurm: {missing()}"),
]
SLOW = ("run", "--suite", TINY, "--plugin", PLUGINS / "slow.py", "--no-controls", "--no-report")
SECONDS = 600


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """A Slurm of four processors."""
    made = Slurm(Path(tempfile.mkdtemp(prefix="sl", dir="/tmp")))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def limited(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A run that left its cell to Slurm, and for which it takes longer than a task may."""
    place = tmp_path_factory.mktemp("limited")
    return place, genbench(*LIMITED, cwd=place, env=slurm.env)


LIMITED = (*SLOW, "-g", "slow:pause=0.3,save_every=1", "--detach",
           "--executor", "slurm:time=2,lease=5")  # fmt: skip


def by_cell(results: Path) -> dict[int, list[Record]]:
    """All records of each seed, by attempt."""
    found: dict[int, list[Record]] = {}
    for folder in Store(results).task_folders():
        for stored in Store(results).records(folder):
            found.setdefault(stored.record.seed, []).append(stored.record)
    return {seed: sorted(some, key=lambda r: r.attempt["n"]) for seed, some in found.items()}


def task_of(results: Path, attempt: Path) -> str:
    """The Slurm task that makes an attempt, as its claim says."""
    for path in results.glob(".queue/claims/*/*.json"):
        claim = json.loads(path.read_text())
        if claim["folder"] == attempt.name:
            return str(claim["task"])
    raise AssertionError(f"nobody claimed {attempt}")


@pytest.mark.usefixtures("limited")
def test_a_run_on_slurm_gives_the_digests_of_one_here(slurm: Slurm, tmp_path: Path) -> None:
    """In two arrays, as this Slurm takes two tasks in one; the same command again runs nothing."""
    run = ("run", "--suite", TINY, "--plugin", PLUGINS / "normal.py", "--no-report",
           "--seeds", "0,1,2")  # fmt: skip
    there = genbench(*run, "--results", "there", "--executor", "slurm:poll=1,cells=2", cwd=tmp_path,
                     env=slurm.env, timeout=SECONDS)  # fmt: skip
    assert there.code == 0, there.err
    here = genbench(*run, "--results", "here", cwd=tmp_path, timeout=SECONDS)
    assert here.code == 0, here.err
    digests = [
        sorted(
            (r.cell_key, r.to_json()["result_digest"])
            for folder in Store(tmp_path / name).task_folders()
            for r in (s.record for s in Store(tmp_path / name).records(folder))
        )
        for name in ("there", "here")
    ]
    assert len(digests[0]) == 5
    assert digests[0] == digests[1]
    assert not list((tmp_path / "there" / ".queue").glob("*/manifest.json"))
    again = genbench(*run, "--results", "there", "--executor", "slurm", "--detach", cwd=tmp_path,
                     env=slurm.env)  # fmt: skip
    assert (again.code, "0 to do" in again.err) == (0, True), again.err


def test_the_smoke_of_digits_goes_through_slurm_as_a_whole(slurm: Slurm, tmp_path: Path) -> None:
    """Baselines, controls, their refits and the report of a suite that ships."""
    run = ("run", "--suite", "digits", "--profile", "smoke", "--executor", "slurm:poll=1")
    done = genbench(*run, cwd=tmp_path, env=slurm.env, timeout=SECONDS)
    assert done.code == 0, done.err
    (task,) = Store(tmp_path / "results").task_folders()
    records = [stored.record for stored in Store(tmp_path / "results").records(task)]
    assert {r.status for r in records} == {"ok"}
    assert {r.cell["generator"]["name"] for r in records} == {
        "gan", "vae", "flow", "dna", "heldout", "train-copy", "gaussian", "noise", "mode-dropped",
    }  # fmt: skip
    assert all(r.metrics["fid"].status == "ok" for r in records)
    trained = [r for r in records if r.cell["generator"]["name"] == "vae"]
    assert [r.metrics["augmentation_gain"].status for r in trained] == ["ok"]
    assert (tmp_path / "results" / "report" / "index.html").is_file()


def test_what_sbatch_refuses_is_told_in_its_own_words(slurm: Slurm, tmp_path: Path) -> None:
    done = genbench(*SLOW, "--executor", "slurm:partition=nope", cwd=tmp_path, env=slurm.env)
    assert done.code == 2
    assert "error: sbatch refused the cells: sbatch: error: invalid partition" in done.err
    assert not list(tmp_path.glob("results/.queue/*/manifest.json")), "it ordered nothing"


def test_two_runs_at_a_time_do_nothing_twice(slurm: Slurm, tmp_path: Path) -> None:
    run = ("run", "--suite", TINY, "--plugin", PLUGINS / "normal.py", "--no-report", "--executor",
           "slurm:poll=1,cells=3")  # fmt: skip
    both = [
        subprocess.Popen(command(run), cwd=tmp_path, env=slurm.env, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for one in both:
        _, err = one.communicate(timeout=SECONDS)
        assert one.returncode == 0, err.decode()
    records = list((tmp_path / "results").rglob("record.json"))
    assert len(records) == 3


def test_a_time_limit_is_no_loss(limited: tuple[Path, Done], slurm: Slurm) -> None:
    """Warned in time, the cell writes its checkpoint, and its task is queued again by itself."""
    place, submitted = limited
    assert submitted.code == 0, submitted.err
    assert "pending: 1 of 1 cells" in submitted.err
    deadline = time.monotonic() + SECONDS
    while (done := genbench(*LIMITED, cwd=place, env=slurm.env)).code == 8:
        assert time.monotonic() < deadline, done.err
        time.sleep(3)
    assert done.code == 0, done.err
    *cut, last = by_cell(place / "results")[0]
    assert cut
    assert {(r.status, (r.error or {})["type"]) for r in cut} == {("interrupted", "Stopped")}
    assert last.status == "ok"
    assert max(r.attempt["resumed_at"] for r in (*cut[1:], last)) > 0


def waiting(slurm: Slurm, place: Path, *more: object) -> subprocess.Popen[str]:
    """A run of the slow generator that waits for Slurm."""
    words = (*SLOW, "-g", "slow:pause=0.2,save_every=0.5", "--seeds", "0,1", "--executor",
             "slurm:poll=1,lease=5", *more)  # fmt: skip
    return subprocess.Popen(command(words), cwd=place, env=slurm.env, text=True,
                            stderr=subprocess.PIPE)  # fmt: skip


def test_cancelled_and_requeued_tasks_a_dead_node_and_no_controller_cost_no_cell(
    slurm: Slurm, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    run = waiting(slurm, tmp_path)
    first = [wait_for_fit(results, 200, SECONDS, seed).parent for seed in (0, 1)]
    slurm.call("scancel", task_of(results, first[0]))
    slurm.call("scontrol", "requeue", task_of(results, first[1]))
    again = [_next_fit(results, seed, first[seed]) for seed in (0, 1)]
    slurm.kill("ctld")
    time.sleep(3)
    assert run.poll() is None, "a controller that is away ends no run"
    slurm.kill("d", with_jobs=True)  # the node is dead, and nobody has seen it
    slurm.start_controller()
    slurm.wait_for("sinfo", "-h", "-o", "%T", says="down", seconds=120)
    slurm.start_node()
    _, err = run.communicate(timeout=SECONDS)
    assert run.returncode == 0, err
    for seed, attempts in by_cell(results).items():
        *cut, last = attempts
        assert [r.attempt["n"] for r in attempts] == list(range(1, len(attempts) + 1))
        assert {r.status for r in cut} == {"interrupted"}
        assert {first[seed].name, again[seed].name} <= {r.record_id for r in cut}
        assert last.status == "ok"
        assert last.attempt["resumed_at"] >= 200
    assert not archive.verify(results).problems


def _next_fit(results: Path, seed: int, before: Path) -> Path:
    """The attempt after this one, once its fit goes on."""
    deadline = time.monotonic() + SECONDS
    while True:
        for path in results.glob(f"*/*/seed-{seed}/*/progress.json"):
            with contextlib.suppress(OSError, ValueError):
                body = json.loads(path.read_text())
                if path.parent != before and body["phase"] == "fit" and body["done"]:
                    return path.parent
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_task_that_never_gets_anywhere_ends_as_a_failed_cell(
    slurm: Slurm, tmp_path: Path
) -> None:
    """Its worker does not even start; the last words of each try are in the record."""
    (tmp_path / "genbench.toml").write_text(
        '[executor]\nname = "slurm"\n[executor.slurm]\npoll = 1\n'
        'setup = "echo the module system is broken; exit 9"\n'
    )
    done = genbench(*SLOW, cwd=tmp_path, env=slurm.env, timeout=SECONDS)
    assert done.code == 3, done.err
    *cut, last = by_cell(tmp_path / "results")[0]
    assert [r.status for r in cut] == ["interrupted"] * 3
    error: Any = last.error
    assert (last.status, error["type"]) == ("failed", "NoProgress")
    assert "no progress in 3 attempts" in error["message"]
    assert "said last: the module system is broken" in error["message"]


def test_stop_cancels_the_tasks_and_a_run_continues_them(
    slurm: Slurm, tmp_path: Path, run_genbench: Command
) -> None:
    results = tmp_path / "results"
    run = waiting(slurm, tmp_path, "--seeds", "0")
    wait_for_fit(results, 200, SECONDS)
    stopped = run_genbench("stop", env=slurm.env)
    assert stopped.code == 0, stopped.err
    assert "1 of 1 cells left" in stopped.out
    _, err = run.communicate(timeout=SECONDS)
    assert run.returncode == 130, err
    slurm.wait_for("squeue", "-h", "-t", "all", "-o", "%T%j", says="CANCELLED")
    (record,) = by_cell(results)[0]
    assert (record.status, record.error["type"]) == ("interrupted", "Stopped")  # type: ignore[index]


def test_without_slurm_the_way_out_is_told(tmp_path: Path) -> None:
    done = genbench(*SLOW, "--executor", "slurm", cwd=tmp_path, env={"PATH": "/nowhere"})
    assert done.code == 2
    assert "no sbatch here: run this where the cluster's jobs are submitted" in done.err
