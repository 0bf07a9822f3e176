"""Many cells elsewhere: planning them, and working on them through a shared folder.

    python -m benchmarks.bench_queue [--plan N] [--cells N] [--moments N] [--workers N]

Planning is of one generator at so many seeds, into an empty folder and into one that holds a record
of each: CPU seconds, and the memory of the process that plans. The cells are of a generator that
fits in no time; `--workers` processes of ``genbench work`` share them, and what is told is the CPU
time of a cell here less that of a cell of a plain run (`--executor local`), all processes counted.
The `--moments` are cells that are over at once, a forked process that writes a record: what is left
is the queue alone, with the order and the collection of its cells. Calls of the file system are all
that ``strace`` sees of one worker below the results folder, for `TRACED` such cells.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genbench.plugins.probing import Prober
from genbench.plugins.selection import choose
from genbench.results.store import Store, new_ulid, read_record
from genbench.running.cells import Cell
from genbench.running.planning import RunOptions, plan_cells
from genbench.tasks.suite import load_suite

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent / "tests"
TINY, PLUGIN = str(TESTS / "tiny.toml"), str(TESTS / "plugins" / "normal.py")
RUN = ("run", "--suite", TINY, "--plugin", PLUGIN, "--no-controls", "--no-report")
MAIN = "from genbench.cli import main; main()"
# As `tests.queue_worker`, whose cells last no time here.
MOMENT = """
import sys
from pathlib import Path
from genbench.running.queue.work import Share, work
from tests import queue_worker
queue_worker.LONGEST_SECONDS = 0
forks = queue_worker.Moments()
sys.exit(work(Path(sys.argv[1]), jobs=1, device="cpu", share=Share(), forks=forks, say=print))
"""
LOCAL_CELLS = 20
TRACED = 20
MIB = 1 << 20


def genbench(*words: object) -> list[str]:
    """The command line in a process of its own."""
    return [sys.executable, "-c", MAIN, *map(str, words)]


def calls_below(folder: Path, command: Sequence[object]) -> int | None:
    """How often a command, and what it starts, calls the system for a path below a folder.

    None where there is no ``strace``.
    """
    if shutil.which("strace") is None:
        return None
    with tempfile.NamedTemporaryFile("r") as log:
        words = ["strace", "-f", "-y", "-qq", "-e", "trace=%file,%desc", "-o", log.name]
        subprocess.run([*words, *map(str, command)], check=True, capture_output=True)
        return sum(str(folder) in line for line in log)


def told(what: str, value: float, target: str = "") -> None:
    """Print a figure, and what it should be."""
    print(f"{what:<58} {value:9.3f}   {target}", flush=True)


def planning(cells: int, folder: Path) -> None:
    """Plan so many cells, of which none and then all have a record."""
    suite = load_suite(TINY)
    with Prober() as prober:
        choices = choose(suite, (), (PLUGIN,), prober, controls=False)
    options = RunOptions(tuple(range(cells)))
    store = Store(folder)
    for what in ("an empty folder", "a folder of as many records"):
        start = time.process_time()
        plan = plan_cells(suite, choices, store, options)
        target = "under 20 s" if cells >= 100_000 else ""
        told(f"{cells:,} cells planned into {what}, CPU s", time.process_time() - start, target)
        if what == "an empty folder":
            assert {cell.todo for cell in plan} == {"run"}
            fill(plan, folder)
        else:
            assert {cell.todo for cell in plan} == {"done"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB
    told("peak memory of that, MiB", peak, "under 1,024 MiB")


def fill(plan: Sequence[Cell], folder: Path) -> None:
    """A record for each cell, as copies of a real one without its artefacts."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(genbench(*RUN, "--results", scratch), check=True, capture_output=True)
        (original,) = Path(scratch).glob("*/*/seed-0/*/record.json")
        record = replace(read_record(original), artifacts=())
    for cell in plan:
        body = {**record.cell, "seed": cell.seed}
        made = replace(record, record_id=new_ulid(), cell=body, cell_key=cell.key)
        home = folder / cell.folder / made.record_id
        home.mkdir(parents=True)
        # As `write_record`, without waiting for the disk a hundred thousand times.
        (home / "record.json").write_text(json.dumps(made.to_json()))


def core_seconds(*commands: list[str]) -> float:
    """CPU seconds of some commands side by side, and of all that they start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = [
        subprocess.Popen(c, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for c in commands
    ]
    assert [one.wait() for one in running] == [0] * len(running)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def working(cells: int, workers: int, folder: Path) -> None:
    """Have so many cells worked on by so many workers, and a few by a plain run."""
    plain = [
        core_seconds(genbench(*RUN, "--seeds", _seeds(n), "--results", folder / f"plain-{n}"))
        for n in (1, LOCAL_CELLS + 1)
    ]
    local = (plain[1] - plain[0]) / LOCAL_CELLS
    told("a cell of a plain run, core s", local)
    shared = folder / "shared"
    run = genbench(
        *RUN, "--seeds", _seeds(cells), "--results", shared, "--executor", "folder", "--detach"
    )
    ordered = core_seconds(run)
    start = time.perf_counter()
    worked = core_seconds(*[genbench("work", shared, "-j", 1) for _ in range(workers)])
    told(f"{cells:,} cells, {workers} workers, cells/s", cells / (time.perf_counter() - start))
    started = core_seconds(genbench(*RUN, "--results", folder / "start", "--executor", "folder",
                                    "--detach"))  # fmt: skip
    started = core_seconds(genbench("work", folder / "start", "-j", 1)) - local
    collected = core_seconds(run)
    told(f"{cells:,} cells ordered, core s", ordered)
    told(f"{cells:,} cells collected, core s", collected)
    told("to start a worker, core s", started)
    each = (ordered + collected + worked - workers * started) / cells
    told(f"a cell through the folder, {workers} workers, core s", each)
    told("overhead a cell, core s", each - local, "under 0.5 s")


def moments(cells: int, workers: int, folder: Path) -> None:
    """Have so many cells that are over at once worked on, ordered and collected."""
    run = [*RUN, "--seeds", _seeds(cells), "--results", folder, "--executor", "folder", "--detach"]
    ordered = core_seconds(genbench(*run))
    start = time.perf_counter()
    moment = [sys.executable, "-W", "ignore", "-c", MOMENT, str(folder)]
    worked = core_seconds(*[moment for _ in range(workers)])
    seconds = time.perf_counter() - start
    collected = core_seconds(genbench(*run))
    assert len(list(folder.glob("*@*/*/*/*/record.json"))) == cells
    what = f"{cells:,} cells of a moment, {workers} workers"
    told(f"{what}, cells/s", cells / seconds)
    told(f"{what}, core s a cell", (ordered + worked + collected) / cells, "under 0.5 s")
    for name, part in (("ordering", ordered), ("work", worked), ("collection", collected)):
        told(f"  of that {name}", part / cells)
    traced = folder.with_name("traced")
    run = genbench(*RUN, "--seeds", _seeds(TRACED), "--results", traced, "--executor", "folder",
                   "--detach")  # fmt: skip
    core_seconds(run)
    calls = calls_below(traced, [*moment[:-1], traced])
    if calls is not None:
        told("calls of the file system a cell of a moment, 1 worker", calls / TRACED)


def _seeds(count: int) -> str:
    return ",".join(map(str, range(count)))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--moments", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=8)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if asked.plan:
            planning(asked.plan, Path(folder) / "plan")
        if asked.cells:
            working(asked.cells, asked.workers, Path(folder))
        if asked.moments:
            moments(asked.moments, asked.workers, Path(folder) / "moments")


if __name__ == "__main__":
    main()
