"""Executors of other packages: announced, made, refused by name, with the numbers of ours."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from genbench import api
from genbench.errors import PluginError, StoreError, UsageError
from genbench.running.cellspec import CellSpec, read_spec
from genbench.running.executors import Ended, RunSetting, find, started, worker_command
from genbench.running.executors.local import LocalExecutor
from genbench.system import extensions
from genbench.system.forking import ForkServerClient
from genbench.tasks.suite import load_suite
from genbench.testing import doctor as diagnosis
from tests.conftest import PLUGINS, ROOT, TINY, Command, command
from tests.test_docs import blocks
from tests.test_run import SLOW, records, wait_for_fit
from tests.test_scheduling import choice

PAGE = (ROOT / "docs" / "bring-your-own.md").read_text()
(SHOWN,) = [code for code in blocks(PAGE, "py") if "class Spawning" in code]
# The page's executor, and one that keeps a note of what is asked of it.
SPAWNING = f"""{SHOWN}

class Noted(Spawning):
    \"\"\"Runs each cell in a fresh Python, and notes it.\"\"\"

    def __init__(self, run):
        super().__init__(run)
        self.log = run.results / ".queue" / "noted" / "log.txt"
        self.log.parent.mkdir(parents=True)

    def submit(self, spec):
        self.note("submit " + spec.generator.name)
        super().submit(spec)

    def close(self):
        super().close()
        self.note("close")

    def note(self, text):
        with self.log.open("a") as file:
            print(text, file=file)
"""


def package(site: Path, **executors: str) -> dict[str, str]:
    """Installs a package in a folder: its module's code, and the class of each executor name."""
    code = executors.pop("code")
    info = site / "theirs-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 2.0\n")
    lines = [f"{name} = {where}" for name, where in executors.items()]
    (info / "entry_points.txt").write_text("\n".join(["[genbench.executors]", *lines]) + "\n")
    (site / "theirs.py").write_text(code)
    return {"PYTHONPATH": str(site)}


@pytest.mark.slow
def test_an_executor_of_another_package_gives_the_digests_of_ours(
    run_genbench: Command, tmp_path: Path
) -> None:
    """It is the one that the documentation shows: it starts workers by their command alone."""
    env = package(tmp_path / "site", code=SPAWNING, noted="theirs:Noted")
    run = ("run", "--suite", TINY, "--plugin", PLUGINS / "normal.py", "--no-report", "-j", 2)
    assert run_genbench(*run, "--results", "ours").code == 0
    done = run_genbench(*run, "--results", "other", "--executor", "noted", env=env)
    assert done.code == 0, done.err
    assert "2 at a time" in done.err
    ours, other = records(tmp_path / "ours"), records(tmp_path / "other")
    assert len(other) == 3
    assert {k: r.to_json()["result_digest"] for k, r in other.items()} == {
        k: r.to_json()["result_digest"] for k, r in ours.items()
    }
    told = (tmp_path / "other" / ".queue" / "noted" / "log.txt").read_text().splitlines()
    assert sorted(told[:-1]) == ["submit heldout", "submit noise", "submit normal"]
    assert told[-1] == "close"
    again = run_genbench(*run, "--results", "other", "--json")
    assert (again.code, again.out) == (0, ""), "whoever ran a cell, it is done"


@pytest.mark.slow
def test_a_cell_that_fails_elsewhere_is_told_like_one_here(
    run_genbench: Command, tmp_path: Path
) -> None:
    env = package(tmp_path / "site", code=SPAWNING, noted="theirs:Noted")
    run = ("run", "--suite", TINY, "--plugin", PLUGINS / "faulty.py:Raises", "--no-controls")
    done = run_genbench(*run, "--no-report", "--executor", "noted", env=env)
    assert done.code == 3, done.err
    (record,) = records(tmp_path / "results").values()
    assert record.error is not None
    assert "the optimiser exploded" in record.error["log_tail"], "a worker says it in its log"
    assert "the optimiser exploded" not in done.err.replace(record.error["message"], "")


@pytest.mark.slow
def test_a_ctrl_c_in_the_terminal_leaves_what_the_same_command_continues(
    run_genbench: Command, tmp_path: Path
) -> None:
    """It reaches the workers too, which are processes of the terminal like the run itself."""
    env = package(tmp_path / "site", code=SPAWNING, noted="theirs:Noted")
    run = ("run", *SLOW, "--executor", "noted")
    process = subprocess.Popen(command(run), cwd=tmp_path, env={**os.environ, **env}, text=True,
                               stderr=subprocess.PIPE, start_new_session=True)  # fmt: skip
    wait_for_fit(tmp_path / "results", 500)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    stopped = records(tmp_path / "results")["slow", 0]
    assert (stopped.status, stopped.error["type"]) == ("interrupted", "Stopped")  # type: ignore[index]
    assert stopped.artifacts, "the worker wrote it, with its checkpoint"
    done = run_genbench("run", *SLOW, env=env)
    assert done.code == 0, done.err
    assert records(tmp_path / "results")["slow", 0].attempt["resumed_at"] >= 500


