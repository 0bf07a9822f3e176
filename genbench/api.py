"""Run and score: what the command line calls, and what a notebook calls.

>>> import genbench
>>> result = genbench.run("mnist", generators=["vae"], profile="smoke")  # doctest: +SKIP
>>> result.table()  # doctest: +SKIP
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench import environment
from genbench.cellspec import PARTS, GeneratorChoice
from genbench.errors import UsageError, one_line
from genbench.executors import Executor
from genbench.executors.local import LocalExecutor
from genbench.external import OnBad, stage
from genbench.inline import InProcessExecutor, choice_of
from genbench.machine import resolve_devices
from genbench.narration import Lines
from genbench.publish import renew_report, task_results
from genbench.records import Record
from genbench.runner import Listener, RunOptions, RunResult, run_suite
from genbench.runner import plan as plan_cells
from genbench.selection import choose, controls_of, require_kind
from genbench.store import Store
from genbench.suite import Suite, load_suite

if TYPE_CHECKING:
    import pandas as pd

    from genbench.plan import Cell

__all__ = ["Plan", "Result", "plan", "run", "score"]

Given = str | type | tuple[type, Mapping[str, Any]]
Show = Callable[[Suite], AbstractContextManager[Listener]]


@dataclass(frozen=True, slots=True)
class Result:
    """How a run or a scoring ended.

    Parameters
    ----------
    ended
        The run loop's own result: suite, cells, records.
    store
        The results directory.
    page
        The HTML report, if one was written.
    notes
        What the owner of scored samples should know about how they were read.
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

    def table(self) -> pd.DataFrame:
        """The leaderboard of the task: one row per generator, ranked ones first, controls last.

        Metrics are columns, each with the ends of its 95 % interval and its rank interval beside it
        (``fid``, ``fid_low``, ``fid_high``, ``fid_rank``); what has no number is NaN.
        """
        from genbench.report.exports import frame
        from genbench.report.rows import table

        return frame(table(task_results(self.folder)))

    def report(self) -> Path:
        """Write the HTML report anew and return its page."""
        return renew_report(self.store, self.store.root / "report", self.ended.suite.folder_name)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do: its suite and its cells, with what is to be done about each."""

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
    jobs: int = 1,
    device: str = "auto",
    parts: Sequence[str] = PARTS,
    fresh: bool = False,
    keep_failed: bool = False,
    controls: bool = True,
    timeout: float | None = None,
    memory_limit: int | None = None,
    report: bool = True,
    show: Show | None = None,
) -> Result:
    """Train and score generators on a suite; what is stored already is not run again.

    Parameters
    ----------
    suite
        A shipped suite's name or a TOML file.
    generators
        ``NAME`` or ``NAME:key=value,...``, a class, or ``(class, parameters)``; empty for what
        `plugins` define, or else for every baseline. A class that lives in a notebook or in the
        running script only is fitted and sampled in this process, and its records say so.
    plugins
        ``FILE`` or ``FILE:Class``.
    sweeps
        ``NAME:key=a,b,c``: that generator once with each value; several make a grid.
    seeds
        Training seeds; by default the suite's.
    parts
        Which of ``metrics`` and ``downstream`` to compute.
    controls
        Whether the control rows are run too.
    timeout, memory_limit
        Seconds and bytes for each cell's generator.
    report
        Whether to renew the HTML report after every cell.
    show
        Who is told how the run goes; by default lines on stderr.

    Raises
    ------
    GenbenchError
        For names, parameters and files that cannot be used. A generator that fails ends as a
        record, not as an error.
    """
    chosen = load_suite(str(suite), profile)
    options = _options(
        chosen, seeds, jobs, device, parts, fresh, keep_failed, timeout, memory_limit
    )
    store = Store(Path(results))
    named = [g for g in generators if isinstance(g, str)]
    own = [(g, choice_of(g)) for g in generators if not isinstance(g, str)]
    with LocalExecutor() as executor:
        choices = [choice for _, choice in own]
        for choice in choices:
            require_kind(choice, chosen)
        if named or plugins or sweeps or not own:
            choices += choose(chosen, named, plugins, executor, controls=False, sweeps=sweeps)
        if controls:
            choices += controls_of(chosen, executor)
        living_here = InProcessExecutor(executor, _classes(own))
        return _run(chosen, choices, store, options, living_here, show or lines, report)


def plan(
    suite: str | Path,
    generators: Sequence[str] = (),
    *,
    plugins: Sequence[str] = (),
    sweeps: Sequence[str] = (),
    profile: str | None = None,
    seeds: Sequence[int] | None = None,
    results: str | Path = "results",
    jobs: int = 1,
    parts: Sequence[str] = PARTS,
    fresh: bool = False,
    keep_failed: bool = False,
    controls: bool = True,
) -> Plan:
    """What `run` would do with these arguments."""
    chosen = load_suite(str(suite), profile)
    options = _options(chosen, seeds, jobs, "cpu", parts, fresh, keep_failed, None, None)
    with LocalExecutor() as executor:
        choices = choose(chosen, generators, plugins, executor, controls=controls, sweeps=sweeps)
        return Plan(chosen, tuple(plan_cells(chosen, choices, Store(Path(results)), options)))


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
    report: bool = True,
    show: Show | None = None,
) -> Result:
    """Score samples that were made elsewhere; an ordinary record, marked as scored.

    Parameters
    ----------
    samples
        A path (npz, npy, pt, safetensors; a folder or zip of images), an array or tensor of rows,
        or ``(rows, labels)``.
    name
        The row's name; by default the file's.
    labels, on_bad
        See `genbench.external.stage`.

    Raises
    ------
    GenbenchError
        If the samples cannot be read, or are not of the suite's space.
    """
    if on_bad not in ("fail", "skip"):
        raise UsageError(f"on_bad is {on_bad!r}: use 'fail' or 'skip'")
    chosen = load_suite(str(suite), profile)
    store = Store(Path(results))
    options = _options(chosen, (0,), 1, device, PARTS, False, False, None, None)
    given = Path(samples) if isinstance(samples, str | Path) else samples
    label_file = None if labels is None else Path(labels)
    staged = stage(given, chosen, name, store, labels=label_file, on_bad=on_bad)
    with LocalExecutor() as executor:
        choices = [staged.choice, *controls_of(chosen, executor)]
        return _run(chosen, choices, store, options, executor, show or lines, report, staged.notes)


def _classes(own: Sequence[tuple[Any, GeneratorChoice]]) -> dict[str, type]:
    """The classes to run in this process, by name; two under one name are refused."""
    found: dict[str, type] = {}
    for given, choice in own:
        cls = given[0] if isinstance(given, tuple) else given
        if found.setdefault(choice.name, cls) is not cls:
            raise UsageError(f"two classes have the spec.name {choice.name!r}: rename one")
    return found


@contextmanager
def lines(suite: Suite) -> Iterator[Listener]:
    """A listener that tells a run in lines on stderr."""
    yield Lines(suite, _say)


def _say(text: str) -> None:
    print(one_line(text), file=sys.stderr, flush=True)


def _options(
    suite: Suite,
    seeds: Sequence[int] | None,
    jobs: int,
    device: str,
    parts: Sequence[str],
    fresh: bool,
    keep_failed: bool,
    timeout: float | None,
    memory_limit: int | None,
) -> RunOptions:
    devices = resolve_devices(device, jobs)
    return RunOptions(
        seeds=suite.seeds if seeds is None else tuple(seeds),
        jobs=jobs,
        device=devices[0],
        devices=devices,
        parts=tuple(p for p in PARTS if p in parts),
        fresh=fresh,
        keep_failed=keep_failed,
        timeout=timeout,
        memory_limit=memory_limit,
        argv_source=environment.source([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )


def _run(
    suite: Suite,
    choices: Sequence[GeneratorChoice],
    store: Store,
    options: RunOptions,
    executor: Executor,
    show: Show,
    report: bool,
    notes: tuple[str, ...] = (),
) -> Result:
    out = store.root / "report"

    def renew() -> Path | None:
        return renew_report(store, out, suite.folder_name) if report else None

    def renew_between_cells() -> None:
        try:
            renew()
        except Exception as error:  # a report that fails must not end a run of hours
            _say(f"the report was not renewed: {type(error).__name__}: {error}")

    with show(suite) as shown:
        ended = run_suite(suite, choices, store, options, executor, shown, renew_between_cells)
    return Result(ended, store, renew(), notes)
