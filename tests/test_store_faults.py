"""Whatever happens to a results folder is told, and no report shows a number that is not so.

Every command that reads results is run over a folder with one sound row and one fault. It may
refuse with a typed error; it may not fall over, and the sound row keeps its number.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from genbench.cli import cli
from genbench.errors import GenbenchError, StoreError
from genbench.results import archive, merging
from genbench.results.records import Record, digest
from genbench.results.store import RECORD, SUITE, Problem, Store, Stored, newest, write_record
from genbench.system.files import write_json
from genbench.testing.doctor import Check
from tests import report_fixtures as fixtures

ULID = "01ARZ3NDEKTSV4RRFFQ69G5FA{}"
TASK = "mnist@1.0.0-abc-standard"
SOUND, FAULTY = 5.0, 1.0  # the faulty row would win, were it believed


def put(root: Path, name: str, value: float, index: int = 0, **changes: Any) -> Path:
    """An attempt at a cell as the worker leaves it; returns its folder."""
    if not (root / TASK / SUITE).exists():
        Store(root).write_suite(TASK, fixtures.suite())
    folder = root / TASK / f"{name}~00000000" / "seed-0" / ULID.format(index)
    cell = fixtures.cell_of(name, "gan", 0)
    made = fixtures.record(folder.name, cell, metrics={"fid": fixtures.metric("fid", value, 0)})
    write_record(folder, replace(made, **changes))
    return folder


@dataclass(frozen=True)
class Seen:
    """What the commands that read results made of a folder."""

    codes: dict[str, int]
    text: str
    values: dict[str, float]


COMMANDS = {
    "verify": ("results", "verify"),
    "report": ("report", "--no-published"),
    "status": ("status",),
    "merge": ("results", "merge"),
    "export": ("results", "export"),
    "gc": ("results", "gc"),
}


def look(root: Path, out: Path) -> Seen:
    """Run every reading command over a folder, in process, so that a traceback would be seen."""
    last = {
        "report": ["-o", str(out / "site")],
        "merge": ["--into", str(out / "merged")],
        "export": ["-o", str(out / "table.csv")],
    }
    codes, text = {}, ""
    for name, words in COMMANDS.items():
        given = [*words, str(root), *last.get(name, [])]
        done = CliRunner().invoke(cli, given, standalone_mode=False)
        error = done.exception
        if error is not None and not isinstance(error, GenbenchError):
            raise error
        codes[name] = error.exit_code if isinstance(error, GenbenchError) else done.return_value
        text += f"{done.output}\n{error or ''}\n"
    return Seen(codes, text, _values(out / "site"))


def _values(site: Path) -> dict[str, float]:
    """FID by generator, as the report's data say."""
    tables = list(site.glob("data/*-values.csv"))
    frames = [pd.read_csv(path) for path in tables]
    rows = [row for frame in frames for row in frame.to_dict("records")]
    return {r["generator"]: r["value"] for r in rows if r["metric"] == "fid"}


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change a record as its writer would, digest and all: only the content is wrong."""
    body = json.loads(path.read_text())
    change(body)
    body.pop("digest")
    path.write_text(json.dumps({**body, "digest": digest(body)}))


def truncated(folder: Path) -> Path:
    path = folder / RECORD
    path.write_bytes(path.read_bytes()[:200])
    return path


def bit_flipped(folder: Path) -> Path:
    path = folder / RECORD
    data = bytearray(path.read_bytes())
    data[data.index(b'"value"') + 11] ^= 1
    path.write_bytes(data)
    return path


def from_the_future(folder: Path) -> Path:
    rewrite(folder / RECORD, lambda body: body.update(schema="genbench.record/2"))
    return folder / RECORD


def with_unknown_fields(folder: Path) -> Path:
    rewrite(folder / RECORD, lambda body: body.update(verdict="best"))
    return folder / RECORD


def of_another_task(folder: Path) -> Path:
    rewrite(folder / RECORD, lambda body: body["cell"]["suite"].update(task=digest("other")))
    return folder / RECORD


def moved(folder: Path) -> Path:
    other = folder.with_name(ULID.format(9))
    folder.rename(other)
    return other / RECORD


def infinite(folder: Path) -> Path:
    path = folder / RECORD
    path.write_text(path.read_text().replace('"value": ', '"value": 1e999, "old": ', 1))
    return path


def a_pipe(folder: Path) -> Path:
    (folder / RECORD).unlink()
    os.mkfifo(folder / RECORD)
    return folder / RECORD


def a_link_as_record(folder: Path) -> Path:
    (folder / RECORD).rename(folder / "old.json")
    (folder / RECORD).symlink_to(folder / "old.json")
    return folder / RECORD


def a_link_as_attempt(folder: Path) -> Path:
    outside = folder.parents[3].with_name("outside")
    shutil.move(folder, outside)
    folder.symlink_to(outside)
    return folder


def a_link_as_generator(folder: Path) -> Path:
    row = folder.parents[1]
    outside = folder.parents[3].with_name("outside")
    shutil.move(row, outside)
    row.symlink_to(outside)
    return row


RECORD_FAULTS = [
    truncated, bit_flipped, from_the_future, with_unknown_fields, of_another_task, moved, infinite,
    a_pipe, a_link_as_record, a_link_as_attempt, a_link_as_generator,
]  # fmt: skip


@pytest.mark.parametrize("fault", RECORD_FAULTS, ids=lambda f: f.__name__)
def test_a_faulty_record_is_told_and_left_out(
    tmp_path: Path, fault: Callable[[Path], Path]
) -> None:
    root = tmp_path / "results"
    put(root, "sound", SOUND)
    at = fault(put(root, "faulty", FAULTY, 1))
    seen = look(root, tmp_path)
    assert seen.codes["verify"] == seen.codes["merge"] == 6
    assert seen.codes["report"] == seen.codes["status"] == 0
    assert f"left out: {at}" in seen.text
    assert set(seen.values) == {"sound"}
    assert not list((tmp_path / "merged").glob("*/faulty~*/*/*/record.json"))
    assert len(pd.read_csv(tmp_path / "table.csv")) == 1


@pytest.mark.parametrize("fault", RECORD_FAULTS, ids=lambda f: f.__name__)
def test_a_comparison_refuses_results_that_hold_a_faulty_record(
    tmp_path: Path, fault: Callable[[Path], Path]
) -> None:
    """Passing over it would make a row missing, or a regression unseen."""
    whole, harmed = tmp_path / "whole", tmp_path / "harmed"
    for root in (whole, harmed):
        put(root, "sound", SOUND)
        folder = put(root, "faulty", FAULTY, 1)
    at = fault(folder)
    for words in (
        ["compare", str(whole), str(harmed)],
        ["compare", str(harmed), str(whole)],
        ["gate", "--baseline", str(harmed), "--candidate", str(whole)],
        ["gate", "--baseline", str(whole), "--candidate", str(harmed)],
    ):
        done = CliRunner().invoke(cli, words, standalone_mode=False)
        assert isinstance(done.exception, StoreError), (words, done.exception)
        assert str(at) in str(done.exception)


def test_a_metric_of_another_version_is_compared_by_its_own_direction(tmp_path: Path) -> None:
    metrics = {"mystery": fixtures.metric("fid", 1.0, 0)}
    for name in ("a", "b"):
        put(tmp_path / name, "g", SOUND, metrics=metrics)
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b")]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    assert done.exception is None, done.exception
    assert "mystery" in done.output


@pytest.mark.parametrize("body", ["{", "[]", "null", '{"suite": {}}', '{"task": 1}', "\x00\xff"])
def test_a_broken_suite_file_costs_its_own_task_only(tmp_path: Path, body: str) -> None:
    root = tmp_path / "results"
    put(root, "sound", SOUND)
    shutil.copytree(root / TASK, root / "other@1-abc-smoke")
    (root / "other@1-abc-smoke" / SUITE).write_text(body)
    seen = look(root, tmp_path)
    assert seen.codes["verify"] == 6
    assert f"left out: {root / 'other@1-abc-smoke' / SUITE}" in seen.text
    assert set(seen.values) == {"sound"}


def test_foreign_files_are_passed_over(tmp_path: Path) -> None:
    root = tmp_path / "results"
    folder = put(root, "sound", SOUND)
    for place in (root, root / TASK, *list(folder.parents)[:2], folder):
        (place / "notes.txt").write_text("mine")
        (place / "seed-1").write_text("a file that is called like a folder")
        (place / ".DS_Store").write_bytes(b"\x00")
    (root / TASK / "seed-9" / "x").mkdir(parents=True)
    seen = look(root, tmp_path)
    assert all(code == 0 for code in seen.codes.values()), seen.text
    assert set(seen.values) == {"sound"}


def test_gc_never_deletes_through_a_link(tmp_path: Path) -> None:
    root = tmp_path / "results"
    put(root, "mine", SOUND, 0)
    put(root, "mine", SOUND, 1, attempt={"n": 2})
    outside = a_link_as_generator(put(root, "mine", SOUND, 2, attempt={"n": 3})).resolve()
    before = sorted(p for p in outside.rglob("*"))
    assert archive.garbage(root) == []
    CliRunner().invoke(cli, ["results", "gc", str(root), "--delete"])
    assert sorted(p for p in outside.rglob("*")) == before


LONG = "x" * 10_000


def test_a_name_of_10000_characters_in_a_record_is_shown_short(tmp_path: Path) -> None:
    root = tmp_path / "results"
    put(root, "sound", SOUND)
    cell = fixtures.cell_of(LONG, LONG, 0, provider=LONG, params={LONG: LONG})
    put(root, "long", 7.0, 1, cell=cell)
    seen = look(root, tmp_path)
    assert all(code == 0 for code in seen.codes.values()), seen.text
    assert len(seen.values) == 2
    assert max(len(p.name) for p in (tmp_path / "site").rglob("*")) < 200


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--suite", LONG),
        ("run", "--suite", f"{LONG}.toml"),
        ("run", "--suite", "digits", "-g", LONG),
        ("run", "--suite", "digits", "--plugin", f"{LONG}.py"),
        ("score", f"{LONG}.npz", "--suite", "digits"),
        ("report", LONG),
        ("results", "verify", LONG),
        ("results", "export", ".", "-o", f"{LONG}.csv"),
        ("show", LONG),
        ("suite", "check", f"{LONG}.toml"),
        ("doctor", "--results", LONG),
        ("status", LONG),
    ],
    ids=lambda w: w[0],
)
def test_a_name_of_10000_characters_on_the_command_line_is_a_typed_error(
    tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    import click

    monkeypatch.chdir(tmp_path)
    for part in ("_generators", "_extractors", "_data"):
        monkeypatch.setattr(f"genbench.testing.doctor.{part}", lambda *given: [])
    device = Check("device", True, "not asked")
    monkeypatch.setattr("genbench.testing.doctor._device", lambda *given: device)
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    typed = (GenbenchError, click.ClickException)
    assert isinstance(done.exception, typed) or done.return_value == 6, done.exception
    assert not list(tmp_path.iterdir())


def test_names_that_differ_by_case_or_unicode_form_stay_apart(tmp_path: Path) -> None:
    """Two record ids that a case-blind file system takes for one keep a page each."""
    entries = []
    names = ("Straße", "STRASSE", "caf\u00e9", "cafe\u0301", "K", "\u212a", "ﬁd", "fid")
    for index, name in enumerate(names):
        made = fixtures.record(
            ("01AAA", "01aaa")[index % 2],
            fixtures.cell_of(name, "gan", index),
            metrics={"fid": fixtures.metric("fid", index + 1.0, 0)},
        )
        entries.append(fixtures.Entry(made))
    from genbench.report.writing import TaskResults, build_report

    build_report([TaskResults(fixtures.suite(), entries)], tmp_path)
    pages = [p.name for p in (tmp_path / "cells").glob("*.json")]
    assert len(pages) == len(names)
    assert len({p.casefold() for p in pages}) == len(names)
    found = _values(tmp_path)
    told = {json.loads(p.read_text())["cell"]["generator"]["name"] for p in
            (tmp_path / "cells").glob("*.json")}  # fmt: skip
    assert told == set(names)
    assert len(found) == len(names)


def test_a_clock_that_jumps_back_changes_no_result(tmp_path: Path) -> None:
    """The later attempt has the lower ULID and a future folder time: it still counts."""
    root = tmp_path / "results"
    put(root, "g", FAULTY, 9, attempt={"n": 1})
    late = put(root, "g", SOUND, 0, attempt={"n": 2})
    tomorrow = time.time() + 86_400
    os.utime(late, (tomorrow, tomorrow))
    dead = late.with_name(ULID.format(5))
    write_json(dead / "progress.json", {"phase": "fit", "done": 1, "total": 2, "time": tomorrow})
    os.utime(dead, (tomorrow, tomorrow))
    seen = look(root, tmp_path)
    value = fixtures.metric("fid", SOUND, 0).value
    assert seen.values == {"g": pytest.approx(value)}
    assert dead not in {w.path for w in archive.garbage(root)}, "it may belong to a worker"
    assert seen.codes["gc"] == seen.codes["status"] == 0


@contextlib.contextmanager
def as_nobody() -> Iterator[Path]:
    """A folder of a user without rights; as root, become that user for as long."""
    root = os.geteuid() == 0
    place = Path(tempfile.mkdtemp())
    if root:
        os.chown(place, 65534, 65534)
        os.seteuid(65534)
    try:
        yield place
    finally:
        if root:
            os.seteuid(0)
        for path in [place, *place.rglob("*")]:
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(place)


def test_a_read_only_results_folder_is_named_before_any_cell_runs() -> None:
    with as_nobody() as place:
        place.chmod(0o500)
        with pytest.raises(StoreError, match="cannot write to the results folder"):
            Store(place / "results").prepare()
        with pytest.raises(StoreError, match="cannot write"):
            put(place, "g", SOUND)


@pytest.mark.parametrize("what", ["task", "generator", "attempt", "record"])
def test_what_cannot_be_read_is_told_and_the_rest_is_used(tmp_path: Path, what: str) -> None:
    with as_nobody() as place:
        root, out = place / "results", place / "out"
        put(root, "sound", SOUND)
        folder = put(root, "faulty", FAULTY, 1)
        locked = {"task": folder.parents[2], "generator": folder.parents[1], "attempt": folder,
                  "record": folder / RECORD}[what]  # fmt: skip
        locked.chmod(0)
        out.mkdir()
        if what == "task":
            assert [p.path for p in archive.verify(root).problems] == [locked / SUITE]
        else:
            seen = look(root, out)
            assert seen.codes["verify"] == 6
            assert set(seen.values) == {"sound"}
            assert str(locked) in seen.text


def test_a_full_disk_ends_in_one_sentence_and_leaves_what_was_there(tmp_path: Path) -> None:
    """Writes fail for real: no file may grow beyond four blocks in this process."""
    root = tmp_path / "results"
    kept = put(root, "kept", SOUND)
    before = (kept / RECORD).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot write .*record\.json"):
            put(root, "kept", FAULTY)
        with pytest.raises(StoreError, match=r"cannot write"):
            archive.export([root], tmp_path / "t.csv")
        with pytest.raises(StoreError, match=r"cannot write"):
            archive.export([root], tmp_path / "t.sqlite")
        with pytest.raises(StoreError, match=r"cannot write"):
            merging.merge([root], tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (kept / RECORD).read_bytes() == before
    assert [p.name for p in kept.iterdir()] == [RECORD], "no half file is left"
    assert archive.verify(root).records == 1


def test_a_folder_that_vanishes_while_it_is_read_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "results"
    for index in range(4):
        put(root, f"g{index}", SOUND, index)
    seen = 0
    for found in Store(root).attempts(root / TASK):
        seen += isinstance(found, Stored)
        shutil.rmtree(root, ignore_errors=True)
    assert seen == 1
    assert Store(root).task_folders() == []
    assert newest([]) is None


WRITERS, CELLS = 8, 200


def _write_cells(root: Path, writer: int) -> None:
    for index in range(CELLS):
        seed = writer * CELLS + index
        folder = root / TASK / f"g{index % 50}~00000000" / f"seed-{seed}" / f"01{seed:024d}"
        cell = fixtures.cell_of(f"g{index % 50}", "gan", seed)
        value = fixtures.metric("fid", 1.0 + seed, 0)
        write_record(folder, fixtures.record(folder.name, cell, metrics={"fid": value}))
        if index % 50 == 0:  # a run renews this while others write
            Store(root).write_suite(TASK, fixtures.suite())


def test_eight_writers_of_200_cells_leave_1600_valid_records(tmp_path: Path) -> None:
    Store(tmp_path).write_suite(TASK, fixtures.suite())
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_cells, args=(tmp_path, w)) for w in range(WRITERS)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):  # a reader sees whole records or none
        found = list(Store(tmp_path).attempts(tmp_path / TASK))
        assert not [item for item in found if isinstance(item, Problem)]
    assert [writer.exitcode for writer in writers] == [0] * WRITERS
    records = [s.record for s in Store(tmp_path).records(tmp_path / TASK)]
    assert len(records) == WRITERS * CELLS
    assert {r.seed for r in records} == set(range(WRITERS * CELLS))
    assert all(isinstance(r, Record) for r in records)
    assert archive.verify(tmp_path) == archive.Verified(WRITERS * CELLS, 0, (), 0)
    left = [p for p in tmp_path.rglob("*") if p.is_file() and p.name.startswith(".")]
    assert left == [], "no temporary file is left"
