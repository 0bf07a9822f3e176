"""Run and score: what the command line calls, and what a notebook calls.

>>> import genbench
>>> result = genbench.run("mnist", generators=["vae"], profile="smoke")  # doctest: +SKIP
>>> result.table()  # doctest: +SKIP
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.errors import UsageError, one_line
from genbench.plugins import (
    GeneratorChoice,
    OnBad,
    Prober,
    choice_of,
    choose,
    classes_by_name,
    controls_of,
    for_suite,
    require_kind,
    stage,
)
from genbench.report import renew_report
from genbench.results import SUITE, Record, Store, outdated, shipped_controls, task_results
from genbench.running import (
    PARTS,
    InProcessExecutor,
    Lines,
    Listener,
    QueueExecutor,
    RunOptions,
    RunResult,
    choose_executor,
    find,
    is_queue,
    plan_cells,
    run_queued,
    run_suite,
    setting_of,
    started,
)
from genbench.system import Jobs, environment, resolve_devices
from genbench.tasks import Suite, load_suite
from genbench.tracking import Followers, following, parse_targets

if TYPE_CHECKING:
    import pandas as pd

    from genbench.report import Brief
    from genbench.running import Cell

__all__ = ["Plan", "Result", "plan", "run", "score"]

INTERRUPTED = 130
REPR_WIDTH = 110
RENEWAL_SHARE = 4.0  # the report of all suites is renewed after a cell, but costs a fifth at most

Given = str | type | tuple[type, Mapping[str, Any]]
Show = Callable[[Suite], AbstractContextManager[Listener]]
Runs = Callable[..., RunResult]  # `run_suite` or `run_queued` with its executor


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a run or a scoring: what the run loop `ended` with, the results directory, the
    `page` of the HTML report, if one was written.

    `notes` are what the owner of scored samples should know about how they were read.
    """

    ended: RunResult
    store: Store
    page: Path | None
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The task's folder, where the records are."""
        return self.store.root / self.ended.suite.folder_name

    @property
    def records(self) -> tuple[Record, ...]:
        """The record that counts of every cell of this run, controls included."""
        return tuple(stored.record for stored in self.ended.stored)

    @property
    def exit_code(self) -> int:
        """0, 3 if some cell failed, 130 if stopped: what the command line ends with."""
        return self.ended.exit_code

    def __repr__(self) -> str:
        """The leaderboard as the command line prints it, and where the records are."""
        return f"{self._brief().fitting(REPR_WIDTH).text()}\nrecords: {one_line(str(self.folder))}"

    def _repr_html_(self) -> str:
        """The leaderboard as a notebook shows it."""
        return self._brief().html()

    def _brief(self) -> Brief:
        from genbench.report import brief, table

        return brief(table(task_results(self.folder, published=True)))

    def table(self, *, superseded: bool = False) -> pd.DataFrame:
        """The leaderboard of the task: one row per generator, ranked ones first, controls last.

        It begins with ``rank``, ``generator``, ``parameters_passed`` and the suite's primary
        metric. Metrics are columns, each with the ends of its 95 % interval and its rank interval
        beside it (``fid``, ``fid_low``, ``fid_high``, ``fid_rank``); what has no number is NaN.
        Rows trained at one seed stand in order and have no rank. Where our published records of the
        task exist, they are rows too, marked ``published``.

        Parameters
        ----------
        superseded
            Rows of earlier versions of a generator too, such as a plugin before it was edited.
        """
        from genbench.report import frame, table

        return frame(table(task_results(self.folder, published=True, superseded=superseded)))

    def report(self) -> Path:
        """Write the HTML report of the results folder anew and return its page."""
        return renew_report(self.store, self.store.root / "report")


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a run: its suite and its cells, with what is to be done about each."""

    suite: Suite
    cells: tuple[Cell, ...]


def run(
    suite: str | Path,
    generators: Sequence[Given] = (),
    *,
    plugins: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    profile: str | None = None,
    seeds: Sequence[int] | None = None,
    results: str | Path = "results",
    jobs: Jobs = "auto",
    threads: int = 1,
    device: str = "auto",
    executor: str | None = None,
    detach: bool = False,
    parts: Sequence[str] = PARTS,
    fresh: bool = False,
    keep_failed: bool = False,
    controls: bool = True,
    timeout: float | None = None,
    memory_limit: int | None = None,
    report: bool = True,
    sandbox: bool = True,
    track: Sequence[str] = (),
    show: Show | None = None,
) -> Result:
    """Train and score generators on a suite; what is stored already is not run again.

    Parameters
    ----------
    suite
        A shipped suite's name or a TOML file.
    generators
        ``NAME`` or ``NAME:key=value,...``, ``all``, ``family:NAME``, a class, or ``(class,
        parameters)``; empty for what `plugins` define, or else for those that the suite names. A
        class that lives in a notebook or in the running script only is fitted and sampled in this
        process, and its records say so.
    plugins
        ``FILE`` or ``FILE:Class``.
    sweeps
        ``NAME:key=a,b,c``: that generator once with each value; several make a grid.
    seeds
        Training seeds; by default the suite's.
    jobs
        Cells and refits that go on at a time; ``"auto"``: as many as cores are free and memory
        allows, or one a GPU. No number of them changes a result.
    threads
        Threads that each cell fits, samples and refits with; another number gives other bytes.
    executor
        Who runs the cells, ``NAME`` or ``NAME:key=value,...``: ``"local"``, in processes of this
        machine, ``"folder"``, ``"slurm"``, ``"dask"``, or an installed one. None: what
        ``genbench.toml`` or ``GENBENCH_EXECUTOR`` names, else ``"local"``.
    detach
        Leave once all cells are ordered from an executor that works on by itself; the same call
        again collects.
    parts
        Which of ``metrics``, ``downstream`` and ``codes`` to compute.
    controls
        Whether the control rows are run too.
    timeout, memory_limit
        Seconds and bytes for each cell's generator.
    report
        Whether to renew the HTML report after every cell.
    track
        Trackers that are told of every cell, as ``mlflow:URI``, ``wandb:PROJECT``,
        ``tensorboard:DIR`` or ``trackio``. One that fails costs a line on stderr.
    show
        Who is told how the run goes; by default lines on stderr.

    Raises
    ------
    GenbenchError
        For names, parameters and files that cannot be used. A generator that fails ends as a
        record, not as an error.
    """
    targets = parse_targets(track)
    chosen = load_suite(str(suite), profile)
    store = Store(Path(results))
    asked = choose_executor(executor)
    # Where cells run elsewhere, each machine finds its own.
    elsewhere = is_queue(find(asked.name))
    devices = (device,) if elsewhere else resolve_devices(device, jobs)
    if detach and not elsewhere:
        raise UsageError(f"executor {asked.name!r} runs cells itself: leave --detach out")
    options = replace(
        _options(chosen, seeds, threads, devices, parts), fresh=fresh, keep_failed=keep_failed,
        timeout=timeout, memory_limit=memory_limit, sandbox=sandbox,
    )  # fmt: skip
    named = [g for g in generators if isinstance(g, str)]
    own = [(g, choice_of(g)) for g in generators if not isinstance(g, str)]
    with (
        following(targets, chosen, store, _say) as followers,
        Prober(sandbox=sandbox) as prober,
        started(
            asked.name, setting_of(chosen, store, options, jobs, prober.forks, asked.options)
        ) as made,
    ):
        for _, choice in own:
            require_kind(choice, chosen)
        choices = [for_suite(choice, chosen) for _, choice in own]
        if named or plugins or sweeps or not own:
            choices += choose(chosen, named, plugins, prober, controls=False, sweeps=sweeps)
        if controls:
            choices += controls_of(chosen, prober)
        if isinstance(made, QueueExecutor):
            runs: Runs = partial(run_queued, executor=made, name=asked.name, detach=detach)
        else:
            runs = partial(run_suite, executor=InProcessExecutor(made, classes_by_name(own)))
        return _run(chosen, choices, store, options, runs, show or lines, report,
                    followers=followers)  # fmt: skip


def plan(
    suite: str | Path,
    generators: Sequence[str] = (),
    *,
    plugins: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    profile: str | None = None,
    seeds: Sequence[int] | None = None,
    results: str | Path = "results",
    jobs: Jobs = "auto",
    threads: int = 1,
    executor: str | None = None,
    parts: Sequence[str] = PARTS,
    fresh: bool = False,
    keep_failed: bool = False,
    controls: bool = True,
    track: Sequence[str] = (),
) -> Plan:
    """The plan of `run` with these arguments."""
    parse_targets(track)
    chosen, store = load_suite(str(suite), profile), Store(Path(results))
    find(choose_executor(executor).name)
    asked = _options(chosen, seeds, threads, ("cpu",), parts)
    options = replace(asked, fresh=fresh, keep_failed=keep_failed)
    with Prober() as prober:
        choices = choose(chosen, generators, plugins, prober, controls=controls, sweeps=sweeps)
        return Plan(chosen, tuple(plan_cells(chosen, choices, store, options)))


def score(
    samples: Any,
    suite: str | Path,
    *,
    name: str | None = None,
    labels: str | Path | None = None,
    on_bad: OnBad = "fail",
    profile: str | None = None,
    results: str | Path = "results",
    device: str = "auto",
    parts: Sequence[str] = PARTS,
    controls: bool = True,
    report: bool = True,
    show: Show | None = None,
) -> Result:
    """Score samples that were made elsewhere; an ordinary record, marked as scored.

    Parameters
    ----------
    samples
        A path (npz, npy, pt, safetensors; a folder or zip of images or sounds; a file of ``genbench
        export``, from which rows are drawn), an array or tensor of rows ``(n, *shape)`` of the
        suite's space (images uint8, points and sounds floats), or ``(rows, labels)`` with labels
        ``(n,)``.
    name
        The row's name; by default the file's.
    labels, on_bad
        See `genbench.plugins.external.stage`.
    parts
        Which of ``metrics`` and ``downstream`` to compute.
    controls
        Whether control rows stand beside it: our published records of the task where there are such
        and they measure alike, else computed here.

    Raises
    ------
    GenbenchError
        If the samples cannot be read, or are not of the suite's space.
    """
    from genbench.synthesis import stage_drawn

    if on_bad not in ("fail", "skip"):
        raise UsageError(f"on_bad is {on_bad!r}: use 'fail' or 'skip'")
    chosen = load_suite(str(suite), profile)
    store = Store(Path(results))
    options = _options(chosen, (0,), 1, resolve_devices(device, "auto"), parts)
    given = Path(samples) if isinstance(samples, str | Path) else samples
    label_file = None if labels is None else Path(labels)
    staged = stage_drawn(given, chosen, name, store, label_file)
    if staged is None:
        staged = stage(given, chosen, name, store, labels=label_file, on_bad=on_bad)
    with (
        Prober() as prober,
        started("local", setting_of(chosen, store, options, "auto", prober.forks)) as made,
    ):
        assert not isinstance(made, QueueExecutor)
        here = partial(run_suite, executor=made)
        wanted = controls_of(chosen, prober) if controls else []
        shipped = shipped_controls(chosen.task_hash) if controls else {}
        choices = [staged.choice, *(c for c in wanted if c.name not in shipped)]
        first = _run(chosen, choices, store, options, here, show or lines, report, staged.notes)
        anew = [c for c in wanted if outdated(shipped.get(c.name), first.records)]
        notes = _references(chosen, {c.name for c in wanted} & set(shipped), {c.name for c in anew})
        if not anew or first.exit_code == INTERRUPTED:
            return replace(first, notes=(*first.notes, *notes))
        return _run(chosen, [*choices, *anew], store, options, here, show or lines, report,
                    (*staged.notes, *notes))  # fmt: skip


def _references(suite: Suite, shipped: set[str], anew: set[str]) -> list[str]:
    """Notes for the owner of samples on the control rows beside them."""
    kept = (f"our published records of {suite.name} {suite.version}, made on another machine; "
            "genbench run computes them here")  # fmt: skip
    other = ("our published records measured otherwise than this version does, so they are "
             "computed here")  # fmt: skip
    found = ((shipped - anew, kept), (anew, other))
    return [f"{', '.join(sorted(names))}: {text}" for names, text in found if names]


@contextmanager
def lines(suite: Suite) -> Iterator[Listener]:
    """A listener that tells a run in lines on stderr."""
    yield Lines(suite, _say)


def _say(text: str) -> None:
    print(one_line(text), file=sys.stderr, flush=True)


def _options(
    suite: Suite,
    seeds: Sequence[int] | None,
    threads: int,
    devices: tuple[str, ...],
    parts: Sequence[str],
) -> RunOptions:
    return RunOptions(
        seeds=suite.seeds if seeds is None else tuple(seeds),
        threads=threads,
        device=devices[0],
        devices=devices,
        parts=tuple(p for p in PARTS if p in parts),
        argv_source=environment.source([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )


def _run(
    suite: Suite,
    choices: Sequence[GeneratorChoice],
    store: Store,
    options: RunOptions,
    runs: Runs,
    show: Show,
    report: bool,
    notes: tuple[str, ...] = (),
    followers: Followers | None = None,
) -> Result:
    out = store.root / "report"
    renewed = 0.0, -math.inf  # how long the last renewal took, and when it ended

    def renew_between_cells() -> None:
        nonlocal renewed
        took, before = renewed
        start = time.monotonic()
        if not report or start - before < RENEWAL_SHARE * took:
            return
        try:
            renew_report(store, out)
        except Exception as error:  # a report that fails must not end a run of hours
            _say(f"the report was not renewed: {type(error).__name__}: {error}")
        renewed = time.monotonic() - start, time.monotonic()

    with show(suite) as shown:
        told = shown if followers is None else followers.beside(shown, store)
        ended = runs(suite, choices, store, options, listener=told, after_cell=renew_between_cells)
    if not (store.root / suite.folder_name / SUITE).is_file():  # the folder was deleted meanwhile
        store.write_suite(suite.folder_name, suite.describe())
    page = renew_report(store, out) if report else None
    if followers is not None:
        followers.finish(ended.stored, store.root / suite.folder_name, report=report)
    return Result(ended, store, page, notes)
