"""`genbench results`: verify, merge, gc and export."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from genbench.cli import cli
from genbench.errors import StoreError, UsageError
from genbench.metrics.values import MetricValue
from genbench.results import archive, merging
from genbench.results.store import RECORD, Store, artifact, write_record
from genbench.system.files import write_bytes
from tests.test_records import make_record

OLD, NEW = "01ARZ3NDEKTSV4RRFFQ69G5FAA", "01ARZ3NDEKTSV4RRFFQ69G5FAB"


def fill(root: Path, seed: int = 0, ulid: str = OLD, n: int = 1) -> Path:
    """One task folder with one attempt, its samples and its grid."""
    suite = {"suite": {"name": "tiny", "version": "1"}, "task": "sha256:1", "profile": "smoke"}
    Store(root).write_suite("tiny@1-abc-smoke", suite)
    folder = root / "tiny@1-abc-smoke" / "g~00000000" / f"seed-{seed}" / ulid
    write_bytes(folder / "samples.npz", b"samples of " + ulid.encode())
    write_bytes(folder / "grid.png", b"grid")
    artifacts = (artifact(folder, "samples", "samples.npz"), artifact(folder, "grid", "grid.png"))
    record = make_record()
    cell = {**record.cell, "seed": seed}
    made = dataclasses.replace(
        record, record_id=ulid, cell=cell, artifacts=artifacts, attempt={"n": n}
    )
    write_record(folder, made)
    return folder


def test_whole_results_verify(tmp_path: Path) -> None:
    fill(tmp_path)
    assert archive.verify(tmp_path) == archive.Verified(1, 2, (), 0)


def test_a_missing_artefact_is_counted_and_a_changed_one_told(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    (folder / "samples.npz").unlink()
    (folder / "grid.png").write_bytes(b"another")
    found = archive.verify(tmp_path)
    assert found.absent == 1
    assert [(p.path.name, p.reason) for p in found.problems] == [
        ("grid.png", "is not the grid of its record: changed")
    ]


@pytest.mark.parametrize("damage", ["record", "suite", "no suite", "linked task", "linked file"])
def test_every_damage_is_a_problem_with_its_path(tmp_path: Path, damage: str) -> None:
    root = tmp_path / "results"
    folder = fill(root)
    task = folder.parents[2]
    match damage:
        case "record":
            at = folder / RECORD
            at.write_bytes(at.read_bytes().replace(b"1.5", b"1.4", 1))
        case "suite":
            at = task / "suite.json"
            at.write_text("{")
        case "no suite":
            at = task
            (task / "suite.json").unlink()
        case "linked task":
            at = root / "planted"
            at.symlink_to(task)
        case "linked file":
            at = folder / "grid.png"
            at.rename(tmp_path / "grid.png")
            at.symlink_to(tmp_path / "grid.png")
    found = archive.verify(root)
    assert [p.path for p in found.problems] == [at]
    told = CliRunner().invoke(cli, ["results", "verify", str(root)], standalone_mode=False)
    assert told.return_value == 6
    assert str(at) in told.output


def test_gc_finds_what_nothing_reads(tmp_path: Path) -> None:
    old = fill(tmp_path, ulid=OLD, n=1)
    new = fill(tmp_path, ulid=NEW, n=2)
    dead = new.with_name("01ARZ3NDEKTSV4RRFFQ69G5FAC")
    write_bytes(dead / "log.txt", b"killed")
    os.utime(dead, (0, 0))
    running = new.with_name("01ARZ3NDEKTSV4RRFFQ69G5FAD")
    write_bytes(running / "progress.json", b"{}")
    waste = archive.garbage(tmp_path)
    assert {w.path for w in waste} == {old, dead}
    archive.remove(waste)
    assert not old.exists()
    assert not dead.exists()
    assert running.exists()
    assert archive.verify(tmp_path) == archive.Verified(1, 2, (), 0)


def test_gc_only_lists_unless_told_to_delete(tmp_path: Path) -> None:
    old = fill(tmp_path, ulid=OLD, n=1)
    fill(tmp_path, ulid=NEW, n=2)
    listed = CliRunner().invoke(cli, ["results", "gc", str(tmp_path)])
    assert str(old) in listed.output
    assert old.exists()
    CliRunner().invoke(cli, ["results", "gc", str(tmp_path), "--delete"])
    assert not old.exists()


def test_export_writes_one_line_per_metric(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    metrics = make_record().metrics
    lines = archive.export([tmp_path / "a"], tmp_path / "out" / "table.csv")
    assert lines == len(metrics)
    frame = pd.read_csv(tmp_path / "out" / "table.csv")
    assert list(frame.columns) == list(archive.COLUMNS)
    assert dict(zip(frame["metric"], frame["value"], strict=True)) == pytest.approx(
        {name: float("nan") if m.value is None else m.value for name, m in metrics.items()},
        nan_ok=True,
    )


def test_export_to_sqlite_can_be_queried(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    archive.export([tmp_path / "a"], tmp_path / "t.sqlite")
    with closing(sqlite3.connect(tmp_path / "t.sqlite")) as database:
        (count,) = database.execute("select count(*) from metrics").fetchone()
    assert count == len(make_record().metrics)


def test_bad_exports_are_refused_with_a_remedy(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    with pytest.raises(UsageError, match=r"'t\.xls'.*\.csv, \.parquet, \.sqlite"):
        archive.export([tmp_path / "a"], tmp_path / "t.xls")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no records in .*empty"):
        archive.export([tmp_path / "empty"], tmp_path / "t.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        archive.export([tmp_path / "a"], tmp_path / "file" / "t.csv")


def test_export_to_parquet_can_be_read_back(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    fill(tmp_path / "a")
    lines = archive.export([tmp_path / "a"], tmp_path / "t.parquet")
    back, table = pd.read_parquet(tmp_path / "t.parquet"), archive.table([tmp_path / "a"])
    assert len(back) == lines
    for name in archive.COLUMNS:
        assert back[name].isna().tolist() == table[name].isna().tolist()
        assert back[name].dropna().tolist() == table[name].dropna().tolist()


def test_parquet_without_its_library_is_refused_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "a")
    for name in ("pyarrow", "fastparquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match="pip install -U pyarrow, or export to"):
        archive.export([tmp_path / "a"], tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()


@pytest.mark.parametrize("suffix", [".sqlite", ".parquet"])
def test_a_table_that_a_format_cannot_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    fill(tmp_path / "a")
    mixed = archive.table([tmp_path / "a"]).astype({"n": object})
    mixed.loc[0, "n"] = 1 << 70
    mixed.loc[1, "n"] = "many"
    monkeypatch.setattr(archive, "table", lambda roots, attempts: mixed)
    with pytest.raises(UsageError, match=f"{suffix} cannot hold this table: .*export to .csv"):
        archive.export([tmp_path / "a"], tmp_path / f"t{suffix}")


def test_results_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no results folder"):
        archive.verify(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no results in .*empty"):
        merging.merge([tmp_path / "empty"], tmp_path / "c")


def test_an_export_to_csv_holds_no_formula(tmp_path: Path) -> None:
    folder = fill(tmp_path / "a")
    evil = {"=HYPERLINK(1)": "+1", "@SUM": "-1", "\uff1dA1": "\t=1", "fine": "n=1"}
    record = make_record()
    metrics = {name: MetricValue("failed", reason=text) for name, text in evil.items()}
    write_record(folder, dataclasses.replace(record, record_id=OLD, metrics=metrics))
    archive.export([tmp_path / "a"], tmp_path / "t.csv")
    frame = pd.read_csv(tmp_path / "t.csv")
    texts = {text for column in ("metric", "reason") for text in frame[column]}
    assert {text for text in texts if not text.startswith("'")} == {"fine", "n=1"}
    assert {text.removeprefix("'") for text in texts} == {*evil, *evil.values()}
    assert frame["seed"].dtype.kind == "i"


def test_merged_reruns_of_a_cell_are_exported_once(tmp_path: Path) -> None:
    for place, ulid in (("a", OLD), ("b", NEW)):
        for seed in (0, 1):
            fill(tmp_path / place, seed=seed, ulid=ulid)
    merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c")
    metrics = len(make_record().metrics)
    for places in ([tmp_path / "c"], [tmp_path / "a", tmp_path / "b"], [tmp_path / "c"] * 2):
        frame = archive.table(places)
        assert len(frame) == 2 * metrics
        assert set(frame["record_id"]) == {NEW}
        assert not frame.duplicated(["generator", "seed", "metric"]).any()
    assert len(archive.table([tmp_path / "c"], attempts=True)) == 4 * metrics


def test_an_export_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "a")
    (tmp_path / "t.csv").write_text("old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        archive.export([tmp_path / "a"], tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "t.csv"]
