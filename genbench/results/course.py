"""Courses of training as records tell them, and what they say of a row's stability.

A record may be anybody's: what is not of the form that the worker writes is passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genbench.results.records import Record

MEASURED = ("fid", "recall", "classes_hit")
MOST_POINTS = 100


@dataclass(frozen=True, slots=True)
class CoursePoint:
    """The scores of one state: metrics that have a value, and the classes that it missed.

    `missed` is None where nobody could tell the classes.
    """

    examples: int
    values: Mapping[str, float]
    missed: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Course:
    """The course of one cell.

    Parameters
    ----------
    seed, rows
        The cell's seed, and the rows drawn from each state.
    points
        Ascending; the last is the state that the fit ended with.
    floor
        The same metrics of real rows that no generator saw, at the same number of rows.
    lost
        By examples: why a state has no scores.
    classes
        How many there are; 0 where nobody could tell them.
    """

    seed: int
    rows: int
    points: tuple[CoursePoint, ...]
    floor: Mapping[str, float] = field(default_factory=dict)
    lost: Mapping[int, str] = field(default_factory=dict)
    classes: int = 0


@dataclass(frozen=True, slots=True)
class Loss:
    """A class that one seed found and lost again.

    Hit after `had` examples, missed after `missed`, hit again after `back`: None if never.
    """

    seed: int
    class_: int
    had: int
    missed: int
    back: int | None


@dataclass(frozen=True, slots=True)
class Spread:
    """A metric's final values over the seeds; `sd` (ddof = 1) is None with one of them."""

    low: float
    high: float
    sd: float | None


@dataclass(frozen=True, slots=True)
class Stability:
    """The courses of a row's seeds, together.

    Parameters
    ----------
    seeds
        How many have a course.
    spread
        Of the final state, by metric.
    losses
        Classes that were lost on the way; those that were found again too.
    never
        By seed, the classes that no state hit.
    told
        Whether anybody could tell the classes.
    """

    seeds: int
    spread: Mapping[str, Spread]
    losses: tuple[Loss, ...]
    never: Mapping[int, tuple[int, ...]]
    told: bool

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "seeds": self.seeds,
            "spread": {
                name: {"low": s.low, "high": s.high, "sd": s.sd} for name, s in self.spread.items()
            },
            "lost_classes": [
                {"seed": loss.seed, "class": loss.class_, "had_at": loss.had,
                 "missed_at": loss.missed, "back_at": loss.back}
                for loss in self.losses
            ] if self.told else None,
            "never_found": {str(seed): list(classes) for seed, classes in self.never.items()},
        }  # fmt: skip


def course_of(record: Record) -> Course | None:
    """The course that a record tells; None if it has none with points."""
    body = record.course
    if not isinstance(body, Mapping) or body.get("status") != "ok":
        return None
    listed = body.get("points")
    found = [_point(p) for p in (listed if isinstance(listed, list) else [])[:MOST_POINTS]]
    points = sorted((p for p in found if p is not None), key=lambda p: p.examples)
    if not points:
        return None
    classes = _count(body.get("classes"))
    return Course(
        seed=record.seed,
        rows=_count(body.get("rows")) or 0,
        points=tuple(points),
        floor=_values(body.get("floor")),
        lost=_lost(body),
        classes=classes or 0,
    )


def why_no_course(record: Record) -> str:
    """The reason that a finished record has no course with points; it may be older than courses."""
    body = record.course if isinstance(record.course, Mapping) else {}
    reason = body.get("reason")
    return reason if isinstance(reason, str) and reason else "not recorded"


def stability(courses: Sequence[Course]) -> Stability:
    """What the courses of a row's seeds, of which there is at least one, say together."""
    ends = [course.points[-1].values for course in courses]
    spread = {}
    for name in MEASURED:
        values = [end[name] for end in ends if name in end]
        if values:
            spread[name] = Spread(min(values), max(values), _sd(values))
    never = {}
    for course in courses:
        missed = [set(p.missed) for p in course.points if p.missed is not None]
        if missed and (always := set.intersection(*missed)):
            never[course.seed] = tuple(sorted(always))
    losses = tuple(loss for course in courses for loss in _losses(course))
    told = any(p.missed is not None for course in courses for p in course.points)
    return Stability(len(courses), spread, losses, never, told)


def _losses(course: Course) -> list[Loss]:
    """The first loss of each class, and whether it was found again."""
    known = [(p.examples, frozenset(p.missed)) for p in course.points if p.missed is not None]
    found = []
    for class_ in sorted(set().union(*(missed for _, missed in known))):
        had = 0
        for k, (examples, missed) in enumerate(known):
            if class_ not in missed:
                had = examples
            elif had:
                back = next((at for at, later in known[k:] if class_ not in later), None)
                found.append(Loss(course.seed, class_, had, examples, back))
                break
    return found


def _point(body: Any) -> CoursePoint | None:
    examples = _count(body.get("examples")) if isinstance(body, Mapping) else None
    if not examples:
        return None
    missed = body.get("missed")
    numbers = [_count(c) for c in missed] if isinstance(missed, list) else [None]
    classes = tuple(n for n in numbers if n is not None)
    return CoursePoint(examples, _values(body), classes if len(classes) == len(numbers) else None)


def _values(body: Any) -> dict[str, float]:
    if not isinstance(body, Mapping):
        return {}
    return {
        name: float(value)
        for name in MEASURED
        if isinstance(value := body.get(name), int | float)
        and not isinstance(value, bool)
        and abs(value) < 1e100
    }


def _lost(body: Mapping[str, Any]) -> dict[int, str]:
    lost = body.get("lost")
    if not isinstance(lost, Mapping):
        return {}
    known = {str(k): v for k, v in lost.items() if str(k).isdecimal() and isinstance(v, str)}
    return {int(k): known[k] for k in sorted(known, key=int) if len(k) < 16}


def _count(value: Any) -> int | None:
    """A count, if it is one that a record may hold."""
    return value if type(value) is int and 0 <= value < 10**15 else None


def _sd(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
