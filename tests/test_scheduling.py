"""Cells that run beside each other: how many, where, their costs and news; doctor; status."""

from __future__ import annotations

import dataclasses
import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from genbench.cli import cli, terminal
from genbench.cli.terminal import print_table
from genbench.errors import DataError, DeviceError, DeviceMemoryError, PluginError, UsageError
from genbench.generator import Space
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.finding import Description, GeneratorRef
from genbench.report.tabulation import table
from genbench.report.tradeoffs import quality_cost
from genbench.report.writing import Entry, TaskResults
from genbench.results.aggregation import environment_mark
from genbench.results.progress import overview
from genbench.results.records import Record
from genbench.results.store import Store, write_record
from genbench.running import narration, runner
from genbench.running.cells import Cell, build_plan
from genbench.running.cellspec import CellSpec
from genbench.running.executors import Ended
from genbench.running.ledger import Ledger
from genbench.running.runner import RunOptions, run_suite
from genbench.running.timeleft import Progress, Running, TimeLeft
from genbench.system import card, extensions, machine
from genbench.system.files import write_json
from genbench.tasks.suite import load_suite
from genbench.testing import doctor as diagnosis
from genbench.testing.doctor import Check, diagnose
from tests import report_fixtures as fixtures
from tests.conftest import ROOT, TINY, command
from tests.test_store_faults import TASK, put


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_a_cell_has_one_thread_however_many_go_on_at_a_time(tmp_path: Path, jobs: int) -> None:
    seen = run(tmp_path, RunOptions((0, 1, 2)), Executor(jobs))
    assert [s.threads for s in seen.started] == [1, 1, 1]
    assert seen.most == min(jobs, 3)


def test_a_cell_has_as_many_threads_as_are_asked_for(tmp_path: Path) -> None:
    seen = run(tmp_path, RunOptions((0,), threads=4))
    assert [s.threads for s in seen.started] == [4]


CPU, GPUS = ("cpu",), ("cuda:0", "cuda:1", "cuda:2")


@pytest.mark.parametrize(
    ("devices", "free", "gigabytes", "threads", "jobs"),
    [(CPU, 8, 100, 1, 8), (CPU, 8, 100, 3, 2), (CPU, 8, 10, 1, 4), (CPU, 1, 100, 1, 1),
     (CPU, 2, 100, 4, 1), (CPU, 64, 0.5, 1, 1), (GPUS, 1, 1, 1, 3)],
)  # fmt: skip
def test_as_many_jobs_as_cores_are_free_and_memory_allows(
    monkeypatch: pytest.MonkeyPatch,
    devices: tuple[str, ...],
    free: int,
    gigabytes: float,
    threads: int,
    jobs: int,
) -> None:
    monkeypatch.setattr(machine, "free_cores", lambda: free)
    monkeypatch.setattr(machine, "available_memory", lambda: int(gigabytes * 1e9))
    assert machine.auto_jobs(devices, threads, cell_bytes=2 * 10**9) == jobs


@pytest.mark.parametrize(("busy", "free"), [([0.1], 8), ([5.2], 3), ([20.0], 1), ([7.9, 0.2], 8)])
def test_cores_that_others_use_are_not_free(
    monkeypatch: pytest.MonkeyPatch, busy: list[float], free: int
) -> None:
    looks = iter([*busy, *busy, *busy])
    monkeypatch.setattr(machine, "available_cores", lambda: 8)
    monkeypatch.setattr(machine, "_busy_cores", lambda: next(looks))
    assert machine.free_cores() == free


@pytest.mark.parametrize(
    ("told", "cores"),
    [("200000 100000\n", 2), ("150000 100000\n", 2), ("10000 100000", 1), ("max 100000\n", 64),
     ("", 64), ("x y", 64), ("100 0", 64)],
)  # fmt: skip
def test_a_control_groups_share_of_time_counts(
    monkeypatch: pytest.MonkeyPatch, told: str, cores: int
) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(machine, "_group_text", lambda name: told if name == "cpu.max" else "")
    assert machine.available_cores() == cores


