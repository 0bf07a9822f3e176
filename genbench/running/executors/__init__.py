"""Executors, which start workers: processes of this machine, or wherever one takes its cells.

An executor is a class that a package announces under the entry-point group ``genbench.executors``,
as ``local`` is by this one. Everything passes through files of the results directory, which all
machines must see. There are two sorts. An `Executor` starts a worker for each order that the run
loop gives it, and tells when that has ended. A `QueueExecutor` is given the whole queue at once and
sees to it that somebody works on it, whether or not the run waits for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from genbench.errors import GenbenchError, PluginError, UsageError, did_you_mean, shorten
from genbench.running.cellspec import CellSpec, write_spec
from genbench.system import Jobs, extensions, python_module

if TYPE_CHECKING:
    from genbench.running.queue.manifest import Manifest
    from genbench.system import ForkServerClient

__all__ = [
    "Away", "Ended", "Executor", "Lost", "QueueExecutor", "RunSetting", "find", "is_queue",
    "options_of", "started", "worker_command",
]  # fmt: skip

METHODS = ("submit", "poll", "stop", "kill", "close")
ATTRIBUTES = ("jobs", "here", "stopping")
QUEUE_METHODS = ("launch", "gone", "cancel", "close")
QUEUE_ATTRIBUTES = ("options", "detaches", "poll_seconds", "lease", "away")


class Away(UsageError):
    """Whoever keeps the tasks of a run does not answer now; what was given to it goes on."""


@dataclass(frozen=True, slots=True)
class RunSetting:
    """The run that an executor is made for.

    Parameters
    ----------
    results
        The results directory. What an executor keeps of its own lies below ``.queue/`` in it.
    jobs
        How many cells the user wants to go on at a time; ``"auto"`` leaves it to the executor.
    jobs_here
        The same as a number: for ``"auto"``, as many as this machine has room for.
    forks
        A fork server of this process, started when it is first used and ended with the run.
    options
        The executor's own options as the user gave them: texts, or what a TOML file can hold.
    """

    results: Path
    jobs: Jobs
    jobs_here: int
    forks: ForkServerClient
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker that ended: the order that was submitted, and an exit code, negative for a signal.

    The code matters where no record was written: it is what the harness writes in its place.
    """

    spec: CellSpec
    code: int


class Executor(Protocol):
    """Whoever runs cells for the run loop.

    It is made by ``cls(RunSetting)`` before anything else is done: one that cannot work here raises
    a `GenbenchError` that says so.

    A worker is `worker_command`, or whatever calls `genbench.running.worker.run_cell`. It ends by
    itself once its record is written. SIGTERM has it finish writing and end, a Ctrl-C of the
    terminal does not reach it, SIGKILL takes its generator down with it. Of an unconfined run
    (``spec.sandbox`` is False, or there is no Landlock) it believes no file of the cache that
    others wrote: only an executor that hears of their digests where no generator can reach them may
    pass them on, as `local` does.

    Attributes
    ----------
    jobs
        How many cells it takes at a time, at least 1. No number of them changes a result.
    here
        Whether they run beside each other on this machine: then each may hold a `jobs`-th of its
        memory, and one that this ends runs once more, alone. Elsewhere only a limit that the user
        set holds, and whatever the place itself sets.
    stopping
        False at first; turns true as soon as a stop is asked for. A signal may set it at any
        moment, also while `submit` is busy; `stop` follows when the loop comes round.
    """

    jobs: int
    here: bool
    stopping: bool

    def submit(self, spec: CellSpec) -> None:
        """Start a worker for a cell, or see to it that one is started."""

    def poll(self, seconds: float) -> list[Ended]:
        """Wait at most `seconds` for workers to end; each is told of once, a lost one too."""

    def stop(self) -> None:
        """Ask every worker to finish writing and end; one that has not begun need not begin."""

    def kill(self) -> None:
        """End every worker now."""

    def close(self) -> None:
        """End what still runs and let go of everything: the run is over, in whatever way."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Orders of a manifest whose task is gone: by what name it was known, and how it ended."""

    task: str
    orders: tuple[int, ...]
    how: str


