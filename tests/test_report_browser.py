"""The report in a real browser, from disk: it works, asks nobody for anything, and runs nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genbench.metrics.values import Interval, MetricValue
from genbench.report.writing import Entry, TaskResults, build_report
from genbench.results.aggregation import summarize
from genbench.results.differences import difference
from tests import report_fixtures as fixtures
from tests.report_downstream import everything
from tests.report_evil import evil_task
from tests.report_shelf import shelf_task

CHROMIUM = shutil.which("chromium")
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    return build_report([everything(folder / "results")], folder / "report").parent


@pytest.fixture(scope="module")
def suites_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suites")
    tasks = [fixtures.task(folder / "a", (0,)), fixtures.points_task(folder / "b")]
    return build_report(tasks, folder / "report").parent


@pytest.fixture(scope="module")
def shelf_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shelf")
    return build_report([shelf_task(folder / "results")], folder / "report").parent


@pytest.fixture(scope="module")
def evil_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evil")
    return build_report([evil_task(folder / "results")], folder / "report").parent


class Visit:
    """A page and all that it said and asked for."""

    def __init__(self, browser: Any, path: Path, fragment: str = "", **options: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1440, "height": 900}, **options}
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri() + fragment)

    def through(self) -> None:
        """Scroll to the end, so that everything lazy is drawn."""
        height = self.page.evaluate("document.body.scrollHeight")
        for y in range(0, height, 600):
            self.page.evaluate(f"window.scrollTo(0, {y})")
            self.page.wait_for_timeout(30)
        count = self.page.locator("[data-figure]").count()
        self.until(f"document.querySelectorAll('[data-drawn]').length === {count}")
        self.page.evaluate("window.scrollTo(0, 0)")

    def until(self, condition: str, seconds: int = 30) -> None:
        """Wait for a condition; Playwright's own way evaluates text, which the policy forbids."""
        for _ in range(20 * seconds):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"not within {seconds} s: {condition}")

    def columns(self, which: str = "") -> list[str]:
        """Columns of the table from left to right."""
        heads = self.page.locator(f"table.results .heads th[data-col]{which}")
        return [str(head.get_attribute("data-col")) for head in heads.all()]

    def names(self, body: str = "tbody:first-of-type") -> list[str]:
        """Names of the visible rows of a part of the table, top to bottom."""
        rows = self.page.locator(f"table.results {body} tr[data-row]:visible .name")
        return [text.strip() for text in rows.all_inner_texts()]


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    opened: list[Visit] = []

    def _visit(path: Path, fragment: str = "", **options: Any) -> Visit:
        opened.append(Visit(browser, path, fragment, **options))
        return opened[-1]

    yield _visit
    for one in opened:
        one.context.close()


def test_every_page_opens_without_complaint_or_request(visit: Any, site: Path) -> None:
    pages = [site / "index.html", *sorted((site / "cells").glob("*.html"))[::9]]
    for path in pages:
        found = visit(path)
        if path.name == "index.html":
            found.through()
        assert found.complaints == []
        assert all(url.startswith((site.as_uri(), "data:", "blob:")) for url in found.requests)


