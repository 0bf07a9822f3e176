"""Below the table: what its signs mean, who is marked, and what ranks would cost."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from genbench.cli import output
from genbench.cli.footnotes import price_of_ranks, table_notes
from genbench.report.gaps import notes as notes_of
from genbench.report.rows import Table, Value
from genbench.report.short_table import metric_text
from genbench.report.tabulation import table
from genbench.report.writing import build_report
from genbench.results.entries import Entry, TaskResults
from genbench.results.records import Record
from tests import report_fixtures as fixtures
from tests.test_report import read_page

START = datetime(2026, 1, 1, tzinfo=UTC)


def cell(name: str, seed: int = 0, family: str = "gan", **fields: Any) -> Record:
    made = fixtures.cell_of(name, family, seed)
    metrics = {"fid": fixtures.metric("fid", 5.0, seed)}
    return fixtures.record(f"01{name}{seed}", made, **({"metrics": metrics} | fields))


def ran(name: str, start: float, seconds: float, seed: int = 0, **fields: Any) -> Record:
    end = START + timedelta(seconds=start + seconds)
    return cell(name, seed, times={"finished": end.isoformat(), "wall_s": seconds},
                timing={"fit_s": seconds - 1}, **fields)  # fmt: skip


def board(*records: Record) -> Table:
    return table(TaskResults(fixtures.suite(), [Entry(r, Path()) for r in records]))


def notes(*records: Record) -> str:
    found = board(*records)
    return "\n".join(table_notes(found, found.columns))


def test_two_more_seeds_cost_twice_what_the_cells_took() -> None:
    line = price_of_ranks([ran("a", 0, 300), ran("b", 300, 120), ran("c", 420, 180)])
    assert line is not None
    assert line.seeds == "0,1,2"
    assert line.duration == "about 20 minutes"


def test_cells_that_ran_beside_each_other_cost_their_share_of_the_time() -> None:
    line = price_of_ranks([ran("a", 0, 300), ran("b", 0, 300), ran("c", 0, 300)])
    assert "about 10 minutes" in str(line)


def test_a_cell_that_was_scored_again_still_costs_its_training() -> None:
    again = replace(ran("a", 0, 5), timing={"fit_s": 595.0, "metrics_s": 5.0})
    assert "about 20 minutes" in str(price_of_ranks([again]))


def test_controls_and_scored_samples_are_not_trained_again() -> None:
    still = [ran("heldout", 0, 900, family="control"), ran("mine", 0, 900, family="scored")]
    assert price_of_ranks(still) is None
    assert "about 2 minutes" in str(price_of_ranks([*still, ran("a", 1800, 60)]))


def test_several_seeds_need_no_more() -> None:
    assert price_of_ranks([ran("a", 0, 60, seed=s) for s in range(3)]) is None
    assert getattr(price_of_ranks([ran("a", 0, 60, seed=7)]), "seeds", None) == "7,8,9"


def test_one_seed_is_said_to_be_an_order() -> None:
    assert "One seed: an order, no ranks" in notes(cell("a"), cell("b"))
    assert "2 seeds" in notes(*(cell(n, s) for n in "ab" for s in (0, 1)))


def test_a_note_of_a_value_is_shown_with_whose_it_is() -> None:
    noted = replace(fixtures.metric("fid", 5.0, 0), details={"note": "too few rows (n < d)"})
    found = board(cell("mine", metrics={"fid": noted}), cell("other"))
    text = "\n".join(table_notes(found, found.columns))
    assert "‡ FID (mnist-cnn) of mine: too few rows (n < d)" in text
    assert text.count("‡") == 1
    assert "‡" in metric_text(found.placed[0].values["fid"])


def test_a_note_of_many_values_names_their_rows_once() -> None:
    noted = {
        k: replace(fixtures.metric(k, 5.0, 0), details={"note": "too few rows (n < d)"})
        for k in ("fid", "kid")
    }
    found = board(cell("a", metrics=noted), cell("b", metrics=noted))
    text = "\n".join(table_notes(found, found.columns))
    assert "‡ FID (mnist-cnn), KID of a, b: too few rows (n < d)" in text
    assert [n.where for n in notes_of(found, found.columns)] == ["FID (mnist-cnn), KID of a, b"]


@pytest.mark.parametrize(
    ("floor", "sign", "style"),
    [("at", " ≈floor", "green"), ("cannot tell", " floor?", "bright_black")],
)
def test_the_floor_is_green_only_where_it_is_shown(floor: str, sign: str, style: str) -> None:
    told = metric_text(Value("5.0", "0.1", floor=floor))
    assert told == f"5.0 ±0.1{sign}"
    assert [span.style for span in output._cell(told).spans] == [style]
    assert metric_text(Value("5.0", floor="worse")) == "5.0"


# --- marks of rows -----------------------------------------------------------------------------

FULL, FEW = 300_000, 1_000
RESOURCES = {"parameters": 10, "weights_changed": True}


@pytest.mark.parametrize(
    ("fields", "mark"),
    [
        ({"examples_served": FULL}, None),
        ({"examples_served": FULL, "raw_access": True}, "raw rows read"),
        ({"examples_served": FEW, "raw_access": True}, "trained on raw rows"),
        ({"examples_served": 0, "raw_access": True}, "trained on raw rows"),
        ({"examples_served": 0}, "training not counted"),
        ({"examples_served": 0, "resources": {"parameters": 0}}, None),
        ({"examples_served": 0, "resources": RESOURCES | {"weights_changed": False}}, None),
        ({"examples_served": 0, "resources": {"parameters": 10}}, "training not counted"),
    ],
)
def test_training_that_nobody_counted_is_marked(fields: Any, mark: str | None) -> None:
    (row,) = board(cell("mine", **({"resources": RESOURCES} | fields))).generators
    assert [m.text for m in row.marks] == ([mark] if mark else [])


@pytest.mark.parametrize("family", ["control", "scored"])
def test_controls_and_scored_samples_had_nothing_to_train(family: str) -> None:
    record = cell("heldout", family=family, examples_served=0, raw_access=True, resources=RESOURCES)
    assert board(record).rows[0].marks == ()


def test_a_model_that_says_what_it_was_trained_on_before_is_exempt() -> None:
    record = cell("mine", examples_served=0, resources=RESOURCES)
    record.cell["generator"]["pretrained_on"] = "ImageNet"
    assert board(record).rows[0].marks == ()


def found_copies(exact: bool, near: bool) -> dict[str, Any]:
    one = {"exact": {"rows": 3, "marked": exact}, "near": {"rows": 3, "marked": near}}
    none = {"exact": {"rows": 0, "marked": False}, "near": {"rows": 0, "marked": False}}
    return {"test": none, "valid": one}


@pytest.mark.parametrize(
    ("copies", "mark"),
    [
        (found_copies(True, True), "copies reference rows"),
        (found_copies(False, True), "near reference rows"),
        (found_copies(False, False), None),
        ({}, None),
        ({"failed": "no room"}, None),
        ({"test": [1], "valid": {"exact": "x", "near": {"marked": "yes"}}}, None),
    ],
)
def test_copies_of_reference_rows_are_marked_at_any_seed(copies: Any, mark: str | None) -> None:
    records = [cell("mine", 0), cell("mine", 1, copies=copies), cell("b", 0), cell("b", 1)]
    rows = {row.name: row for row in board(*records).generators}
    assert [m.text for m in rows["mine"].marks] == ([mark] if mark else [])
    assert rows["mine"].values["fid"].rank, "a marked row keeps its rank"
    control = cell("heldout", family="control", copies=copies)
    assert board(control).rows[0].marks == ()


def test_marks_stand_with_their_meaning_in_terminal_and_report(tmp_path: Path) -> None:
    mine = cell("mine", copies=found_copies(True, False), raw_access=True, examples_served=9,
                resources=RESOURCES)  # fmt: skip
    text = notes(mine, cell("fair"))
    assert "copies reference rows (mine): rows among its samples are test or validation" in text
    assert "trained on raw rows (mine): it read the training rows as a whole" in text
    entries = [Entry(mine), Entry(cell("fair"))]
    build_report([TaskResults(fixtures.suite(), entries)], tmp_path)
    page = read_page(tmp_path / "index.html").text
    assert page.count("copies reference rows") == page.count("trained on raw rows") == 2
    assert "it is compared with" in page
    assert "copies reference rows" in read_page(tmp_path / "cells" / "01mine0.html").text


def test_a_report_of_one_seed_claims_no_lead(tmp_path: Path) -> None:
    value = {n: {"fid": fixtures.metric("fid", v, 0)} for n, v in (("a", 5.0), ("b", 90.0))}
    entries = [Entry(cell(n, metrics=m)) for n, m in value.items()]
    build_report([TaskResults(fixtures.suite(), entries)], tmp_path, badge=True)
    page = read_page(tmp_path / "index.html").text
    assert "a comes first on FID (mnist-cnn)" in page
    assert "an order, not a ranking" in page
    assert "leads on" not in page
    (badge,) = (tmp_path / "data").glob("*-badge.svg")
    assert "one seed" in badge.read_text()
    (body,) = (tmp_path / "data").glob("*table.json")
    rows = json.loads(body.read_text())["rows"]
    found = [(r["generator"], r["metrics"]["fid"]["place"], r["metrics"]["fid"]["rank"])
             for r in rows]  # fmt: skip
    assert found == [("a", 1, None), ("b", 2, None)]


def test_scored_samples_have_no_dagger_and_a_marked_leader_is_told(tmp_path: Path) -> None:
    made = [
        cell("mine", family="scored", copies=found_copies(True, False)),
        cell("other", family="scored", metrics={"fid": fixtures.metric("fid", 90.0, 0)}),
    ]
    entries = [Entry(record) for record in made]  # fmt: skip
    build_report([TaskResults(fixtures.suite(), entries)], tmp_path)
    text = read_page(tmp_path / "index.html").text
    assert "It is marked: copies reference rows." in text
    assert "†" not in text


def test_what_cannot_be_told_of_the_floor_is_grey_in_the_report(tmp_path: Path) -> None:
    def one(name: str, family: str, value: float, error: float) -> Entry:
        fid = replace(fixtures.metric("fid", value, 0), value=value, interval=None, std_error=error)
        return Entry(cell(name, family=family, metrics={"fid": fid}))

    entries = [one("heldout", "control", 3.0, 0.1), one("gaussian", "control", 103.0, 1.0),
               one("sure", "gan", 3.5, 0.1), one("vague", "gan", 3.5, 30.0)]  # fmt: skip
    build_report([TaskResults(fixtures.suite(), entries)], tmp_path)
    reader = read_page(tmp_path / "index.html")
    signs = [a["class"] for t, a in reader.tags if t == "span" and a.get("title", "") and
             str(a.get("class")).startswith("floor")]  # fmt: skip
    assert sorted(signs) == ["floor", "floor unsure"]
    assert "5 % of the way from it to the nearest control" in reader.text


def test_a_record_tells_of_copies_only_if_somebody_looked() -> None:
    plain = cell("a").to_json()
    assert "copies" not in plain
    told = cell("a", copies=found_copies(True, False)).to_json()
    assert Record.from_json(told).copies["valid"]["exact"]["marked"] is True
    assert Record.from_json(plain) == cell("a")
