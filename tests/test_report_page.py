"""What a page says in words: why rows have no rank, who copies, how to compute a cell again."""

from __future__ import annotations

import csv
import io
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genbench.report.copying import COPIES, NEAR, SOME_COPIES, reference_mark, training_mark
from genbench.report.figures import per_class
from genbench.report.page import compare_data, page
from genbench.report.reproduce import command
from genbench.report.tabulation import table
from genbench.report.text import coded, plot_labels
from genbench.report.writing import Entry, TaskResults, build_report
from genbench.results.aggregation import environment_mark
from genbench.results.comparison import same_environment
from genbench.results.records import Record
from tests import report_fixtures as fixtures
from tests.report_downstream import copying
from tests.test_report import read_page


def made(name: str, seed: int = 0, family: str = "gan", **fields: Any) -> Entry:
    cell = fixtures.cell_of(name, family, seed)
    metrics = {"fid": fixtures.metric("fid", 5.0, seed)}
    return Entry(fixtures.record(f"01{name}{seed}", cell, **{"metrics": metrics, **fields}))


def placed(picture: Any) -> str:
    return f"images/{picture.name}"


# --- names ----------------------------------------------------------------------------------


def test_names_hold_only_what_tells_rows_apart() -> None:
    cells = [
        fixtures.cell_of("gan", "gan", 0, params={"batch_size": 48, "lr": 1e-3}),
        fixtures.cell_of("gan", "gan", 0, params={"batch_size": 32, "lr": 1e-3, "energy": 1.0}),
        fixtures.cell_of("vae", "vae", 0, params={"lr": 1e-3}),
        fixtures.cell_of("vae", "vae", 0, params={"lr": 2e-3}, passed={"lr": 2e-3}),
        fixtures.cell_of("flow", "flow", 0, provider="a 1"),
        fixtures.cell_of("flow", "flow", 0, provider="b 1"),
    ]
    entries = [
        Entry(fixtures.record(f"01{i}", cell, metrics={"fid": fixtures.metric("fid", 5.0 + i, 0)}))
        for i, cell in enumerate(cells)
    ]
    found = {row.label for row in table(TaskResults(fixtures.suite(), entries)).rows}
    assert found == {
        "gan (batch_size=48)", "gan (batch_size=32, energy=1.0)", "vae", "vae (lr=0.002)",
        "flow a 1", "flow b 1",
    }  # fmt: skip


# --- rows without a rank --------------------------------------------------------------------


def test_reasons_for_no_rank_stand_in_the_text(tmp_path: Path) -> None:
    other = {"fid": replace(fixtures.metric("fid", 6.0, 0), signature="fid/9;elsewhere")}
    entries = [made(name, seed) for name in ("a", "b") for seed in (0, 1)]
    entries += [made("few"), made("odd", 0, metrics=other), made("odd", 1, metrics=other)]
    out = build_report([TaskResults(fixtures.suite(), entries)], tmp_path)
    reader = read_page(out)
    text = " ".join(reader.text.split())
    assert "few: incomplete: 1 of 2 seeds (lacks 1)" in text
    assert "odd: other signature: fid/9;elsewhere" in text
    details = [a for t, a in reader.tags if t == "details" and a.get("class") == "unranked-why"]
    assert len(details) == 1, "a summary is reached by touch and keyboard"
    assert "open" in details[0]


def test_a_single_number_without_a_rank_names_its_metric() -> None:
    metrics = {k: fixtures.metric(k, 1.0, 0) for k in ("fid", "kid")}
    odd = {**metrics, "kid": replace(metrics["kid"], signature="kid/9")}
    entries = [made("a", metrics=metrics), made("b", metrics=metrics), made("c", metrics=odd)]
    (found,) = page(TaskResults(fixtures.suite(), entries), "x", placed).unranked
    assert (found.row.name, found.reason) == ("c", "other signature: kid/9")
    assert [c.id for c in found.columns] == ["kid"]
    assert not found.everywhere


