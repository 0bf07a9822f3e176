"""`genbench run` from end to end: what is missing runs, what failed is told, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from genbench.results.records import Record
from genbench.results.store import Store, Stored, newest
from tests.conftest import PLUGINS, TINY, Command, command

NORMAL = ("--suite", TINY, "--plugin", PLUGINS / "normal.py")
SLOW = ("--suite", TINY, "--plugin", PLUGINS / "slow.py", "--no-controls", "--no-report")

# What each faulty generator's record must say: status, phase, part of the message.
FAULTS = {
    "raises": ("failed", "fit", "the optimiser exploded"),
    "nan": ("failed", "sample", "NaN or infinity in 100 of 100 rows"),
    "wrong-shape": ("failed", "sample", "shape (100, 3), expected (100, 2)"),
    "wrong-dtype": ("failed", "sample", "expected torch.float32"),
    "too-few": ("failed", "sample", "shape (99, 2), expected (100, 2)"),
    "segfault": ("failed", "fit", "SIGSEGV"),
    "exits": ("failed", "fit", "ended with exit code 0 without a result"),
    "hangs": ("timeout", "fit", "raise --timeout"),
    "hungry": ("oom", "fit", "raise --memory-limit"),
    "card-is-full": ("oom", "fit", "2.00 GiB.): make its batches or the model smaller"),
    "card-fails": ("failed", "sample", "an illegal memory access was encountered): `genbench doc"),
}


def records(results: Path) -> dict[tuple[str, int], Record]:
    """The record that counts of every cell below a results folder."""
    store = Store(results)
    cells: dict[tuple[str, int], list[Stored]] = {}
    for folder in store.task_folders():
        for stored in store.records(folder):
            key = (stored.record.generator, stored.record.seed)
            cells.setdefault(key, []).append(stored)
    return {key: found.record for key, items in cells.items() if (found := newest(items))}


def samples(results: Path, name: str) -> np.ndarray:
    (path,) = results.glob(f"*/{name}~*/seed-0/*/samples.npz")
    with np.load(path, allow_pickle=False) as file:
        return file["x"]


@pytest.mark.slow
def test_a_run_ends_with_records_a_table_and_a_report(
    run_genbench: Command, tmp_path: Path
) -> None:
    done = run_genbench("run", *NORMAL)
    assert done.code == 0, done.err
    found = records(tmp_path / "results")
    assert {name for name, _ in found} == {"normal", "heldout", "noise"}
    normal = found["normal", 0]
    assert normal.status == "ok"
    assert normal.examples_served == 2000
    assert normal.metrics["fid"].interval is not None
    assert normal.metrics["nll"].status == "ok"
    assert normal.metrics["nll"].details["kind"] == "exact"
    assert "kind=exact" in normal.metrics["nll"].signature
    floor = found["heldout", 0].metrics["nll"]
    assert floor.value == pytest.approx(2.8319, abs=4 * (floor.std_error or 0)), "the true density"
    assert normal.metrics["nll"].value > floor.value  # type: ignore[operator]
    assert found["noise", 0].metrics["nll"].status == "not_applicable"
    assert not normal.raw_access
    assert "mean" in normal.curves
    assert "normal" in done.out
    assert "the floor" in done.out
    page = tmp_path / "results" / "report" / "index.html"
    assert page.is_file()
    assert str(page.relative_to(tmp_path)) in done.err
    assert "next:" in done.err


@pytest.mark.slow
def test_the_same_command_runs_nothing_and_more_seeds_run_the_difference(
    run_genbench: Command, tmp_path: Path
) -> None:
    run_genbench("run", *NORMAL, "--no-report")
    before = {r.record_id for r in records(tmp_path / "results").values()}
    again = run_genbench("run", *NORMAL, "--no-report", "--json")
    assert again.code == 0
    assert again.out == ""
    assert "0 to do" in again.err
    more = run_genbench("run", *NORMAL, "--no-report", "--json", "--seeds", "0,1,2")
    # Cells are told of as they end, and two run side by side where there are two cores.
    assert sorted((line["generator"], line["seed"]) for line in more.lines) == [
        ("normal", 1),
        ("normal", 2),
    ]
    after = records(tmp_path / "results")
    assert before <= {r.record_id for r in after.values()}
    assert not np.array_equal(*[after["normal", s].metrics["fid"].value for s in (1, 2)])


@pytest.mark.slow
def test_another_metric_scores_again_and_trains_nothing(
    run_genbench: Command, tmp_path: Path
) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text(TINY.read_text())
    args = ("run", "--suite", suite, "--plugin", PLUGINS / "normal.py", "--no-report")
    run_genbench(*args)
    before = records(tmp_path / "results")["normal", 0]
    text = suite.read_text().replace(
        'id = "precision"', 'id = "precision"\n\n[[metrics]]\nid = "recall"'
    )
    suite.write_text(text)
    done = run_genbench(*args)
    assert "from stored samples" in done.err
    after = records(tmp_path / "results")["normal", 0]
    assert after.metrics["recall"].status == "ok"
    assert after.attempt["resumed_from"] == before.record_id
    assert after.timing["fit_s"] == before.timing["fit_s"], "the cost of the fit is kept"
    assert after.metrics["fid"].value == before.metrics["fid"].value
    assert after.metrics["nll"].value == before.metrics["nll"].value


@pytest.mark.slow
def test_a_likelihood_without_noise_is_computed_once_however_many_draws_are_asked(
    run_genbench: Command, tmp_path: Path
) -> None:
    suite, plugin = tmp_path / "mine.toml", tmp_path / "once.py"
    tight = 'id = "nll"\nrows = 300\n\n[[metrics]]\nid = "nll_tight"\nrows = 300\ndraws = 64'
    suite.write_text(TINY.read_text().replace('id = "nll"\nrows = 300', tight))
    once = (
        "        if draws > 1:\n            raise AssertionError(draws)\n        return torch.dist"
    )
    plugin.write_text(
        (PLUGINS / "normal.py").read_text().replace("        return torch.dist", once)
    )
    run_genbench("run", "--suite", suite, "--plugin", plugin, "--no-controls", "--no-report")
    metrics = records(tmp_path / "results")["normal", 0].metrics
    assert metrics["nll_tight"].status == "ok"
    assert metrics["nll_tight"].value == pytest.approx(metrics["nll"].value, rel=1e-6)


@pytest.mark.slow
def test_a_damaged_record_is_told_and_its_cell_runs_again(
    run_genbench: Command, tmp_path: Path
) -> None:
    words = ("run", *NORMAL, "-g", "normal", "--no-controls", "--no-report", "--json")
    first = run_genbench(*words)
    (record,) = tmp_path.glob("results/*/normal~*/seed-0/*/record.json")
    whole = record.read_bytes()
    record.write_bytes(whole[: len(whole) // 2])
    again = run_genbench(*words)
    assert again.code == 0, again.err
    assert f"{record.relative_to(tmp_path)}: " in again.err
    assert "is not valid JSON" in again.err
    assert "genbench results verify lists all such" in again.err
    assert again.lines[0]["metrics"] == first.lines[0]["metrics"]
    assert record.read_bytes() == whole[: len(whole) // 2], "it is evidence, and left alone"


@pytest.mark.alone
@pytest.mark.slow
def test_each_fault_takes_down_its_own_cell_only(run_genbench: Command, tmp_path: Path) -> None:
    done = run_genbench(
        "run", "--suite", TINY, "--plugin", PLUGINS / "faulty.py", "--timeout", 15,
        "--memory-limit", 1500, "-j", 2,
    )  # fmt: skip
    assert done.code == 3
    found = {name: record for (name, _), record in records(tmp_path / "results").items()}
    assert found["sound"].status == found["heldout"].status == "ok"
    assert found["chatty"].status == "ok", "its mischief stayed in its own process"
    assert found["chatty"].metrics["fid"].value == found["sound"].metrics["fid"].value
    printed = {"raises": "RuntimeError: the optimiser exploded", "segfault": "Segmentation fault"}
    for name, (status, phase, message) in FAULTS.items():
        record = found[name]
        assert record.error is not None, name
        assert (record.status, record.error["phase"]) == (status, phase), name
        assert message in record.error["message"], name
        assert isinstance(record.error["log_tail"], str), name
        assert printed.get(name, "") in record.error["log_tail"], name
    types = {name: found[name].error["type"] for name in ("card-is-full", "card-fails")}  # type: ignore[index]
    assert types == {"card-is-full": "DeviceMemoryError", "card-fails": "DeviceError"}
    assert "the card is out of memory" in done.err
    assert "in fit" in found["raises"].error["traceback"]  # type: ignore[index]
    assert found["bad-density"].status == "ok", "it costs the likelihood alone"
    assert found["bad-density"].metrics["fid"].status == "ok"
    assert found["bad-density"].metrics["nll"].status == "failed"
    assert "not finite for training row 0" in str(found["bad-density"].metrics["nll"].reason)
    (log,) = (tmp_path / "results").glob("*/chatty~*/seed-0/*/log.txt")
    assert log.stat().st_size < 5 << 20
    assert "the optimiser exploded" in done.err
    assert (tmp_path / "results" / "report" / "index.html").is_file()


@pytest.mark.slow
def test_failed_cells_run_again_unless_kept(run_genbench: Command, tmp_path: Path) -> None:
    args = ("run", "--suite", TINY, "--plugin", f"{PLUGINS / 'faulty.py'}:Raises", "--no-controls",
            "--no-report", "--json")  # fmt: skip
    assert run_genbench(*args).code == 3
    kept = run_genbench(*args, "--keep-failed")
    assert (kept.code, kept.out) == (3, "")
    again = run_genbench(*args)
    assert again.lines[0]["status"] == "failed"
    assert records(tmp_path / "results")["raises", 0].attempt["n"] == 2


def start(cwd: Path, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(args), cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def wait_for_fit(results: Path, examples: int, seconds: float = 300, seed: int | str = "*") -> Path:
    """The progress file of a cell that has been served some examples."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for path in results.glob(f"*/*/seed-{seed}/*/progress.json"):
            try:
                body = json.loads(path.read_text())
            except (ValueError, OSError):
                continue
            if body["phase"] == "fit" and body["done"] >= examples:
                return path
        time.sleep(0.05)
    raise AssertionError("no cell got that far")