@runtime_checkable
class QueueExecutor(Protocol):
    """Whoever sees to it that a queue is worked on.

    It is made by ``cls(RunSetting)``: one that cannot work here raises a `GenbenchError` that says
    so. A class without `launch` is an `Executor`.

    Whoever works on a manifest runs ``genbench work`` or `genbench.running.queue.work`: that takes
    cells by claims, so nothing is done twice, however many are started and whenever.

    Attributes
    ----------
    options
        Of the class: the options that it takes, with a sentence each.
    detaches
        Whether the work goes on when the run that ordered it has ended.
    poll_seconds
        How often the run asks after the tasks.
    lease
        Seconds without a sign of life after which a worker is taken for dead.
    away
        Who did not answer when it was asked last, in a few words for the user; else empty.
    """

    options: ClassVar[Mapping[str, str]]
    detaches: bool
    poll_seconds: float
    lease: float
    away: str

    def launch(self, manifest: Manifest, orders: Sequence[int]) -> None:
        """See to it that these orders are worked on, from now on or again; `Away` for later."""

    def gone(self, manifest: Manifest) -> list[Lost]:
        """The tasks that are certain to work no more; told anew each time, settled or not."""

    def cancel(self, manifest: Manifest) -> None:
        """End the tasks of a manifest; those that run write first."""

    def close(self) -> None:
        """The run is over, in whatever way."""


def worker_command(spec: CellSpec) -> list[str]:
    """Write the order for a cell into its folder; the command that runs it, in any process.

    It works on any machine that sees the folder and the same installation, tells what happens in
    the attempt's log, and knows of no other worker: refits of its cell go on one at a time.
    """
    return python_module("genbench.running.worker", str(write_spec(replace(spec, slots=1))))


def is_queue(cls: Any) -> bool:
    """Whether an executor's class is a `QueueExecutor`."""
    return hasattr(cls, "launch")


def options_of(cls: Any) -> Mapping[str, str]:
    """The options that an executor's class takes, with a sentence each."""
    found = getattr(cls, "options", None)
    return found if isinstance(found, Mapping) else {}


def find(name: str) -> Any:
    """The class that a package announces as this executor. Executes the package's code.

    Raises
    ------
    UsageError
        If none is announced under this name.
    PluginError
        If two packages claim it, it does not import, or it lacks a method.
    """
    known = extensions.announced(extensions.EXECUTORS)
    if name not in known:  # none at all: metadata from before there were any
        hint = did_you_mean(name, known) if known else "install genbench again"
        raise UsageError(f"unknown executor {shorten(name)!r}: {hint}")
    cls = extensions.load(extensions.EXECUTORS, name)
    needs = (*QUEUE_METHODS, *QUEUE_ATTRIBUTES[:1]) if is_queue(cls) else METHODS
    return extensions.load(extensions.EXECUTORS, name, needs)


@contextmanager
def started(name: str, setting: RunSetting) -> Iterator[Executor | QueueExecutor]:
    """An executor by name, made for a run and closed at its end.

    Raises
    ------
    GenbenchError
        As `find`, and if it cannot be made or lacks an attribute.
    """
    cls = find(name)
    known = options_of(cls)
    for option in setting.options:
        if option not in known:
            hint = did_you_mean(option, known) if known else "it takes none"
            raise UsageError(f"executor {name!r} has no option {shorten(option)!r}: {hint}")
    try:
        made: Executor | QueueExecutor = cls(setting)
    except GenbenchError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(f"executor {name!r} cannot be made: {reason}") from error
    try:
        needs = QUEUE_ATTRIBUTES if is_queue(cls) else ATTRIBUTES
        missing = [attr for attr in needs if not hasattr(made, attr)]
        if missing:
            raise PluginError(f"executor {name!r} lacks {', '.join(missing)}: add it")
        yield made
    finally:
        made.close()