@pytest.mark.slow
def test_executors_are_listed_and_the_broken_named(run_genbench: Command, tmp_path: Path) -> None:
    env = package(tmp_path / "site", code=SPAWNING, noted="theirs:Noted",
                  broken="theirs.nowhere:X")  # fmt: skip
    listed = json.loads(run_genbench("list", "executors", "--json", env=env).out)["executors"]
    assert [(row["name"], row["provider"]) for row in listed] == [
        ("broken", "theirs 2.0"),
        *((name, "genbench 0.1.0") for name in ("dask", "folder", "local")),
        ("noted", "theirs 2.0"),
        ("slurm", "genbench 0.1.0"),
    ]
    done = run_genbench("list", "executors", "--check", "--json", env=env)
    assert done.code == 6
    rows = {row["name"]: row for row in json.loads(done.out)["executors"]}
    assert "'broken' of theirs 2.0 does not import" in rows["broken"]["problem"]
    assert rows["noted"]["about"] == "Runs each cell in a fresh Python, and notes it."
    assert rows["local"]["about"] == "Runs cells in processes of this machine."
    assert "Options: partition, account" in rows["slurm"]["about"]


def test_an_unknown_executor_is_refused_by_name_before_anything_runs(
    run_genbench: Command, tmp_path: Path
) -> None:
    for more in ((), ("--dry-run",)):
        done = run_genbench("run", "--suite", TINY, "--executor", "locla", *more)
        assert done.code == 2
        assert "unknown executor 'locla': did you mean 'local'?" in done.err
    with pytest.raises(UsageError, match="unknown executor 'slurn'"):
        api.run(TINY, executor="slurn", results=tmp_path / "mine")
    assert not list(tmp_path.rglob("record.json"))


class Sound:
    """Runs nothing."""

    jobs, here, stopping = 1, False, False

    def __init__(self, run: RunSetting) -> None: ...
    def submit(self, spec: CellSpec) -> None: ...
    def poll(self, seconds: float) -> list[Ended]:
        return []

    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def close(self) -> None: ...


class Lacking:
    """Has no method at all."""


class Countless(Sound):
    def __init__(self, run: RunSetting) -> None:
        self.room = run.jobs_here

    @property
    def jobs(self) -> int:  # type: ignore[override]
        raise AttributeError("jobs")


class Unable(Sound):
    def __init__(self, run: RunSetting) -> None:
        raise StoreError("no sbatch here: install Slurm's commands")


class Careless(Sound):
    def __init__(self, run: RunSetting) -> None:
        raise KeyError("SLURM_CONF")


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Announces classes of this file in place of everything that is installed."""
    entries = [EntryPoint(n.lower(), f"{__name__}:{n}", extensions.EXECUTORS) for n in names]
    monkeypatch.setattr(
        extensions.metadata,
        "entry_points",
        lambda group: entries if group == extensions.EXECUTORS else [],
    )


def setting(tmp_path: Path) -> RunSetting:
    return RunSetting(tmp_path, "auto", 3, ForkServerClient(()))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nothing", "does not import: AttributeError"),
        ("Lacking", "lacks submit, poll, stop, kill, close: add it"),
        ("Countless", "executor 'countless' lacks jobs: add it"),
        ("Unable", "no sbatch here: install Slurm's commands"),
        ("Careless", "executor 'careless' cannot be made: KeyError: 'SLURM_CONF'"),
    ],
)
def test_what_is_no_executor_is_named_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, message: str
) -> None:
    installed(monkeypatch, name)
    with (
        pytest.raises((PluginError, StoreError), match=message),
        started(name.lower(), setting(tmp_path)),
    ):
        pass


def test_two_packages_of_one_executor_are_refused_and_doctor_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(monkeypatch, "Sound", "Sound", "Lacking")
    with pytest.raises(PluginError, match=r"'sound' is announced by .* and .*: uninstall one"):
        find("sound")
    checks = {check.name: check for check in diagnosis._extensions()}
    assert not checks["executor sound"].ok
    assert "lacks submit" in checks["executor lacking"].found
    assert checks["executor lacking"].remedy == "fix or uninstall the plugin"


def test_a_checkout_that_was_installed_before_there_were_executors_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed(monkeypatch)
    with pytest.raises(UsageError, match="unknown executor 'local': install genbench again"):
        find("local")


def test_an_executor_is_closed_however_its_run_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    closed = []
    monkeypatch.setattr(Sound, "close", lambda self: closed.append(self))
    installed(monkeypatch, "Sound")
    with pytest.raises(ZeroDivisionError), started("sound", setting(tmp_path)) as made:
        raise ZeroDivisionError
    assert closed == [made]


def test_ours_takes_what_the_user_asked_for_or_what_the_machine_has_room_for(
    tmp_path: Path,
) -> None:
    assert find("local") is LocalExecutor
    with started("local", setting(tmp_path)) as made:
        assert (made.jobs, made.here, made.stopping) == (3, True, False)


def test_the_command_of_a_worker_names_the_order_and_one_slot(tmp_path: Path) -> None:
    spec = CellSpec(tmp_path / "01A", tmp_path, "key", load_suite(str(TINY)), choice(), 0, slots=4)
    command = worker_command(spec)
    assert command[-2:] == ["genbench.running.worker", str(tmp_path / "01A" / "spec.json")]
    ordered = read_spec(Path(command[-1]))
    assert ordered == dataclasses.replace(spec, slots=1)