@pytest.mark.slow
def test_a_stopped_run_continues_to_the_same_samples(run_genbench: Command, tmp_path: Path) -> None:
    whole = run_genbench("run", *SLOW, "--results", "whole")
    assert whole.code == 0, whole.err
    process = start(tmp_path, "run", *SLOW, "--results", "cut")
    wait_for_fit(tmp_path / "cut", 500)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "(continues where this stopped)" in err
    stopped = records(tmp_path / "cut")["slow", 0]
    assert stopped.status == "interrupted"
    assert 500 <= stopped.examples_served < 2000
    done = run_genbench("run", *SLOW, "--results", "cut")
    assert done.code == 0, done.err
    assert "continues from its checkpoint" in done.err
    finished = records(tmp_path / "cut")["slow", 0]
    assert finished.attempt["resumed_at"] == stopped.examples_served
    assert finished.examples_served == 2000
    pauses = 2000 / 10 * 0.02
    assert finished.timing["fit_s"] > 0.99 * pauses, "both parts of the fit count"
    one = newest_samples(tmp_path / "whole")
    np.testing.assert_array_equal(newest_samples(tmp_path / "cut"), one)
    whole_digest = records(tmp_path / "whole")["slow", 0].to_json()["result_digest"]
    assert finished.to_json()["result_digest"] == whole_digest


