"""Several results folders, or revisions of one, make one page with every metric over time."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from genbench.cli import cli
from genbench.errors import UsageError
from genbench.report.history import history
from genbench.report.tabulation import table
from genbench.report.writing import build_report
from genbench.results.publish import gather
from genbench.results.revisions import extract
from genbench.results.store import RECORD
from tests import report_fixtures as fixtures
from tests.test_store_faults import TASK, put

DAY = "2026-01-0{}T00:00:00+00:00"


def made(
    root: Path, values: dict[str, float], day: int, version: str = "1", **params: float
) -> None:
    """A results folder with one seed of each generator, finished on a day."""
    for index, (name, value) in enumerate(values.items()):
        cell = fixtures.cell_of(name, "gan", 0, params=params)
        cell["generator"]["version"] = version
        put(root, name, value, 2 * day + index, cell=cell, times={"finished": DAY.format(day)})


def values_over_time(site: Path) -> list[tuple[str, str, float]]:
    """The data of the figure: when, generator, FID."""
    from tests.test_report import figures

    body = figures(site / "index.html")["history"]["fid"]
    return [
        (when, trace["name"], y)
        for trace in body["data"]  # type: ignore[index]
        for when, y in zip(trace["x"], trace["y"], strict=True)  # type: ignore[index]
    ]


def test_folders_of_one_task_make_one_page_ordered_by_time(tmp_path: Path) -> None:
    made(tmp_path / "late", {"a": 3.0, "b": 9.0}, 2, version="2")
    made(tmp_path / "early", {"a": 5.0}, 1)
    tasks, problems = gather([tmp_path / "late", tmp_path / "early"])
    assert (len(tasks), problems) == (1, [])
    build_report(tasks, tmp_path / "site")
    found = values_over_time(tmp_path / "site")
    assert [(when[:1], who) for when, who, _ in found] == [("1", "a"), ("2", "a"), ("2", "b")]
    early, late = (fixtures.metric("fid", v, 0).value for v in (5.0, 3.0))
    assert [value for *_, value in found[:2]] == pytest.approx([early, late])
    page = (tmp_path / "site" / "index.html").read_text()
    assert "Over time" in page
    assert "2026-01-02" in page, "the table says when, without JavaScript"


def test_a_row_is_followed_through_a_changed_default(tmp_path: Path) -> None:
    made(tmp_path / "early", {"a": 5.0}, 1, width=32)
    made(tmp_path / "late", {"a": 3.0}, 2, width=64)
    tasks, _ = gather([tmp_path / "late", tmp_path / "early"])
    build_report(tasks, tmp_path / "site")
    found = values_over_time(tmp_path / "site")
    assert [(when[:1], who) for when, who, _ in found] == [("1", "a"), ("2", "a")]


def test_numbers_of_another_signature_are_not_joined(tmp_path: Path) -> None:
    made(tmp_path / "one", {"a": 5.0}, 1)
    made(tmp_path / "two", {"a": 4.0}, 2)
    (path,) = (tmp_path / "two").glob(f"*/*/*/*/{RECORD}")
    from tests.test_store_faults import rewrite

    rewrite(path, lambda body: body["metrics"]["fid"].update(signature="fid/2;other"))
    tasks, _ = gather([tmp_path / "one", tmp_path / "two"])
    board = table(tasks[0])
    figure = history(board, tasks[0].history, {row.id: "#000" for row in board.rows})
    assert figure is not None
    traces = json.loads(figure.specs["fid"])["data"]
    assert [len(trace["x"]) for trace in traces] == [1, 1]


def test_one_folder_has_no_history_and_a_copy_adds_no_row(tmp_path: Path) -> None:
    made(tmp_path / "one", {"a": 5.0}, 1)
    (tasks, _) = gather([tmp_path / "one"])
    assert tasks[0].history == ()
    subprocess.run(["cp", "-r", tmp_path / "one", tmp_path / "copy"], check=True)
    tasks, _ = gather([tmp_path / "one", tmp_path / "copy"])
    assert len(tasks[0].entries) == 1
    assert len(tasks[0].history) == 2


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_a_revision_of_the_folder_stands_in_the_history_and_not_in_the_table(
    tmp_path: Path,
) -> None:
    results = tmp_path / "results"
    git(tmp_path, "init")
    made(results, {"a": 5.0}, 1)
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-m", "first")
    git(tmp_path, "tag", "v1")
    subprocess.run(["rm", "-r", results / TASK / "a~00000000"], check=True)
    made(results, {"a": 3.0}, 2)
    words = ["report", str(results), "--at", "v1", "-o", str(tmp_path / "site"), "--no-published"]
    done = CliRunner().invoke(cli, words, standalone_mode=False)
    assert done.exception is None, done.output
    found = values_over_time(tmp_path / "site")
    assert [when[:5] for when, *_ in found[:1]] == ["1: v1"]
    assert len(found) == 2
    assert len(list((tmp_path / "site" / "cells").glob("*.json"))) == 1


def test_an_unknown_revision_or_no_repository_is_named(tmp_path: Path) -> None:
    made(tmp_path / "results", {"a": 5.0}, 1)
    with pytest.raises(UsageError, match=r"git cannot read .*results"):
        extract(tmp_path / "results", "v1", tmp_path / "into")
    git(tmp_path, "init")
    for revision in ("v1", "--all", "x" * 300):
        with pytest.raises(UsageError, match=r"git cannot read"):
            extract(tmp_path / "results", revision, tmp_path / "into")
