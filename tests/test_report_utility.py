"""The downstream panels: what is drawn, what is said, and that odd records break no page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from genbench.records import MetricValue
from genbench.report import Entry, TaskResults
from genbench.report.figures import colours
from genbench.report.rows import table
from genbench.report.utility import augmentation, rare_classes, robustness, sentence
from tests import report_fixtures as fixtures


def gain(mean: float, half: float) -> dict[str, float]:
    return {"mean": mean, "std_error": half / 4.3, "low": mean - half, "high": mean + half,
            "p_value": 0.01}  # fmt: skip


def point(n: int, arm: str, ratio: int, mean: float, verdict: str, **more: Any) -> dict[str, Any]:
    return {"n": n, "arm": arm, "ratio": ratio, "accuracy": 0.8 + mean, "gain": gain(mean, 0.01),
            "accuracies": [0.8 + mean] * 3, "verdict": verdict, **more}  # fmt: skip


CURVE = {
    "points": [
        {"n": 100, "arm": "real", "ratio": 0, "accuracy": 0.8, "accuracies": [0.8] * 3},
        point(100, "real+synthetic", 1, 0.02, "helps", over_classical=gain(-0.01, 0.02)),
        point(100, "real+synthetic", 4, 0.05, "helps", over_classical=gain(0.02, 0.01)),
        point(100, "real+classical", 0, 0.03, "helps"),
        point(100, "synthetic", 4, -0.2, "hurts"),
        {"n": 1000, "arm": "real", "ratio": 0, "accuracy": 0.95, "accuracies": [0.95] * 3},
        point(1000, "real+synthetic", 1, 0.001, "no evidence", over_classical=gain(0, 0.01)),
        point(1000, "real+synthetic", 4, -0.03, "hurts", over_classical=gain(-0.04, 0.01)),
        point(1000, "real+classical", 0, 0.005, "no evidence"),
    ],
    "rejected": 0.125,
}
ARM = {"recall": [0.5, 0.6, 0.55], "balanced": [0.9, 0.9, 0.91]}
RARE = {
    "classes": [8, 9], "keep": 0.03,
    "arms": {"as it is": ARM, "oversampled": ARM, "class weights": ARM, "filled": ARM},
    "gains": {"as it is": {**gain(0.1, 0.05), "verdict": "helps"}},
}  # fmt: skip
ATTACKED = {"clean": [0.9, 0.91], "fgsm": [0.6, 0.62], "pgd": [0.4, 0.45]}
ROBUST = {
    "epsilon": 0.1, "arms": {"real": ATTACKED, "real+synthetic": ATTACKED},
    "gain": {**gain(0.01, 0.05), "verdict": "no evidence"},
}  # fmt: skip
DETAILS = {"augmentation_gain": CURVE, "imbalance_recall": RARE, "robust_accuracy": ROBUST}
FIGURES = {"augmentation_gain": augmentation, "imbalance_recall": rare_classes,
           "robust_accuracy": robustness}  # fmt: skip


def measured(folder: Path, details: dict[str, Any]) -> TaskResults:
    """The fixture's results with downstream details in every ok record of a generator."""
    task = fixtures.task(folder, (0,))
    entries = []
    for entry in task.entries:
        record = entry.record
        if record.status == "ok" and record.cell["generator"]["family"] != "control":
            values = {k: MetricValue("ok", value=1.0, details=v) for k, v in details.items()}
            record = replace(record, metrics={**record.metrics, **values})
        entries.append(Entry(record, entry.folder))
    return TaskResults(task.suite, entries)


@pytest.mark.parametrize("metric", list(FIGURES))
def test_each_panel_is_valid_plotly_with_a_sentence_per_generator(
    metric: str, tmp_path: Path
) -> None:
    board = table(measured(tmp_path, DETAILS))
    figure = FIGURES[metric](board, colours(board))
    assert figure is not None
    for text in figure.specs.values():
        go.Figure(json.loads(text))
    names = [row.label for row in board.generators]
    assert [note.split(":")[0] for note in figure.notes] == names
    assert all(len(row) == len(figure.headers) for row in figure.cells)


def test_the_sentence_says_where_it_helps_and_where_it_hurts() -> None:
    assert sentence("vae", CURVE) == (
        "vae: helps at n = 100, 1 to 1 (+2.0 [+1.0, +3.0] points); "
        "n = 100, 4 to 1 (+5.0 [+4.0, +6.0] points), "
        "hurts at n = 1,000, 4 to 1 (-3.0 [-4.0, -2.0] points), "
        "no evidence that it helps or hurts at n = 1,000, 1 to 1 (+0.1 [-0.9, +1.1] points). "
        "Against classical augmentation its best point is +2.0 [+1.0, +3.0] points. "
        "Its labels come from the classifier of the real rows, which rejected 12 % of the rows."
    )


def test_the_curve_shows_gains_in_points_with_their_intervals(tmp_path: Path) -> None:
    board = table(measured(tmp_path, DETAILS))
    figure = augmentation(board, colours(board))
    traces = {t["name"]: t for t in json.loads(figure.specs[figure.first])["data"]}
    four = traces["real + synthetic x 4"]
    assert four["y"] == pytest.approx([5, -3])
    assert four["error_y"]["array"] == pytest.approx([1, 1])
    assert traces["synthetic alone x 4"]["visible"] == "legendonly"
    assert "real rows alone" not in traces


@pytest.mark.parametrize(
    ("metric", "details"),
    [
        ("augmentation_gain", {}),
        ("augmentation_gain", {"points": "many"}),
        ("augmentation_gain", {"points": [{"n": 1, "arm": "real+synthetic"}]}),
        ("imbalance_recall", {**RARE, "keep": None}),
        ("imbalance_recall", {**RARE, "arms": {"as it is": {"recall": [], "balanced": []}}}),
        ("robust_accuracy", {**ROBUST, "arms": {"real": {"pgd": ["high"]}}}),
    ],
)
def test_details_that_are_not_ours_are_passed_over(
    metric: str, details: dict[str, Any], tmp_path: Path
) -> None:
    board = table(measured(tmp_path, {metric: details}))
    assert FIGURES[metric](board, colours(board)) is None


def test_without_downstream_numbers_there_are_no_panels(tmp_path: Path) -> None:
    board = table(fixtures.task(tmp_path, (0,)))
    assert [make(board, colours(board)) for make in FIGURES.values()] == [None] * 3
