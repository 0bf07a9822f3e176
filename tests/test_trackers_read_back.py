"""What each tracker's own library reads of what it was told, beside the records."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genbench.results.store import Store, Stored, new_ulid, read_record, write_record
from genbench.system.files import sha256_file
from genbench.tracking.account import Account, account_of
from genbench.tracking.exporting import opened, record_order
from genbench.tracking.targets import parse_targets
from tests.conftest import PLUGINS, ROOT, TINY, Command, Done, command, genbench
from tests.test_trackers import stored

pytestmark = pytest.mark.slow

GROUP = "digits@1.0.0 smoke"
LIBRARIES = ("mlflow", "tensorboard", "trackio", "wandb")


def needs(library: str) -> None:
    """Skip where the library is not installed."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install 'genbench[{library}]'")


def installed(*libraries: str) -> list[str]:
    return [name for name in libraries if find_spec(name) is not None]


def shelf(root: Path) -> None:
    """Three cells of real records, with pictures and curves, and a failed one with odd names."""
    (source,) = (ROOT / "reports" / "ci").iterdir()
    for cell in ("vae~*/seed-0", "gan~*/seed-0", "heldout~*/seed-0"):
        (found,) = source.glob(cell)
        shutil.copytree(found, root / source.name / found.relative_to(source))
    shutil.copyfile(source / "suite.json", root / source.name / "suite.json")
    (path,) = (root / source.name).glob("vae~*/seed-0/*/record.json")
    record = read_record(path)
    generator = {**record.cell["generator"], "name": "odd", "params_passed": {"way": "a/b|c"},
                 "params": {"way": "a/b|c", "api_key": "swordfish", "n": True}}  # fmt: skip
    curves = {"loss of α@x|/": {"examples": [1, 2], "value": [0.5, 0.25]}}
    folder = root / source.name / "odd~00000000" / "seed-7" / new_ulid()
    folder.mkdir(parents=True)
    write_record(folder, dataclasses.replace(
        record, record_id=folder.name, cell_key="sha256:odd", status="failed", metrics={},
        curves=curves, artifacts=(), error={"phase": "fit", "message": "it <b>exploded</b>"},
        cell={**record.cell, "generator": generator, "seed": 7},
    ))  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """A folder whose records were told to all trackers that are installed."""

    folder: Path
    env: dict[str, str]
    targets: tuple[str, ...]
    address: str
    server: subprocess.Popen[bytes] | None

    @property
    def accounts(self) -> dict[str, Account]:
        """By the runs' names."""
        (task,) = Store(self.folder / "results").task_folders()
        found = map(account_of, Store(self.folder / "results").records(task))
        return {account.run.name: account for account in found}

    def export(self, *more: str) -> tuple[str, ...]:
        """Tell everything again."""
        words = [word for target in self.targets for word in ("--to", target)]
        done = genbench("results", "export", *words, *more, cwd=self.folder, env=self.env)
        assert done.code == 0, done.err
        return tuple(re.sub(r" in .*: ", ": ", line) for line in done.out.splitlines())

    def asked(self, code: str) -> Any:
        """What Python prints as JSON, in a process of its own: they are not quiet."""
        done = subprocess.run([sys.executable, "-c", code], cwd=self.folder, text=True, check=True,
                              capture_output=True, env={**os.environ, **self.env})  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    found = installed(*LIBRARIES)
    if not found:
        pytest.skip("no tracker is installed")
    folder = tmp_path_factory.mktemp("trackers")
    env = {"WANDB_MODE": "offline", "TRACKIO_DIR": str(folder / "trackio"),
           "WANDB_CACHE_DIR": str(folder / "cache"), "WANDB_DATA_DIR": str(folder / "data"),
           "OMP_NUM_THREADS": "1"}  # fmt: skip
    shelf(folder / "results")
    with contextlib.ExitStack() as stack:
        address, process = "", None
        if "mlflow" in found:
            address, process = stack.enter_context(server(folder, "sqlite:///mlflow.db"))
        places = {"mlflow": f"mlflow:{address}", "tensorboard": "tensorboard:runs",
                  "trackio": "trackio:mine", "wandb": "wandb:us/mine"}  # fmt: skip
        targets = tuple(places[name] for name in found)
        made = Exported(folder, env, targets, address, process)
        assert made.export() == (
            "4 cells: 4 new, 0 renewed, 0 there already",) * len(targets)  # fmt: skip
        yield made


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_tensorboard_reads_every_number_curve_and_picture(exported: Exported) -> None:
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata

    runs = exported.folder / "runs" / GROUP.replace(" ", "_")
    assert len([*runs.iterdir()]) == 5
    assert (runs / "report.html").read_text().startswith("<!doctype html>")
    for account in exported.accounts.values():
        (folder,) = runs.glob(f"*~{account.run.id[:8]}")
        assert len([*folder.iterdir()]) == 1
        read = EventAccumulator(str(folder)).Reload()
        numbers = {tag: [(e.step, e.value) for e in read.Scalars(tag)]
                   for tag in read.Tags()["scalars"]}  # fmt: skip
        wanted = {name: [(0, value)] for name, value in account.values.items()}
        wanted |= {name: [tuple(p) for p in line] for name, line in account.curves.items()}
        assert numbers.keys() == wanted.keys()
        for name, line in wanted.items():
            np.testing.assert_allclose(numbers[name], line, rtol=1e-6)
        for role, path in account.pictures.items():
            (image,) = read.Images(f"pictures/{role}")
            assert image.encoded_image_string == Path(path).read_bytes()
        data = read.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        start = metadata.parse_session_start_info_plugin_data(data)
        assert set(start.hparams) == {"generator", "seed", *account.parameters}
        data = read.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
        end = metadata.parse_session_end_info_plugin_data(data)
        assert end.status == (1 if account.succeeded else 2)
        (text,) = read.Tensors("record")
        table = text.tensor_proto.string_val[0].decode()
        assert f"| status | {account.status} |" in table
        assert "swordfish" not in table