def test_facets_keep_values_that_differ_by_case(tmp_path: Path) -> None:
    entries = [made(name, family=name.upper()) for name in ("vae", "gan")]
    entries += [made(name, 1, family=name) for name in ("vaes", "vae2")]
    entries += [made("low", family="vae"), made("high", family="VAE")]
    out = build_report([TaskResults(fixtures.suite(), entries)], tmp_path)
    values = [a.get("value") for t, a in read_page(out).tags if t == "option"]
    assert {"VAE", "vae", "GAN"} <= set(values)


# --- copying --------------------------------------------------------------------------------


def record_of(c_t: float, authenticity: float, seed: int = 0) -> Record:
    return made("any", seed, metrics=copying(c_t, authenticity)).record


@pytest.mark.parametrize(
    ("c_t", "authenticity", "found"),
    [
        (-78.0, 0.0, COPIES),
        (4.0, 0.02, COPIES),  # a few rows far away make up for copies on C_T
        (-17.5, 0.57, NEAR),
        (-2.5, 0.62, None),
        (-3.5, 0.62, None),  # the interval reaches above -3
        (12.0, 0.9, None),
    ],
)
def test_copies_are_marked_and_fresh_rows_are_not(
    c_t: float, authenticity: float, found: object
) -> None:
    assert training_mark([record_of(c_t, authenticity)]) == found


def test_every_seed_must_earn_the_mark() -> None:
    assert training_mark([record_of(-78, 0.0), record_of(-60, 0.01, 1)]) == COPIES
    assert training_mark([record_of(-78, 0.0), record_of(1, 0.6, 1)]) is None
    assert training_mark([]) is None
    assert training_mark([made("none").record]) is None


def test_a_row_no_nearer_than_held_out_data_is_not_marked() -> None:
    assert training_mark([record_of(-8.0, 0.5)], [record_of(-8.5, 0.6)]) is None
    assert training_mark([record_of(-12.0, 0.5)], [record_of(-8.5, 0.6)]) == NEAR


def test_blurred_rows_lie_near_everything_and_are_more_authentic_than_real_ones() -> None:
    """As every row of CIFAR-10 did, noise too, in features of photographs."""
    real = [record_of(1.1, 0.8)]
    assert training_mark([record_of(-55.0, 0.96)], real) is None
    assert training_mark([record_of(-55.0, 0.96), record_of(-55.0, 0.79, 1)], real) == NEAR
    assert training_mark([record_of(-55.0, 0.85)], real) == NEAR, "copies among blurred rows"
    assert training_mark([record_of(-55.0, 0.93)]) == NEAR
    assert training_mark([record_of(-55.0, 0.01)], [record_of(0.0, 0.0)]) == COPIES


@pytest.mark.parametrize(("found", "mark"), [
    ({"train": {"exact": {"rows": 40, "marked": True}}}, SOME_COPIES),
    ({"train": {"exact": {"rows": 3, "marked": False}}}, None),
    ({"train": "a stranger's", "test": {"exact": 1}}, None),
])  # fmt: skip
def test_a_few_copies_of_training_rows_are_marked(found: dict[str, Any], mark: object) -> None:
    """However authentic the rest, and never as copies of the reference rows."""
    records = [record_of(5.0, 0.95), replace(record_of(5.0, 0.95, 1), copies=found)]
    assert training_mark(records, [record_of(1.1, 0.8)]) == mark
    assert reference_mark(records) is None


def test_the_mark_stands_beside_the_name_with_its_meaning_below(tmp_path: Path) -> None:
    copy = made("train-copy", family="control", metrics=copying(-78, 0.0))
    entries = [copy, made("mine", metrics=copying(-70, 0.01)), made("fair")]
    out = build_report([TaskResults(fixtures.suite(), entries)], tmp_path)
    reader = read_page(out)
    marks = [a for t, a in reader.tags if "copying" in str(a.get("class")).split()]
    assert len(marks) == 2, "the control and the generator"
    assert reader.text.count("copies training rows") == 3
    assert "own nearest neighbour" in reader.text
    assert "copies training rows" in read_page(tmp_path / "cells" / "01mine0.html").text
    assert "copies training rows" not in read_page(tmp_path / "cells" / "01fair0.html").text


