"""The look inside of a page: probes as a table, pictures, and nothing strange from details."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genbench.metrics.values import MetricValue
from genbench.report.inside import Inside, inside
from genbench.report.tabulation import table
from genbench.report.writing import Entry, TaskResults, build_report
from tests import report_fixtures as fixtures

FULL = {
    "latent_size": 16, "labels": 10_000, "pixels": 0.9,
    "few_labels": [{"labels": 100, "accuracy": 0.7, "low": 0.6, "high": 0.8, "pixels": 0.65}],
}  # fmt: skip


def entry(name: str, details: Any, seed: int = 0, **fields: Any) -> Entry:
    probe = MetricValue("ok", 0.94, higher_is_better=True, details=details)
    metrics = {"fid": fixtures.metric("fid", 5.0, seed), "probe_accuracy": probe}
    cell = fixtures.cell_of(name, "vae", seed)
    return Entry(fixtures.record(f"01{name}{seed}", cell, metrics=metrics, **fields))


def shown(*entries: Entry) -> Inside:
    board = table(TaskResults(fixtures.suite(), list(entries)))
    return inside(board, lambda picture: f"images/{picture.name}")


def test_probes_stand_by_labels_above_that_of_raw_pixels() -> None:
    found = shown(entry("vae", FULL))
    assert found.headers == ("100 labels", "10,000 labels")
    assert [(line.label, line.length, line.cells) for line in found.lines] == [
        ("vae", "16", ("70.0 %", "94.0 %")),
        ("raw pixels, the same probe", "", ("65.0 %", "90.0 %")),
    ]


def test_details_of_another_form_are_passed_over() -> None:
    odd = {
        "latent_size": "16<script>", "labels": True, "pixels": "a lot",
        "few_labels": [3, {"labels": "100", "accuracy": 0.5}, {"labels": 50, "accuracy": None}],
    }  # fmt: skip
    found = shown(entry("odd", odd), entry("text", {"few_labels": "none", "labels": 200}))
    assert found.headers == ("200 labels",)
    assert [(line.label, line.length, line.cells) for line in found.lines] == [
        ("odd", "", ("—",)),
        ("text", "", ("94.0 %",)),
        ("raw pixels, the same probe", "", ("—",)),
    ]


def test_a_page_without_codes_says_nothing_of_them(tmp_path: Path) -> None:
    page = build_report([fixtures.task(tmp_path / "results")], tmp_path / "site").read_text()
    assert "A look inside" not in page


def test_pictures_made_of_codes_are_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    tiles = np.zeros((2, 3, 8, 8), np.uint8)
    artifacts = (fixtures._png(tmp_path / "results", "traversals", tiles),)
    made = entry("vae", FULL, artifacts=artifacts)
    made = Entry(made.record, tmp_path / "results")
    page = build_report([TaskResults(fixtures.suite(), [made])], tmp_path / "site").read_text()
    assert "A look inside" in page
    assert "The numbers of a code that change most, from low to high" in page
    assert "70.0 %" in page