def test_a_control_groups_memory_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"memory.max": "3000000\n", "memory.current": "1000000\n"}
    monkeypatch.setattr(machine, "_group_text", lambda name: told.get(name, ""))
    assert machine.available_memory() == 2_000_000
    assert machine.default_memory_limit(2) == 1_200_000
    told["memory.max"] = "max\n"
    assert machine.available_memory() > 2_000_000


class Executor:
    """Runs nothing; ends one cell per poll, the one that began first, with a record."""

    stopping = False

    def __init__(self, jobs: int = 1, oom_beside_others: bool = False, here: bool = True) -> None:
        self.jobs = jobs
        self.here = here
        self._oom_beside_others = oom_beside_others
        self.started: list[CellSpec] = []
        self.under_way: list[CellSpec] = []
        self.most = 0
        self.together: list[list[str]] = []

    def submit(self, spec: CellSpec) -> None:
        self.started.append(spec)
        self.under_way.append(spec)
        self.most = max(self.most, len(self.under_way))
        self.together.append([s.device for s in self.under_way])

    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...

    def poll(self, seconds: float) -> list[Ended]:
        spec = self.under_way.pop(0)
        oom = self._oom_beside_others and spec.slots > 1 and spec.seed == 1
        fields = {"status": "oom", "error": {"phase": "fit", "message": "m"}} if oom else {}
        fields |= {"attempt": {"n": spec.attempt, "resumed_from": None}}
        cell = fixtures.cell_of("g", "gan", spec.seed)
        record = fixtures.record(spec.folder.name, cell, **fields)
        write_record(spec.folder, dataclasses.replace(record, cell_key=spec.cell_key))
        return [Ended(spec, 0)]


class Silent:
    """Listens to a run and says nothing."""

    def planned(self, cells: Any, jobs: int) -> None: ...
    def started(self, cell: Cell) -> None: ...
    def progressed(self, cell: Cell, progress: Any, seconds_left: float | None) -> None: ...
    def ended(self, cell: Cell, record: Record) -> None: ...
    def again_alone(self, cell: Cell) -> None: ...
    def remarked(self, text: str) -> None: ...
    def stopping(self, hard: bool) -> None: ...


def choice() -> GeneratorChoice:
    about = Description("g", "1", "test", ("points",), "none", None, "", "", "", "", ())
    return GeneratorChoice(GeneratorRef("g", "mine", "mine 1"), about, {})


def run(tmp_path: Path, options: RunOptions, executor: Executor | None = None) -> Executor:
    executor = executor or Executor()
    suite = load_suite(str(TINY))
    run_suite(suite, [choice()], Store(tmp_path), options, executor, Silent())
    return executor


def test_each_device_takes_as_many_cells_as_the_others(tmp_path: Path) -> None:
    devices = ("cuda:0", "cuda:1")
    options = RunOptions(tuple(range(6)), device="cuda:0", devices=devices)
    seen = run(tmp_path, options, Executor(4))
    assert len(seen.started) == 6
    assert seen.most == 4
    for together in seen.together:
        counts = [together.count(device) for device in devices]
        assert max(counts) - min(counts) <= 1, together


def test_a_cell_that_had_too_little_memory_beside_others_runs_again_alone(tmp_path: Path) -> None:
    seen = run(tmp_path, RunOptions((0, 1, 2)), Executor(2, oom_beside_others=True))
    assert [(s.seed, s.slots, s.attempt) for s in seen.started] == [
        (0, 2, 1), (1, 2, 1), (2, 2, 1), (1, 1, 2),
    ]  # fmt: skip
    shares = [s.memory_limit for s in seen.started]
    assert shares[-1] == pytest.approx(2 * shares[0], rel=1e-6)  # type: ignore[operator]
    assert len(seen.together[-1]) == 1, "nothing ran beside it"


def test_cells_that_run_elsewhere_share_nothing_of_this_machine(tmp_path: Path) -> None:
    executor = Executor(40, oom_beside_others=True, here=False)
    seen = run(tmp_path, RunOptions(tuple(range(50))), executor)
    assert seen.most == 40
    assert {(s.slots, s.memory_limit) for s in seen.started} == {(1, None)}


