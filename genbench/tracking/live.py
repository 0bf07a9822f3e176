"""A run told to trackers while it goes on; what they cannot take costs a line and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from genbench.errors import one_line
from genbench.results import Record, Store, Stored, task_results
from genbench.system import environment
from genbench.tracking.account import account_of, group_of, run_of
from genbench.tracking.exporting import opened, record_order, report_order, reports_of
from genbench.tracking.process import Answer, TrackerProcess
from genbench.tracking.targets import Target

if TYPE_CHECKING:
    from genbench.running import Cell, Listener, Progress
    from genbench.tasks import Suite

LAST_SECONDS = 60.0  # that a tracker may be silent for when the run is over and people wait

Say = Callable[[str], None]


@contextmanager
def following(
    targets: Sequence[Target], suite: Suite, store: Store, say: Say
) -> Iterator[Followers]:
    """Trackers that follow a run of `suite` into `store`; `say` takes lines for people.

    `UsageError` or `TrackerError` if one cannot work here: nothing has been run then.
    """
    group = group_of(suite.name, suite.version, suite.profile)
    with opened(targets) as processes:
        yield Followers([Follower(process, group, store, say) for process in processes], say)


class Follower:
    """One tracker's way through a run: what it was told, and what it did not take."""

    def __init__(self, process: TrackerProcess, group: str, store: Store, say: Say) -> None:
        self._process = process
        self._group = group
        self._store = store
        self._say = say
        self._told: set[str] = set()  # ids of records
        self._at: dict[str, int] = {}  # by run, the examples of its last news
        self._refused = ""
        self._over = False

    def progressed(self, cell: Cell, progress: Progress) -> None:
        """News of a fit, each once."""
        self._process.pump()
        known = {k: v for k, v in progress.scalars.items() if v is not None}
        run = run_of(self._group, cell.key, cell.label)
        if progress.phase != "fit" or not known or self._at.get(run.id) == progress.done:
            return
        self._at[run.id] = progress.done
        order = {"do": "progress", "run": asdict(run), "examples": progress.done, "scalars": known}
        self._process.put(order, partial(self._answered, ""), about=run.id)

    def ended(self, stored: Stored) -> None:
        """A cell has its record."""
        then = partial(self._answered, stored.record.record_id)
        self._process.put(record_order(account_of(stored)), then)

    def _answered(self, record_id: str, answer: Answer) -> None:
        if "refused" not in answer:
            self._told.add(record_id)
            return
        first = not self._refused
        self._refused = one_line(environment.without_login(str(answer["refused"])))
        if self._over:
            self._process.forget()  # it would say the same again, each time after a while
        elif first:
            self._say(f"warning: tracker {self._process.target}: {self._refused}: the run goes on")

    def finish(self, stored: Sequence[Stored], reports: Mapping[str, Path]) -> None:
        """Tell what was not taken, and what was there before the run; then the report."""
        self._process.wait(LAST_SECONDS)
        self._over, self._refused = True, ""
        ids = {one.record.record_id for one in stored}
        for one in stored:
            if one.record.record_id not in self._told:
                self.ended(one)
        for group, page in reports.items():
            self._process.put(report_order(group, page), partial(self._answered, ""))
        self._process.put({"do": "close"}, partial(self._answered, ""))
        self._process.wait(LAST_SECONDS)
        target = self._process.target
        if not self._refused:
            self._say(f"tracked: {len(ids)} cells in {target}")
            return
        missing = f"{len(ids - self._told)} of {len(ids)} cells were not taken"
        later = f"genbench results export {self._store.root} --to {target}"
        self._say(f"warning: tracker {target}: {missing}: {self._refused}: later: {later}")


class Followers:
    """All trackers of a run."""

    def __init__(self, followers: Sequence[Follower], say: Say) -> None:
        self._followers = followers
        self._say = say

    def beside(self, shown: Listener, store: Store) -> Listener:
        """A listener that tells `shown` and then the trackers."""
        return _Beside(shown, self._followers, store) if self._followers else shown

    def finish(self, stored: Sequence[Stored], folder: Path, *, report: bool) -> None:
        """The run has ended with these records, in this task folder."""
        if not self._followers:
            return
        with TemporaryDirectory(prefix="genbench-report-") as scratch:
            reports = self._reports(folder, Path(scratch)) if report else {}
            for follower in self._followers:
                follower.finish(stored, reports)

    def _reports(self, folder: Path, out: Path) -> dict[str, Path]:
        try:
            return reports_of([task_results(folder, published=True)], out)
        except Exception as error:  # no report for a tracker must not fail a run of hours
            self._say(f"warning: trackers get no report: {type(error).__name__}: {error}")
            return {}


class _Beside:
    """A `genbench.running.Listener` that passes on what concerns trackers."""

    def __init__(self, shown: Listener, followers: Sequence[Follower], store: Store) -> None:
        self._shown = shown
        self._followers = followers
        self._store = store

    def planned(self, cells: Sequence[Cell], jobs: int) -> None:
        """See `Listener`."""
        self._shown.planned(cells, jobs)

    def started(self, cell: Cell) -> None:
        """See `Listener`."""
        self._shown.started(cell)

    def progressed(self, cell: Cell, progress: Progress, seconds_left: float | None) -> None:
        """See `Listener`."""
        self._shown.progressed(cell, progress, seconds_left)
        for follower in self._followers:
            follower.progressed(cell, progress)

    def ended(self, cell: Cell, record: Record) -> None:
        """See `Listener`."""
        self._shown.ended(cell, record)
        stored = Stored(record, self._store.root / cell.folder / record.record_id)
        for follower in self._followers:
            follower.ended(stored)

    def again_alone(self, cell: Cell) -> None:
        """See `Listener`."""
        self._shown.again_alone(cell)

    def remarked(self, text: str) -> None:
        """See `Listener`."""
        self._shown.remarked(text)

    def stopping(self, hard: bool) -> None:
        """See `Listener`."""
        self._shown.stopping(hard)
