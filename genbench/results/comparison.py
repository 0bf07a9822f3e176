"""Two sets of results, row by row: differences with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genbench.errors import StoreError, UsageError, shorten
from genbench.results.aggregation import (
    LEVEL,
    asked_for,
    direction,
    environment_mark,
    group,
    summarize,
)
from genbench.results.differences import Difference, difference, paired_difference
from genbench.results.entries import TaskResults
from genbench.results.publish import gather
from genbench.results.ranking import holm_adjusted
from genbench.results.records import Record
from genbench.results.rownames import find_row, newest_id, row_name, row_names


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one row in both results.

    Parameters
    ----------
    change
        B minus A, or None where one side has no number or the two cannot be compared.
    reason
        Why `change` is None.
    one_seed
        Whether a side was trained at one seed: then how far another training would have moved it is
        unknown, and there is no verdict.
    p_value
        Holm's adjusted one, over all lines of the comparison that can have a verdict.
    """

    task: str
    generator: str
    metric: str
    a: float | None
    b: float | None
    change: Difference | None
    reason: str
    higher_is_better: bool | None
    one_seed: bool = False
    p_value: float = 1.0

    @property
    def tested(self) -> bool:
        """Whether the line can have a verdict, and so counts as a test."""
        return self.change is not None and self.change.estimate is not None and not self.one_seed

    @property
    def verdict(self) -> str:
        """better, worse, no difference shown, or why there is no verdict."""
        if self.change is None or self.change.estimate is None:
            return self.reason
        if self.change.estimate == 0.0:
            return "equal"
        if self.one_seed:
            return "one seed: cannot tell"
        if self.p_value >= 1 - LEVEL:
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
            f"{self.p_value:.2g}" if self.tested else "",
            self.verdict,
        )


def compare_places(a: Path, b: Path) -> list[Line]:
    """Every row and metric of two results directories; `UsageError` if they share no task."""
    ours, theirs = tasks_of(a), tasks_of(b)
    common = sorted(set(ours) & set(theirs))
    if not common:
        raise UsageError(
            f"{a} and {b} have no task in common "
            f"({', '.join(sorted(ours))} against {', '.join(sorted(theirs))}): "
            "compare runs of one suite, version and profile"
        )
    return lines({name: ours[name] for name in common}, theirs)


def compare_rows(a: Path, b: Path, row_a: str, row_b: str) -> list[Line]:
    """One row of a results directory against another, of the same or of another directory.

    Rows are ``NAME``, ``NAME:key=value,...`` or ``NAME@VERSION``, as `rownames` reads them;
    `UsageError` if no task has both, or a name fits several.
    """
    ours = tasks_of(a, superseded=True)
    theirs = ours if a == b else tasks_of(b, superseded=True)
    common = [name for name in sorted(ours) if name in theirs]
    found = [
        line
        for name in common
        for line in _two_rows(name, find_row(ours[name], row_a), find_row(theirs[name], row_b))
    ]
    if not found:
        known = sorted({n for t in (*ours.values(), *theirs.values()) for n in row_names(t)})
        raise UsageError(
            f"no task of {a}{'' if a == b else f' and {b}'} has both {shorten(row_a)!r} and "
            f"{shorten(row_b)!r}: the rows are {', '.join(known)}"
        )
    return corrected(found)


def _two_rows(task: str, left: list[Record], right: list[Record]) -> Iterator[Line]:
    """Never paired: a seed of one generator is no trial of another."""
    if left and right:
        names = " -> ".join(_distinct_names(left, right))
        for metric in dict.fromkeys(m for r in (*left, *right) for m in r.metrics):
            yield _line(task, names, metric, left, right, paired=False)


def _distinct_names(*rows: list[Record]) -> list[str]:
    """The names of rows, with their versions where names are equal."""
    names = [row_name(records) for records in rows]
    if len(set(names)) == len(names):
        return names
    versions = [str(records[0].cell["generator"]["version"]) for records in rows]
    return [f"{n}@{v}" for n, v in zip(names, versions, strict=True)]


def lines(a: Mapping[str, TaskResults], b: Mapping[str, TaskResults]) -> list[Line]:
    """`compare_places` for results already read: tasks of `a`, all of which `b` has."""
    return corrected([line for name, task in a.items() for line in _lines(name, task, b[name])])


def corrected(found: Sequence[Line]) -> list[Line]:
    """The lines with p-values that hold for all of them together (Holm)."""
    tested = [line for line in found if line.tested]
    adjusted = iter(holm_adjusted([line.change.p_value for line in tested if line.change]))
    return [replace(line, p_value=next(adjusted)) if line.tested else line for line in found]


def footnote(found: Sequence[Line]) -> str:
    """The footnote that explains the verdicts of a comparison."""
    tests = sum(line.tested for line in found)
    text = (
        f"Verdicts hold for all lines together (Holm's correction for {tests} tested lines of "
        f"{len(found)}); an interval is its own line's."
    )
    if any(line.one_seed for line in found):
        text += (
            " Where a side has one seed the spread between trainings is unknown: run both with "
            "--seeds 0,1,2."
        )
    return text


def tasks_of(place: Path, *, superseded: bool = False) -> dict[str, TaskResults]:
    """The tasks of a results directory, by the name of suite, version, task and profile.

    `superseded` brings rows of earlier versions of a generator too. `StoreError` if something in it
    cannot be used: a comparison must not pass over what it cannot read.
    """
    found, problems = gather([place], superseded=superseded)
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
    for label in {**rows_a, **rows_b}:
        left, right = rows_a.get(label, []), rows_b.get(label, [])
        for metric in dict.fromkeys(m for r in (*left, *right) for m in r.metrics):
            yield _line(task, row_name(left or right), metric, left, right, paired=True)


def rows_of(task: TaskResults) -> Mapping[str, list[Record]]:
    """Records by name and the parameters that were asked for.

    Versions, sources and defaults are what a comparison is about; of several the newest counts.
    """
    found: dict[str, list[Record]] = {}
    for records in group([e.record for e in task.entries]).values():
        name, passed = asked_for(records[0])
        label = name if passed == "{}" else f"{name} {passed}"
        if label not in found or newest_id(records) > newest_id(found[label]):
            found[label] = list(records)
    return found


def same_environment(a: Sequence[Record], b: Sequence[Record]) -> bool:
    """Whether seeds are the same trials in both: machine, threads and libraries are equal."""
    return {environment_mark(r) for r in a} == {environment_mark(r) for r in b}


def _line(
    task: str, name: str, metric: str, a: list[Record], b: list[Record], *, paired: bool
) -> Line:
    up = direction((*a, *b), metric)
    sides = [summarize(records, metric) if records else None for records in (a, b)]
    left, right = sides
    if left is None or right is None or left.mean is None or right.mean is None:
        missing = "A" if left is None or left.mean is None else "B"
        means = [None if s is None else s.mean for s in sides]
        return Line(task, name, metric, means[0], means[1], None, f"no number in {missing}", up)
    change = paired_difference(right, left) if paired and same_environment(a, b) else None
    change = change or difference(right, left)
    alone = any(not (s.control or s.fixed) and s.n_seeds < 2 for s in (left, right))
    return Line(task, name, metric, left.mean, right.mean, change, change.reason or "", up, alone)


def number(value: float | None) -> str:
    """Five digits, or a dash."""
    return "–" if value is None else f"{value:.5g}"
