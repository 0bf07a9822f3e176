"""One thread a cell, cells and refits side by side: the same bytes on any number of cores."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from genbench.errors import StoreError
from genbench.generator import Space
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.finding import Description, GeneratorRef
from genbench.running import refit_scheduler, refit_worker, refits
from genbench.running.ahead import Meanwhile, train_ahead
from genbench.running.cellspec import CellSpec
from genbench.running.refits import RESULT, SYNTHETIC, Job, RefitResult, finished, problem
from genbench.system.files import write_json
from genbench.system.isolation import ProcessOutcome, wait_for_end
from genbench.system.slots import Slots
from genbench.system.threads import SHORT_SPINNING, short_spinning
from genbench.tasks import protocols
from genbench.tasks.suite import load_suite
from tests.conftest import PLUGINS, TINY, Command, Done, command, glance
from tests.test_run import records, wait_for_fit
from tests.test_scheduling import choice

MACHINERY = ("--suite", TINY, "--plugin", PLUGINS / "machinery.py", "--no-controls", "--no-report")


def rows_of(results: Path, name: str) -> np.ndarray:
    (path,) = results.glob(f"*/{name}~*/seed-0/*/samples.npz")
    with np.load(path, allow_pickle=False) as file:
        return np.asarray(file["x"])


# -- threads -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_a_generator_has_the_threads_that_were_asked_for_everywhere(
    run_genbench: Command, tmp_path: Path, threads: int
) -> None:
    """In torch, BLAS and OpenMP, in its other threads, and in programs that it would start."""
    words = ("run", *MACHINERY, "-g", "tells", "--threads", threads)
    done = run_genbench(*words, env={"OMP_NUM_THREADS": "7", "OPENBLAS_NUM_THREADS": "5",
                                     "GOMP_SPINCOUNT": "77"})  # fmt: skip
    assert done.code == 0, done.err
    told = rows_of(tmp_path / "results", "tells")[:14, 0].tolist()
    fit, elsewhere, sample, spins = told[:4], told[4:8], told[8:12], told[12:]
    assert fit == sample == [threads, 1, threads, threads]
    assert elsewhere[:2] == [threads, 1]
    assert spins == [77, 1], "what the user set stays"
    assert records(tmp_path / "results")["tells", 0].environment["threads"] == threads


def pinned(words: tuple[object, ...], cwd: Path, cores: set[int]) -> Done:
    """A run that may use these cores alone."""
    done = subprocess.run(
        command(words), cwd=cwd, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": str(len(cores))},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_a_seed_gives_the_same_bytes_and_table_on_any_number_of_cores(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    words = ("run", *MACHINERY, "--seeds", "0,1", "--results")
    one = pinned((*words, "one", "-j", 1), tmp_path, {min(cores)})
    all_ = pinned((*words, "all", "-j", 2), tmp_path, cores)
    assert one.code == all_.code == 0, one.err + all_.err
    assert (rows_of(tmp_path / "one", "sums") == rows_of(tmp_path / "all", "sums")).all()
    alone, together = records(tmp_path / "one"), records(tmp_path / "all")
    assert len(alone) == 4
    for cell, record in alone.items():
        assert record.to_json()["result_digest"] == together[cell].to_json()["result_digest"]

    def table(done: Done) -> list[list[str]]:  # without the costs
        return [line.split()[:-1] for line in done.out.splitlines()[:3]]

    assert table(one) == table(all_), "in the same order, whoever ended first"


def test_short_spinning_leaves_what_the_user_has_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SHORT_SPINNING, "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    assert short_spinning() == SHORT_SPINNING
    monkeypatch.setenv("GOMP_SPINCOUNT", "infinite")
    assert short_spinning() == {"KMP_BLOCKTIME": "1"}
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert short_spinning() == {}


def test_the_command_line_itself_spins_briefly() -> None:
    code = (
        "import os\nfrom genbench.cli import main\n"
        "try:\n    main()\nfinally:\n    print(os.environ['GOMP_SPINCOUNT'])"
    )
    env = {k: v for k, v in os.environ.items() if k not in SHORT_SPINNING}
    done = subprocess.run(
        [sys.executable, "-c", code, "--version"], capture_output=True, text=True, check=True,
        env=env,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == SHORT_SPINNING["GOMP_SPINCOUNT"]


# -- cells -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_stops_two_cells_under_way_and_both_continue(
    run_genbench: Command, tmp_path: Path
) -> None:
    words = ("run", "--suite", TINY, "--plugin", PLUGINS / "slow.py", "-g", "slow:save_every=0",
             "--no-controls", "--no-report", "--seeds", "0,1", "-j", 2)  # fmt: skip
    with subprocess.Popen(
        command(words), cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        for seed in (0, 1):
            wait_for_fit(tmp_path / "results", 100, seed=seed)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    stopped = records(tmp_path / "results")
    assert {r.status for r in stopped.values()} == {"interrupted"}
    done = run_genbench(*words)
    assert done.code == 0, done.err
    finished = records(tmp_path / "results")
    for cell, record in finished.items():
        assert record.attempt["resumed_at"] == stopped[cell].examples_served > 0
    for seed in (0, 1):
        assert f"slow:save_every=0.0 seed {seed} continues from its checkpoint" in done.err


# -- refits ------------------------------------------------------------------------------------


class Refit:
    """A refit that ends when it is polled for the `polls`-th time."""

    started: ClassVar[list[list[str]]]
    most: ClassVar[int]
    under_way: ClassVar[int]

    dies: ClassVar[int]  # after that many refits of a process, the next of which it fails

    def __init__(self, folders: list[Path], log: Path, polls: int) -> None:
        self.folders, self.log, self.polls, self.stopped = folders, log, polls, False

    def poll(self, seconds: float) -> ProcessOutcome | None:
        self.polls -= 1
        if self.polls > 0 and not self.stopped:
            return None
        Refit.under_way -= 1
        if not self.stopped:
            for folder in self.folders[: Refit.dies]:
                (folder / SYNTHETIC).touch()
                told = {"status": "ok", "fit_s": 1.0, "sample_s": 0.5, "sandbox": "none"}
                nothing = hashlib.sha256(b"").hexdigest()
                write_json(folder / RESULT, {**told, "sha256": nothing})
            for folder in self.folders[Refit.dies : Refit.dies + 1]:
                write_json(folder / RESULT, {"status": "failed", "message": "died"})
        self.log.write_text("".join(f"said in {folder.name}\n" for folder in self.folders))
        return ProcessOutcome("returned", 0, None, 0, 1.5, 1.25 * len(self.folders))

    def stop(self) -> None:
        self.stopped = True


class Spec:
    """Of an order, what running refits reads."""

    device, fresh, timeout, memory_limit, sandbox, seed = "cpu", False, None, None, True, 0

    def __init__(self, folder: Path, provider: str = "theirs 1.0", **changes: Any) -> None:
        self.folder = folder
        self.cache = folder / ".cache"
        self.generator = SimpleNamespace(ref=SimpleNamespace(provider=provider))
        vars(self).update(changes)

    def hidden(self) -> list[Path]:
        return []

    def readable(self) -> list[Path]:
        return []


def refitted(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    slots: Slots,
    stopping: Callable[[], bool] = lambda: False,
    dies: int = 9,
    **changes: Any,
) -> dict[Job, RefitResult]:
    """Six refits, of which the earlier ones take longer than the later ones."""
    todo = orders(folder)
    for order in todo.values():
        order.folder.mkdir(parents=True)
    Refit.started, Refit.most, Refit.under_way, Refit.dies = [], 0, 0, dies

    def start(given: list[Any], *, log: Path, **limits: Any) -> Refit:
        folders = [order.folder for order in given]
        Refit.started.append([folder.name for folder in folders])
        Refit.under_way += 1
        Refit.most = max(Refit.most, Refit.under_way)
        return Refit(folders, log, 7 - int(folders[0].name[-1]))

    monkeypatch.setattr(refit_worker, "RefitProcess", start)
    spec: Any = Spec(folder, **changes)
    return refit_scheduler._Refits(spec, todo, folder / "log.txt").run(stopping, slots)


def orders(folder: Path) -> dict[Job, Any]:
    jobs = [Job("augmentation", 10, i, 6) for i in range(6)]
    return {
        job: SimpleNamespace(folder=folder / f"job-{i}", budget=100) for i, job in enumerate(jobs)
    }


def held(n: int) -> Slots:
    """Slots of which the cell holds one."""
    slots = Slots(None, n)
    assert slots.take() == 0
    return slots


@pytest.mark.parametrize(("n", "most"), [(1, 1), (3, 3), (20, 6)])
def test_refits_take_the_slots_that_are_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, n: int, most: int
) -> None:
    slots = held(n)
    found = refitted(monkeypatch, tmp_path, slots)
    assert Refit.most == most
    assert [job.replicate for job in found] == list(range(6)), "in order, whoever ended first"
    assert all(r == RefitResult(tmp_path / f"job-{i}", None, 1.5, False, 1.25)
               for i, r in enumerate(found.values()))  # fmt: skip
    assert [slots.take() for _ in range(n - 1)] == list(range(1, n)), "all were given back"


def test_a_card_takes_one_refit_at_a_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refitted(monkeypatch, tmp_path, held(4), device="cuda:1")
    assert Refit.most == 1
    assert Refit.started == [[f"job-{i}"] for i in range(6)], "a plugin: in a process for each"


def test_our_refits_on_a_card_share_a_process_until_it_dies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ours: dict[str, Any] = {"device": "cuda:1", "provider": "genbench 0.1.0"}
    found = refitted(monkeypatch, tmp_path, held(4), dies=3, **ours)
    names = [f"job-{i}" for i in range(6)]
    assert Refit.started == [names, names[4:]], "what was left of it took another process"
    assert [result.problem for result in found.values()] == [None, None, None, "died", None, None]
    assert sum(result.core_seconds for result in found.values()) == 1.25 * (6 + 2)


def test_each_refit_has_its_part_of_the_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    refitted(monkeypatch, tmp_path, held(3))
    text = (tmp_path / "log.txt").read_text()
    for i in range(6):
        assert f"--- refit: augmentation, n = 10, replicate {i + 1} of 6\nsaid in job-{i}\n" in text
    assert [path.name for path in tmp_path.glob("*.log")] == []


def test_a_stop_reaches_every_refit_and_begins_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = refitted(monkeypatch, tmp_path, held(2), stopping=lambda: len(Refit.started) >= 2)
    assert len(Refit.started) == 2
    assert all(r.problem for r in found.values())


def test_cells_of_other_seeds_begin_elsewhere_and_take_what_is_done(tmp_path: Path) -> None:
    """They want the same refits, and go on beside each other."""
    todo = orders(tmp_path)

    def side(seed: int) -> Any:
        spec: Any = Spec(tmp_path, seed=seed)
        return refit_scheduler._Refits(spec, todo, tmp_path / "log.txt")

    turns = [[job.replicate for job in side(seed)._in_turn(list(todo))] for seed in range(3)]
    assert turns[0] == [0, 1, 2, 3, 4, 5]
    assert len({turn[0] for turn in turns}) == 3
    assert all(sorted(turn) == turns[0] for turn in turns)
    one, job = side(0), next(iter(todo))
    todo[job].folder.mkdir()
    Refit.under_way, Refit.dies = 1, 9
    Refit([todo[job].folder], tmp_path / "log.txt", 1).poll(0)
    assert one._start((job,)) is None
    assert one._found[job].problem is None


def test_the_order_of_a_refit_names_no_data_set(tmp_path: Path) -> None:
    suite = load_suite(str(TINY.with_name("tiny-images.toml")))
    asked = protocols.read(suite.document)
    assert asked is not None
    spec = CellSpec(tmp_path, tmp_path / "cache", "key", suite, choice(), 0)
    for job in refits.jobs(asked):
        order = repr(refit_scheduler._order(spec, asked, job, tmp_path / "refit"))
        assert job.what in order
        assert "digits" not in order
        assert "tiny-images" not in order


def test_a_stop_while_rows_are_drawn_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    killed = ProcessOutcome("killed", -15, "SIGTERM", 0, 0.1)
    monkeypatch.setattr(refit_scheduler, "run_isolated", lambda work, **options: killed)
    spec: Any = Spec(tmp_path)
    asked: Any = None
    assert refit_scheduler.run_refits(spec, asked, lambda: True, tmp_path / "log", held(1)) == {}
    with pytest.raises(StoreError, match="could not be drawn"):
        refit_scheduler.run_refits(spec, asked, lambda: False, tmp_path / "log", held(1))


@pytest.mark.parametrize("limit", ["timeout", "memory"])
def test_a_refit_that_was_ended_by_a_limit_says_which(tmp_path: Path, limit: str) -> None:
    """It was told to end, as by a stop, and may have said so."""
    order: Any = SimpleNamespace(folder=tmp_path, space=Space("points", (2,)), rows=lambda rows: 1)
    ledger = refit_worker._Ledger([(order, {})], "none")
    ledger.ended("interrupted", "Stopped", "the run was stopped", "")
    ledger.close(ProcessOutcome("timeout" if limit == "timeout" else "oom", -9, "SIGKILL", 0, 1.0))
    assert f"--{limit}" in problem(tmp_path)


def test_refits_in_one_process_draw_what_each_draws_alone(tmp_path: Path) -> None:
    file = PLUGINS / "machinery.py"
    about = Description("sums", "1", "test", ("points",), "none", None, "", "", "", "", ())
    ref = GeneratorRef("sums", "Sums", "file machinery.py", file=str(file))
    chosen = GeneratorChoice(ref, about, {})

    def made(place: str) -> list[Any]:
        found = []
        for i in range(3):
            folder = tmp_path / f"{place}-{i}"
            folder.mkdir()
            rows = np.random.default_rng(i).normal(size=(40, 2)).astype(np.float32)
            np.savez(folder / "rows.npz", x=rows, y=np.zeros(40, np.int64))
            found.append(refit_worker.RefitOrder(folder, chosen, Space("points", (2,)), i, 400, 30,
                                                 20, "cpu", 1, f"refit {i}"))  # fmt: skip
        return found

    def run(given: list[Any]) -> None:
        process = refit_worker.RefitProcess(
            given, log=tmp_path / "log.txt", timeout=None, memory_limit=None, sandbox=False,
            results=tmp_path, hidden=list, readable=[],
        )  # fmt: skip
        assert wait_for_end(process, lambda: False).status == "returned"

    alone, together = made("alone"), made("together")
    for order in alone:
        run([order])
    run(together)
    for a, b in zip(alone, together, strict=True):
        drawn = [(order.folder / SYNTHETIC).read_bytes() for order in (a, b)]
        assert drawn[0] == drawn[1]
        assert finished(a.folder)
        assert finished(b.folder)
    assert len({(order.folder / SYNTHETIC).read_bytes() for order in together}) == 3


def test_refits_tell_how_far_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []

    def tell(path: Path, phase: str, done: int, total: int, *, what: str) -> None:
        told.append((done, total, what))

    monkeypatch.setattr(refit_scheduler, "write_progress", tell)
    refitted(monkeypatch, tmp_path, held(2))
    first = "augmentation, n = 10, replicate 1 of 6"
    assert told[0] == (0, 600, f"0 of 6 done, now {first} and 1 more")
    assert told[-1] == (600, 600, "6 of 6 done")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)


# Notes the threads of every process of the run that forks, when it forks: Python 3.12 warns of more
# than one. Where a generator is confined it cannot note them.
COUNTS_THREADS = """
import os, sys

