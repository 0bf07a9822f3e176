"""The report as files: what it says, that it is safe, whole, deterministic and quick to build."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from genbench.errors import StoreError
from genbench.features.published import PUBLISHED
from genbench.metrics.values import MetricValue
from genbench.report import text as text_module
from genbench.report.columns import Column, columns, scale
from genbench.report.images import ArtefactError, grid_picture, read
from genbench.report.tabulation import table
from genbench.report.tradeoffs import agreement
from genbench.report.writing import Entry, TaskResults, build_report
from genbench.results.records import Artifact, Record
from tests import report_fixtures as fixtures
from tests.report_evil import PAYLOADS, evil_task


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TaskResults:
    return fixtures.task(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def built(task: TaskResults, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_report([task], tmp_path_factory.mktemp("report")).parent


class _Reader(HTMLParser):
    """Tags, attributes and text of a page, scripts apart."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            attrs, before = self.scripts[-1]
            self.scripts[-1] = (attrs, before + data)
        else:
            self.text += data


def read_page(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text("utf-8"))
    return reader


def islands(path: Path) -> list[object]:
    return [
        json.loads(body)
        for attrs, body in read_page(path).scripts
        if attrs.get("type") == "application/json"
    ]


def figures(path: Path) -> dict[str, dict[str, dict[str, object]]]:
    found = {}
    reader = read_page(path)
    names = [a["data-figure"] for tag, a in reader.tags if "data-figure" in a]
    bodies = [json.loads(b) for a, b in reader.scripts if a.get("class") == "specs"]
    for name, body in zip(names, bodies, strict=True):
        found[str(name)] = body["specs"]
    return found


def test_importing_the_report_needs_no_torch() -> None:
    code = "import sys, genbench.report, genbench.report.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_package_alone_is_light() -> None:
    code = (
        "import sys, genbench.report;"
        "sys.exit(any(m in sys.modules for m in ('plotly', 'jinja2', 'PIL', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_ranked_rows_come_first_best_first_then_incomplete_then_controls(
    task: TaskResults,
) -> None:
    found = table(task)
    assert [row.name for row in found.placed] == ["gan", "flow", "vae"]
    assert [row.name for row in found.unranked] == ["dna"]
    assert found.unranked[0].unranked.startswith("incomplete")
    assert {row.name for row in found.controls} == {
        "heldout", "train-copy", "gaussian", "noise", "mode-dropped",
    }  # fmt: skip
    assert not any(value.rank for row in found.controls for value in row.values.values())


def test_bars_run_from_noise_to_the_floor(task: TaskResults) -> None:
    found = table(task)
    rows = {row.name: row for row in found.rows}
    assert rows["noise"].values["fid"].place == 0.0
    assert rows["heldout"].values["fid"].place == 1.0
    assert 0 < rows["vae"].values["fid"].place < rows["gan"].values["fid"].place < 1
    assert found.scales["fid"].logarithmic
    assert not found.scales["coverage"].logarithmic


def test_a_scale_without_room_between_noise_and_floor_is_none() -> None:
    column = Column("x", "X", "", "", None, False, True, True, "")
    assert scale(1.0, 1.0, column) is None
    assert scale(None, 1.0, column) is None
    assert scale(-2.0, 1.0, column).place(-0.5) == pytest.approx(0.5)
    assert scale(100.0, 1.0, column).place(10.0) == pytest.approx(0.5)
    assert scale(100.0, 1.0, column).place(-1.0) == 1.0


