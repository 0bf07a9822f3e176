"""Trackers: what they are told, and what becomes of a run or an export when they fail."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from genbench.cli import cli
from genbench.errors import PluginError, TrackerError, UsageError, one_line
from genbench.results.store import Store, Stored, artifact, read_record, write_record
from genbench.system import environment
from genbench.tracking import process as tracker_process
from genbench.tracking.account import Account, account_of, group_of, run_of
from genbench.tracking.contract import find, library
from genbench.tracking.exporting import export, opened
from genbench.tracking.live import Follower, Followers
from genbench.tracking.targets import parse_targets
from tests.conftest import ROOT
from tests.report_evil import evil_task
from tests.test_archive import NEW, OLD, fill
from tests.test_docs import blocks

PAGE = (ROOT / "docs" / "trackers.md").read_text()
(LINES,) = [code for code in blocks(PAGE, "py") if "class JsonLines" in code]
# The tracker that the documentation shows, and one that goes wrong in the way that its place names.
CODE = f"""{LINES}
import os, sys, time

class Broken(JsonLines):
    \"\"\"Goes wrong.\"\"\"

    def __init__(self, place):
        print("a banner on stdout")
        self.how, _, file = place.partition(",")
        if self.how == "open":
            raise RuntimeError("refused https://me:hunter2@host/?token=abc")
        super().__init__(file)

    def record(self, account):
        print("a line on stdout")
        how, self.how = self.how, self.how.removeprefix("once ")
        if "raise" in how:
            self.how = self.how if how == self.how else ""
            raise RuntimeError("refused https://me:hunter2@host/?token=abc")
        if how == "exit":
            sys.exit("gone")
        if how == "die":
            print("out of memory", file=sys.stderr, flush=True)
            os._exit(9)
        if how == "hang":
            time.sleep(60)
        return super().record(account)

class Lacking:
    \"\"\"No tracker.\"\"\"
