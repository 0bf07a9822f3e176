"""A run that is stopped or killed loses nothing but time, and ends as if nobody had touched it."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.finding import Description, GeneratorRef
from genbench.results.store import CHECKPOINT, SPEC, Store, Stored, newest
from genbench.running.cells import Cell, build_plan, cell_folder, cell_key
from genbench.running.cellspec import CellSpec, read_spec
from genbench.running.ledger import AT_CHECKPOINT, LIKELIHOOD, Ledger, inherit_checkpoint
from genbench.running.likelihoods import PROBE
from genbench.running.narration import Lines
from genbench.running.recording import GENERATION, WORKER_LOST, generation_of, record_of_loss
from genbench.running.sampling import Sampling
from genbench.running.worker import Worker
from genbench.system import tensorfile
from genbench.system.files import write_json
from genbench.system.isolation import ProcessOutcome
from genbench.system.npzfile import load_arrays
from genbench.tasks.suite import Suite, load_suite
from tests.conftest import PLUGINS, TINY, Command
from tests.killing import kill_and_compare
from tests.test_run import SLOW, records, start, wait_for_fit


@pytest.mark.alone
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


@pytest.mark.parametrize("changes", [{"key": "sha256:other"}, {"threads": 0}, {"threads": "2"}])
def test_a_checkpoint_of_other_work_is_not_used(
    tmp_path: Path, suite: Suite, changes: dict[str, object]
) -> None:
    store = Store(tmp_path)
    killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA1", **changes)  # type: ignore[arg-type]
    assert planned(store, suite).todo == "run"


@pytest.mark.parametrize("began_with", [1, 2, 5])
def test_a_fit_continues_with_the_threads_that_it_began_with(
    tmp_path: Path, suite: Suite, began_with: int
) -> None:
    store = Store(tmp_path)
    killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA1", threads=began_with)
    cell = planned(store, suite)
    assert (cell.todo, cell.threads) == ("resume", began_with), "whatever is asked for now"
    assert planned(store, suite, fresh=True).threads == 2
    said: list[str] = []
    Lines(suite, said.append).planned([cell], 1)
    assert ("threads as it began" in said[-1]) == (began_with > 1)


def test_a_linked_checkpoint_or_a_broken_order_is_not_used(tmp_path: Path, suite: Suite) -> None:
    store = Store(tmp_path)
    linked = killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA1")
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")
    broken = killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA2")
    (broken.parent / SPEC).write_text(json.dumps([1]))
    assert planned(store, suite).todo == "run"


ONCE = ("run", "--suite", TINY, "--plugin", PLUGINS / "dies_once.py", "--no-controls",
        "--no-report", "--no-sandbox", "-g")  # fmt: skip


def only(results: Path) -> Stored:
    """The attempt that counts, of a folder with one cell."""
    (folder,) = Store(results).task_folders()
    found = newest(Store(results).records(folder))
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "again"), [("log_prob", "from stored samples"), ("state", "")])
def test_a_generator_that_died_after_sampling_ends_as_one_that_did_not(
    run_genbench: Command, tmp_path: Path, phase: str, again: str
) -> None:
    """Samples are scored without another fit only with all that the fit told of itself."""
    words = (*ONCE, f"dies-once:phase={phase}", "--results")
    cut = run_genbench(*words, "cut", env={"DIES_ONCE": str(tmp_path / "mark")})
    first = only(tmp_path / "cut").record
    if phase == "log_prob":
        assert cut.code == 0, cut.err
        assert first.metrics["nll"].status == "failed", "it costs the likelihood alone"
        assert "exit code 3 without a result during log_prob" in str(first.metrics["nll"].reason)
    else:
        assert cut.code == 3, cut.err
        assert first.error is not None
        assert first.error["phase"] == phase
    assert first.examples_served > 0
    assert first.curves
    done = run_genbench(*words, "cut", env={"DIES_ONCE": str(tmp_path / "mark")})
    assert done.code == 0, done.err
    assert again in done.err
    run_genbench(*words, "whole", env={"DIES_ONCE": str(tmp_path / "mark")})
    one, other = (only(tmp_path / name).record for name in ("cut", "whole"))
    assert one.to_json()["result_digest"] == other.to_json()["result_digest"]
    assert one.timing["fit_s"] > 0


@pytest.mark.slow
def test_a_worker_that_died_while_it_scored_loses_nothing_of_the_fit(
    run_genbench: Command, tmp_path: Path
) -> None:
    mark = {"DIES_ONCE": str(tmp_path / "mark")}
    words = (*ONCE, "dies-once", "--results")
    run_genbench(*words, "cut", env=mark)
    attempt = only(tmp_path / "cut")
    told = {"phase": "log_prob", "status": "ok", "curves": dict(attempt.record.curves),
            "examples_served": attempt.record.examples_served,
            "timing": dict(attempt.record.timing), "resources": {},
            "offers_snapshots": False}  # fmt: skip
    (attempt.folder / "record.json").unlink()
    (attempt.folder / GENERATION).write_text(json.dumps(told))
    error = {"phase": "worker", "type": WORKER_LOST, "message": "the worker ended by signal 9"}
    record_of_loss(read_spec(attempt.folder / "spec.json"), "failed", error)
    done = run_genbench(*words, "cut", env=mark)
    assert done.code == 0, done.err
    assert "from stored samples" in done.err
    run_genbench(*words, "whole", env=mark)
    one, other = (only(tmp_path / name).record for name in ("cut", "whole"))
    assert one.to_json()["result_digest"] == other.to_json()["result_digest"]


@pytest.mark.parametrize("told", [{"examples_served": "many"}, {"curves": []}, {"timing": 3}, [1]])
def test_what_a_generator_forged_of_itself_tells_nothing(tmp_path: Path, told: object) -> None:
    (tmp_path / GENERATION).write_text(json.dumps(told))
    assert generation_of(tmp_path) == {}


def test_an_attempt_that_ends_before_its_first_checkpoint_keeps_the_one_it_began_with(
    tmp_path: Path, suite: Suite
) -> None:
    store = Store(tmp_path)
    first = killed(store, suite, "01ARZ3NDEKTSV4RRFFQ69G5FA1")
    write_json(first.with_name(AT_CHECKPOINT), {"fit_core_s": 12.5})
    second = first.parent.with_name("01ARZ3NDEKTSV4RRFFQ69G5FA2")
    second.mkdir()
    assert inherit_checkpoint(first, second) == 12.5
    spec = CellSpec(second, tmp_path / ".cache", cell_key(suite, choice(), 0), suite, choice(), 0)
    record_of_loss(spec, "interrupted", {"phase": "worker", "type": "Stopped", "message": "twice"})
    cell = planned(store, suite)
    assert (cell.todo, cell.checkpoint) == ("resume", second / CHECKPOINT)
    assert inherit_checkpoint(cell.checkpoint, tmp_path) == 12.5
    assert inherit_checkpoint(None, tmp_path) == 0.0


def test_a_stop_after_the_fit_keeps_what_only_the_fitted_process_could_tell(
    tmp_path: Path, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log_prob of a few training rows, without which its likelihood counts for nothing."""

    def attended(self: Sampling, work: object, ledger: Ledger) -> ProcessOutcome:
        for phase in ("sample", "state", PROBE):
            ledger.phase(phase)
            if phase == "sample":
                ledger.rows({"x": np.zeros((suite.n_samples, 2), np.float32)})
        ledger.log_probs({PROBE: np.zeros(16)})
        ledger.ended("ok", "", "", "")
        signal.raise_signal(signal.SIGTERM)
        return ProcessOutcome("returned", 0, None, 0, 1.0)

    monkeypatch.setattr(Sampling, "_monitored", attended)
    mine = replace(choice(), ref=GeneratorRef("slow", "Mine", "mine 1", module="mine"))
    spec = CellSpec(tmp_path / "one", tmp_path, cell_key(suite, mine, 0), suite, mine, 0)
    before = signal.getsignal(signal.SIGTERM)
    try:
        record = Worker(spec).run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert record.status == "interrupted"
    assert "likelihood" in {artifact.role for artifact in record.artifacts}
    assert (load_arrays(tmp_path / "one" / LIKELIHOOD)[PROBE] == 0).all()
