"""Two sets of results, row by row: differences with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.aggregation import (
    Difference,
    Summary,
    asked_for,
    difference,
    direction,
    environment_mark,
    group,
    paired_difference,
    summarize,
)
from genbench.errors import StoreError, UsageError
from genbench.publish import gather
from genbench.records import Record
from genbench.report.inputs import TaskResults


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one row in both results.

    Parameters
    ----------
    change
        B minus A, or None where one side has no number or the two cannot be compared.
    reason
        Why `change` is None.
    """

    task: str
    generator: str
    metric: str
    a: float | None
    b: float | None
    change: Difference | None
    reason: str
    higher_is_better: bool | None

    @property
    def verdict(self) -> str:
        """better, worse, no difference shown, or why there is no verdict."""
        if self.change is None or self.change.estimate is None:
            return self.reason
        if not self.change.significant:
            return "no difference shown"
        if self.higher_is_better is None:
            return "differs"
        return "better" if (self.change.estimate > 0) == self.higher_is_better else "worse"

    def cells(self) -> tuple[str, ...]:
        """The line as text."""
        change = self.change
        interval = None if change is None else change.interval
        return (
            self.task,
            self.generator,
            self.metric,
            number(self.a),
            number(self.b),
            "" if change is None or change.estimate is None else f"{change.estimate:+.4g}",
            "" if interval is None else f"[{interval.low:+.4g}, {interval.high:+.4g}]",
            self.verdict,
        )


def compare_places(a: Path, b: Path) -> list[Line]:
    """Every row and metric of two results directories.

    Raises
    ------
    UsageError
        If they have no task in common.
    """
    ours, theirs = tasks_of(a), tasks_of(b)
    common = sorted(set(ours) & set(theirs))
    if not common:
        raise UsageError(
            f"{a} and {b} have no task in common "
            f"({', '.join(sorted(ours))} against {', '.join(sorted(theirs))}): "
            "compare runs of one suite, version and profile"
        )
    return lines({name: ours[name] for name in common}, theirs)


def lines(a: Mapping[str, TaskResults], b: Mapping[str, TaskResults]) -> list[Line]:
    """`compare_places` for results already read: tasks of `a`, all of which `b` has."""
    return [line for name, task in a.items() for line in _lines(name, task, b[name])]


def tasks_of(place: Path) -> dict[str, TaskResults]:
    """What a results directory holds, by the name of suite, version, task and profile.

    Raises
    ------
    StoreError
        If something in it cannot be used: a comparison must not pass over what it cannot read.
    """
    found, problems = gather([place])
    if problems:
        first, more = problems[0], len(problems) - 1
        raise StoreError(
            f"{place} holds what cannot be used: {first.path}: {first.reason}"
            f"{f', and {more} more' if more else ''}: mend or remove it "
            f"(genbench results verify {place} lists all)"
        )
    return {
        f"{t.suite['suite']['name']}@{t.suite['suite']['version']}-{t.suite['task'][7:15]}"
        f"-{t.suite['profile']}": t
        for t in found
    }


def _lines(task: str, a: TaskResults, b: TaskResults) -> Iterator[Line]:
    rows_a, rows_b = rows_of(a), rows_of(b)
    for label in [*rows_a, *(r for r in rows_b if r not in rows_a)]:
        left, right = rows_a.get(label, []), rows_b.get(label, [])
        metrics = dict.fromkeys(m for r in (*left, *right) for m in r.metrics)
        for metric in metrics:
            yield _line(task, label, metric, left, right)


def rows_of(task: TaskResults) -> Mapping[str, list[Record]]:
    """Records by name and the parameters that were asked for.

    Versions, sources and defaults are what a comparison is about; of several the newest counts.
    """
    found: dict[str, list[Record]] = {}
    for records in group([e.record for e in task.entries]).values():
        name, passed = asked_for(records[0])
        label = name if passed == "{}" else f"{name} {passed}"
        if label not in found or _made(records) > _made(found[label]):
            found[label] = list(records)
    return found


def _made(records: Sequence[Record]) -> str:
    """When the newest of them was made: ids sort by time."""
    return max(record.record_id for record in records)


def same_environment(a: Sequence[Record], b: Sequence[Record]) -> bool:
    """Whether seeds are the same trials in both: machine, threads and libraries are equal."""
    return {environment_mark(r) for r in a} == {environment_mark(r) for r in b}


def _line(task: str, label: str, metric: str, a: list[Record], b: list[Record]) -> Line:
    up = direction((*a, *b), metric)
    sides = [_summary(records, metric) for records in (a, b)]
    left, right = sides
    name = label.partition(" ")[0]
    if left is None or right is None or left.mean is None or right.mean is None:
        missing = "A" if left is None or left.mean is None else "B"
        means = [None if s is None else s.mean for s in sides]
        return Line(task, name, metric, means[0], means[1], None, f"no number in {missing}", up)
    change = paired_difference(right, left) if same_environment(a, b) else None
    change = change or difference(right, left)
    return Line(task, name, metric, left.mean, right.mean, change, change.reason or "", up)


def _summary(records: list[Record], metric: str) -> Summary | None:
    return summarize(records, metric) if records else None


def number(value: float | None) -> str:
    """Five digits, or a dash."""
    return "–" if value is None else f"{value:.5g}"
