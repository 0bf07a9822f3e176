"""A run that is stopped or killed loses nothing but time, and ends as if nobody had touched it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from genbench import tensorfile
from genbench.cellspec import GeneratorChoice
from genbench.plan import CHECKPOINT, Cell, build_plan, cell_folder, cell_key
from genbench.plugins import Description, GeneratorRef
from genbench.store import SPEC, Store, write_json
from genbench.suite import Suite, load_suite
from tests.conftest import TINY, Command
from tests.killing import kill_and_compare
from tests.test_run import SLOW, records, start, wait_for_fit


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_an_untouched_one(tmp_path: Path) -> None:
    seen = kill_and_compare(tmp_path, kills=5, seed=3)
    assert sum(seen.kills.values()) == 5
    assert seen.problems == []
    assert seen.same


@pytest.mark.slow
@pytest.mark.parametrize(
    "signals",
    [(signal.SIGTERM,), (signal.SIGUSR1,), (signal.SIGINT, signal.SIGINT)],
    ids=["SIGTERM", "SIGUSR1", "SIGINT twice"],
)
def test_every_signal_stops_a_run_that_can_go_on(
    run_genbench: Command, tmp_path: Path, signals: tuple[signal.Signals, ...]
) -> None:
    process = start(tmp_path, "run", *SLOW, "-g", "slow:save_every=0.2")
    news = wait_for_fit(tmp_path / "results", 500)
    for number in signals:
        process.send_signal(number)
        if len(signals) > 1:
            process.stderr.readline()  # type: ignore[union-attr]
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    stopped = records(tmp_path / "results")["slow", 0]
    assert stopped.status == "interrupted"
    assert (news.parent / CHECKPOINT).is_file()
    done = run_genbench("run", *SLOW, "-g", "slow:save_every=0.2")
    assert done.code == 0, done.err
    finished = records(tmp_path / "results")["slow", 0]
    assert 0 < finished.attempt["resumed_at"] < 2000
    assert finished.examples_served == 2000


@pytest.fixture
def suite() -> Suite:
    return load_suite(str(TINY))


def choice() -> GeneratorChoice:
    about = Description("slow", "1", "test", ("points",), "none", None, "", "", "", "", ())
    return GeneratorChoice(GeneratorRef("slow", "mine", "mine 1"), about, {})


def killed(store: Store, suite: Suite, name: str, threads: int = 2, key: str = "") -> Path:
    """What a worker that was killed in its fit leaves: an order and a checkpoint, no record."""
    folder = store.root / cell_folder(suite, choice(), 0) / name
    key = key or cell_key(suite, choice(), 0)
    write_json(folder / SPEC, {"cell_key": key, "threads": threads})
    tensorfile.save(folder / CHECKPOINT, {"served": 7})
    return folder / CHECKPOINT


def planned(store: Store, suite: Suite, **options: bool) -> Cell:
    (cell,) = build_plan(suite, [choice()], [0], store, threads=2, **options)
    return cell


def test_a_killed_attempt_without_a_record_continues_from_its_newest_checkpoint(
    tmp_path: Path, suite: Suite
) -> None:
    store = Store(tmp_path)
    killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA1")
    newest = killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA2")
    cell = planned(store, suite)
    assert (cell.todo, cell.checkpoint) == ("resume", newest)
    assert planned(store, suite, fresh=True).todo == "run"


@pytest.mark.parametrize("changes", [{"threads": 1}, {"key": "sha256:other"}])
def test_a_checkpoint_of_other_work_is_not_used(
    tmp_path: Path, suite: Suite, changes: dict[str, object]
) -> None:
    store = Store(tmp_path)
    killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA1", **changes)  # type: ignore[arg-type]
    assert planned(store, suite).todo == "run"


def test_a_linked_checkpoint_or_a_broken_order_is_not_used(tmp_path: Path, suite: Suite) -> None:
    store = Store(tmp_path)
    linked = killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA1")
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    broken = killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA2")
    (broken.parent / SPEC).write_text(json.dumps([1]))
    assert planned(store, suite).todo == "run"