def newest_samples(results: Path) -> np.ndarray:
    path = max(results.glob("*/slow~*/seed-0/*/samples.npz"))
    with np.load(path, allow_pickle=False) as file:
        return file["x"]


def workers_of(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("victim", ["harness", "forkserver"])
def test_no_worker_outlives_its_parent_by_two_seconds(tmp_path: Path, victim: str) -> None:
    process = start(tmp_path, "run", *SLOW)
    wait_for_fit(tmp_path / "results", 100)
    family = workers_of(process.pid)
    assert len(family) >= 3, "a fork server, a worker and the generator's process"
    os.kill(process.pid if victim == "harness" else family[0].pid, signal.SIGKILL)
    _, left = psutil.wait_procs(family, timeout=2)
    assert not [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    process.communicate(timeout=300)


@pytest.mark.slow
def test_a_killed_worker_gets_a_record_from_the_harness(tmp_path: Path) -> None:
    process = start(tmp_path, "run", *SLOW)
    wait_for_fit(tmp_path / "results", 100)
    worker = psutil.Process(process.pid).children()[0].children()[0]
    worker.kill()
    process.communicate(timeout=300)
    assert process.returncode == 3
    record = records(tmp_path / "results")["slow", 0]
    assert record.status == "failed"
    assert record.error is not None
    assert "wrote no record" in record.error["message"]


@pytest.mark.slow
def test_an_edited_generator_runs_again_and_says_so(run_genbench: Command, tmp_path: Path) -> None:
    plugin = tmp_path / "normal.py"
    plugin.write_text((PLUGINS / "normal.py").read_text())
    args = ("run", "--suite", TINY, "--plugin", plugin, "--no-controls", "--no-report", "--json")
    assert len(run_genbench(*args).lines) == 1
    assert len(run_genbench(*args).lines) == 0
    plugin.write_text(plugin.read_text() + "\n# edited\n")
    assert len(run_genbench(*args).lines) == 1


@pytest.mark.slow
def test_a_dry_run_writes_nothing(run_genbench: Command, tmp_path: Path) -> None:
    done = run_genbench("run", *NORMAL, "--dry-run")
    assert done.code == 0
    assert "run     normal seed 0" in done.out
    assert not (tmp_path / "results").exists()