# --- class by class -------------------------------------------------------------------------


def test_controls_stand_in_the_heat_map_and_are_marked_as_such(tmp_path: Path) -> None:
    figure = per_class(table(fixtures.task(tmp_path, (0,))))
    assert figure is not None
    (trace,) = json.loads(figure.specs["fid_per_class"])["data"]
    assert trace["y"][:2] == ["mode-dropped (control)", "heldout (control)"]
    assert not {"noise (control)", "gaussian (control)"} & set(trace["y"])
    assert len(trace["y"]) == len(trace["z"]) == 6
    assert {row[0] for row in figure.cells} >= {"gan", "heldout (control)"}


def test_a_class_that_was_lost_is_a_hole() -> None:
    lost = {str(c): None if c == 3 else 10.0 + c for c in range(10)}
    value = replace(fixtures.metric("fid_per_class", 3.0, 0), details={"by_class": lost})
    entries = [made("mode-dropped", family="control", metrics={"fid_per_class": value})]
    figure = per_class(table(TaskResults(fixtures.suite(), entries)))
    assert figure is not None
    (trace,) = json.loads(figure.specs["fid_per_class"])["data"]
    assert trace["z"] == [[None if c == 3 else 10.0 + c for c in range(10)]]


def test_classes_are_called_by_the_suite_s_names(tmp_path: Path) -> None:
    names = ["cat", "<b>dog</b>", *(f"kind {i}" for i in range(8))]
    dataset = {**fixtures.suite()["dataset"], "class_names": names}
    found = fixtures.task(tmp_path, (0,))
    board = table(replace(found, suite={**found.suite, "dataset": dataset}))
    figure = per_class(board)
    assert figure is not None
    (trace,) = json.loads(figure.specs["fid_per_class"])["data"]
    assert trace["x"][:3] == ["cat", "&lt;b&gt;dog&lt;/b&gt;", "kind 0"]
    assert figure.headers[2:4] == ("class cat", "class <b>dog</b>")
    assert board.class_name(12) == "12"


def test_labels_that_look_alike_when_cut_stay_apart() -> None:
    names = [f"gan (learning-rate={rate}, batch=64)" for rate in ("0.10", "0.11", "0.12")]
    assert len(set(plot_labels(names, 20))) == 3


# --- how to compute a cell again ------------------------------------------------------------


def asked(argv: object, family: str = "gan", name: str = "mine", **generator: Any) -> str:
    entry = made(name, 3, family=family, source={"argv": argv})
    entry.record.cell["generator"].update(generator)
    return command(entry.record)


def test_the_command_takes_suite_file_and_plugins_from_the_recorded_one() -> None:
    argv = ["genbench", "run", "--suite", "my suites/a.toml", "--plugin", "p.py", "--plugin=q.py:C",
            "--no-report", "-g", "other", "--seeds", "0,1,2,3"]  # fmt: skip
    assert asked(argv, params_passed={"width": 8, "mode": "x y"}) == (
        "genbench run --suite 'my suites/a.toml' --profile standard --plugin p.py "
        "--plugin q.py:C -g 'mine:mode=x y,width=8' --seeds 3"
    )


@pytest.mark.parametrize("argv", [None, [], ["ipykernel", "-f", "x.json"], ["genbench", 3], "run"])
def test_without_a_recorded_command_the_names_of_the_record_stand_there(argv: object) -> None:
    assert asked(argv) == (
        "genbench run --suite mnist --profile standard -g mine --seeds 3"
    )  # fmt: skip


def test_scored_samples_are_scored_again_and_not_run() -> None:
    argv = ["genbench", "score", "out/x.npz", "--suite=mnist", "--labels", "y.npy", "--json"]
    assert asked(argv, family="scored") == (
        "genbench score out/x.npz --suite mnist --profile standard --name mine --labels y.npy"
    )
    assert asked([], family="scored") == (
        "genbench score SAMPLES --suite mnist --profile standard --name mine"
    )


