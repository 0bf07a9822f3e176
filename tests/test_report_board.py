"""The board of a shelf and the page of a row: columns in groups, all that is known of a row."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genbench.metrics.entry import GROUPS
from genbench.metrics.table import METRICS
from genbench.metrics.values import MetricValue
from genbench.report.columns import columns
from genbench.report.curves import svg
from genbench.report.groups import column_groups, roomy
from genbench.report.tabulation import table
from genbench.report.writing import Entry, TaskResults, build_report
from tests import report_fixtures as fixtures
from tests import report_shelf as shelf
from tests.test_report import read_page


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TaskResults:
    return shelf.shelf_task(tmp_path_factory.mktemp("results"), seeds=(0, 1))


@pytest.fixture(scope="module")
def built(task: TaskResults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_report([task], tmp_path_factory.mktemp("report")).parent


def row_page(built: Path, name: str) -> Any:
    return read_page(built / "rows" / f"mnist-1_0_0-standard-{name}.html")


def words(reader: Any) -> str:
    return " ".join(reader.text.split())


# --- groups ---------------------------------------------------------------------------------


def test_every_metric_of_ours_says_its_group() -> None:
    assert {name for name, info in METRICS.items() if info.group not in GROUPS} == set()
    assert {name for name, info in METRICS.items() if info.group == "other"} == set()
    assert METRICS["pixel_kid"].group == METRICS["kid"].group


def test_quality_and_cost_lead_and_every_column_stands_in_one_group(task: TaskResults) -> None:
    found = table(task)
    groups = column_groups(found)
    assert [g.id for g in groups] == [
        "quality", "cost", "diversity", "likelihood", "copies", "use", "other",
    ]  # fmt: skip
    assert groups[0].all[0].id == "fid"
    assert [c.id for c in groups[-1].columns] == [shelf.ELSEWHERE]
    columns = [c.id for g in groups for c in g.columns]
    assert sorted(columns) == sorted(c.id for c in found.columns)


def test_the_group_of_the_primary_metric_comes_first(tmp_path: Path) -> None:
    task = fixtures.points_task(tmp_path)
    groups = column_groups(table(task))
    assert [g.id for g in groups] == ["likelihood", "cost", "quality"]
    assert roomy(groups), "so few columns need not be closed"


def test_a_small_table_starts_open_and_a_large_one_closed(built: Path, tmp_path: Path) -> None:
    def closed(path: Path) -> list[str]:
        tags = read_page(path).tags
        return [str(a["data-col"]) for t, a in tags
                if t == "th" and "more" in str(a.get("class")).split()]  # fmt: skip

    assert closed(build_report([fixtures.points_task(tmp_path / "r")], tmp_path / "o")) == []
    assert {"kid", "coverage", "parameters"} <= set(closed(built / "index.html"))
    assert not {"fid", "fit_core_s", "recall", "nll", "c_t"} & set(closed(built / "index.html"))


def test_headings_span_their_columns_and_none_is_hidden_by_the_file(built: Path) -> None:
    tags = read_page(built / "index.html").tags
    heads = [a for t, a in tags if t == "th" and "data-col" in a and "data-group" in a]
    assert len(heads) == len(shelf.METRIC_IDS) + 4
    assert not any("hidden" in a for a in heads), "without scripts all columns are there"
    spans = {a["data-group"]: int(str(a["colspan"])) for t, a in tags if a.get("colspan")
             and "data-group" in a}  # fmt: skip
    for name, span in spans.items():
        assert span == sum(a["data-group"] == name for a in heads)


# --- the page of a row ----------------------------------------------------------------------


def test_every_name_leads_to_its_row_s_page(built: Path, task: TaskResults) -> None:
    links = [a["href"] for t, a in read_page(built / "index.html").tags if t == "a"]
    pages = sorted(path.name for path in (built / "rows").iterdir())
    assert len(pages) == 18
    for page in pages:
        assert links.count(f"rows/{page}") >= 2, "in the table and in the list of rows"


def test_the_page_tells_what_the_row_is(built: Path) -> None:
    text = words(row_page(built, "vae"))
    for told in (
        "Samples by vae, as vae models do.", "An author 2020, arXiv:2001.00001",
        "genbench 0.1.0, baselines/vae.py", "a lower bound (ELBO)", "2 of 2",
        "204 s of one core, 326 s of wall time, 300,000 examples", "default",
    ):  # fmt: skip
        assert told in text
    assert "baselines/flow_matching.py" in words(row_page(built, "flow-matching"))
    assert "none: the model can be sampled and not asked" in words(row_page(built, "gan"))


def test_the_page_has_every_metric_at_every_seed(built: Path, task: TaskResults) -> None:
    text = words(row_page(built, "ddpm"))
    row = next(row for row in table(task).rows if row.name == "ddpm")
    for column in table(task).columns:
        assert column.title in text
        assert row.values[column.id].text in text
    assert row.values["fid"].low is not None
    assert text.count("ddpm has no likelihood") == 2
    for seed in range(2):
        assert f"Seed {seed}" in text


def test_the_page_draws_samples_and_a_line_per_seed(built: Path) -> None:
    reader = row_page(built, "vae")
    assert [t for t, _ in reader.tags].count("path") == 3 * 2, "three curves of two seeds"
    images = [a["src"] for t, a in reader.tags if t == "img"]
    assert len(images) == len(set(images)) == 4, "real, generated, neighbours, another seed"
    assert all(str(src).startswith("../images/") for src in images)


def test_the_page_leads_to_its_cells_and_tells_how_to_run_them(built: Path) -> None:
    reader = row_page(built, "wgan-gp")
    links = {a["href"] for t, a in reader.tags if t == "a" and "../cells/" in str(a.get("href"))}
    assert links == {"../cells/01wgan-gp0.html"}
    assert "genbench run --suite mnist --profile standard -g wgan-gp --seeds 0" in reader.text
    assert "-g vae --seeds 0,1" in row_page(built, "vae").text
    assert "No rank: incomplete: 1 of 2 seeds (lacks 1)." in words(reader)
    cell = read_page(built / "cells" / "01wgan-gp0.html")
    assert "../rows/mnist-1_0_0-standard-wgan-gp.html" in {a.get("href") for _, a in cell.tags}


def told(name: str, seed: int = 0, **generator: Any) -> Entry:
    cell = fixtures.cell_of(name, "gan", seed)
    cell["generator"] |= generator
    metrics = {"fid": fixtures.metric("fid", 5.0, seed)}
    return Entry(fixtures.record(f"01{name}{seed}{len(generator)}", cell, metrics=metrics))


def test_records_that_tell_less_or_something_else_have_a_page_too(tmp_path: Path) -> None:
    old = told("old")
    for key in ("family", "likelihood", "reference", "params_passed"):
        del old.record.cell["generator"][key]
    odd = told("odd", summary=["no text"], labels={"a": 1}, source=7, pretrained_on=3, params={})
    failed = replace(told("bad"), record=replace(told("bad").record, status="failed", metrics={}))
    build_report([TaskResults(fixtures.suite(), [old, odd, failed])], tmp_path)
    text = {name: words(row_page(tmp_path, name)) for name in ("old", "odd", "bad")}
    assert not any("None" in t.replace("None of its cells", "") for t in text.values())
    assert "no text" not in text["odd"]
    assert "None of its cells has a result." in text["bad"]
    assert "genbench 0.1.0" in text["old"]


def test_parameters_say_which_were_set(tmp_path: Path) -> None:
    entry = told("mine", params={"lr": 0.1, "width": 8}, params_passed={"width": 8})
    build_report([TaskResults(fixtures.suite(), [entry])], tmp_path)
    (page,) = (tmp_path / "rows").iterdir()
    assert re.search(r"width\s*8\s*set for this row\s*lr\s*0.1\s*default", read_page(page).text)


def test_rows_of_one_name_have_a_page_each(tmp_path: Path) -> None:
    entries = [told("mine", params={"x": x}, source=f"sha256:{x}") for x in ("a b", "a-b", "A B")]
    build_report([TaskResults(fixtures.suite(), entries)], tmp_path)
    assert len({path.name.casefold() for path in (tmp_path / "rows").iterdir()}) == 3


def test_code_of_others_names_its_package_and_source_alone(tmp_path: Path) -> None:
    entry = told("vae", provider="theirs 2.0", source="sha256:0123456789abcdef")
    build_report([TaskResults(fixtures.suite(), [entry])], tmp_path)
    text = words(row_page(tmp_path, "vae"))
    assert "theirs 2.0, source 01234567" in text
    assert "baselines/" not in text


def test_a_single_file_holds_every_row(task: TaskResults, tmp_path: Path) -> None:
    few = TaskResults(task.suite, task.entries[:8])
    reader = read_page(build_report([few], tmp_path, single_file=True))
    ids = [str(a["id"]) for _, a in reader.tags if str(a.get("id")).startswith("row-")]
    links = [a["href"] for t, a in reader.tags if t == "a" and "row-" in str(a.get("href"))]
    assert len(ids) == 4
    assert {f"#{name}" for name in ids} == set(links)
    assert "baselines/flow.py" in reader.text
    assert not (tmp_path / "rows").exists()


def test_an_earlier_report_s_rows_are_removed(tmp_path: Path) -> None:
    build_report([TaskResults(fixtures.suite(), [told("gone"), told("here")])], tmp_path)
    build_report([TaskResults(fixtures.suite(), [told("here")])], tmp_path)
    assert [path.name for path in (tmp_path / "rows").iterdir()] == [
        "mnist-1_0_0-standard-here.html"
    ]


def test_a_curve_of_several_seeds_has_common_axes() -> None:
    curves = [{"examples": [0, 10], "value": [a, b]} for a, b in ((1.0, 2.0), (4.0, 3.0))]
    drawn = str(svg("loss", [*curves, None, {"examples": [0], "value": [9.0]}]))
    assert drawn.count("<path") == 2
    assert "1.000 … 4.000" in drawn
    assert 'd="M8.0 124.0 L412.0 91.3"' in drawn
    assert str(svg("loss", [None])) == ""


def test_a_metric_of_another_package_has_a_group() -> None:
    metrics = {"mystery": MetricValue("ok", 1.0)}
    entry = Entry(fixtures.record("01", fixtures.cell_of("a", "gan", 0), metrics=metrics))
    found = table(TaskResults(fixtures.suite(), [entry]))
    assert [c.id for c in column_groups(found)[-1].columns] == ["mystery"]
    assert column_groups(found)[-1].title == "Other"


def test_a_metric_against_another_split_has_a_heading_that_names_it() -> None:
    suite = {
        "suite": {"primary": "fid"},
        "protocol": {"extractor": "net"},
        "metrics": [{"id": "fid"}, {"id": "fid:vendor"}, {"id": "precision@other:vendor"}],
    }
    titles = {column.id: column.title for column in columns(suite, [])}
    assert titles == {
        "fid": "FID (net)",
        "fid:vendor": "FID, vendor (net)",
        "precision@other:vendor": "Precision, vendor (other)",
    }
    assert "Compared with the split vendor." in columns(suite, [])[1].description