def test_a_limit_that_the_user_set_is_the_last_word(tmp_path: Path) -> None:
    options = RunOptions((0, 1), memory_limit=1 << 30)
    assert len(run(tmp_path, options, Executor(2, oom_beside_others=True)).started) == 2


def test_the_report_is_renewed_seldom_and_never_keeps_a_cell_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(runner.time, "monotonic", lambda: now[0])
    executor, made = Executor(2), []

    def renew() -> None:
        made.append((len(executor.started), len(executor.under_way)))
        now[0] += 1.0  # takes a second

    poll = executor.poll

    def slow_poll(seconds: float) -> list[Ended]:
        now[0] += 4.0  # a cell takes four
        return poll(seconds)

    executor.poll = slow_poll  # type: ignore[method-assign]
    options = RunOptions(tuple(range(12)))
    suite = load_suite(str(TINY))
    run_suite(suite, [choice()], Store(tmp_path), options, executor, Silent(), renew)
    assert 2 <= len(made) <= 3
    for started, under_way in made:
        assert under_way == 2 or started == 12


def test_one_device_named_is_the_only_one_used() -> None:
    assert machine.resolve_devices("cpu", 4) == ("cpu",)


def timed(name: str, seed: int, **timing: float) -> Entry:
    return Entry(
        fixtures.record(
            f"01{name}{seed}",
            fixtures.cell_of(name, "gan", seed),
            metrics={"fid": fixtures.metric("fid", 5.0, seed)},
            timing=timing,
        )
    )


def test_costs_are_core_seconds_and_wall_time_is_never_taken_for_them() -> None:
    entries = [
        timed("a", 0, fit_core_s=10.0, fit_s=40.0, sample_core_s=2.0, sample_s=9.0),
        timed("a", 1, fit_core_s=20.0, fit_s=20.0, sample_core_s=2.0, sample_s=9.0),
        timed("b", 0, fit_s=5.0, sample_s=1.0),  # of before: wall time alone
        timed("c", 0, fit_core_s=7.0, fit_s=7.0),
        timed("c", 1, fit_s=100.0),
    ]
    board = table(TaskResults(fixtures.suite(), entries))
    rows = {row.name: row for row in board.rows}
    assert (rows["a"].fit_core_s, rows["a"].fit_s) == (15.0, 30.0)
    assert rows["a"].sampling_rate == 10_000 / 2
    assert (rows["b"].fit_core_s, rows["b"].fit_s, rows["b"].sampling_rate) == (None, 5.0, None)
    assert rows["c"].fit_core_s is None, "the mean over some seeds is none of the row"
    figure = quality_cost(board, {row.id: "#000" for row in board.rows})
    assert figure is not None
    assert '"name":"a"' in figure.specs["fid|fit"]
    assert '"name":"b"' not in figure.specs["fid|fit"]
    assert '"name":"b"' in figure.specs["fid|memory"]


def test_the_table_marks_wall_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "toy"
    write_json(folder / "suite.json", fixtures.suite())
    for entry in (timed("new", 0, fit_core_s=10.4, fit_s=99.0), timed("old", 0, fit_s=5.0)):
        record = entry.record
        write_record(folder / record.generator / "seed-0" / record.record_id, record)
    print_table(folder)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("fit core s")
    (new,) = [line for line in lines if " new " in line]
    (old,) = [line for line in lines if " old " in line]
    assert new.endswith(" 10")
    assert old.endswith(" 5 wall")


# -- news of several cells ---------------------------------------------------------------------


def cells(tmp_path: Path, seeds: int) -> list[Cell]:
    return build_plan(load_suite(str(TINY)), [choice()], range(seeds), Store(tmp_path), threads=1)


def fitting(done: int, total: int = 100) -> Progress:
    return Progress("fit", done, total, {"loss": 0.5})