TRACKIO = """
import json, trackio
from trackio.sqlite_storage import SQLiteStorage as store
runs = [{"id": run.id, "name": run.name, "config": run.config,
         "logs": store.get_logs("mine", run.name, run_id=run.id)}
        for run in trackio.Api().runs("mine")]
print(json.dumps({"runs": runs, "artifacts": store.list_artifacts("mine")}))
"""


def test_trackio_reads_every_number_curve_and_picture(exported: Exported) -> None:
    needs("trackio")
    body = exported.asked(TRACKIO)
    runs = {run["id"]: run for run in body["runs"]}
    accounts = exported.accounts.values()
    assert len(runs) == 5
    assert {a.run.id for a in accounts} < runs.keys()
    assert [a["type"] for a in body["artifacts"]] == ["report"]
    for account in accounts:
        run = runs[account.run.id]
        assert (run["name"], run["config"]["_Group"]) == (account.run.name, GROUP)
        assert run["config"]["parameters"] == account.parameters
        assert run["config"]["status"] == account.status
        assert run["config"]["without"] == account.without
        *rows, last = run["logs"]
        assert [(row["step"], only(row, "curves/")) for row in rows] == account.rows()
        assert only(last, "metrics/", "cost/") == account.values
        assert {f"pictures/{role}" for role in account.pictures} == set(only(last, "pictures/"))


def only(row: dict[str, Any], *starts: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key.startswith(starts)}


# The file of an offline run: blocks of 32 KiB, records within them of a checksum, a length and a
# type (whole, first, middle, last), after a head of seven bytes.
WANDB = """
import json, struct, sys
from pathlib import Path
from wandb.proto.wandb_internal_pb2 import Record

def records(data):
    at, parts = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at:at + 7])
        parts += data[at + 7:at + 7 + size]
        at += 7 + size
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""

def items(found):
    return {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in found}

runs = []
for path in sorted(Path("wandb").glob("offline-run-*/*.wandb")):
    run = {"config": {}, "rows": [], "summary": {}, "artifacts": []}
    for record in records(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            told = record.run
            run |= {"id": told.run_id, "name": told.display_name, "group": told.run_group,
                    "project": told.project, "entity": told.entity, "job": told.job_type}
            run["config"] |= items(told.config.update)
        elif kind == "config":
            run["config"] |= items(record.config.update)
        elif kind == "history":
            run["rows"].append(items(record.history.item))
        elif kind == "summary":
            run["summary"] |= items(record.summary.update)
        elif kind == "artifact":
            run["artifacts"].append(record.artifact.type)
        elif kind == "exit":
            run["exit"] = record.exit.exit_code
    runs.append(run)
print(json.dumps(runs))
"""