def test_frechet_distances_name_their_extractor_unless_it_is_tf_inception() -> None:
    ids = [{"id": i} for i in ("fid", "fid@inception-v3-compat", "kid@digits-cnn", "pixel_fid")]
    found = columns(fixtures.suite(metrics=ids), [])
    assert [c.title for c in found] == [
        "FID (mnist-cnn)", "FID", "KID (digits-cnn)", "FID (pixels)",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "title"),
    [
        (PUBLISHED["inception-v3-compat"].digits, "FID"),
        ("1a4a5037", "FID (inception-v3-compat, other weights)"),
    ],
)
def test_other_weights_of_inception_make_no_canonical_fid(weights: str, title: str) -> None:
    signature = f"fid|frechet/1|ddof=1|extractor=inception-v3-compat/1:{weights}|reference=test"
    value = MetricValue("ok", 1.0, signature=signature)
    found = fixtures.record("0" * 26, fixtures.cell_of("a", "gan", 0),
                            metrics={"fid@inception-v3-compat": value})  # fmt: skip
    ids = [{"id": "fid@inception-v3-compat"}]
    assert columns(fixtures.suite(metrics=ids), [found])[0].title == title


def test_usual_names_are_for_the_right_network_and_setting_alone() -> None:
    cmmd = {"bandwidth": 10, "biased": True, "unit_length": True, "scale": 1000}
    ids = [
        {"id": "fid@dinov2-vitb14"}, {"id": "fid_infinity@dinov2-vitb14"},
        {"id": "kid@dinov2-vitb14"}, {"id": "mmd@clip-vitb32", **cmmd},
        {"id": "mmd@dinov2-vitb14", **cmmd}, {"id": "mmd", **cmmd}, {"id": "fid@clip-vitb32"},
    ]  # fmt: skip
    assert [c.title for c in columns(fixtures.suite(metrics=ids), [])] == [
        "FD (DINOv2 ViT-B/14)", "FD∞ (DINOv2 ViT-B/14)", "KID (dinov2-vitb14)",
        "CMMD (CLIP ViT-B/32)", "MMD (dinov2-vitb14)", "MMD", "FID (clip-vitb32)",
    ]  # fmt: skip
    for key, value in (("bandwidth", 5), ("biased", False), ("scale", 1), ("subsets", 9)):
        other = {"id": "mmd@clip-vitb32", **cmmd, key: value}
        (column,) = columns(fixtures.suite(metrics=[other]), [])
        assert column.title == "MMD (clip-vitb32)"


def of_mystery(*values: MetricValue) -> list[Record]:
    cell = fixtures.cell_of("a", "gan", 0)
    return [fixtures.record(f"{i:026}", cell, metrics={"mystery": v}) for i, v in enumerate(values)]


def test_a_metric_of_another_package_has_the_unit_and_direction_of_its_records() -> None:
    told = MetricValue("ok", 1.0, unit="<b>" + "x" * 99, higher_is_better=True)
    column = columns(fixtures.suite(), of_mystery(told, told))[-1]
    assert (column.title, column.higher_is_better) == ("mystery", True)
    assert column.unit is not None
    assert column.unit.startswith("<b>x")
    assert len(column.unit) <= 30
    other = MetricValue("ok", 1.0, higher_is_better=False)
    column = columns(fixtures.suite(), of_mystery(told, other))[-1]
    assert column.higher_is_better is None, "they do not agree"


def test_likelihoods_of_points_are_in_nats(tmp_path: Path) -> None:
    found = table(fixtures.points_task(tmp_path))
    assert found.columns[0].unit == "nats"


def test_one_seed_is_marked_as_sampling_error_only(tmp_path: Path) -> None:
    out = build_report([fixtures.task(tmp_path / "r", seeds=(0,))], tmp_path / "o")
    page = read_page(out)
    assert "one seed, whose training spread is unknown" in page.text
    assert ("sup", {"class": "mark", "title": "one seed"}) in page.tags


def test_a_failed_cell_is_shown_with_phase_and_reason(built: Path) -> None:
    page = read_page(built / "index.html")
    assert "Cells without a result" in page.text
    assert "hold NaN in 3 of 10000 rows" in page.text
    failed = read_page(built / "cells" / "01J08SEED02000000000000000.html")
    assert "Traceback (most recent call last)" in failed.text
    assert "step 161  loss nan" in failed.text
    assert "genbench run --suite mnist --profile standard -g dna --seeds 2" in failed.text


def test_every_missing_number_has_a_reason(built: Path) -> None:
    text = read_page(built / "index.html").text
    assert "gan has no likelihood" in text
    assert "n/a" in text