def test_the_time_left_is_that_of_all_cells_on_all_cores(tmp_path: Path) -> None:
    left = TimeLeft(load_suite(str(TINY)), Store(tmp_path), jobs=2)
    a, b, c, d = cells(tmp_path, 4)
    assert left.left([Running(a, 5.0, None)], [c]) is None
    running = [Running(a, 5.0, fitting(50)), Running(b, 5.0, fitting(25))]
    assert left.left(running, []) == 15.0, "the longest of the running ones"
    assert left.left(running, [c, d]) == (5 + 15 + 2 * 15) / 2
    left.learn(a, 40.0)
    assert left.left([Running(b, 10.0, None)], [c, d]) == (30 + 2 * 40) / 2


def test_the_time_left_counts_the_refits_that_follow_a_fit(tmp_path: Path) -> None:
    suite = load_suite("digits", "smoke")
    asked = suite.document["downstream"]
    times = len(asked["augmentation"]["n"]) * asked["augmentation"]["replicates"]
    times += asked["imbalance"]["replicates"]
    later = times * asked["augmentation"]["budget"]
    (a,) = build_plan(suite, [choice()], [0], Store(tmp_path), threads=1)
    left = TimeLeft(suite, Store(tmp_path), jobs=1)
    half = Progress("fit", suite.budget // 2, suite.budget, {})
    speed = suite.budget // 2 / 10  # examples a second
    expected = (suite.budget // 2 + later) / speed
    assert left.left([Running(a, 10.0, half)], []) == pytest.approx(expected)
    refit = Progress("refit", 0, later, {})
    assert left.left([Running(a, 20.0, refit)], []) == pytest.approx(later / speed)
    without = dataclasses.replace(a, parts=("metrics",))
    assert left.left([Running(without, 10.0, half)], []) == pytest.approx(10.0)


def test_lines_speak_of_each_running_cell_in_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(narration.time, "monotonic", lambda: now[0])
    said: list[str] = []
    shown = narration.Lines(load_suite(str(TINY)), said.append)
    a, b = cells(tmp_path, 2)
    shown.planned([a, b], 2)
    assert said[0].endswith("2 cells, 2 to do, 2 at a time")
    shown.started(a)
    now[0] += 10
    shown.started(b)
    del said[:]
    for _ in range(20):
        now[0] += 1
        shown.progressed(a, fitting(10), 30.0)
        shown.progressed(b, fitting(20), 30.0)
    assert said == [
        "  g seed 0: training · 10 of 100 · loss 0.5 · about 30 s left in all",
        "  g seed 1: training · 20 of 100 · loss 0.5 · about 30 s left in all",
        "  g seed 0: training · 10 of 100 · loss 0.5 · about 30 s left in all",
    ]


def test_a_terminal_has_a_bar_for_each_running_cell_and_one_for_all(tmp_path: Path) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    with terminal.bars(screen) as bars:
        shown = terminal.Live(load_suite(str(TINY)), bars, as_json=False)
        a, b, c = cells(tmp_path, 3)

        def seen() -> dict[str, tuple[float, float | None, str]]:
            return {t.description: (t.completed, t.total, t.fields["news"]) for t in bars.tasks}

        shown.planned([a, b, c], 2)
        shown.started(a)
        shown.started(b)
        shown.progressed(a, fitting(10), 60.0)
        assert seen() == {
            "all cells": (0, 3, "0 of 3 · about 60 s left in all"),
            "g seed 0": (10, 100, "training · 10 of 100 · loss 0.5"),
            "g seed 1": (0, None, "starting"),
        }
        shown.ended(b, fixtures.record("01B", fixtures.cell_of("g", "gan", 1)))
        shown.again_alone(a)
        assert set(seen()) == {"all cells"}
        assert seen()["all cells"][:2] == (1, 3)
        shown.started(a)
        assert set(seen()) == {"all cells", "g seed 0"}


# -- status ------------------------------------------------------------------------------------


def attempt(root: Path, name: str, **news: Any) -> Path:
    Store(root).write_suite(TASK, fixtures.suite())
    folder = root / TASK / f"{name}~00000000" / "seed-0" / "01ARZ3NDEKTSV4RRFFQ69G5FA0"
    now = time.time()
    body = {"phase": "fit", "done": 500, "total": 2000, "scalars": {"loss": 0.25}, "time": now}
    write_json(folder / "progress.json", {**body, "since": [now - 10, 0], **news})
    return folder


def test_status_tells_step_loss_and_time_left(tmp_path: Path) -> None:
    attempt(tmp_path, "running")
    (line,) = [line for line in overview(tmp_path) if "running~" in line]
    assert "running: fit 500 of 2,000, loss 0.25, about 30 s left" in line


def test_status_of_a_resumed_fit_counts_from_where_it_began(tmp_path: Path) -> None:
    now = time.time()
    attempt(tmp_path, "g", time=now, since=[now - 10, 400])
    assert "loss 0.25, about 2 min left" in "\n".join(overview(tmp_path))


def test_status_tells_a_silent_worker_and_a_failure(tmp_path: Path) -> None:
    attempt(tmp_path, "dead", time=time.time() - 1000)
    folder = attempt(tmp_path, "failed")
    error = {"phase": "fit", "message": "lost\n\x1b[31m its way"}
    cell = fixtures.cell_of("failed", "gan", 0)
    made = fixtures.record(folder.name, cell, status="failed", error=error)
    write_record(folder, made)
    text = "\n".join(overview(tmp_path))
    assert "silent for 1000 s in fit 500 of 2,000: probably dead, run again" in text
    assert "failed, attempt 1, in fit: lost \\x1b[31m its way" in text


@pytest.mark.parametrize(
    "news",
    [{"time": "x"}, {"done": 1e999}, {"since": ["x", 0]}, {"scalars": 3}, {"total": None},
     {"since": [1e999, 0]}],
)  # fmt: skip
def test_status_survives_any_news(tmp_path: Path, news: dict[str, Any]) -> None:
    folder = attempt(tmp_path, "g")
    import json

    body = json.loads((folder / "progress.json").read_text()) | news
    (folder / "progress.json").write_text(json.dumps(body).replace("Infinity", "1e999"))
    assert any("g~" in line for line in overview(tmp_path))


def test_status_is_shown_again_until_ctrl_c(tmp_path: Path) -> None:
    put(tmp_path / "results", "sound", 5.0)
    words = ["status", tmp_path / "results", "--watch"]
    with subprocess.Popen(command(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shown:
        assert shown.stdout is not None
        lines = (line for line in shown.stdout if b"ok, attempt 1" in line)
        assert next(lines) == next(lines)
        shown.send_signal(signal.SIGINT)
        _, told = shown.communicate(timeout=60)
    assert (shown.returncode, told.split()) == (130, [b"stopped"])


# -- doctor ------------------------------------------------------------------------------------


class Asked:
    """A prober whose server answers one question about the cards."""

    def __init__(self, heavy: Sequence[str] = (), cards: Any = ()) -> None:
        self.forks = self
        self._cards = cards

    def __enter__(self) -> Asked:
        return self

    def __exit__(self, *exc: object) -> None: ...
    def start(self) -> None: ...
    def put(self, call: str, args: Any, *, sandbox: bool) -> str:
        return call

    def answer(self, put: str, name: str, seconds: float) -> Any:
        if isinstance(self._cards, Exception):
            raise self._cards
        return self._cards

    def describe_all(self, refs: Sequence[GeneratorRef]) -> Iterator[Description | PluginError]:
        for ref in refs:
            if ref.name == "vae":
                yield PluginError("vae does not import: no module named there")
            else:
                yield Description("g", "1", "f", (), "none", None, "", "", "", "", ())


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check answers at once that all is well."""
    fine = lambda name: lambda *args: Check(name, True, "fine")  # noqa: E731
    several = lambda name: lambda *args: iter([Check(name, True, "fine")])  # noqa: E731
    monkeypatch.setattr(diagnosis, "Prober", Asked)
    for name in ("python", "device", "threads", "memory"):
        monkeypatch.setattr(diagnosis, f"_{name}", fine(name))
    for name in ("packages", "extractors", "data", "extensions", "generators"):
        monkeypatch.setattr(diagnosis, f"_{name}", several(name))


def bad(results: Path) -> Check:
    """The one check that fails."""
    (found,) = [check for check in diagnose(results) if not check.ok]
    assert found.remedy
    return found


@pytest.mark.usefixtures("healthy")
class TestDoctor:
    """Each fault is found alone, with a remedy, and the exit code says so."""

    def test_all_is_well(self, tmp_path: Path) -> None:
        assert all(check.ok for check in diagnose(tmp_path))

    def test_a_results_folder_that_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "results").write_text("")
        found = bad(tmp_path / "results")
        assert (found.name, "--results" in found.remedy) == ("results", True)
        done = CliRunner().invoke(
            cli, ["doctor", "--results", str(tmp_path / "results")], standalone_mode=False
        )
        assert done.return_value == 6
        assert found.remedy in done.output

    def test_a_results_folder_that_is_yet_to_be_made(self, tmp_path: Path) -> None:
        assert all(check.ok for check in diagnose(tmp_path / "a" / "b" / "results"))
        assert not list(tmp_path.iterdir()), "it looks and makes nothing"

    @pytest.mark.parametrize("below", ["results", "a/results"])
    def test_a_results_folder_that_cannot_be_made(self, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").write_text("")
        found = bad(tmp_path / "file" / below)
        assert found.found.endswith(f"cannot be made in {tmp_path / 'file'}")

    def test_a_disk_that_is_nearly_full(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(diagnosis, "LEAST_DISK_BYTES", 1 << 62)
        assert bad(tmp_path).name == "disk"


def fails(error: Exception) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise error

    return call


def test_doctor_names_damaged_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "verify_files", fails(DataError("wrong checksum of x.gz")))
    found = list(diagnosis._data())
    assert found
    assert not any(check.ok for check in found)
    assert "wrong checksum of x.gz" in found[0].found


def test_doctor_names_damaged_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "load_extractor", fails(DataError("weights are not theirs")))
    found = list(diagnosis._extractors())
    assert found
    assert all(not check.ok and "weights are not theirs" in check.found for check in found)


def test_doctor_names_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(diagnosis, "available_cores", lambda: threads)
    assert diagnosis._threads().ok
    monkeypatch.setattr(diagnosis, "available_cores", lambda: threads - 1)
    assert not diagnosis._threads().ok
    assert "OMP_NUM_THREADS" in diagnosis._threads().remedy


def test_doctor_names_broken_entry_points_of_every_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = {
        extensions.LOADERS: EntryPoint("rows", "json", extensions.LOADERS),
        extensions.EXTRACTORS: EntryPoint("eyes", "no_such_module:Eyes", extensions.EXTRACTORS),
        extensions.METRICS: EntryPoint("score", "json:dumps", extensions.METRICS),
        extensions.KINDS: EntryPoint("spectrum", "json:dumps", extensions.KINDS),
        extensions.EXECUTORS: EntryPoint("grid", "json:JSONDecoder", extensions.EXECUTORS),
        extensions.TRACKERS: EntryPoint("diary", "json:JSONDecoder", extensions.TRACKERS),
    }
    monkeypatch.setattr(extensions.metadata, "entry_points", lambda group: [installed[group]])
    found = {check.name: check for check in diagnosis._extensions()}
    assert "lacks read, verify" in found["loader rows"].found
    assert "does not import: ModuleNotFoundError" in found["extractor eyes"].found
    assert "is of type function" in found["metric score"].found
    assert "lacks name, dtype, tiny" in found["kind spectrum"].found
    assert "lacks submit, poll, stop, kill, close" in found["executor grid"].found
    assert not any(check.ok for check in found.values())
    installed[extensions.EXTRACTORS] = EntryPoint("eyes", "json:loads", extensions.EXTRACTORS)
    fine = [check.name for check in diagnosis._extensions() if check.ok]
    assert fine == ["extractor eyes"]


def test_doctor_names_a_broken_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    prober: Any = Asked()
    found: Iterator[Check] = diagnosis._generators(prober)
    broken = [check for check in found if not check.ok]
    assert [check.name for check in broken] == ["generator vae"]
    assert broken[0].remedy == "fix or uninstall the plugin"


def test_doctor_names_the_cards_or_why_cuda_shows_none() -> None:
    two: Any = Asked(cards=["NVIDIA H200", "NVIDIA H200"])
    assert diagnosis._device(two, "").found.startswith("NVIDIA H200, NVIDIA H200; ")
    old: Any = Asked(cards=PluginError("device: the NVIDIA driver on your system is too old"))
    check = diagnosis._device(old, "")
    assert (check.ok, "too old" in check.found) == (False, True)
    assert "--device cpu" in check.remedy


# -- cards -------------------------------------------------------------------------------------


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has CUDA say that there are so many cards."""

    def there(n: int) -> None:
        monkeypatch.setattr(machine, "_nvidia_driver_is_there", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device}")

    return there


def test_cells_spread_over_all_cards_one_on_each(pretend: Callable[[int], None]) -> None:
    pretend(3)
    every = ("cuda:0", "cuda:1", "cuda:2")
    assert machine.resolve_devices("auto", "auto") == machine.resolve_devices("cuda", 6) == every
    assert machine.auto_jobs(every, 1, 1 << 30) == 3
    assert machine.resolve_devices("cuda:2", 6) == ("cuda:2",)
    assert machine.cards() == ["card 0", "card 1", "card 2"]


def test_a_card_that_is_not_there_is_refused_with_a_remedy(
    pretend: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(0)
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(DeviceError, match=r"built without CUDA: .*, or use --device cpu"):
        machine.resolve_device("cuda")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(DeviceError, match="no NVIDIA driver is loaded here"):
        machine.resolve_device("cuda:0")
    monkeypatch.setattr(machine, "_nvidia_driver_is_there", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", fails(RuntimeError("driver version 1 is too old")))
    with pytest.raises(DeviceError, match="driver version 1 is too old: see that nvidia-smi works"):
        machine.cards()
    pretend(2)
    with pytest.raises(UsageError, match="this machine has 2 of them: use cuda:1 or less"):
        machine.resolve_device("cuda:2")


def test_errors_of_a_card_are_typed_and_say_what_to_do() -> None:
    full = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    blas = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")
    for error in (full, blas):
        found = card.named(error)
        assert isinstance(found, DeviceMemoryError)
        assert isinstance(found, MemoryError), "the record's status is oom"
        assert "smaller" in str(found)
        assert found.__cause__ is error
    for text in (
        "CUDA error: device-side assert triggered",
        "Found no NVIDIA driver on your",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "CUDA driver initialization failed",
    ):
        failed = card.named(RuntimeError(text))
        assert type(failed) is DeviceError
        assert text in str(failed)
        assert "genbench doctor" in str(failed)
    other = RuntimeError("shapes (2,) and (3,)")
    assert card.named(other) is other


def test_the_memory_held_on_a_card_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 5)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 7)
    ledger = Ledger(Space("points", (2,)), 1)
    ledger.held(card.peaks("cuda:1"))
    assert ledger.result.resources == {"card_peak_bytes": 5, "card_peak_reserved_bytes": 7}
    ledger = Ledger(Space("points", (2,)), 1)
    ledger.held(card.peaks("cpu"))
    assert ledger.result.resources == {}


def test_cards_of_one_name_are_one_environment() -> None:
    def mark(device: str, name: str) -> str:
        environment = {"device": device, "device_name": name}
        record = fixtures.record("01x", fixtures.cell_of("g", "gan", 0), environment=environment)
        return environment_mark(record)

    assert mark("cuda:0", "H200") == mark("cuda:1", "H200") != mark("cuda:0", "H100")


@pytest.mark.slow
def test_the_benchmark_of_a_card_runs_without_one() -> None:
    words = [sys.executable, "-m", "benchmarks.bench_gpu", "--device", "cpu", "--quick"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
    for row in ("gan", "vae", "dna", "flow", "extrapolated", "downstream", "FD, IS", "mnist smoke"):
        assert row in done.stdout