def test_wandb_keeps_every_number_curve_and_picture_for_its_sync(exported: Exported) -> None:
    needs("wandb")
    found = exported.asked(WANDB)
    runs = {run["id"]: run for run in found}
    assert len(found) == len(runs) == 5
    (report,) = (run for run in found if run["job"] == "report")
    assert (report["name"], report["artifacts"]) == ("report", ["report"])
    for account in exported.accounts.values():
        run = runs[account.run.id]
        assert [run[key] for key in ("name", "group", "project", "entity")] == [
            account.run.name, GROUP, "mine", "us",
        ]  # fmt: skip
        assert run["config"]["parameters"] == account.parameters
        assert run["config"]["signatures"] == account.signatures
        *rows, last = run["rows"]
        told = [(row["examples"], only(row, "curves/")) for row in rows]
        assert told == account.rows()
        assert only(last, "metrics/", "cost/") == account.values
        for role, path in account.pictures.items():
            assert last[f"pictures/{role}/_type"] == "image-file"
            assert last[f"pictures/{role}/sha256"] == sha256_file(Path(path))
        assert run["summary"]["status"] == account.status
        assert run["summary"].get("error", "") == account.error
        assert run["exit"] == (0 if account.succeeded else 1)


@contextlib.contextmanager
def server(folder: Path, database: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """MLflow's own server over a database, until the block ends or somebody kills it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
           "MLFLOW_DISABLE_TELEMETRY": "true"}  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database,
             "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
            cwd=folder, stdout=log, stderr=log, env=env, start_new_session=True,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 240
        while not healthy(address):
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield address, process
    finally:
        end(process)


def healthy(address: str) -> bool:
    with contextlib.suppress(OSError):
        return urllib.request.urlopen(f"{address}/health", timeout=10).status == 200
    return False


def end(process: subprocess.Popen[bytes]) -> None:
    """The server and the workers that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def rest(address: str, path: str, body: Any = None) -> Any:
    """An answer of the interface that MLflow's pages themselves ask."""
    request = urllib.request.Request(
        f"{address}/ajax-api/2.0/mlflow/{path}", headers={"content-type": "application/json"},
        data=None if body is None else json.dumps(body).encode(),
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def runs_of(address: str, group: str) -> dict[str, Any]:
    """The runs of an experiment by our id of them."""
    about = rest(address, f"experiments/get-by-name?experiment_name={group.replace(' ', '%20')}")
    body = {"experiment_ids": [about["experiment"]["experiment_id"]]}
    found = rest(address, "runs/search", body).get("runs", [])
    return {pairs(run["data"]["tags"])["genbench/run"]: run for run in found}


def pairs(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {item["key"]: item["value"] for item in items}


def history(address: str, run: Any, key: str) -> list[tuple[int, float]]:
    found = rest(address, f"metrics/get-history?run_id={run['info']['run_id']}&metric_key={key}")
    return [(int(point["step"]), point["value"]) for point in found.get("metrics", [])]


def test_mlflows_server_tells_every_number_curve_and_picture(exported: Exported) -> None:
    needs("mlflow")
    address = exported.address
    runs = runs_of(address, GROUP)
    accounts = exported.accounts
    assert len(runs) == 5
    for account in accounts.values():
        run = runs[account.run.id]
        tags, info = pairs(run["data"]["tags"]), run["info"]
        assert info["run_name"] == account.run.name
        assert info["status"] == ("FINISHED" if account.succeeded else "FAILED")
        assert (info["start_time"], info["end_time"]) == (
            account.began * 1000, account.ended * 1000,
        )  # fmt: skip
        metrics = pairs(run["data"].get("metrics", []))
        assert only(metrics, "metrics/", "cost/") == account.values
        params = pairs(run["data"].get("params", []))
        assert params == {k: str(v) for k, v in account.parameters.items()}
        assert {k: tags[f"signature/{k}"] for k in account.signatures} == account.signatures
        assert {k: tags[f"no value/{k}"] for k in account.without} == account.without
    vae = accounts["vae seed 0"]
    (name, line), *_ = vae.curves.items()
    assert history(address, runs[vae.run.id], name) == [tuple(point) for point in line]
    folder = f"artifacts/list?run_id={runs[vae.run.id]['info']['run_id']}&path=pictures"
    told = {Path(file["path"]).name: file["file_size"] for file in rest(address, folder)["files"]}
    assert told == {Path(p).name: Path(p).stat().st_size for p in vae.pictures.values()}
    odd = runs[accounts["odd:way=a/b|c seed 7"].run.id]
    assert history(address, odd, "curves/loss%20of%20%CE%B1%20at%20x_") == [(1, 0.5), (2, 0.25)]
    assert pairs(odd["data"]["tags"])["mlflow.note.content"] == (
        "failed in fit: it <b>exploded</b>"
    )


def test_the_same_again_doubles_nothing_and_a_newer_attempt_takes_the_place_of_the_older(
    exported: Exported,
) -> None:
    """The last test of these records: it changes them."""
    (task,) = Store(exported.folder / "results").task_folders()
    (path,) = task.glob("odd~*/seed-7/*/record.json")
    record = read_record(path)
    folder = path.parent.with_name(new_ulid())
    folder.mkdir()
    newer = dataclasses.replace(
        record, record_id=folder.name, status="ok", error=None, attempt={"n": 2},
        curves={"loss": {"examples": [5], "value": [0.1]}},
    )  # fmt: skip
    write_record(folder, newer)
    before = files(exported.folder / "runs")
    assert exported.export() == ("4 cells: 0 new, 1 renewed, 3 there already",) * len(
        exported.targets
    )
    account = account_of(Stored(newer, folder))
    if "tensorboard" in installed(*LIBRARIES):
        (run,) = (exported.folder / "runs").glob(f"*/*~{account.run.id[:8]}")
        assert [path.name[-26:] for path in run.iterdir()] == [folder.name]
        after = files(exported.folder / "runs")
        moved = {path.parent.name for path, _ in before.items() ^ after.items()}
        assert moved == {run.name, run.parent.name}, "nothing but this cell, and the report"
    if "trackio" in installed(*LIBRARIES):
        runs = [run for run in exported.asked(TRACKIO)["runs"] if run["id"] == account.run.id]
        ((first, _),) = (run["logs"] for run in runs)
        assert only(first, "curves/") == {"curves/loss": 0.1}
    if "wandb" in installed(*LIBRARIES):
        runs = [run for run in exported.asked(WANDB) if run["id"] == account.run.id]
        assert [run["summary"]["status"] for run in runs] == ["ok"]


def test_mlflow_shows_losses_while_it_trains_and_a_server_that_dies_fails_no_run(
    exported: Exported, run_genbench: Command, tmp_path: Path
) -> None:
    """And what it missed the export adds, to the same run; here into the database itself."""
    needs("mlflow")
    address = exported.address
    assert exported.server is not None
    run = ("run", "--suite", TINY, "--plugin", f"{PLUGINS / 'slow.py'}:Slow", "--no-controls",
           "--no-report", "-g", "slow:pause=0.05")  # fmt: skip
    env = {**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "OMP_NUM_THREADS": "1"}
    words = command((*run, "--track", f"mlflow:{address}"))
    going = subprocess.Popen(words, cwd=tmp_path, env=env, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    seen = first_losses(address, going)
    end(exported.server)
    _, err = going.communicate(timeout=300)
    assert going.returncode == 0, err
    assert "1 of 1 cells were not taken" in err
    assert f"later: genbench results export results --to mlflow:{address}" in err
    place = exported.folder / "mlflow.db"
    done = run_genbench("results", "export", "--no-report", "--to", f"mlflow:sqlite:///{place}",
                        env={"OMP_NUM_THREADS": "1"})  # fmt: skip
    assert "1 new, 0 renewed, 0 there already" in done.out, done.err
    (task,) = Store(tmp_path / "results").task_folders()
    (account,) = map(account_of, Store(tmp_path / "results").records(task))
    with closing(sqlite3.connect(place)) as database:
        ask = "SELECT run_uuid, status FROM runs WHERE name LIKE 'slow%'"
        assert database.execute(ask).fetchall() == [(seen, "FINISHED")]
        ask = "SELECT key, step, value FROM metrics WHERE run_uuid = ? ORDER BY key, step"
        points = database.execute(ask, (seen,))
        known: dict[str, list[tuple[int, float]]] = {}
        for key, *point in points:
            known.setdefault(key, []).append(tuple(point))
    live = known.pop("live/walk")
    assert len(live) > 1
    assert only(known, "curves/", "course/") == {
        name: [tuple(point) for point in line] for name, line in account.curves.items()
    }
    assert "course/fid" in known


def first_losses(address: str, run: subprocess.Popen[str]) -> str:
    """MLflow's id of the run, once some of its losses are there."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert run.poll() is None, run.stderr and run.stderr.read()
        with contextlib.suppress(urllib.error.HTTPError):
            for found in runs_of(address, "tiny@1.0.0 standard").values():
                if len(history(address, found, "live/walk")) > 1:
                    assert found["info"]["status"] == "RUNNING"
                    return str(found["info"]["run_id"])
        time.sleep(0.2)
    raise AssertionError("no loss was told")


def test_news_of_a_fit_are_there_until_the_record_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's are told above."""
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.chdir(tmp_path)
    env = {"WANDB_MODE": "offline", "TRACKIO_DIR": str(tmp_path / "trackio")}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    told = account_of(
        stored(tmp_path / "results", curves={"a": {"examples": [30], "value": [2.0]}})
    )
    places = {
        "tensorboard": "tensorboard:runs",
        "trackio": "trackio:mine",
        "wandb": "wandb:us/mine",
    }
    news = {"do": "progress", "run": dataclasses.asdict(told.run), "scalars": {"loss": 0.5}}
    with opened(parse_targets([places[name] for name in installed(*places)])) as processes:
        for process in processes:
            for examples in (10, 20):
                assert process.ask({**news, "examples": examples}) == "told"
        (run,) = (tmp_path / "runs").glob("*/*")
        live = EventAccumulator(str(run)).Reload().Scalars("live/loss")
        assert [(event.step, event.value) for event in live] == [(10, 0.5), (20, 0.5)]
        for process in processes:
            assert [process.ask(record_order(told)) for _ in range(2)] == ["new", "same"]
            assert process.close() is None
    assert len([*run.iterdir()]) == 1
    assert "live/loss" not in EventAccumulator(str(run)).Reload().Tags()["scalars"]
    made = Exported(tmp_path, env, (), "", None)
    if "trackio" in installed(*places):
        (kept,) = made.asked(TRACKIO)["runs"]
        assert (kept["id"], len(kept["logs"])) == (told.run.id, 2)
    if "wandb" in installed(*places):
        (kept,) = made.asked(WANDB)
        assert [only(row, "live/", "curves/") for row in kept["rows"]] == [
            {"live/loss": 0.5}, {"live/loss": 0.5}, {"curves/a": 2.0}, {},
        ]  # fmt: skip


def refused(done: Done, message: str, folder: Path) -> None:
    """It ended in one line, before anything was done."""
    assert done.code == 2
    assert message in done.err, done.err
    assert "hunter2" not in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (folder / "results").exists()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_missing_ends_the_command_before_anything_is_done(
    run_genbench: Command, tmp_path: Path, library: str
) -> None:
    (tmp_path / "site" / library).mkdir(parents=True)
    (tmp_path / "site" / library / "__init__.py").write_text("raise ImportError('not here')")
    words = ("results", "export", ".", "--to") if library != "wandb" else (
        "run", "--suite", TINY, "--track")  # fmt: skip
    done = run_genbench(*words, f"{library}:x", env={"PYTHONPATH": str(tmp_path / "site")})
    refused(done, f"pip install 'genbench[{library}]'", tmp_path)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("mlflow:http://me:hunter2@127.0.0.1:9", "nobody answers ([Errno 111] Connection refused)"),
        ("mlflow", "it needs an address: mlflow:http://localhost:5000"),
        ("tensorboard", "it needs a folder: tensorboard:DIR"),
        ("tensorboard:file/inside", "cannot write to file/inside: Not a directory"),
        ("trackio:registry-x", "'registry-x' is not allowed"),
        ("wandb", "nobody has logged in: type `wandb login`, or set WANDB_MODE=offline"),
    ],
)
def test_a_place_that_cannot_be_told_ends_the_command_before_anything_is_done(
    run_genbench: Command, tmp_path: Path, target: str, message: str
) -> None:
    needs(target.partition(":")[0])
    (tmp_path / "file").write_text("")
    env = {"HOME": str(tmp_path), "TRACKIO_DIR": str(tmp_path / "t"), "WANDB_API_KEY": "",
           "NETRC": str(tmp_path / "netrc"), "OMP_NUM_THREADS": "1"}  # fmt: skip
    done = run_genbench("results", "export", ".", "--to", target, env=env)
    refused(done, message, tmp_path)