"""


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with trackers of its own."""
    site = tmp_path_factory.mktemp("site")
    info = site / "theirs-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 2.0\n")
    names = "lines = theirs:JsonLines\nbroken = theirs:Broken\nlacking = theirs:Lacking\n"
    (info / "entry_points.txt").write_text(f"[genbench.trackers]\n{names}")
    (site / "theirs.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(site))
    return site


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def stored(root: Path, seed: int = 0, **changes: Any) -> Stored:
    """A record with a picture, and with whatever else a test needs."""
    folder = fill(root, seed, OLD[:-1] + str(seed))
    Image.new("L", (2, 2)).save(folder / "grid.png")
    items = (artifact(folder, "grid", "grid.png"), artifact(folder, "samples", "samples.npz"))
    record = read_record(folder / "record.json")
    key = f"sha256:{seed}"
    changed = dataclasses.replace(record, cell_key=key, artifacts=items, **changes)
    write_record(folder, changed)
    return Stored(changed, folder)


def test_an_account_is_the_record_in_the_words_of_trackers(tmp_path: Path) -> None:
    curves = {"loss": {"examples": [20, 10, 30], "value": [2.0, 1.0, None]}, "odd": [1, 2]}
    times = {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:05+00:00"}
    one = stored(tmp_path, curves=curves, timing={"fit_s": 3.5, "unheard_of": 1.0}, times=times)
    found = account_of(one)
    numbers = {k: v for k, v in found.values.items() if k.startswith("metrics/")}
    assert numbers == {"metrics/fid": 1.5, "metrics/fid_low": 1.0, "metrics/fid_high": 2.0}
    assert found.without == {"nll": "not_applicable: g has no likelihood"}
    assert found.curves == {"curves/loss": [(10, 1.0), (20, 2.0)]}
    assert found.values["cost/fit_s"] == 3.5
    assert "cost/unheard_of" not in found.values
    assert found.parameters == {"k": 1.5}
    assert found.pictures == {"grid": str(one.folder / "grid.png")}
    assert found.ended - found.began == 5
    assert (found.run.group, found.run.name) == ("s@1 smoke", "g seed 0")
    back = Account.from_json(json.loads(json.dumps(found.to_json())))
    assert back.rows() == found.rows() == [(10, {"curves/loss": 1.0}), (20, {"curves/loss": 2.0})]


def test_a_picture_that_was_changed_or_is_none_is_not_told(tmp_path: Path) -> None:
    one = stored(tmp_path)
    whole = (one.folder / "grid.png").read_bytes()
    for data in (whole[:-20], b"<script>", b""):
        (one.folder / "grid.png").write_bytes(data)
        assert account_of(one).pictures == {}
        items = (artifact(one.folder, "grid", "grid.png"),)
        forged = Stored(dataclasses.replace(one.record, artifacts=items), one.folder)
        assert account_of(forged).pictures == {}


def test_what_looks_like_a_secret_is_not_told(tmp_path: Path) -> None:
    one = stored(tmp_path)
    argv = ["genbench", "run", "--track", "mlflow:https://me:hunter2@host/x?token=swordfish"]
    cell = {**one.record.cell}
    cell["generator"] = {**cell["generator"], "params": {"api_key": "swordfish", "width": 4}}
    record = dataclasses.replace(
        one.record, cell=cell, source={"argv": argv}, status="failed",
        error={"phase": "fit", "message": "no answer of postgresql://me:hunter2@db/x"},
    )  # fmt: skip
    found = account_of(Stored(record, one.folder))
    assert found.parameters == {"api_key": "***", "width": 4}
    assert found.error == "in fit: no answer of postgresql://***@db/x"
    assert found.facts["command"].endswith("mlflow:https://***@host/x?token=***")
    text = json.dumps(found.to_json())
    assert not any(secret in text for secret in ("swordfish", "hunter2", "me:h"))


def test_a_record_tells_no_login_of_a_target_that_was_typed() -> None:
    argv = [
        "run",
        "--track=mlflow:http://me:p@ss@host",
        "wandb:a/b",
        "postgresql://h/d?PASSWORD=x&y=1",
    ]
    assert environment.redact(argv) == [
        "run", "--track=mlflow:http://***@host", "wandb:a/b", "postgresql://h/d?PASSWORD=***",
    ]  # fmt: skip


def test_one_cell_is_one_run_and_another_suite_version_another() -> None:
    ids = {
        run_of(group_of("s", version, profile), key, "g seed 0").id
        for version in ("1", "2") for profile in ("smoke", "full") for key in ("a", "b")
    }  # fmt: skip
    assert len(ids) == 8
    assert run_of("s@1 smoke", "a", "x") == run_of("s@1 smoke", "a", "x")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["mlfow:x"], "unknown tracker 'mlfow': did you mean 'mlflow'?"),
        (["wandb:a", "wandb:b"], "two targets of one tracker, wandb:a and wandb:b: give one"),
        ([""], "unknown tracker ''"),
    ],
)
def test_targets_that_cannot_be_are_refused_before_anything_runs(
    given: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        parse_targets(given)


def test_a_target_is_shown_without_its_password() -> None:
    (target,) = parse_targets(["mlflow:http://me:hunter2@host:5000"])
    assert (target.place, str(target)) == (
        "http://me:hunter2@host:5000",
        "mlflow:http://***@host:5000",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("results", "export"), "export where? Name a file with -o, or a tracker with --to"),
        (("results", "export", "--to", "nosuch"), "unknown tracker 'nosuch'"),
        (
            ("run", "--suite", "digits", "--dry-run", "--track", "nosuch"),
            "unknown tracker 'nosuch'",
        ),
    ],
)
def test_a_command_refuses_a_tracker_before_it_looks_at_anything_else(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in str(CliRunner().invoke(cli, words).exception)


def test_the_tracker_of_the_page_holds_every_cell_once(site: Path, tmp_path: Path) -> None:
    root, file = tmp_path / "results", tmp_path / "cells.jsonl"
    first, second = stored(root, 0), stored(root, 1, status="failed", metrics={})
    targets = parse_targets([f"lines:{file}"])
    for counts in ((2, 0, 0), (0, 0, 2)):
        (found,) = export([root], targets, report=False)
        assert (found.new, found.renewed, found.same) == counts
    assert {(line["name"], line["status"]) for line in told(file)} == {
        ("g seed 0", "ok"), ("g seed 1", "failed"),
    }  # fmt: skip
    newer = dataclasses.replace(second.record, record_id=NEW, status="ok", attempt={"n": 2})
    folder = second.folder.with_name(NEW)
    folder.mkdir()
    write_record(folder, dataclasses.replace(newer, artifacts=()))
    (found,) = export([root], targets, report=False)
    assert (found.new, found.renewed, found.same) == (0, 1, 1)
    assert [line["stamp"][-26:] for line in told(file)] == [first.record.record_id, NEW]


def refuse(tmp_path: Path, place: str) -> str:
    """The error of an export to the tracker that goes wrong."""
    stored(tmp_path / "results")
    with pytest.raises((TrackerError, UsageError, PluginError)) as error:
        export([tmp_path / "results"], parse_targets([place]), report=False)
    return str(error.value)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("open", "RuntimeError: refused https://***@host/?token=***"),
        ("raise", "RuntimeError: refused https://***@host/?token=***: 0 of 1 cells were told"),
        ("exit", "SystemExit: gone: 0 of 1 cells were told; the same command continues"),
        ("die", "its process ended: out of memory: 0 of 1 cells were told"),
        ("hang", "no answer for 1 s: 0 of 1 cells were told"),
    ],
)
def test_a_tracker_that_goes_wrong_ends_an_export_in_one_line(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, message: str
) -> None:
    monkeypatch.setattr(tracker_process, "SILENT_SECONDS", 1.0)
    found = refuse(tmp_path, f"broken:{how},{tmp_path / 'cells'}")
    assert message in found
    assert found.startswith(f"tracker broken:{how},")


