"""What a report of many records costs: 1,000 records over 50 generators.

    python -m benchmarks.bench_report [--generators 50] [--seeds 20] [--profile]

Prints the seconds and CPU seconds of building it, alone and again over itself, the size of its
index page, the most memory of a process and, where Playwright and Chromium are installed, how soon
that page is painted and usable and how long a sort of 1,000 rows takes. The records are made up,
with curves, logs, sample grids and downstream details like those of a real run.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from genbench.metrics.values import MetricValue
from genbench.report.writing import Entry, TaskResults, build_report
from tests import report_downstream as downstream
from tests import report_fixtures as fixtures

GENERATORS, SEEDS = 50, 20
FAMILIES = ("gan", "vae", "flow", "denoising")
VISITS = 3

# Until the rows are in their new order, and until the browser has laid them out.
_SORTED = """(th) => {
  const start = performance.now();
  th.querySelector('button').click();
  const ordered = performance.now();
  document.body.getBoundingClientRect();
  return [ordered - start, performance.now() - start];
}"""
_FILLED = """(body) => {
  const rows = [...body.rows];
  for (let i = rows.length; i < 1000; i++) {
    const row = rows[i % rows.length].cloneNode(true);
    row.cells[2].dataset.v = String((i * 7919) % 1000);
    body.append(row);
  }
  document.body.getBoundingClientRect();
}"""


def entries(folder: Path, generators: int = GENERATORS, seeds: int = SEEDS) -> list[Entry]:
    """The records; the cells of a generator differ in their values by seed."""
    made = []
    for index in range(generators):
        family = FAMILIES[index % len(FAMILIES)]
        for seed in range(seeds):
            name = f"{family}-{index:02d}"
            home = folder / name / f"{seed}"
            home.mkdir(parents=True)
            (home / "log.txt").write_text(f"fit {name} with seed {seed}\n" * 20, "utf-8")
            metrics = {
                key: fixtures.metric(key, 5.0 + index / 3, seed) for key in fixtures.METRIC_IDS
            }
            metrics |= {
                key: MetricValue("ok", 2.0 + index / 9, std_error=0.5, details=details)
                for key, details in downstream.DETAILS.items()
            }
            record = fixtures.record(
                f"01J{index:03d}S{seed:03d}" + "0" * 16,
                fixtures.cell_of(name, family, seed, likelihood="exact"),
                metrics=metrics,
                curves=fixtures.curves(family, seed),
                artifacts=(
                    fixtures._artifact(home, "log", "log.txt"),
                    *fixtures.grids(home, name, seed),
                ),
            )
            made.append(Entry(record, home))
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generators", type=int, default=GENERATORS, help="how many there are")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="records of each of them")
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = entries(Path(folder) / "results", asked.generators, asked.seeds)
        task = TaskResults(fixtures.suite(), made)
        out = Path(folder) / "site"
        profiler = cProfile.Profile()
        if asked.profile:
            profiler.enable()
        for what in ("built", "renewed"):
            start, cpu = time.perf_counter(), time.process_time()
            page = build_report([task], out)
            took = f"{time.perf_counter() - start:6.2f} s, {time.process_time() - cpu:6.2f} s CPU"
            print(f"{len(task.entries):,} records {what:<8} {took}", flush=True)
            if asked.profile:
                break
        profiler.disable()
        print(f"index page {page.stat().st_size / 1e6:.2f} MB, most memory {peak_megabytes()} MB")
        if asked.profile:
            pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)
        else:
            in_browser(page)


def peak_megabytes() -> int:
    """The most resident memory of this process or of one that it forked, records included."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024  # of what the system tells
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) * unit // 1_000_000


def in_browser(page: Path) -> None:
    """Open the page from disk a few times, and print the median of each time."""
    chromium = shutil.which("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print("not opened: Playwright or Chromium is not installed")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        visits = [_visit(browser, page) for _ in range(VISITS)]
        browser.close()
    for what in visits[0]:
        found = [visit[what] for visit in visits]
        print(f"{what:<44} {statistics.median(found):7.1f} ms (worst {max(found):.1f})")


def _visit(browser: Any, path: Path) -> dict[str, float]:
    """Milliseconds from the start of navigation, and of two sorts, in a fresh context."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    loaded = page.evaluate(
        """async () => {
          const [navigation] = performance.getEntriesByType('navigation');
          let paint;
          while (!(paint = performance.getEntriesByName('first-contentful-paint')[0]))
            await new Promise((done) => setTimeout(done, 10));
          return [paint.startTime, navigation.domContentLoadedEventEnd];
        }"""
    )
    cells = page.locator("section[id$=-cells]")
    if cells.locator("details").first.get_attribute("open") is None:
        cells.locator("details summary").first.click()
    count = cells.locator("tbody tr").count()
    rows = f"sort of the {count:,} cells"
    sorted_cells = cells.locator("th[data-col=p]").evaluate(_SORTED)
    page.locator("table.results tbody").first.evaluate(_FILLED)
    sorted_rows = page.locator("table.results th[data-col=fid]").evaluate(_SORTED)
    context.close()
    return {
        "first paint": loaded[0],
        "usable table (all scripts run)": max(loaded),
        rows: sorted_cells[0],
        f"{rows}, laid out": sorted_cells[1],
        "sort of the table filled to 1,000 rows": sorted_rows[0],
        "sort of the table filled to 1,000, laid out": sorted_rows[1],
    }


if __name__ == "__main__":
    main()
