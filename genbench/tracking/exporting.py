"""Stored records told to trackers: once each, however often it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from genbench.errors import TrackerError, UsageError
from genbench.report import build_report
from genbench.results import Stored, TaskResults, gather, group
from genbench.tracking.account import Account, account_of, group_of
from genbench.tracking.process import TrackerProcess
from genbench.tracking.targets import Target


@dataclass(frozen=True, slots=True)
class Exported:
    """The cells that a target was told: new to it, in the place of an earlier attempt, known."""

    target: Target
    new: int
    renewed: int
    same: int

    @property
    def cells(self) -> int:
        """All of them."""
        return self.new + self.renewed + self.same


def export(
    places: Sequence[Path], targets: Sequence[Target], *, report: bool = True
) -> list[Exported]:
    """Tell targets the record that counts of every cell in some results folders.

    The same again tells nothing twice. What a tracker cannot take ends it, and the same command
    continues.

    Parameters
    ----------
    report
        The report of every task too, one HTML file.

    Raises
    ------
    UsageError
        If there are no records, or a tracker cannot work here: then nothing was told.
    TrackerError
        If a tracker cannot be reached, or refuses a cell.
    """
    with opened(targets) as processes:
        found = _that_count(places)
        tasks = gather(places, published=True)[0] if report else []
        with TemporaryDirectory(prefix="genbench-report-") as scratch:
            pages = reports_of(tasks, Path(scratch))
            return [_told(process, found, pages) for process in processes]


@contextmanager
def opened(targets: Sequence[Target]) -> Iterator[list[TrackerProcess]]:
    """The processes of targets, all of them ready, ended in whatever way this ends."""
    processes: list[TrackerProcess] = []
    try:
        processes.extend(map(TrackerProcess, targets))  # they import libraries side by side
        for process in processes:
            process.require_open()
        yield processes
    finally:
        for process in processes:
            process.kill()


def reports_of(tasks: Sequence[TaskResults], out: Path) -> dict[str, Path]:
    """The report of each group of tasks as one file below a folder."""
    groups: dict[str, list[TaskResults]] = {}
    for task in tasks:
        about = task.suite["suite"]
        name = group_of(str(about["name"]), str(about["version"]), str(task.suite["profile"]))
        groups.setdefault(name, []).append(task)
    return {
        name: build_report(some, out / str(index), single_file=True)
        for index, (name, some) in enumerate(groups.items())
    }


def report_order(group: str, page: Path) -> dict[str, str]:
    """The order to take in a group's report."""
    return {"do": "report", "group": group, "page": str(page.absolute())}


def record_order(account: Account) -> dict[str, Any]:
    """The order to take in a cell."""
    return {"do": "record", "account": account.to_json()}


def _that_count(places: Sequence[Path]) -> list[Stored]:
    found: list[Stored] = []
    for task in gather(places, superseded=True)[0]:
        folders = {e.record.record_id: e.folder for e in task.entries}
        for records in group(entry.record for entry in task.entries).values():
            for record in records:
                folder = folders[record.record_id]
                if folder is not None:
                    found.append(Stored(record, folder))
    if not found:
        names = ", ".join(map(str, places))
        raise UsageError(f"no records in {names}: give folders that `genbench run` wrote to")
    return found


def _told(process: TrackerProcess, found: Sequence[Stored], reports: dict[str, Path]) -> Exported:
    counts: Counter[str] = Counter()
    try:
        for stored in found:
            counts[process.ask(record_order(account_of(stored)))] += 1
        for name, page in reports.items():
            process.ask(report_order(name, page))
        failure = process.close()
        if failure:
            raise TrackerError(f"tracker {process.target}: {failure}")
    except TrackerError as error:
        done = counts.total()
        raise TrackerError(
            f"{str(error).rstrip('.')}: {done} of {len(found)} cells were told; "
            "the same command continues"
        ) from error
    return Exported(process.target, counts["new"], counts["renewed"], counts["same"])