def test_every_variant_of_every_figure_draws(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.through()
    for figure in found.page.locator("[data-figure]").all():
        for choice in figure.locator("select").all():
            for option in choice.locator("option").all():
                choice.select_option(option.get_attribute("value"))
        assert figure.locator("svg.main-svg").count() >= 1
    assert found.complaints == []


def test_columns_sort_with_missing_values_last(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    assert found.names() == ["gan", "flow", "vae"]
    header = found.page.locator("table.results th[data-col=nll] button")
    header.click()
    assert found.names() == ["flow", "vae", "gan"]
    assert found.page.locator("th[data-col=nll]").get_attribute("aria-sort") == "ascending"
    header.click()
    assert found.names() == ["vae", "flow", "gan"]
    found.page.locator("table.results th[data-col=name] button").press("Enter")
    assert found.names() == ["flow", "gan", "vae"]


def test_higher_is_better_sorts_downwards_first(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.page.locator(".groups [data-group=quality] button").click()
    found.page.locator("table.results th[data-col=precision] button").click()
    assert found.names() == ["gan", "flow", "vae"]


def test_filters_and_sort_live_in_the_address(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.page.fill("input[type=search]", "vae")
    assert found.names() == ["vae"]
    assert found.page.locator(".shown").inner_text() == "1 of 9 rows"
    found.page.fill("input[type=search]", "")
    found.page.select_option("[data-filter=family]", "flow")
    assert found.names() == ["flow"]
    found.page.click("[data-reset]")
    found.page.locator("details.filters summary").click()
    found.page.locator("[data-filter=controls]").uncheck()
    assert found.page.locator("details.filters summary").inner_text() == "More filters (1)"
    found.page.locator("table.results th[data-col=recall] button").click()
    fragment = found.page.evaluate("location.hash")
    again = visit(site / "index.html", fragment)
    assert again.names("tbody.controls") == []
    assert again.page.locator("th[data-col=recall]").get_attribute("aria-sort") == "descending"
    assert again.complaints == []


@pytest.mark.parametrize("part", ["figures", "samples", "cells"])
def test_a_link_to_a_part_of_the_page_leads_there_and_stays(
    visit: Any, site: Path, part: str
) -> None:
    fragment = f"#mnist-1_0_0-standard-{part}"
    found = visit(site / "index.html", fragment)
    there = f"""(() => {{
      const top = document.querySelector('{fragment}').getBoundingClientRect().top;
      const end = scrollY + innerHeight >= document.documentElement.scrollHeight - 1;
      return scrollY > 0 && (Math.abs(top - 16) < 2 || (end && top > 0 && top < innerHeight));
    }})()"""
    found.until(there)
    found.page.wait_for_timeout(1000)
    assert found.page.evaluate(there), "figures drawn above it pushed it away"
    assert found.page.evaluate("location.hash") == fragment
    assert found.complaints == []


def test_a_reader_who_scrolls_is_not_pulled_back_to_the_link(visit: Any, site: Path) -> None:
    found = visit(site / "index.html", "#mnist-1_0_0-standard-samples")
    found.until("scrollY > 1000")
    found.page.mouse.wheel(0, -400)
    found.page.wait_for_timeout(600)
    before = found.page.evaluate("scrollY")
    found.page.evaluate("document.body.append(document.createElement('p'), 'something drawn late')")
    found.page.wait_for_timeout(300)
    assert abs(found.page.evaluate("scrollY") - before) < 5


def test_drawing_a_figure_moves_nothing_below_it(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    cells = "document.querySelector('#mnist-1_0_0-standard-cells').offsetTop"
    before = found.page.evaluate(cells)
    found.through()
    assert abs(found.page.evaluate(cells) - before) <= 60


def test_the_address_changes_once_per_key_and_not_by_itself(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.page.evaluate(
        """() => {
          window.calls = 0;
          const before = history.replaceState.bind(history);
          history.replaceState = (...words) => { window.calls += 1; before(...words); };
        }"""
    )
    found.page.locator("input[type=search]").press_sequentially("vae")
    assert found.page.evaluate("window.calls") == 3
    found.page.click("[data-reset]")
    found.page.click("[data-reset]")
    assert found.page.evaluate("window.calls") == 4
    assert found.page.evaluate("location.hash") == ""


def test_reasons_for_no_rank_open_by_keyboard(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    why = found.page.locator("details.unranked-why")
    assert "dna: incomplete" in why.inner_text()
    why.locator("summary").press("Enter")
    assert not why.locator("li").first.is_visible()
    why.locator("summary").press("Enter")
    assert why.locator("li").first.is_visible()


def test_complete_only_hides_rows_that_miss_seeds(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    assert found.names("tbody.unranked") == ["dna"]
    found.page.locator("details.filters summary").press("Enter")
    found.page.locator("[data-filter=complete]").check()
    assert found.names("tbody.unranked") == []


def test_columns_can_be_hidden(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.page.locator("details.columns summary").click()
    found.page.locator("[data-id=recall]").uncheck()
    found.page.locator("[data-id=kid]").check()
    assert not found.page.locator("th[data-col=recall]").is_visible()
    assert found.page.locator("th[data-col=kid]").is_visible()
    again = visit(site / "index.html", found.page.evaluate("location.hash"))
    assert not again.page.locator("th[data-col=recall]").is_visible()
    assert again.page.locator("th[data-col=kid]").is_visible()
    again.page.locator("details.columns summary").click()
    again.page.click("[data-show=all]")
    assert again.page.locator("table.results th[data-col]:visible").count() == len(again.columns())
    every = visit(site / "index.html", again.page.evaluate("location.hash"))
    assert every.page.locator("table.results th[data-col]:visible").count() == len(again.columns())


def test_groups_of_columns_open_close_and_are_remembered(visit: Any, shelf_site: Path) -> None:
    found = visit(shelf_site / "index.html")
    first = ["name", "rank", "fid", "fit_core_s", "recall"]
    assert found.columns(":visible")[:5] == first, "rank, primary metric and cost come first"
    assert found.columns(":visible")[-1] == "status"
    closed = len(found.columns(":visible"))
    root = "document.querySelector('.scroll.main')"
    assert found.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), "all is seen at once"
    quality = found.page.locator(".groups [data-group=quality] button")
    assert quality.get_attribute("aria-expanded") == "false"
    quality.press("Enter")
    assert quality.get_attribute("aria-expanded") == "true"
    assert "kid" in found.columns(":visible")
    edges = """() => {
      const box = (e) => e.getBoundingClientRect();
      const heads = [...document.querySelectorAll('.heads th[data-group=quality]')].map(box);
      const group = box(document.querySelector('.groups [data-group=quality]'));
      return [group.left - heads[0].left, group.right - heads.at(-1).right].map(Math.abs);
    }"""
    assert max(found.page.evaluate(edges)) < 1, "the heading stands over its columns"
    found.page.goto((shelf_site / "index.html").as_uri())
    assert "kid" in found.columns(":visible"), "it was opened on an earlier visit"
    assert found.page.evaluate("location.hash") == ""
    quality.click()
    assert len(found.columns(":visible")) == closed
    assert found.complaints == []


def test_groups_work_where_storage_does_not(visit: Any, shelf_site: Path) -> None:
    found = visit(shelf_site / "index.html")
    found.page.add_init_script(
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('off'); }})"
    )
    found.page.goto((shelf_site / "index.html").as_uri())
    found.page.locator(".groups [data-group=use] button").click()
    assert "robust_accuracy" in found.columns(":visible")
    found.page.click("[data-reset]")
    assert "robust_accuracy" not in found.columns(":visible")
    assert found.complaints == []


def test_a_name_leads_to_the_row_and_back(visit: Any, shelf_site: Path) -> None:
    found = visit(shelf_site / "index.html")
    found.page.locator(".who a", has_text="ddpm").click()
    assert found.page.locator("h1").inner_text() == "ddpm"
    found.through()
    images = found.page.locator(".gallery img")
    assert all(i.evaluate("image => image.naturalWidth") > 0 for i in images.all())
    found.page.locator("a[rel=next]").click()
    assert found.page.locator("h1").inner_text() != "ddpm"
    found.page.locator(".crumbs a").click()
    assert found.page.locator("table.results").is_visible()
    assert found.complaints == []


def test_two_rows_compare_by_paired_seeds(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.page.select_option("[data-compare=a]", label="gan")
    found.page.select_option("[data-compare=b]", label="vae")
    lines = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts()
        for row in found.page.locator(".compared tbody tr").all()
    }
    assert lines["FID (mnist-cnn)"][-2:] == ["A better", "paired over 3 seeds"]
    assert lines["NLL [bits/dim]"][-2] == "not comparable"
    task = fixtures.task(site.parent / "again")
    values = {
        name: [e.record.metrics["fid"].value for e in task.entries if e.record.generator == name]
        for name in ("gan", "vae")
    }
    differences = [a - b for a, b in zip(values["gan"], values["vae"], strict=True)]
    mean = sum(differences) / 3
    half = 4.303 * (sum((d - mean) ** 2 for d in differences) / 2 / 3) ** 0.5
    low, high = (float(x) for x in lines["FID (mnist-cnn)"][3].split(" … "))
    assert low == pytest.approx(mean - half, rel=1e-3)
    assert high == pytest.approx(mean + half, rel=1e-3)


def test_compare_agrees_with_the_ranking_where_seeds_do_not_pair(
    visit: Any, tmp_path: Path
) -> None:
    def value(number: float) -> MetricValue:
        return MetricValue("ok", number, Interval(number - 2, number + 2), 0.9, signature="fid")

    seeds = {"flat": [50.0] * 3, "level": [58.0] * 3, "two": [51.0, 57.0], "three": [40, 44, 45]}
    records = {
        name: [
            fixtures.record(
                f"01{name}{seed}",
                fixtures.cell_of(name, "gan", seed),
                metrics={"fid": value(float(number))},
            )
            for seed, number in enumerate(numbers)
        ]
        for name, numbers in seeds.items()
    }
    entries = [Entry(r) for group in records.values() for r in group]
    build_report([TaskResults(fixtures.suite(), entries)], tmp_path)
    found = visit(tmp_path / "index.html")
    for a, b, how in (
        ("flat", "level", "sampling error only"),
        ("flat", "two", "sampling error only"),
        ("three", "two", "Welch over 3 and 2 seeds"),
    ):
        found.page.select_option("[data-compare=a]", label=a)
        found.page.select_option("[data-compare=b]", label=b)
        line = found.page.locator(".compared tbody tr").first.locator("td").all_inner_texts()
        told = difference(summarize(records[a], "fid"), summarize(records[b], "fid"))
        assert told.interval is not None
        ends = [float(x) for x in line[3].split(" … ")]
        assert ends == pytest.approx([told.interval.low, told.interval.high], rel=1e-3)
        assert line[4] == ("A better" if told.significant else "no clear difference")
        assert line[5] == how
    assert found.complaints == []


def test_a_failed_cell_can_be_reached_and_read(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.page.locator("section[id$=failures] a").first.click()
    assert "Why it failed" in found.page.inner_text("main")
    found.page.locator(".crumbs a").first.click()
    assert found.page.locator("table.results").is_visible()


def test_a_picture_is_enlarged_and_closed(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.page.locator("a.zoom").first.click()
    dialog = found.page.locator("dialog")
    assert dialog.is_visible()
    assert dialog.locator("img").evaluate("image => image.naturalWidth") > 0
    found.page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_figures_download_as_svg_and_csv(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.through()
    figure = found.page.locator("[data-figure=quality-cost]")
    for kind, start in (("svg", b"<svg"), ("csv", b"generator,"), ("png", b"\x89PNG")):
        with found.page.expect_download() as download:
            figure.locator(f"[data-save={kind}]").click()
        assert Path(download.value.path()).read_bytes().startswith(start)
    assert found.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_overflows_and_axe_finds_nothing(
    visit: Any, site: Path, shelf_site: Path, suites_site: Path, width: int, scheme: str
) -> None:
    pages = [site / "index.html", site / "cells" / "01J08SEED02000000000000000.html"]
    pages += [*(shelf_site / "rows").glob("*-vae.html")]
    if scheme == "light":  # the same colours, so once is enough
        pages += [suites_site / "index.html", suites_site / "8gaussians-1_0_0-standard.html"]
    for path in pages:
        found = visit(path, viewport={"width": width, "height": 844}, color_scheme=scheme)
        if found.page.locator("[data-figure]").count():
            found.through()
        root = "document.documentElement"
        assert found.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0, path
        found.page.evaluate(AXE.read_text("utf-8"))
        result = found.page.evaluate("axe.run({exclude: ['.js-plotly-plot']})")
        assert len(result["passes"]) > 10
        assert [
            (v["id"], [n["html"][:160] for n in v["nodes"]][:3]) for v in result["violations"]
        ] == [], path


def test_the_downstream_panels_and_history_are_drawn(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    found.through()
    for name in ("replacement", "augmentation", "imbalance", "robustness", "history"):
        figure = found.page.locator(f"[data-figure={name}]")
        assert figure.locator("svg.main-svg").count() >= 1
    notes = found.page.locator("[data-figure=augmentation] ul.reading li").all_inner_texts()
    assert "flow: left out: flow was trained on other data too." in notes
    marks = found.page.locator("tbody.controls .copying").all_inner_texts()
    assert marks == ["copies training rows"]


def test_without_javascript_tables_samples_and_details_are_there(visit: Any, site: Path) -> None:
    found = visit(site / "index.html", java_script_enabled=False)
    assert found.page.locator("table.results tr[data-row]:visible").count() == 9
    assert found.columns(":visible") == found.columns(), "no group is closed"
    assert found.page.locator(".gallery img:visible").count() >= 4
    assert found.page.locator(".js-only:visible").count() == 0
    details = found.page.locator("[data-figure=strips] details")
    details.locator("summary").click()
    assert details.locator("table").is_visible()
    found.page.locator(".who a", has_text="gan").first.click()
    assert found.page.locator("table.scores").is_visible()


def test_a_single_file_works_alone(visit: Any, tmp_path: Path) -> None:
    tasks = [fixtures.task(tmp_path / "a", seeds=(0, 1)), fixtures.points_task(tmp_path / "b")]
    build_report(tasks, tmp_path / "o", single_file=True)
    alone = tmp_path / "alone.html"
    shutil.copy(tmp_path / "o" / "index.html", alone)
    found = visit(alone)
    found.through()
    images = found.page.locator(".samples img:visible")
    assert images.count() > 0
    assert all(i.evaluate("image => image.naturalWidth") > 0 for i in images.all())
    assert found.complaints == []
    found.page.locator("a.seed").first.click()
    assert found.page.locator("details.inline-cell[open]").count() == 1
    found.page.locator(".who a", has_text="vae").first.click()
    assert found.page.locator("details.inline-cell[open] table.scores").is_visible()


def test_hostile_records_run_nothing_and_ask_for_nothing(visit: Any, evil_site: Path) -> None:
    pages = [evil_site / "index.html", *sorted((evil_site / "cells").glob("*.html"))[::3]]
    pages += sorted((evil_site / "rows").glob("*.html"))[::4]
    for path in pages:
        found = visit(path, viewport={"width": 390, "height": 844})
        if path.name == "index.html":
            found.through()
            for choice in found.page.locator("[data-figure] select").all():
                choice.select_option(index=choice.locator("option").count() - 1)
            assert "<script>window.pwned=1</script>" in found.page.inner_text("table.results")
        root = "document.documentElement"
        assert found.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth") == 0, path
        assert found.page.evaluate("window.pwned") is None
        assert found.complaints == []
        assert all(u.startswith((evil_site.as_uri(), "data:", "blob:")) for u in found.requests)
        links = found.page.locator("a").evaluate_all("all => all.map(a => a.href)")
        assert all(u.startswith((evil_site.as_uri(), "data:")) for u in links)
        found.context.close()


def test_a_thousand_rows_are_sorted(visit: Any, site: Path) -> None:
    found = visit(site / "index.html")
    values = found.page.evaluate(
        """() => {
          const body = document.querySelector('table.results tbody');
          const first = body.rows[0];
          for (let i = 0; i < 1000; i++) {
            const row = first.cloneNode(true);
            row.cells[2].dataset.v = String((i * 7919) % 1000);
            body.append(row);
          }
          document.querySelector('th[data-col=fid] button').click();
          return [...body.rows].map(row => parseFloat(row.cells[2].dataset.v)).filter(isFinite);
        }"""
    )
    assert len(values) > 1000
    assert values in (sorted(values), sorted(values, reverse=True))
