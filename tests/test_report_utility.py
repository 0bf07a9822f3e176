"""The downstream panels: what is drawn, what is said, and that odd records break no page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from genbench.report.details import curve, price
from genbench.report.figures import colours
from genbench.report.tabulation import table
from genbench.report.utility import augmentation, rare_classes, replacement, robustness, sentence
from tests import report_fixtures as fixtures
from tests.report_downstream import CURVE, DETAILS, PRICE, RARE, ROBUST, measured

FIGURES = {"augmentation_gain": augmentation, "imbalance_recall": rare_classes,
           "robust_accuracy": robustness}  # fmt: skip
POINTS = [p for p in CURVE["points"] if p["arm"] == "real+synthetic"]
GAIN = {"mean": 0.0, "low": -0.1, "high": 0.1}


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


def test_what_generated_rows_cost_is_shown_for_every_seed_beside_real_rows(tmp_path: Path) -> None:
    board = table(measured(tmp_path, DETAILS, (0, 1, 2)))
    figure = replacement(board, colours(board))
    assert figure is not None
    traces = {t["name"]: t for t in go.Figure(json.loads(figure.specs["all"])).to_dict()["data"]}
    assert {"gan", "vae", "flow", "dna", "heldout (control)"} <= set(traces)
    assert "noise (control)" not in traces
    assert traces["vae"]["x"] == pytest.approx([1.2] * 3)
    assert traces["vae"]["error_x"]["array"] == pytest.approx([0.4] * 3)
    told = (
        "vae: seed 0 +1.2 [+0.8, +1.6]; seed 1 +1.2 [+0.8, +1.6]; seed 2 +1.2 [+0.8, +1.6] points."
    )
    assert told in figure.notes
    assert all(len(row) == len(figure.headers) for row in figure.cells)


def test_records_without_several_trainings_have_no_such_figure(tmp_path: Path) -> None:
    board = table(fixtures.task(tmp_path))
    assert replacement(board, colours(board)) is None


@pytest.mark.parametrize("odd", [{"gap": 1e308}, {"gap_low": 0.5}, {"gap_high": "x"}])
def test_a_price_that_cannot_be_is_passed_over(odd: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"interval|finite"):
        price({**PRICE, **odd})


def test_the_sentence_says_where_it_helps_and_where_it_hurts() -> None:
    assert sentence("vae", curve(CURVE)) == (
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
        ("augmentation_gain", {"points": [{**p, "verdict": "<a href=x>"} for p in POINTS]}),
        ("augmentation_gain", {"points": [{**p, "arm": "<b>" + "x" * 10_000} for p in POINTS]}),
        ("augmentation_gain", {"points": [{**p, "n": "<a href=x>"} for p in POINTS]}),
        ("augmentation_gain", {"points": [{**p, "ratio": 10**400} for p in POINTS]}),
        ("augmentation_gain", {"points": [{**p, "accuracy": 10**400} for p in POINTS]}),
        ("imbalance_recall", {**RARE, "keep": None}),
        ("imbalance_recall", {**RARE, "classes": ["<a href=x>"]}),
        ("imbalance_recall", {**RARE, "gains": {"as it is": {**GAIN, "verdict": "<b>"}}}),
        ("imbalance_recall", {**RARE, "gains": {"<b>": {**GAIN, "verdict": "helps"}}}),
        ("imbalance_recall", {**RARE, "arms": {"as it is": {"recall": [], "balanced": []}}}),
        ("robust_accuracy", {**ROBUST, "arms": {"real": {"pgd": ["high"]}}}),
        ("robust_accuracy", {**ROBUST, "gain": {**GAIN, "verdict": ["helps"]}}),
        ("robust_accuracy", {**ROBUST, "epsilon": "<b>"}),
    ],
)
def test_details_that_are_not_ours_are_passed_over(
    metric: str, details: dict[str, Any], tmp_path: Path
) -> None:
    board = table(measured(tmp_path, {metric: details}))
    assert FIGURES[metric](board, colours(board)) is None


@pytest.mark.parametrize("metric", list(FIGURES))
def test_a_generator_that_was_left_out_is_named_with_the_reason(
    metric: str, tmp_path: Path
) -> None:
    why = "flow saw other data: CIFAR-10."
    board = table(measured(tmp_path, DETAILS, left_out={"flow": why}))
    figure = FIGURES[metric](board, colours(board))
    assert figure is not None
    names = [row.label for row in board.generators]
    assert [note.split(":")[0] for note in figure.notes] == names
    assert f"flow: left out: {why}" in figure.notes
    assert all(row[0] != "flow" for row in figure.cells)


def test_without_downstream_numbers_there_are_no_panels(tmp_path: Path) -> None:
    board = table(fixtures.task(tmp_path, (0,)))
    assert [make(board, colours(board)) for make in FIGURES.values()] == [None] * 3


def test_what_other_classifiers_say_of_the_price_stands_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"judge": "text-conv", "gap": 0.02, "gap_low": 0.01, "gap_high": 0.03}
    monkeypatch.setitem(PRICE, "other_judges", [other])
    board = table(measured(tmp_path, DETAILS))
    figure = replacement(board, colours(board))
    assert figure is not None
    told = (
        "vae: seed 0 +1.2 [+0.8, +1.6] points. Also: seed 0 by text-conv +2.0 [+1.0, +3.0] points."
    )
    assert told in figure.notes