def test_what_is_no_tracker_is_named_with_what_it_lacks(site: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="lacks progress, record, report, close: add it"):
        find("lacking")
    assert "'lacking' of theirs 2.0 lacks progress" in refuse(tmp_path, "lacking")


def test_a_package_that_is_not_there_is_named_with_its_extra() -> None:
    with pytest.raises(UsageError, match=r"nowhere is not installed .*genbench\[mlflow\]'"):
        library("nowhere.inside", "mlflow")


def test_the_folder_of_an_export_has_to_hold_records(site: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no results in"):
        export([tmp_path], parse_targets([f"lines:{tmp_path / 'cells'}"]))


Following = Callable[..., tuple[list[str], list[dict[str, Any]]]]


@pytest.fixture
def follow(site: Path, tmp_path: Path) -> Following:
    """What a run of two cells, a third of which was done before, says and leaves in a tracker."""

    def run(how: str) -> tuple[list[str], list[dict[str, Any]]]:
        said: list[str] = []
        file = tmp_path / "cells"
        cells = [stored(tmp_path / "results", seed) for seed in range(3)]
        with opened(parse_targets([f"broken:{how},{file}"])) as (process,):
            follower = Follower(process, "s@1 smoke", Store(tmp_path / "results"), said.append)
            for cell in cells[:2]:
                follower.ended(cell)
            deadline = time.monotonic() + 0.6
            while time.monotonic() < deadline:
                process.pump(0.1)
            Followers([follower], said.append).finish(cells, cells[0].folder, report=False)
        return said, told(file)

    return run


def test_a_run_is_told_whole(follow: Following) -> None:
    said, cells = follow("")
    assert [line.partition(" in ")[0] for line in said] == ["tracked: 3 cells"]
    assert [cell["name"] for cell in cells] == ["g seed 0", "g seed 1", "g seed 2"]


def test_what_a_tracker_does_not_take_at_once_it_takes_at_the_end(follow: Following) -> None:
    said, cells = follow("once raise")
    assert len(said) == 2
    assert said[0].startswith("warning: tracker broken:once raise,")
    assert said[0].endswith("refused https://***@host/?token=***: the run goes on")
    assert said[1].startswith("tracked: 3 cells")
    assert len(cells) == 3


@pytest.mark.parametrize(("how", "told"), [("raise", 0), ("die", 0)])
def test_a_tracker_that_never_takes_anything_costs_two_lines(
    follow: Following, how: str, told: int
) -> None:
    said, cells = follow(how)
    assert len(cells) == told
    assert len(said) == 2
    assert "3 of 3 cells were not taken" in said[1]
    assert "later: genbench results export" in said[1]
    assert "--to broken:" in said[1]


def test_a_record_that_tries_to_deceive_is_told_in_single_harmless_lines(tmp_path: Path) -> None:
    for entry in evil_task(tmp_path).entries:
        assert entry.folder is not None
        account = account_of(Stored(entry.record, entry.folder))
        texts = [account.run.group, account.run.name, account.error, *account.values]
        for found in (account.facts, account.parameters, account.curves, account.without,
                      account.signatures, account.pictures):  # fmt: skip
            texts += [*found, *(text for text in found.values() if isinstance(text, str))]
        assert [text for text in texts if text != one_line(text)] == []
        assert max(map(len, texts)) <= 4_000
        json.dumps(account.to_json(), allow_nan=False)
