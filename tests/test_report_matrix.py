"""The index of several suites: generators by suites, with ranks, values, samples and links."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from genbench.report.images import thumbnail
from genbench.report.matrix import matrix
from genbench.report.page import page
from genbench.report.writing import TaskResults, build_report
from tests import report_fixtures as fixtures
from tests.test_report import read_page


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[TaskResults]:
    folder = tmp_path_factory.mktemp("matrix")
    return [fixtures.task(folder / "a"), fixtures.points_task(folder / "b")]


def test_every_generator_of_every_suite_has_its_place(tasks: list[TaskResults]) -> None:
    pages = [page(task, str(i), lambda picture: picture.name) for i, task in enumerate(tasks)]
    found = matrix(pages, lambda picture: picture.name)
    assert [line.label for line in found.generators] == ["dna", "flow", "gan", "vae"]
    assert "heldout" in [line.label for line in found.controls]
    lines = {line.label: line.spots for line in found.generators}
    assert lines["vae"][1] == (), "it was not run on the points"
    for label in ("flow", "gan"):
        for shown, spots in zip(pages, lines[label], strict=True):
            (spot,) = spots
            assert spot.row in shown.table.generators
            assert spot.value == spot.row.values[shown.table.columns[0].id]
            assert spot.samples is not None
            assert max(spot.samples.width, spot.samples.height) <= 132


def test_the_index_leads_to_boards_and_rows_and_needs_no_script(
    tasks: list[TaskResults], tmp_path: Path
) -> None:
    index = build_report(tasks, tmp_path / "one")
    found = read_page(index)
    links = {attrs.get("href", "") for tag, attrs in found.tags if tag == "a"}
    assert {"mnist-1_0_0-standard.html", "rows/mnist-1_0_0-standard-gan.html"} <= links
    pictures = [attrs["src"] for tag, attrs in found.tags if tag == "img"]
    assert len(pictures) >= 6
    assert all((tmp_path / "one" / source).is_file() for source in pictures)
    assert "not run" in found.text
    assert "rank 1 of" in " ".join(found.text.split())
    again = build_report(tasks, tmp_path / "two")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (index, again)]
    assert digests[0] == digests[1]


def test_one_suite_has_its_board_and_no_matrix(tasks: list[TaskResults], tmp_path: Path) -> None:
    index = build_report(tasks[:1], tmp_path)
    tables = [attrs.get("class") for tag, attrs in read_page(index).tags if tag == "table"]
    assert "matrix" not in tables


def test_a_thumbnail_holds_whole_samples(tasks: list[TaskResults]) -> None:
    """Four along a side, cut between samples as the worker lays them out."""
    import io

    entry = next(e for e in tasks[0].entries if any(a.role == "grid" for a in e.record.artifacts))
    found = thumbnail(entry, 28)
    assert found.width == found.height == 4 * 29 - 1
    assert Image.open(io.BytesIO(found.data)).mode in ("L", "RGB")
