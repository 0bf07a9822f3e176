"""Threads, devices and times of cells that run beside each other; a machine looked over; status."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from genbench import diagnosis, extensions, machine, runner
from genbench.cellspec import CellSpec, GeneratorChoice
from genbench.cli import cli
from genbench.diagnosis import Check, diagnose
from genbench.errors import DataError, PluginError
from genbench.executors.local import Ended
from genbench.plan import Cell
from genbench.plugins import Description, GeneratorRef
from genbench.progress import overview
from genbench.records import Record
from genbench.report import Entry, TaskResults
from genbench.report.rows import table
from genbench.report.tradeoffs import quality_cost
from genbench.runner import RunOptions, run_suite
from genbench.store import Store, write_json, write_record
from genbench.suite import load_suite
from tests import report_fixtures as fixtures
from tests.conftest import TINY, command
from tests.test_store_faults import TASK, put


@pytest.mark.parametrize(("jobs", "threads"), [(1, 8), (2, 4), (3, 2), (8, 1), (20, 1)])
def test_the_cores_are_divided_among_the_workers(
    monkeypatch: pytest.MonkeyPatch, jobs: int, threads: int
) -> None:
    monkeypatch.setattr(runner, "available_cores", lambda: 8)
    assert RunOptions((0,), jobs=jobs).threads == threads


class Executor:
    """Runs nothing; ends one cell per poll, the one that began first, with a record."""

    def __init__(self) -> None:
        self.started: list[CellSpec] = []
        self.under_way: list[CellSpec] = []
        self.most = 0
        self.together: list[list[str]] = []

    def submit(self, spec: CellSpec) -> None:
        self.started.append(spec)
        self.under_way.append(spec)
        self.most = max(self.most, len(self.under_way))
        self.together.append([s.device for s in self.under_way])

    def poll(self, seconds: float) -> list[Ended]:
        spec = self.under_way.pop(0)
        record = fixtures.record(spec.folder.name, fixtures.cell_of("g", "gan", spec.seed))
        write_record(spec.folder, record)
        return [Ended(spec, 0)]


class Silent:
    """Listens to a run and says nothing."""

    def planned(self, cells: Any) -> None: ...
    def started(self, cell: Cell) -> None: ...
    def progressed(self, cell: Cell, progress: Any, seconds_left: float | None) -> None: ...
    def ended(self, cell: Cell, record: Record) -> None: ...
    def stopping(self, hard: bool) -> None: ...


def choice() -> GeneratorChoice:
    about = Description("g", "1", "test", ("points",), "none", None, "", "", "", "", ())
    return GeneratorChoice(GeneratorRef("g", "mine", "mine 1"), about, {})


def run(tmp_path: Path, options: RunOptions) -> Executor:
    executor = Executor()
    suite = load_suite(str(TINY))
    run_suite(suite, [choice()], Store(tmp_path), options, executor, Silent())  # type: ignore[arg-type]
    return executor


def test_each_device_takes_as_many_cells_as_the_others(tmp_path: Path) -> None:
    devices = ("cuda:0", "cuda:1")
    options = RunOptions(tuple(range(6)), jobs=4, device="cuda:0", devices=devices)
    seen = run(tmp_path, options)
    assert len(seen.started) == 6
    assert seen.most == 4
    for together in seen.together:
        counts = [together.count(device) for device in devices]
        assert max(counts) - min(counts) <= 1, together


def test_cells_that_run_beside_others_are_marked_so(tmp_path: Path) -> None:
    assert all(s.exclusive for s in run(tmp_path / "a", RunOptions((0, 1), jobs=1)).started)
    assert not any(s.exclusive for s in run(tmp_path / "b", RunOptions((0, 1), jobs=2)).started)


def test_one_device_named_is_the_only_one_used() -> None:
    assert machine.resolve_devices("cpu", 4) == ("cpu",)


def timed(name: str, seed: int, fit_s: float, exclusive: bool) -> Entry:
    timing = {"fit_s": fit_s, "sample_s": 1.0, "exclusive": exclusive}
    return Entry(
        fixtures.record(
            f"01{name}{seed}",
            fixtures.cell_of(name, "gan", seed),
            metrics={"fid": fixtures.metric("fid", 5.0, seed)},
            timing=timing,
        )
    )


def test_times_taken_beside_other_cells_stay_out_of_the_costs() -> None:
    entries = [
        timed("a", 0, 10.0, True), timed("a", 1, 99.0, False), timed("b", 0, 5.0, False),
        timed("c", 0, 20.0, True),
    ]  # fmt: skip
    board = table(TaskResults(fixtures.suite(), entries))
    rows = {row.name: row for row in board.rows}
    assert (rows["a"].fit_s, rows["a"].exclusive) == (10.0, True)
    assert (rows["b"].fit_s, rows["b"].exclusive) == (5.0, False), "shown, and marked"
    figure = quality_cost(board, {row.id: "#000" for row in board.rows})
    assert figure is not None
    assert '"name":"a"' in figure.specs["fid|fit"]
    assert '"name":"b"' not in figure.specs["fid|fit"]
    assert '"name":"b"' in figure.specs["fid|memory"]


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


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check answers at once that all is well."""
    fine = lambda name: lambda *args: Check(name, True, "fine")  # noqa: E731
    several = lambda name: lambda: iter([Check(name, True, "fine")])  # noqa: E731
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
    import torch

    threads = torch.get_num_threads()
    monkeypatch.setattr(diagnosis, "available_cores", lambda: threads)
    assert diagnosis._threads().ok
    monkeypatch.setattr(diagnosis, "available_cores", lambda: threads - 1)
    assert not diagnosis._threads().ok
    assert "OMP_NUM_THREADS" in diagnosis._threads().remedy


def test_doctor_names_broken_loaders_extractors_and_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = {
        extensions.LOADERS: EntryPoint("rows", "json", extensions.LOADERS),
        extensions.EXTRACTORS: EntryPoint("eyes", "no_such_module:Eyes", extensions.EXTRACTORS),
        extensions.METRICS: EntryPoint("score", "json:dumps", extensions.METRICS),
    }
    monkeypatch.setattr(extensions.metadata, "entry_points", lambda group: [installed[group]])
    found = {check.name: check for check in diagnosis._extensions()}
    assert "lacks read, verify" in found["loader rows"].found
    assert "does not import: ModuleNotFoundError" in found["extractor eyes"].found
    assert "is of type function" in found["metric score"].found
    assert not any(check.ok for check in found.values())
    installed[extensions.EXTRACTORS] = EntryPoint("eyes", "json:loads", extensions.EXTRACTORS)
    assert [check.ok for check in diagnosis._extensions()] == [False, True, False]


def test_doctor_names_a_broken_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __enter__(self) -> Broken:
            return self

        def __exit__(self, *exc: object) -> None: ...

        def describe(self, ref: GeneratorRef) -> Description:
            if ref.name == "vae":
                raise PluginError("vae does not import: no module named there")
            return Description("g", "1", "f", (), "none", None, "", "", "", "", ())

    monkeypatch.setattr(diagnosis, "LocalExecutor", Broken)
    found: Iterator[Check] = diagnosis._generators()
    broken = [check for check in found if not check.ok]
    assert [check.name for check in broken] == ["generator vae"]
    assert broken[0].remedy == "fix or uninstall the plugin"