def test_every_link_leads_to_a_file_of_the_report(built: Path) -> None:
    for path in sorted(built.rglob("*.html")):
        page = read_page(path)
        ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
        for tag, attrs in page.tags:
            address = attrs.get("href") if tag == "a" else attrs.get("src")
            if not address:
                continue
            name, _, fragment = address.partition("#")
            if name:
                assert (path.parent / name).resolve().is_relative_to(built.resolve()), address
                assert (path.parent / name).is_file(), f"{path.name} links to {address}"
            elif fragment:
                assert fragment in ids, f"{path.name} links to #{fragment}"


def test_every_cell_has_a_page_and_its_record(built: Path, task: TaskResults) -> None:
    for entry in task.entries:
        name = entry.record.record_id
        body = json.loads((built / "cells" / f"{name}.json").read_text("utf-8"))
        assert body == json.loads(json.dumps(entry.record.to_json()))
        assert (built / "cells" / f"{name}.html").is_file()


def test_every_figure_is_valid_plotly_and_has_a_reading(built: Path) -> None:
    found = figures(built / "index.html")
    assert set(found) == {
        "quality-cost", "strips", "likelihoods", "course", "curves", "classes", "metric-pairs",
        "correlations",
    }  # fmt: skip
    for specs in found.values():
        for spec in specs.values():
            go.Figure(spec)  # raises on any unknown property or wrong value


def test_the_pareto_front_is_drawn_through_the_undominated(built: Path) -> None:
    spec = figures(built / "index.html")["quality-cost"]["fid|fit"]
    front = spec["data"][0]
    points = {t["name"]: (t["x"][0], t["y"][0]) for t in spec["data"][1:]}
    assert set(zip(front["x"], front["y"], strict=True)) == {points["gan"], points["dna"]}


def test_agreement_turns_metrics_so_that_better_is_up() -> None:
    up = Column("a", "A", "", "", None, True, False, True, "")
    down = Column("b", "B", "", "", None, False, False, False, "")
    assert agreement([1, 2, 3], [30, 20, 10], up, down) == pytest.approx(1)
    assert agreement([1, 2, 3], [10, 20, 30], up, up) == pytest.approx(1)
    assert agreement([1, 2, 3], [10, 20, 30], up, down) == pytest.approx(-1)
    assert agreement([1, 1, 1], [10, 20, 30], up, up) == 0


def test_the_csv_holds_every_generator_with_full_precision(built: Path, task: TaskResults) -> None:
    name = next((built / "data").glob("*-table.csv"))
    lines = list(csv.DictReader(io.StringIO(name.read_text("utf-8"))))
    rows = {row.name: row for row in table(task).rows}
    assert {line["generator"] for line in lines} == set(rows)
    for line in lines:
        assert float(line["fid"]) == rows[line["generator"]].values["fid"].number
    long = next((built / "data").glob("*-values.csv")).read_text("utf-8")
    assert sum(1 for _ in csv.DictReader(io.StringIO(long))) == 26 * len(fixtures.METRIC_IDS) + 1
    json.loads(next((built / "data").glob("*-table.json")).read_text("utf-8"))


