"""`genbench results merge`: copies, light ones, and ones that show no row of the data."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from genbench.cli import cli
from genbench.data.split import Split
from genbench.errors import UsageError
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.metrics.values import MetricValue
from genbench.results import archive, merging
from genbench.results.controls import CONTROLS
from genbench.results.records import Status
from genbench.results.store import RECORD, artifact, read_record, write_record
from genbench.running import recording
from genbench.running.pictures import write_pictures
from genbench.system.files import write_bytes
from tests.test_archive import NEW, OLD, fill

ROOT = Path(__file__).parent.parent


def test_merging_joins_and_never_overwrites(tmp_path: Path) -> None:
    fill(tmp_path / "a", seed=0)
    fill(tmp_path / "b", seed=1)
    both = [tmp_path / "a", tmp_path / "b"]
    assert merging.merge(both, tmp_path / "c") == merging.Merged(2, 0, ())
    record = next((tmp_path / "c").glob(f"*/*/*/*/{RECORD}"))
    before = record.stat().st_mtime_ns
    assert merging.merge(both, tmp_path / "c") == merging.Merged(0, 2, ())
    assert record.stat().st_mtime_ns == before
    assert archive.verify(tmp_path / "c") == archive.Verified(2, 4, (), 0)


def test_a_light_merge_takes_the_newest_attempt_without_samples(tmp_path: Path) -> None:
    fill(tmp_path / "a", ulid=OLD, n=1)
    fill(tmp_path / "a", ulid=NEW, n=2)
    assert merging.merge([tmp_path / "a"], tmp_path / "c", light=True).copied == 1
    (folder,) = (tmp_path / "c").glob("*/*/*/*")
    assert folder.name == NEW
    assert sorted(p.name for p in folder.iterdir()) == ["grid.png", RECORD]


@pytest.mark.parametrize("status", ["ok", "failed"])
def test_a_light_merge_keeps_the_log_of_what_failed(tmp_path: Path, status: Status) -> None:
    """Elsewhere it tells nothing but paths of the machine that warned."""
    folder = fill(tmp_path / "a")
    write_bytes(folder / "log.txt", b"/home/me/model.py:3: Warning")
    record = read_record(folder / RECORD)
    log = artifact(folder, "log", "log.txt")
    write_record(folder, dataclasses.replace(
        record, status=status, artifacts=(*record.artifacts, log)))  # fmt: skip
    merging.merge([tmp_path / "a"], tmp_path / "c", light=True)
    assert bool(list((tmp_path / "c").rglob("log.txt"))) == (status == "failed")


def test_a_light_merge_takes_what_is_complete_before_what_was_interrupted(tmp_path: Path) -> None:
    """As tables do: a rescoring that was stopped hides no numbers, in a copy neither."""
    fill(tmp_path / "a", ulid=OLD, n=1)
    stopped = fill(tmp_path / "a", ulid=NEW, n=2)
    record = dataclasses.replace(read_record(stopped / RECORD), status="interrupted")
    write_record(stopped, record)
    merging.merge([tmp_path / "a"], tmp_path / "c", light=True)
    (folder,) = (tmp_path / "c").glob("*/*/*/*")
    assert folder.name == OLD


def named(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_every_role_of_a_cell_is_left_out_but_what_a_generator_alone_made(tmp_path: Path) -> None:
    """A role of a new kind stays where it is until somebody says that no row stands in it."""
    rows = np.zeros((20, 1, 8, 8), np.uint8)
    words = Vocabulary("characters", ("a", "b"))
    roles = {role for role, _ in recording.ROLES} | set(recording.CODES)
    for space, x, spelled in (
        (Space("image", (1, 8, 8), levels=17), rows, None),
        (Space("points", (2,)), rows[:, 0, 0, :2].astype(np.float32), None),
        (Space("waveform", (8192,), rate=8000), np.zeros((20, 8192), np.float32), None),
        (Space("sequence", (4,), levels=len(words.tokens)), np.ones((20, 4), np.int64), words),
    ):
        split = Split(x, None)
        roles |= set(
            write_pictures(tmp_path, space, {"x": x}, split, split, spelled, lambda _: None)
        )
    assert {"real", "neighbours", "texts", "real-texts", "sounds", "checkpoint", "log"} <= roles
    assert set(merging.OWN) <= roles
    assert kept(tmp_path, *roles) == {f"{role}.bin" for role in merging.OWN}


def kept(tmp_path: Path, *roles: str, **changes: Any) -> set[str]:
    """What a copy without data has of a cell with such artefacts, beside its record."""
    folder = fill(tmp_path / "a")
    for role in roles:
        write_bytes(folder / f"{role}.bin", role.encode())
    record = read_record(folder / RECORD)
    generator = {**record.cell["generator"], **changes.pop("generator", {})}
    write_record(folder, dataclasses.replace(
        record, cell={**record.cell, "generator": generator},
        artifacts=tuple(artifact(folder, role, f"{role}.bin") for role in roles), **changes,
    ))  # fmt: skip
    told = CliRunner().invoke(
        cli, ["results", "merge", str(tmp_path / "a"), "--into", str(tmp_path / "c"), "--light",
              "--without-data", "tiny"], standalone_mode=False)  # fmt: skip
    assert told.return_value == 0, told.output
    assert archive.verify(tmp_path / "c").problems == ()
    return named(tmp_path / "c") - {RECORD, "suite.json"}


@pytest.mark.parametrize("changes", [
    {"generator": {"name": "heldout", "provider": "genbench 0.1.0"}},
    {"generator": {"family": "scored"}},
    {"raw_access": True},
    {"metrics": {"authenticity@other": MetricValue("ok", 0.01)}},
    {"copies": {"test": {"exact": {"marked": True, "rows": 40}}}},
], ids=["control", "scored", "raw access", "copier", "copier of the test split"])  # fmt: skip
def test_samples_that_are_or_may_be_rows_stay_where_they_are(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    assert kept(tmp_path, "grid", "real", **changes) == set()


def test_what_was_printed_is_no_copy_without_data(tmp_path: Path) -> None:
    folder = fill(tmp_path / "a")
    error = {"phase": "fit", "type": "ValueError", "message": "no", "log_tail": "a row of the data"}
    write_record(folder, dataclasses.replace(
        read_record(folder / RECORD), status="failed", error=error))  # fmt: skip
    found = merging.merge([tmp_path / "a"], tmp_path / "c", without_data=["tiny"])
    assert found.copied == 0
    assert "quotes what the generator printed" in found.problems[0].reason
    assert named(tmp_path / "c") == {"suite.json"}


@pytest.mark.parametrize("broken_off", [False, True])
def test_a_copy_of_before_that_shows_data_is_named(tmp_path: Path, broken_off: bool) -> None:
    fill(tmp_path / "a")
    merging.merge([tmp_path / "a"], tmp_path / "c")
    if broken_off:
        next((tmp_path / "c").rglob(RECORD)).unlink()
    found = merging.merge([tmp_path / "a"], tmp_path / "c", light=True, without_data=["tiny"])
    assert (found.copied, found.present) == (0, 0)
    assert found.problems[0].reason == "was copied before with its data: delete samples.npz"


def test_the_suite_is_known_by_its_name_and_not_by_the_folders(tmp_path: Path) -> None:
    fill(tmp_path / "a")
    (tmp_path / "a" / "tiny@1-abc-smoke").rename(tmp_path / "a" / "mine")
    merging.merge([tmp_path / "a"], tmp_path / "c", without_data=["tiny"])
    assert "samples.npz" not in named(tmp_path / "c")
    with pytest.raises(UsageError, match=r"no results of a suite 'tinny'.*known: tiny"):
        merging.merge([tmp_path / "a"], tmp_path / "d", without_data=["tinny"])


@pytest.mark.parametrize("suite", ["cifar10", "snips", "fsdd", "fsdd-speakers"])
def test_published_records_show_no_row_of_data_that_does_not_ship(suite: str) -> None:
    folders = list((ROOT / "reports").glob(f"{suite}@*"))
    assert folders or suite != "cifar10"
    for folder in folders:
        assert named(folder) <= {"grid.png", "traversals.png", RECORD, "suite.json"}
        for cell in folder.glob("*~*"):
            if cell.name.split("~")[0] in CONTROLS:
                assert named(cell) == {RECORD}


def test_published_records_hold_no_log() -> None:
    """Nor do they tell of the machine where they were made."""
    assert list((ROOT / "reports").rglob("log.txt")) == []


def test_a_changed_artefact_is_not_merged(tmp_path: Path) -> None:
    folder = fill(tmp_path / "a")
    (folder / "grid.png").write_bytes(b"another")
    merged = merging.merge([tmp_path / "a"], tmp_path / "c")
    assert merged.copied == 0
    assert "was changed" in merged.problems[0].reason
    assert not list((tmp_path / "c").glob(f"*/*/*/*/{RECORD}")), "a half copy is no attempt"