def note():
    try:
        threads = [open(f"/proc/self/task/{t}/comm").read().strip()
                   for t in os.listdir("/proc/self/task")]
        with open(NOTES, "a") as file:
            file.write(" ".join(threads) + chr(10))
    except OSError:
        pass

os.register_at_fork(before=note)
"""


@pytest.mark.slow
def test_refits_side_by_side_give_the_values_of_refits_in_turn(
    run_genbench: Command, tmp_path: Path
) -> None:
    """And no process forks that has more than one thread."""
    site, notes = tmp_path / "site", tmp_path / "forks.txt"
    site.mkdir()
    (site / "sitecustomize.py").write_text(COUNTS_THREADS.replace("NOTES", repr(str(notes))))
    env = {"PYTHONPATH": str(site), "OPENBLAS_NUM_THREADS": "4"}
    words = ("run", "--suite", glance(tmp_path), "-g", "vae", "--no-controls", "--no-report",
             "--json", "--results")  # fmt: skip
    digests = []
    for jobs in (1, 3):
        start = time.monotonic()
        done = run_genbench(*words, f"r{jobs}", "-j", jobs, env=env)
        assert done.code == 0, done.err
        record = records(tmp_path / f"r{jobs}")["vae", 0]
        digests.append(record.to_json()["result_digest"])
        assert record.metrics["augmentation_gain"].status == "ok"
        core, wall = record.timing["refits_core_s"], time.monotonic() - start
        assert 0 < core < jobs * wall
        assert record.timing["metrics_core_s"] > 0
    assert digests[0] == digests[1]
    if sys.platform == "linux":
        forks = notes.read_text().splitlines()
        assert len(forks) > 20
        assert [names for names in forks if len(names.split()) > 1] == []


# -- classifiers -------------------------------------------------------------------------------


def marks(folder: Path, i: int, seconds: float = 0.2) -> Callable[[], None]:
    """Work that leaves a file when it begins and another when it ends; the third one dies."""

    def work() -> None:
        (folder / f"begun-{i}").touch()
        if i == 2:
            os._exit(7)
        time.sleep(seconds)
        (folder / f"ended-{i}").touch()

    return work


def test_classifiers_are_trained_ahead_where_a_slot_is_spare(tmp_path: Path) -> None:
    slots = held(3)
    told: list[str] = []
    works = [marks(tmp_path, i) for i in range(5)]
    assert train_ahead(works, slots, tmp_path / "log.txt", told.append)
    assert {p.name for p in tmp_path.glob("ended-*")} == {f"ended-{i}" for i in (0, 1, 3, 4)}
    assert told[0] == "classifiers, 0 of 5"
    assert [slots.take(), slots.take()] == [1, 2], "all were given back"


@pytest.mark.parametrize(("n_slots", "n_works"), [(1, 5), (3, 1)])
def test_without_a_spare_slot_nothing_is_trained_ahead(
    tmp_path: Path, n_slots: int, n_works: int
) -> None:
    works = [marks(tmp_path, i) for i in range(n_works)]
    assert not train_ahead(works, held(n_slots), tmp_path / "log.txt", lambda what: None)
    assert not list(tmp_path.iterdir())


def test_a_stop_ends_what_is_trained_ahead(tmp_path: Path) -> None:
    def stopping(what: str) -> None:
        if (tmp_path / "begun-0").exists():
            raise InterruptedError

    slots = held(2)
    works = [marks(tmp_path, i, seconds=30) for i in (0, 1, 3, 4, 5, 6)]
    with pytest.raises(InterruptedError):
        train_ahead(works, slots, tmp_path / "log.txt", stopping)
    assert not list(tmp_path.glob("ended-*"))
    assert not list(tmp_path.glob("begun-6"))
    assert slots.take() == 1


def appeared(path: Path, seconds: float = 20) -> bool:
    """Whether a file appears in time."""
    end = time.monotonic() + seconds
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return path.exists()


def counting(folder: Path, i: int, seconds: float = 0.0) -> Callable[[], None]:
    """Work that leaves a line each time that it is done, by whom."""

    def work() -> None:
        time.sleep(seconds)
        with (folder / f"done-{i}").open("a") as file:
            file.write(f"{os.getpid()}\n")

    return work


def test_classifiers_begin_while_the_caller_is_busy_and_each_is_trained_once(
    tmp_path: Path,
) -> None:
    slots = held(2)
    works = [counting(tmp_path, i, seconds=0.1) for i in range(8)]
    meanwhile = Meanwhile(works, slots, tmp_path, tmp_path / "log.txt")
    assert appeared(tmp_path / "done-0"), "nobody has called finish"
    told: list[str] = []
    meanwhile.finish(told.append)
    done = [(tmp_path / f"done-{i}").read_text().split() for i in range(8)]
    assert [len(who) for who in done] == [1] * 8
    assert {who[0] for who in done} > {str(os.getpid())}, "both did some"
    assert told[0] == "classifiers, 0 of 8"
    assert slots.take() == 1, "it was given back"
    meanwhile.stop()


def test_without_a_spare_slot_nothing_begins_before_its_turn(tmp_path: Path) -> None:
    works = [counting(tmp_path, i) for i in range(3)]
    meanwhile = Meanwhile(works, held(1), tmp_path, tmp_path / "log.txt")
    meanwhile.finish(lambda what: None)
    assert not list(tmp_path.iterdir())


def test_what_dies_meanwhile_costs_no_other_work(tmp_path: Path) -> None:
    slots = held(2)
    works = [marks(tmp_path, 2), *(counting(tmp_path, i) for i in range(3))]
    meanwhile = Meanwhile(works, slots, tmp_path, tmp_path / "log.txt")
    assert appeared(tmp_path / "begun-2")
    meanwhile.finish(lambda what: None)
    assert len(list(tmp_path.glob("done-*"))) == 3
    assert slots.take() == 1


def test_a_stop_ends_what_is_trained_meanwhile(tmp_path: Path) -> None:
    slots = held(2)
    meanwhile = Meanwhile([marks(tmp_path, 0, 60)], slots, tmp_path, tmp_path / "log.txt")
    assert appeared(tmp_path / "begun-0")
    meanwhile.stop()
    assert not (tmp_path / "ended-0").exists()
    assert slots.take() == 1
