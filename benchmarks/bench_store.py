"""What many records and many cells cost: listing 10,000 records, and the parent over 200 cells.

    python -m benchmarks.bench_store [--records N] [--cells N]

The records are copies of one real record under new ids. The memory is that of the process that
starts the workers (resident, MiB), read every 0.2 s while a run of `--cells` seeds goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil

from genbench.results.store import Store, new_ulid, read_record

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
RUN = ("run", "--suite", str(TESTS / "tiny.toml"), "--plugin", str(TESTS / "plugins" / "normal.py"))
MAIN = "from genbench.cli import main; main()"
PER_CELL = 20
MIB = 1 << 20


def genbench(*words: str) -> list[str]:
    """The command line in a process of its own."""
    return [sys.executable, "-c", MAIN, *words]


def listing(records: int, folder: Path) -> None:
    """Seconds to list `records` records, in this process and by ``genbench status``."""
    subprocess.run(
        genbench(*RUN, "-g", "normal", "--no-report", "--results", str(folder)),
        check=True,
        capture_output=True,
    )
    (original,) = folder.glob("*/normal~*/seed-0/*/record.json")
    record = replace(read_record(original), artifacts=())
    cell = original.parent.parent.parent
    for seed in range(1, records // PER_CELL + 1):
        for _ in range(PER_CELL):
            made = replace(record, record_id=new_ulid(), cell={**record.cell, "seed": seed})
            home = cell / f"seed-{seed}" / made.record_id
            home.mkdir(parents=True)
            # As `write_record`, without waiting for the disk ten thousand times.
            (home / "record.json").write_text(json.dumps(made.to_json()))
    start = time.perf_counter()
    store = Store(folder)
    found = sum(len(store.records(task)) for task in store.task_folders())
    assert found >= records
    print(f"{f'{found:,} records listed, s':<48} {time.perf_counter() - start:8.3f}", flush=True)
    start = time.perf_counter()
    subprocess.run(genbench("status", str(folder)), check=True, capture_output=True)
    print(f"{'genbench status of them, s':<48} {time.perf_counter() - start:8.3f}", flush=True)


def parent(cells: int, folder: Path) -> None:
    """Memory of the parent after the first tenth of the cells and at the end."""
    seeds = ",".join(map(str, range(cells)))
    words = genbench(*RUN, "-g", "normal", "--seeds", seeds, "--no-report")
    run = subprocess.Popen(
        [*words, "--results", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    seen = []
    process, start = psutil.Process(run.pid), time.perf_counter()
    while run.poll() is None:
        try:
            done = sum(1 for _ in folder.glob("*/normal~*/seed-*/*/record.json"))
            seen.append((done, process.memory_info().rss / MIB))
        except psutil.Error:
            break
        time.sleep(0.2)
    if run.wait() != 0:
        raise SystemExit(f"the run ended with {run.returncode}")
    early = max(rss for done, rss in seen if done <= cells // 10)
    # The table at the end reads all records: that is not the run's growth.
    late = max(rss for done, rss in seen if cells - cells // 10 < done < cells)
    print(f"{f'parent after the first {cells // 10} cells, MiB':<48} {early:8.1f}")
    print(f"{f'parent in the last {cells // 10} of {cells} cells, MiB':<48} {late:8.1f}")
    print(f"{'seconds a cell':<48} {(time.perf_counter() - start) / cells:8.3f}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--cells", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        listing(given.records, Path(folder) / "many")
        parent(given.cells, Path(folder) / "long")


if __name__ == "__main__":
    main()
