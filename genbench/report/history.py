"""The value of each metric over time: several results folders, or revisions of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench.report.columns import Column
from genbench.report.figures import GREY, Choice, Figure, axis, spec, value_axis
from genbench.report.rows import Row, Table
from genbench.report.text import number, plot_label, shorten
from genbench.results import Snapshot, Summary, asked_for, group, is_control_record, summarize


@dataclass(frozen=True, slots=True)
class _Point:
    """A generator's value of a metric at one time; `who` is what was asked for."""

    when: str
    who: tuple[str, str]
    version: str
    summary: Summary


def history(
    table: Table, snapshots: Sequence[Snapshot], colour: Mapping[str, str]
) -> Figure | None:
    """Each generator's value over the snapshots, in the order of their newest records.

    A generator is followed by its name and the parameters that somebody set, through its versions
    and defaults. Only values with one signature are joined by a line: another signature is another
    number.
    """
    ordered = sorted(snapshots, key=lambda s: s.time)
    if len(ordered) < 2:
        return None
    labels = [_label(s, index) for index, s in enumerate(ordered)]
    rows = {asked_for(row.entries[0].record): row for row in reversed(table.generators)}
    specs: dict[str, str] = {}
    cells: list[tuple[str, ...]] = []
    for column in table.columns:
        points = [p for s, when in zip(ordered, labels, strict=True) for p in _at(s, when, column)]
        if points:
            specs[column.id] = _drawn(points, column, labels, rows, colour)
            cells += [_line(p, column, rows) for p in points]
    if not specs:
        return None
    titles = {c.id: c.title for c in table.columns}
    return Figure(
        "history",
        "Over time",
        "One mark per results folder or revision, oldest first, with its 95 % interval. Lines join "
        "numbers of one signature only: where the metric, its extractor or the number of samples "
        "changed, the line ends and another begins.",
        specs,
        (Choice("Metric", tuple((key, titles[key]) for key in specs)),),
        ("when", "generator", "version", "metric", "value", "low", "high", "seeds", "signature"),
        tuple(cells),
    )


def _label(snapshot: Snapshot, index: int) -> str:
    """Distinct, since Plotly puts equal categories into one place."""
    return f"{index + 1}: {shorten(snapshot.label, 40)} {snapshot.time[:10]}".strip()


def _at(snapshot: Snapshot, when: str, column: Column) -> list[_Point]:
    """Values of one metric at one time; of several versions there the one made last."""
    newest: dict[tuple[str, str], tuple[str, _Point]] = {}
    for key, records in group(e.record for e in snapshot.entries).items():
        if is_control_record(records[0]):
            continue
        summary = summarize(records, column.id)
        if summary.mean is None:
            continue
        who = asked_for(records[0])
        made = max(record.record_id for record in records)
        if who not in newest or made > newest[who][0]:
            newest[who] = (made, _Point(when, who, key.version, summary))
    return [point for _, (_, point) in sorted(newest.items())]


def _drawn(
    points: Sequence[_Point],
    column: Column,
    labels: Sequence[str],
    rows: Mapping[tuple[str, str], Row],
    colour: Mapping[str, str],
) -> str:
    lines: dict[tuple[tuple[str, str], str], list[_Point]] = {}
    for point in points:
        lines.setdefault((point.who, point.summary.signature), []).append(point)
    named: set[tuple[str, str]] = set()
    traces = []
    for (who, _), line in lines.items():
        row = rows.get(who)
        traces.append(
            _trace(line, _name(who, rows), GREY if row is None else colour[row.id], who in named)
        )
        named.add(who)
    values = [v for p in points for v in _ends(p.summary)]
    return spec(
        traces,
        xaxis=axis("", type="category", categoryorder="array",
                   categoryarray=[plot_label(label, 60) for label in labels]),
        yaxis=value_axis(column, values),
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        margin={"l": 64, "r": 20, "t": 44, "b": 72},
    )  # fmt: skip


def _trace(line: Sequence[_Point], name: str, colour: str, again: bool) -> dict[str, Any]:
    values = [float(p.summary.mean or 0.0) for p in line]
    ends = [_ends(p.summary) for p in line]
    return {
        "type": "scatter", "mode": "lines+markers", "name": plot_label(name, 30),
        "x": [plot_label(p.when, 60) for p in line], "y": values,
        "legendgroup": plot_label(name), "showlegend": not again,
        "customdata": [plot_label(p.version) for p in line],
        "error_y": {"type": "data", "symmetric": False, "color": colour, "thickness": 1.4,
                    "array": [high - v for v, (_, high) in zip(values, ends, strict=True)],
                    "arrayminus": [v - low for v, (low, _) in zip(values, ends, strict=True)]},
        "line": {"color": colour, "width": 1.7}, "marker": {"size": 9, "color": colour},
        "hovertemplate": "%{x}<br>version %{customdata}: %{y:.5g}",
    }  # fmt: skip


def _ends(summary: Summary) -> tuple[float, float]:
    mean = float(summary.mean or 0.0)
    interval = summary.interval
    return (mean, mean) if interval is None else (interval.low, interval.high)


def _name(who: tuple[str, str], rows: Mapping[tuple[str, str], Row]) -> str:
    """Without the version: that is what changes over time."""
    row = rows.get(who)
    return f"{who[0]} ({row.passed})" if row is not None and row.passed else who[0]


def _line(point: _Point, column: Column, rows: Mapping[tuple[str, str], Row]) -> tuple[str, ...]:
    summary = point.summary
    low, high = _ends(summary)
    return (point.when, _name(point.who, rows), point.version, column.title,
            number(summary.mean, 6), number(low, 6), number(high, 6), str(summary.n_seeds),
            summary.signature)  # fmt: skip
