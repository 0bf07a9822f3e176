"""The results directory: atomic, checked, and not fooled by what lies about in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genbench.errors import StoreError
from genbench.results.records import Artifact
from genbench.results.store import (
    Problem,
    Store,
    Stored,
    new_ulid,
    newest,
    read_record,
    write_record,
)
from genbench.system import tensorfile
from genbench.system.files import inside, read_json, sha256_file, write_bytes, write_json
from tests.test_records import make_record


def attempt_folder(root: Path, name: str = "01ARZ3NDEKTSV4RRFFQ69G5FAV") -> Path:
    return root / "task" / "g~00000000" / "seed-0" / name


def test_a_written_record_is_read_back(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    write_record(folder, make_record())
    found = list(Store(tmp_path).attempts(tmp_path / "task"))
    assert found == [Stored(make_record(), folder)]
    assert [p.name for p in folder.iterdir()] == ["record.json"], "no temporary file is left"


def test_an_attempt_without_a_record_is_ignored(tmp_path: Path) -> None:
    write_bytes(attempt_folder(tmp_path) / "samples.npz", b"half a run")
    assert list(Store(tmp_path).attempts(tmp_path / "task")) == []


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "nan", "directory"])
def test_a_damaged_record_is_reported_not_used(tmp_path: Path, damage: str) -> None:
    path = write_record(attempt_folder(tmp_path), make_record())
    data = path.read_bytes()
    match damage:
        case "truncate":
            path.write_bytes(data[: len(data) // 2])
        case "flip":
            path.write_bytes(data.replace(b"1.5", b"1.4", 1))
        case "empty":
            path.write_bytes(b"")
        case "nan":
            path.write_bytes(data.replace(b"1.5", b"NaN", 1))
        case "directory":
            path.unlink()
            path.mkdir()
    found = list(Store(tmp_path).attempts(tmp_path / "task"))
    assert [item.path for item in found if isinstance(item, Problem)] == [path]
    assert len(found) == 1


def test_a_linked_record_is_refused(tmp_path: Path) -> None:
    outside = write_record(tmp_path / "elsewhere", make_record())
    folder = attempt_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "record.json").symlink_to(outside)
    with pytest.raises(StoreError, match="is a link"):
        read_record(folder / "record.json")


def test_linked_folders_are_told_and_not_followed(tmp_path: Path) -> None:
    write_record(attempt_folder(tmp_path / "other"), make_record())
    (tmp_path / "task").mkdir()
    link = tmp_path / "task" / "g~1"
    link.symlink_to(tmp_path / "other" / "task" / "g~00000000")
    assert list(Store(tmp_path).attempts(tmp_path / "task")) == [
        Problem(link, "is a link: results hold plain files only")
    ]


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a/../../secret", ".", "", "link"])
def test_artefact_paths_cannot_leave_their_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("no")
    folder = tmp_path / "attempt"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    assert inside(folder, path) is None


def test_an_artefact_counts_only_while_its_digest_holds(tmp_path: Path) -> None:
    folder = attempt_folder(tmp_path)
    write_bytes(folder / "grid.png", b"pixels")
    artifact = Artifact("grid", "grid.png", sha256_file(folder / "grid.png"), 6)
    stored = Stored(make_record(artifacts=(artifact,)), folder)
    assert stored.artifact("grid") == folder / "grid.png"
    (folder / "grid.png").write_bytes(b"pixelz")
    assert stored.artifact("grid") is None


def test_the_greatest_attempt_counts_even_if_the_clock_went_back(tmp_path: Path) -> None:
    later = Stored(make_record(record_id=new_ulid(1.0), attempt={"n": 2}), tmp_path)
    earlier = Stored(make_record(record_id=new_ulid(2.0), attempt={"n": 1}), tmp_path)
    assert newest([earlier, later]) == later
    assert newest([]) is None


def test_ulids_sort_by_time_and_are_unique() -> None:
    made = [new_ulid(float(t)) for t in range(50)]
    assert made == sorted(made)
    assert {len(ulid) for ulid in made} == {26}
    assert len({new_ulid(1.0) for _ in range(1000)}) == 1000


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot write to the results folder"):
        Store(tmp_path / "results").prepare()


def test_a_results_path_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="choose another with --results"):
        Store(tmp_path / "results").prepare()


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "a.json", {"old": 1})

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_json(tmp_path / "a.json", {"new": 2})
    assert (tmp_path / "a.json").read_text() == '{\n "old": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_nesting_that_no_reader_could_follow_is_refused(tmp_path: Path) -> None:
    for depth, fine in ((60, True), (70, False), (900, False), (100_000, False)):
        for left, right in (("[", "]"), ('{"a":', "}")):
            (tmp_path / "a.json").write_text(left * depth + "1" + right * depth)
            if fine:
                read_json(tmp_path / "a.json")
            else:
                with pytest.raises(StoreError, match=r"a\.json is not valid JSON"):
                    read_json(tmp_path / "a.json")


def test_brackets_in_a_text_are_no_nesting(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"log": "[{" * 5_000})
    assert read_json(tmp_path / "a.json") == {"log": "[{" * 5_000}


def test_a_file_of_a_million_parts_is_refused_unparsed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" + "{}," * 1_000_000 + "1]")
    with pytest.raises(StoreError, match="more than 100,000 lists and objects"):
        read_json(tmp_path / "a.json")


def test_a_path_that_is_not_utf8_survives_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9-\xff")
    write_json(tmp_path / "a.json", {name: name, "é": "模型"})
    assert read_json(tmp_path / "a.json") == {name: name, "é": "模型"}
    (tmp_path / "a.json").read_bytes().decode("utf-8")


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "full")])
def test_no_error_leaves_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException | type[BaseException]
) -> None:
    def broken(*args: object) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises((KeyboardInterrupt, MemoryError, StoreError)):
        write_json(tmp_path / "a.json", {})
    with pytest.raises((KeyboardInterrupt, MemoryError, StoreError)):
        tensorfile.save(tmp_path / "a.safetensors", {})
    assert list(tmp_path.iterdir()) == []
