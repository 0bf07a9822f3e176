"""A sweep is found in the records, drawn against its parameter, and shown as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from click.testing import CliRunner

from genbench.cli import cli
from genbench.report.rows import Table
from genbench.report.swept import figure, sweeps
from genbench.report.tabulation import table
from genbench.results.entries import Entry, TaskResults
from genbench.results.store import Store, write_record
from tests import report_fixtures as fixtures

TASK = "mnist@1.0.0-abc-standard"


def entry(
    name: str, params: dict[str, Any], fid: float, index: int, seed: int = 0, **at_default: Any
) -> Entry:
    passed = {**params, **at_default}
    cell = fixtures.cell_of(name, "vae", seed, params=params, passed=passed)
    metrics = {"fid": fixtures.metric("fid", fid, seed)}
    return Entry(fixtures.record(f"01SWEEP{index:019d}", cell, metrics=metrics))


def board(*entries: Entry) -> Table:
    return table(TaskResults(fixtures.suite(), entries))


GRID = [
    entry("vae", {"latent": latent, "loss": loss}, 10.0 * latent + extra, 10 * latent + i)
    for latent in (32, 2, 8)
    for i, (loss, extra) in enumerate((("l1", 0.0), ("l2", 5.0)))
]


def test_a_grid_is_a_sweep_in_each_parameter_with_a_series_per_other_value() -> None:
    found = {s.parameter: s for s in sweeps(board(*GRID))}
    assert set(found) == {"latent", "loss"}
    latent = found["latent"]
    assert latent.title == "vae: latent"
    assert [s.others for s in latent.series] == ["loss=l1", "loss=l2"]
    for series in latent.series:
        assert [value for value, _ in series.points] == [2, 8, 32], "ascending as numbers"
    assert [s.others for s in found["loss"].series] == ["latent=2", "latent=32", "latent=8"]


def test_seeds_versions_and_controls_are_no_sweep() -> None:
    seeds = [entry("vae", {"latent": 2}, 5.0, i, seed=i) for i in range(3)]
    assert sweeps(board(*seeds)) == ()
    assert figure(board(*seeds)) is None
    versions = [entry("vae", {"latent": k}, 5.0, k) for k in (1, 2)]
    versions[1].record.cell["generator"]["version"] = "2"  # type: ignore[index]
    assert sweeps(board(*versions)) == ()


def test_a_parameter_added_later_is_a_point_at_its_default_too() -> None:
    rows = [entry("vae", {}, 5.0, 0, shift=0.0), entry("vae", {"shift": 1.0}, 4.0, 1)]
    (found,) = sweeps(board(*rows))
    assert found.parameter == "shift"
    assert [value for value, _ in found.series[0].points] == [0.0, 1.0]


def test_the_figure_draws_the_values_of_the_table_at_their_parameters() -> None:
    made = board(*GRID)
    drawn = figure(made)
    assert drawn is not None
    assert [key for key, _ in drawn.choices[0].options] == ["s0", "s1"]
    body = json.loads(drawn.specs["s0|fid"])
    go.Figure(body)  # plotly's own validation
    (l1, l2) = body["data"]
    assert l1["x"] == l2["x"] == [2, 8, 32]
    numbers = {row.label: row.values["fid"].number for row in made.rows}
    assert l2["y"] == pytest.approx(
        [numbers[f"vae (latent={k}, loss=l2)"] for k in (2, 8, 32)], rel=1e-5
    )
    assert body["layout"]["xaxis"]["type"] == "log"
    assert json.loads(drawn.specs["s1|fid"])["layout"]["xaxis"]["type"] == "category"
    assert len(drawn.cells) == 12


def test_hostile_parameters_stay_text() -> None:
    evil = [entry("<b>x</b>", {"<i>k</i>": text}, 5.0, i)
            for i, text in enumerate(("<script>", "%{x}", "\x1b[31m"))]  # fmt: skip
    drawn = figure(board(*evil))
    assert drawn is not None
    text = "".join(drawn.specs.values())
    assert "<script>" not in text
    assert "<b>" not in text
    assert "<i>" not in text


def test_show_sweep_prints_a_table_per_parameter(tmp_path: Path) -> None:
    Store(tmp_path).write_suite(TASK, fixtures.suite())
    for one in GRID:
        write_record(tmp_path / TASK / "vae~0" / "seed-0" / one.record.record_id, one.record)
    done = CliRunner().invoke(cli, ["show", str(tmp_path), "--sweep"], standalone_mode=False)
    assert done.exception is None
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["mnist", "standard", "vae:", "latent"] in lines
    assert [line[:2] for line in lines if line[:2] and line[-1:] and line[0] in ("2", "8", "32")][
        :3
    ] == [["2", "loss=l1"], ["8", "loss=l1"], ["32", "loss=l1"]]
    done = CliRunner().invoke(cli, ["show", str(tmp_path), "--sweep", "--json"])
    assert [part["sweep"] for part in json.loads(done.stdout)] == ["vae: latent", "vae: loss"]


def test_results_without_a_sweep_say_how_to_make_one(tmp_path: Path) -> None:
    Store(tmp_path).write_suite(TASK, fixtures.suite())
    one = GRID[0].record
    write_record(tmp_path / TASK / "vae~0" / "seed-0" / one.record_id, one)
    done = CliRunner().invoke(cli, ["show", str(tmp_path), "--sweep"], standalone_mode=False)
    assert "genbench run --sweep NAME:key=a,b,c" in str(done.exception)