def test_a_control_comes_with_what_was_run() -> None:
    argv = ["genbench", "run", "--suite", "mnist", "-g", "vae", "--sweep", "vae:beta=1,2"]
    assert asked(argv, family="control", name="noise") == (
        "genbench run --suite mnist --profile standard -g vae --sweep vae:beta=1,2 --seeds 3"
    )


def test_the_recorded_words_stay_words() -> None:
    argv = ["genbench", "run", "--suite", "x; rm -rf ~", "--plugin", "$(id)\n&& id"]
    assert shlex.split(asked(argv))[2:8] == [
        "--suite", "x; rm -rf ~", "--profile", "standard", "--plugin", "$(id)\n&& id",
    ]  # fmt: skip


# --- comparing and data ---------------------------------------------------------------------


def test_seeds_pair_by_the_same_rule_as_in_genbench_compare() -> None:
    here = {"cores": 8, "memory_bytes": 1, "packages": {"torch": "2.9", "genbench": "0.1"}}
    records = [
        made("a", environment=environment).record
        for environment in (
            here,
            {**here, "memory_bytes": 2},
            {**here, "packages": {"torch": "2.9", "genbench": "0.2"}},
            {**here, "packages": {"torch": "3.0", "genbench": "0.1"}},
            {**here, "cores": 4},
        )
    ]
    same = [environment_mark(r) == environment_mark(records[0]) for r in records]
    assert same == [True, True, True, False, False]
    assert same == [same_environment([r], records[:1]) for r in records]
    assert environment_mark(made("odd", environment={"packages": "none"}).record)


def test_compare_gets_errors_and_degrees_of_freedom_as_the_ranking_has_them(
    tmp_path: Path,
) -> None:
    found = page(fixtures.task(tmp_path), "x", placed)
    rows = {row["label"]: row for row in compare_data(found)["rows"]}
    assert rows["gan"]["values"]["fid"]["df"] == 2
    assert rows["gan"]["values"]["fid"]["basis"] == "seeds"
    assert rows["heldout"]["values"]["fid"]["basis"] == "sampling"
    json.dumps(rows, allow_nan=False)


def test_every_point_of_the_training_curves_can_be_downloaded(tmp_path: Path) -> None:
    """And the page of a cell names its card, with the memory that was held on it."""
    task = fixtures.task(tmp_path / "r", (0,))
    first = task.entries[0]
    on_card = replace(
        first.record,
        environment={**first.record.environment, "device_name": "NVIDIA H200"},
        resources={**first.record.resources, "card_peak_bytes": 3_000_000_000},
    )
    entries = (replace(first, record=on_card), *task.entries[1:])
    task = replace(task, entries=entries)
    out = build_report([task], tmp_path / "o")
    pages = [read_page(path).text for path in (tmp_path / "o" / "cells").rglob("*.html")]
    (told,) = [text for text in pages if "NVIDIA H200, at most 3 GB of its memory" in text]
    assert first.record.generator in told
    (path,) = (tmp_path / "o" / "data").glob("*-curves.csv")
    lines = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
    curves = {(e.record.generator, k): v for e in task.entries for k, v in e.record.curves.items()}
    assert len(lines) == 200 * len(curves)
    for (name, curve), body in curves.items():
        mine = [line for line in lines if (line["generator"], line["curve"]) == (name, curve)]
        assert [float(line["examples"]) for line in mine] == body["examples"]
        values = [float(line["value"]) if line["value"] else None for line in mine]
        assert values == body["value"]
    links = [a for t, a in read_page(out).tags if t == "a" and "curves.csv" in str(a.get("href"))]
    assert len(links) == 1, "beside the figure, without JavaScript"


@pytest.mark.parametrize(
    ("given", "html"),
    [
        ("from `genbench data fetch x`: yours", "from <code>genbench data fetch x</code>: yours"),
        ("`a` & `<b>`", "<code>a</code> &amp; <code>&lt;b&gt;</code>"),
        ("a ` alone", "a ` alone"),
        ("`a` and ` alone", "<code>a</code> and ` alone"),
        ("plain\u202e", "plain\\u202e"),
    ],
)
def test_a_description_shows_commands_as_code_and_hides_nothing(given: str, html: str) -> None:
    assert coded(given) == html
