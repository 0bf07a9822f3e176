"""What a report of many records costs: 1,000 records over 50 generators.

    python -m benchmarks.bench_report [--profile]

Prints the seconds and CPU seconds of building it, alone and again over itself, and the size of its
index page. The records are made up, with curves, logs and sample grids like those of a real run.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

from genbench.report import Entry, TaskResults, build_report
from tests import report_fixtures as fixtures

GENERATORS, SEEDS = 50, 20
FAMILIES = ("gan", "vae", "flow", "denoising")


def entries(folder: Path) -> list[Entry]:
    """The records; the cells of a generator differ in their values by seed."""
    made = []
    for index in range(GENERATORS):
        family = FAMILIES[index % len(FAMILIES)]
        for seed in range(SEEDS):
            name = f"{family}-{index:02d}"
            home = folder / name / f"{seed}"
            home.mkdir(parents=True)
            (home / "log.txt").write_text(f"fit {name} with seed {seed}\n" * 20, "utf-8")
            record = fixtures.record(
                f"01J{index:03d}S{seed:03d}" + "0" * 16,
                fixtures.cell_of(name, family, seed, likelihood="exact"),
                metrics={
                    key: fixtures.metric(key, 5.0 + index / 3, seed) for key in fixtures.METRIC_IDS
                },
                curves=fixtures._curves(family, seed),
                artifacts=(
                    fixtures._artifact(home, "log", "log.txt"),
                    *fixtures._grids(home, name, seed),
                ),
            )
            made.append(Entry(record, home))
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    profile = parser.parse_args().profile
    with tempfile.TemporaryDirectory() as folder:
        task = TaskResults(fixtures.suite(), entries(Path(folder) / "results"))
        out = Path(folder) / "site"
        profiler = cProfile.Profile()
        if profile:
            profiler.enable()
        for what in ("built", "renewed"):
            start, cpu = time.perf_counter(), time.process_time()
            page = build_report([task], out)
            took = f"{time.perf_counter() - start:6.2f} s, {time.process_time() - cpu:6.2f} s CPU"
            print(f"{len(task.entries):,} records {what:<8} {took}", flush=True)
            if profile:
                break
        profiler.disable()
        print(f"index page {page.stat().st_size / 1e6:.2f} MB")
        if profile:
            pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)


if __name__ == "__main__":
    main()
