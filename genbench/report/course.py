"""The course of training: quality over the examples served, and how steady each row's way was."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench.metrics import METRICS
from genbench.report.columns import Column
from genbench.report.figures import (
    Choice,
    Figure,
    axis,
    floor_line,
    log_ticks,
    spec,
    symbols,
    value_axis,
)
from genbench.report.rows import Row, Table
from genbench.report.text import count, number, plot_labels, shorten
from genbench.results import Course, Loss, Stability, course_of, stability, why_no_course

TITLES = {"fid": "FID", "recall": "Recall", "classes_hit": "Classes hit"}
MOST_ROWS = 40
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
MOST_NAMED = 4  # losses of a row that its sentence names one by one


@dataclass(frozen=True, slots=True)
class _Told:
    """A row with the courses of its seeds."""

    row: Row
    courses: tuple[Course, ...]


def courses_of(row: Row) -> tuple[Course, ...]:
    """The courses of a row's finished seeds, those that have one."""
    found = (course_of(entry.record) for entry in row.done)
    return tuple(course for course in found if course is not None)


def stability_of(row: Row) -> Stability | None:
    """What the courses of a row say together; None without any."""
    courses = courses_of(row)
    return stability(courses) if courses else None


def figure(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Quality over examples served of all rows, one metric at a time; None without a course."""
    rows = [_Told(row, courses) for row in table.generators if (courses := courses_of(row))]
    if not rows:
        return None
    drawn = rows[:MOST_ROWS]
    points = [p for told in drawn for course in told.courses for p in course.points]
    names = [name for name in TITLES if any(name in p.values for p in points)]
    if not names:
        return None
    n = max(course.rows for told in rows for course in told.courses)
    return Figure(
        "course",
        "The course of training",
        f"States of each fit, kept on its way and sampled afterwards: {n:,} samples of each. FID "
        "is higher where they are fewer: compare it with the grey line, as many rows of held-out "
        "real data, and not with the table. Thick lines are means over seeds, thin ones single "
        "seeds. A class is hit if the suite's classifier finds at least a tenth of its real share "
        "among the samples.",
        {name: _drawn(name, drawn, table, colour) for name in names},
        (Choice("Metric", tuple((name, TITLES[name]) for name in names)),),
        ("generator", "seed", "examples", *(TITLES[name] for name in names), "classes missed"),
        tuple(line for told in rows for line in _lines(told, names, table)),
        notes=(
            *(f"{shorten(told.row.label)}: {stability_text(told.row, table)}" for told in rows),
            *_without(table, rows),
        ),
    )


def _lines(told: _Told, names: Sequence[str], table: Table) -> list[tuple[str, ...]]:
    """The figure's data: one line per state, those that were lost with the reason."""
    lines = []
    for course in told.courses:
        for p in course.points:
            values = (number(p.values.get(name), 5) for name in names)
            missed = ", ".join(table.class_name(c) for c in p.missed or ())
            lines.append((told.row.label, str(course.seed), f"{p.examples:,}", *values, missed))
        for examples, why in course.lost.items():
            blank = [""] * len(names)
            lines.append((told.row.label, str(course.seed), f"{examples:,}", *blank,
                          f"no state: {shorten(why, 50)}"))  # fmt: skip
    return lines


def _drawn(name: str, rows: Sequence[_Told], table: Table, colour: Mapping[str, str]) -> str:
    marker = symbols([told.row for told in rows])
    labels = plot_labels([told.row.label for told in rows], 24)
    traces: list[dict[str, Any]] = []
    alike: Counter[str] = Counter()  # where rows are many, those of a family have one colour
    for told, label in zip(rows, labels, strict=True):
        paint = colour[told.row.id]
        line = {"color": paint, "dash": _DASHES[alike[paint] % len(_DASHES)]}
        alike[paint] += 1
        traces += _traces(name, told.courses, label, line, marker[told.row.id])
    values = [y for trace in traces for y in trace["y"]]
    examples = [x for trace in traces for x in trace["x"]]
    floors = [c.floor[name] for told in rows for c in told.courses if name in c.floor]
    floor = sum(floors) / len(floors) if floors else None
    column = _column(name, table)
    above = [*values, *([] if floor is None else [floor])]
    vertical = value_axis(column, above)
    if name == "classes_hit":
        vertical |= {"rangemode": "tozero", "tickformat": "d"}
    below = 56 + 22 * math.ceil(len(rows) / 3)  # three names in a line of a phone's legend
    return spec(
        traces,
        xaxis=axis("training examples served (logarithmic)", **_example_ticks(examples)),
        yaxis=vertical,
        **floor_line(floor, False, vertical.get("type") == "log"),
        height=380 + below,
        showlegend=len(rows) > 1,
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"},
        margin={"l": 64, "r": 20, "t": 24, "b": below},
    )


def _column(name: str, table: Table) -> Column:
    """How an axis names a metric and which way is better; the table's own column, if it has one."""
    info = METRICS.get(name)
    for column in table.columns:
        if column.id == name:
            return column
    higher = True if info is None else info.higher_is_better
    logarithmic = info is not None and info.scale == "log"
    return Column(name, TITLES[name], "", "", None, higher, logarithmic, False, "")


def _traces(
    name: str, courses: Sequence[Course], label: str, line: Mapping[str, str], symbol: str
) -> list[dict[str, Any]]:
    """The mean over seeds and, where there are several, every seed."""
    hover = "%{x:,} examples: %{y:.4g}"
    single = [_line(course, name) for course in courses]
    mean = _mean(single)
    traces = [
        {"type": "scatter", "mode": "lines", "x": list(one), "y": list(one.values()),
         "name": label, "legendgroup": label, "showlegend": False, "opacity": 0.6,
         "line": {**line, "width": 1}, "hovertemplate": f"{hover}, seed {course.seed}"}
        for one, course in zip(single, courses, strict=True) if one and len(courses) > 1
    ]  # fmt: skip
    if mean:
        traces.append(
            {"type": "scatter", "mode": "lines+markers", "x": list(mean), "y": list(mean.values()),
             "name": label, "legendgroup": label, "line": {**line, "width": 2.4},
             "marker": {"color": line["color"], "size": 8, "symbol": symbol},
             "hovertemplate": hover}
        )  # fmt: skip
    return traces


def _line(course: Course, name: str) -> dict[int, float]:
    return {p.examples: p.values[name] for p in course.points if name in p.values}


def _mean(lines: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean at each number of examples that all seeds have a value at."""
    shared = set.intersection(*(set(line) for line in lines)) if lines else set()
    return {at: sum(line[at] for line in lines) / len(lines) for at in sorted(shared)}


def _example_ticks(examples: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis with a tick at each fraction of the budget."""
    places = sorted(set(examples))
    if len(places) > 8 or (places and places[-1] / places[0] > 2 ** len(places)):
        return log_ticks(places)
    return {"type": "log", "tickvals": places, "ticktext": [count(x) for x in places],
            "range": [math.log10(places[0]) - 0.06, math.log10(places[-1]) + 0.06]}  # fmt: skip


def stability_text(row: Row, table: Table) -> str:
    """A row's stability in a sentence; empty without a course."""
    courses = courses_of(row)
    if not courses:
        return ""
    known = stability(courses)
    return f"{_spread(known)}; {_classes(known, courses, table)}."


def _spread(known: Stability) -> str:
    name = next((n for n in TITLES if n in known.spread), None)
    if name is None:
        return "its final state has no value"
    ends = known.spread[name]
    if ends.sd is None:
        return f"{TITLES[name]} {number(ends.low, 3)} at the end, one seed: its spread is unknown"
    low, high = number(ends.low, 3), number(ends.high, 3)
    return f"{TITLES[name]} {low} to {high} over {known.seeds} seeds (sd {number(ends.sd, 2)})"


def _classes(known: Stability, courses: Sequence[Course], table: Table) -> str:
    """The modes that were lost on the way, and when."""
    if not known.told:
        return "no classes by which a lost mode would show"
    if len(courses[0].points) < 2:
        return "too few states to see a class being lost"
    parts = [_loss(loss, known, table) for loss in known.losses[:MOST_NAMED]]
    if len(known.losses) > MOST_NAMED:
        parts.append(f"{len(known.losses) - MOST_NAMED} more losses")
    parts += [
        f"never found {_named(classes, table)}{_of(seed, known)}"
        for seed, classes in known.never.items()
    ]
    return "; ".join(parts) or "no class was lost"


def _loss(loss: Loss, known: Stability, table: Table) -> str:
    again = f"found again by {loss.back:,}" if loss.back else "not found again"
    lost = f"lost class {shorten(table.class_name(loss.class_), 24)}{_of(loss.seed, known)}"
    return f"{lost} between {loss.had:,} and {loss.missed:,} examples, {again}"


def _named(classes: Sequence[int], table: Table) -> str:
    names = ", ".join(shorten(table.class_name(c), 24) for c in classes[:MOST_NAMED])
    more = f" and {len(classes) - MOST_NAMED} more" if len(classes) > MOST_NAMED else ""
    return f"{'class' if len(classes) == 1 else 'classes'} {names}{more}"


def _of(seed: int, known: Stability) -> str:
    return f" (seed {seed})" if known.seeds > 1 else ""


def _without(table: Table, rows: Sequence[_Told]) -> list[str]:
    """Why other finished rows have no course, rows of one reason together."""
    told = {id(t.row) for t in rows}
    reasons: dict[str, list[str]] = {}
    for row in table.generators:
        if id(row) not in told and row.done and not row.fixed:
            reasons.setdefault(why_no_course(row.done[0].record), []).append(row.label)
    return [
        f"{', '.join(shorten(name) for name in names[:6])}"
        f"{f' and {len(names) - 6} more' if len(names) > 6 else ''}: {shorten(why, 200)}."
        for why, names in reasons.items()
    ]