def test_the_same_records_give_the_same_bytes(
    task: TaskResults, built: Path, tmp_path: Path
) -> None:
    shuffled = TaskResults(task.suite, list(reversed(task.entries)))
    build_report([shuffled], tmp_path)
    files = sorted(p.relative_to(built) for p in built.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    for name in files:
        assert (tmp_path / name).read_bytes() == (built / name).read_bytes(), name


def test_a_rebuild_removes_its_own_old_pages_and_nothing_else(
    task: TaskResults, tmp_path: Path
) -> None:
    build_report([task], tmp_path)
    (tmp_path / "cells" / "mine.html").write_text("keep")
    (tmp_path / "notes.txt").write_text("keep")
    gone = task.entries[0].record.record_id
    assert (tmp_path / "cells" / f"{gone}.html").exists()
    build_report([TaskResults(task.suite, task.entries[1:])], tmp_path)
    assert not (tmp_path / "cells" / f"{gone}.html").exists()
    assert (tmp_path / "cells" / "mine.html").exists()
    assert (tmp_path / "notes.txt").exists()


def test_a_hostile_manifest_removes_nothing_outside(task: TaskResults, tmp_path: Path) -> None:
    victim = tmp_path / "victim.html"
    victim.write_text("keep")
    out = tmp_path / "out"
    out.mkdir()
    files = {"../victim.html": "", "cells/../../victim.html": "", str(victim): ""}
    (out / "manifest.json").write_text(json.dumps({"files": files}))
    build_report([task], out)
    assert victim.read_text() == "keep"


def test_several_tasks_get_an_index_and_a_page_each(task: TaskResults, tmp_path: Path) -> None:
    out = build_report([task, fixtures.points_task(tmp_path / "p")], tmp_path / "o")
    page = read_page(out)
    pages = [a["href"] for tag, a in page.tags if tag == "a" and "standard.html" in a["href"]]
    assert pages == ["8gaussians-1_0_0-standard.html", "mnist-1_0_0-standard.html"] * 2, (
        "of the matrix and of the list below it"
    )
    assert "gan leads on FID" in page.text


def test_a_single_file_needs_no_other(task: TaskResults, tmp_path: Path) -> None:
    out = build_report([task], tmp_path, single_file=True)
    names = {p.name for p in tmp_path.rglob("*") if p.is_file()}
    assert names == {"index.html", "manifest.json"}
    for tag, attrs in read_page(out).tags:
        address = attrs.get("href") if tag == "a" else attrs.get("src")
        assert address is None or address.startswith(("#", "data:", "index.html"))


@pytest.mark.parametrize("entries", [0, 1])
def test_a_report_of_almost_nothing_is_still_a_report(tmp_path: Path, entries: int) -> None:
    few = fixtures.task(tmp_path / "r", seeds=(0,)).entries[5 : 5 + entries]
    out = build_report([TaskResults(fixtures.suite(), few)], tmp_path / "o")
    assert "MNIST digits" in read_page(out).text


def test_no_results_at_all_say_so(tmp_path: Path) -> None:
    assert "no results yet" in read_page(build_report([], tmp_path)).text


def test_a_folder_that_cannot_be_written_is_a_clear_error(
    task: TaskResults, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(StoreError, match="choose another folder"):
        build_report([task], tmp_path / "out")


def test_published_rows_stand_beside_ours_and_never_replace_them(task: TaskResults) -> None:
    gan = [
        Entry(e.record, None, published=True) for e in task.entries if e.record.generator == "gan"
    ]
    vae = [e for e in task.entries if e.record.generator == "vae"]
    beside = table(TaskResults(task.suite, [*vae, *gan]))
    assert {row.name: row.published for row in beside.generators} == {"gan": True, "vae": False}
    own = [e for e in task.entries if e.record.generator == "gan"]
    assert not any(row.published for row in table(TaskResults(task.suite, [*own, *gan])).rows)


# --- artefacts ------------------------------------------------------------------------------


def _grid(entry: Entry) -> Artifact:
    return next(a for a in entry.record.artifacts if a.role == "grid")


@pytest.fixture
def with_grid(tmp_path: Path) -> Entry:
    entries = fixtures.task(tmp_path, seeds=(0,)).entries
    return next(e for e in entries if e.record.generator == "gan")


def test_pictures_are_encoded_again_by_us(with_grid: Entry, tmp_path: Path) -> None:
    import dataclasses
    import hashlib

    assert with_grid.folder is not None
    path = with_grid.folder / "grid.png"
    data = path.read_bytes() + b"<script>trailing bytes</script>"
    path.write_bytes(data)
    art = Artifact("grid", "grid.png", hashlib.sha256(data).hexdigest(), len(data))
    entry = Entry(dataclasses.replace(with_grid.record, artifacts=(art,)), with_grid.folder)
    picture = grid_picture(entry, "grid")
    assert b"trailing" not in picture.data
    before = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    after = np.asarray(Image.open(io.BytesIO(picture.data)))
    np.testing.assert_array_equal(before, after)


def test_an_altered_artefact_is_refused(with_grid: Entry) -> None:
    assert with_grid.folder is not None
    (with_grid.folder / "grid.png").write_bytes(b"other")
    with pytest.raises(ArtefactError, match="sha256"):
        grid_picture(with_grid, "grid")


def test_a_missing_artefact_is_said_and_not_fatal(with_grid: Entry, tmp_path: Path) -> None:
    assert with_grid.folder is not None
    (with_grid.folder / "grid.png").unlink()
    out = build_report([TaskResults(fixtures.suite(), [with_grid])], tmp_path / "o")
    assert "Not shown: the file is not in this copy of the records." in read_page(out).text


def _with_grid_at(entry: Entry, path: str) -> Entry:
    artifacts = (replace(_grid(entry), path=path),)
    return replace(entry, record=replace(entry.record, artifacts=artifacts))


@pytest.mark.parametrize("path", ["../grid.png", "/etc/passwd", "a/../../x", "", "x\0y"])
def test_paths_that_leave_the_folder_are_refused(with_grid: Entry, path: str) -> None:
    with pytest.raises(ArtefactError, match="leaves the folder"):
        read(_with_grid_at(with_grid, path), "grid")


def test_links_are_refused(with_grid: Entry) -> None:
    assert with_grid.folder is not None
    (with_grid.folder / "link.png").symlink_to("grid.png")
    with pytest.raises(ArtefactError, match="link"):
        read(_with_grid_at(with_grid, "link.png"), "grid")


# --- hostile records ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evil_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evil")
    return build_report([evil_task(folder / "results")], folder / "report").parent


def test_hostile_records_become_text(evil_site: Path) -> None:
    for path in sorted(evil_site.rglob("*.html")):
        page = read_page(path)
        for tag, attrs in page.tags:
            assert tag not in {"iframe", "object", "embed", "link", "base", "b"}, path
            assert not any(name.startswith("on") or name == "autofocus" for name in attrs), path
            for name in ("href", "src"):
                value = attrs.get(name) or ""
                assert re.fullmatch(
                    r"(#|cells/|data/|images/|rows/|\.\./|index|[0-9A-Za-z._-]+\.)[^:]*|", value
                )
        for attrs, body in page.scripts:
            if attrs.get("type") == "application/json":
                json.loads(body)
            assert "window.pwned" not in body or attrs.get("type") == "application/json"
    text = read_page(evil_site / "index.html").text
    assert "<script>window.pwned=1</script>" in text
    assert "{{ 7*7 }}" in text
    assert "\\u202e" in text
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_hostile_names_stay_in_the_folder(evil_site: Path) -> None:
    top = {p.name for p in evil_site.parent.iterdir()}
    assert top == {"results", "report"}
    for path in evil_site.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,120}", path.name)


def test_only_our_scripts_may_run(evil_site: Path) -> None:
    import base64
    import hashlib

    for path in sorted(evil_site.rglob("*.html")):
        page = read_page(path)
        policy = next(a["content"] for t, a in page.tags if a.get("http-equiv"))
        assert policy is not None
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "script-src 'unsafe-inline'" not in policy
        assert "http" not in policy
        hashes = set(re.findall(r"'sha256-([^']+)'", policy))
        run = [b for a, b in page.scripts if a.get("type") != "application/json"]
        found = {base64.b64encode(hashlib.sha256(b.encode()).digest()).decode() for b in run}
        assert found == hashes


def strings(value: object) -> Iterator[str]:
    """Every text in a figure, but for the templates that are our own."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("hovertemplate", "texttemplate"):
                yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def test_hostile_labels_reach_plotly_escaped_and_short(evil_site: Path) -> None:
    found = figures(evil_site / "index.html")
    panels = {"augmentation", "imbalance", "robustness", "replacement", "history", "classes",
              "course", "curves"}  # fmt: skip
    assert panels <= set(found)
    for specs in found.values():
        for spec in specs.values():
            for text in strings(spec):
                assert "<" not in text
                assert len(text) < 400


def test_spreadsheets_do_not_run_exports(evil_site: Path) -> None:
    for path in (evil_site / "data").glob("*.csv"):
        for line in csv.reader(io.StringIO(path.read_text("utf-8"))):
            for value in line:
                number = re.fullmatch(r"-?[0-9.e+-]+", value)
                assert number or not value.startswith(("=", "+", "-", "@"))


# --- text -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.000"), (12.3456, "12.35"), (3864.2, "3864"), (-0.5, "−0.5000"),
     (1.2345e-6, "1.23×10⁻⁶"), (float("nan"), "—"), (None, "—"), (2.5e7, "2.50×10⁷")],
)  # fmt: skip
def test_numbers_have_significant_digits(value: float | None, shown: str) -> None:
    assert text_module.number(value) == shown


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [(5.3412, 0.161, ("5.34", "0.16")), (0.74702, 0.0037, ("0.747", "0.004")),
     (242.3, 15.1, ("242", "15")), (5.0, None, ("5.000", "")), (0.0, 2.1e-6, ("0", "2.1×10⁻⁶")),
     (-0.00123, 0.0002, ("−0.00123", "0.00020"))],
)  # fmt: skip
def test_values_carry_the_digits_their_error_leaves(
    value: float, half: float | None, shown: tuple[str, str]
) -> None:
    assert text_module.with_error(value, half) == shown


def test_islands_cannot_end_their_script() -> None:
    island = text_module.island({"name": "</script><!--", "u": "\u2028"})
    assert "<" not in island
    assert "\u2028" not in island
    assert json.loads(island) == {"name": "</script><!--", "u": "\u2028"}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_slugs_are_safe_and_distinct(payload: str) -> None:
    slug = text_module.slug(payload)
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,79}", slug)
    assert ".." not in slug
    assert slug != text_module.slug(payload + " ")


def test_a_metric_that_no_version_knows_is_shown_unranked(tmp_path: Path) -> None:
    cell = fixtures.cell_of("mine", "gan", 0)
    odd = fixtures.record("01ODD", cell, metrics={"mystery": MetricValue("ok", 1.0)})
    found = table(TaskResults(fixtures.suite(), [Entry(odd)]))
    assert found.rows[0].values["mystery"].text == "1.000"
    assert found.rows[0].values["mystery"].rank == ""
    assert found.rows[0].values["fid"].status == "missing"


@pytest.mark.slow
def test_many_records_make_one_page_of_modest_size(tmp_path: Path) -> None:
    task = fixtures.task(tmp_path / "r", seeds=tuple(range(30)))
    out = build_report([task], tmp_path / "o")
    assert len(list((tmp_path / "o" / "cells").glob("*.html"))) == len(task.entries)
    assert out.stat().st_size < 6_000_000


def test_a_badge_says_who_leads(task: TaskResults, tmp_path: Path) -> None:
    build_report([task], tmp_path, badge=True)
    (badge,) = (tmp_path / "data").glob("*-badge.svg")
    text = " ".join(ElementTree.parse(badge).getroot().itertext()).split()
    best = table(task).placed[0]
    assert best.name in text
    assert best.values[table(task).columns[0].id].text in text
    build_report([task], tmp_path)
    assert not badge.exists(), "a report without a badge leaves none of an earlier one"


def test_a_badge_of_hostile_records_is_still_only_text(tmp_path: Path) -> None:
    build_report([evil_task(tmp_path / "records")], tmp_path / "out", badge=True)
    (badge,) = (tmp_path / "out" / "data").glob("*-badge.svg")
    root = ElementTree.parse(badge).getroot()
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert names == {"svg", "title", "rect", "g", "text"}
    assert not any(a.startswith("on") or "href" in a for e in root.iter() for a in e.attrib)
    assert int(root.attrib["width"]) < 1000
