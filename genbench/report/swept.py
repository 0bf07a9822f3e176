"""Rows of a generator that differ in a parameter: each metric against it, drawn and as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench.report.columns import Column
from genbench.report.figures import (
    GREY,
    PALETTE,
    Choice,
    Figure,
    axis,
    error_bar,
    floor_line,
    log_axis,
    log_ticks,
    spec,
    value_axis,
)
from genbench.report.rows import Row, Table
from genbench.report.text import finite, plot_label, plot_labels
from genbench.results import canonical_json, plain

MOST = 8  # parameters in one figure; the table shows them all


@dataclass(frozen=True, slots=True)
class Series:
    """Rows that share all parameters but the swept one, by its value ascending.

    `others` are the parameters that tell this series from the sweep's other ones, if there are any.
    """

    others: str
    points: tuple[tuple[Any, Row], ...]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One parameter of one generator, with at least two values."""

    generator: str
    parameter: str
    series: tuple[Series, ...]

    @property
    def title(self) -> str:
        """Such as ``vae: latent``."""
        return f"{self.generator}: {self.parameter}"


def sweeps(table: Table) -> tuple[Sweep, ...]:
    """Every parameter in which rows of one generator, version and source differ."""
    families: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in table.generators:
        families[row.name, row.version, row.provider, _source(row)].append(row)
    found = []
    for (name, *_), rows in sorted(families.items()):
        keys = {key for row in rows for key, value in _params(row).items() if _is_scalar(value)}
        found += [one for key in sorted(keys) if (one := _sweep(name, key, rows)) is not None]
    return tuple(found)


def _sweep(name: str, key: str, rows: Sequence[Row]) -> Sweep | None:
    apart: dict[bytes, dict[str, tuple[Any, Row]]] = defaultdict(dict)
    for row in rows:
        params = _params(row)
        if _is_scalar(params.get(key)):
            rest = canonical_json({k: v for k, v in params.items() if k != key})
            apart[rest][plain(params[key])] = params[key], row
    chosen = [points for _, points in sorted(apart.items()) if len(points) > 1]
    if not chosen:
        return None
    titles = _distinct_titles([[row for _, row in points.values()] for points in chosen], key)
    series = zip(titles, chosen, strict=True)
    return Sweep(
        name, key, tuple(Series(t, tuple(sorted(p.values(), key=_order))) for t, p in series)
    )


def _distinct_titles(series: Sequence[Sequence[Row]], key: str) -> list[str]:
    """For each series, the other parameters in which the series differ."""
    params = [{k: plain(v) for k, v in _params(rows[0]).items() if k != key} for rows in series]
    names = sorted({k for one in params for k in one if len({p.get(k) for p in params}) > 1})
    return [", ".join(f"{k}={one.get(k, '–')}" for k in names) for one in params]


def _params(row: Row) -> Mapping[str, Any]:
    """All of a row's parameters; one that is left out at its default counts where it was asked."""
    generator = row.entries[0].record.cell["generator"]
    both = (generator.get("params_passed"), generator.get("params"))
    return {k: v for params in both if isinstance(params, dict) for k, v in params.items()}


def _source(row: Row) -> str:
    return plain(row.entries[0].record.cell["generator"].get("source") or "")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool) or finite(value) is not None


def _order(point: tuple[Any, Row]) -> tuple[bool, float, str]:
    number = finite(point[0])
    return number is None, number or 0.0, plain(point[0])


def figure(table: Table) -> Figure | None:
    """Each metric against each swept parameter, with its interval; None without a sweep."""
    found = sweeps(table)[:MOST]
    shown = measured(found, table)
    if not found or not shown:
        return None
    specs = {
        f"s{i}|{column.id}": _drawn(sweep, column, table)
        for i, sweep in enumerate(found)
        for column in shown
    }
    cells = [(sweep.title, *line) for sweep in found for line in lines(sweep, shown)]
    return Figure(
        "sweep",
        "Against a parameter",
        "Each point is one row of the table at that value of the parameter; the bar is its 95 % "
        "interval. The dotted line is held-out real data. A best value chosen here was chosen on "
        "the test rows: train it anew with other seeds before you quote it.",
        specs,
        (
            Choice("Parameter", tuple((f"s{i}", s.title) for i, s in enumerate(found))),
            Choice("Metric", tuple((c.id, c.title) for c in shown)),
        ),
        ("sweep", "value", "other parameters", *(c.title for c in shown)),
        tuple(cells),
    )


def measured(found: Sequence[Sweep], table: Table) -> list[Column]:
    """The columns that some row of these sweeps has a number in."""
    rows = [row for sweep in found for series in sweep.series for _, row in series.points]
    return [c for c in table.columns if any(row.values[c.id].number is not None for row in rows)]


def lines(sweep: Sweep, shown: Sequence[Column]) -> list[tuple[str, ...]]:
    """A line per point: value, other parameters, and each metric with its half-width."""
    return [
        (plain(value), series.others, *(row.values[column.id].with_half for column in shown))
        for series in sweep.series
        for value, row in series.points
    ]


def _drawn(sweep: Sweep, column: Column, table: Table) -> str:
    values = [v for s in sweep.series for v, _ in s.points]
    numeric = all(not isinstance(v, bool) and finite(v) is not None for v in values)
    everything: list[float] = []
    traces = []
    titles = plot_labels([s.others for s in sweep.series], 48)
    for index, (series, title) in enumerate(zip(sweep.series, titles, strict=True)):
        known = [(v, r.values[column.id]) for v, r in series.points
                 if r.values[column.id].number is not None]  # fmt: skip
        colour = PALETTE[index % len(PALETTE)]
        measured = [value for _, value in known]
        everything += [x for m in measured for x in (m.number, m.low) if x is not None]
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": title,
            "x": [v if numeric else plot_label(plain(v)) for v, _ in known],
            "y": [m.number for m in measured],
            "error_y": error_bar(measured, colour),
            "marker": {"size": 9, "color": colour}, "line": {"width": 1.5, "color": colour},
            "hovertemplate": "%{x}: %{y:.5g}<extra>" + title + "</extra>",
        })  # fmt: skip
    floor = table.floor(column)
    everything += [] if floor is None else [floor]
    across = [float(v) for v in values] if numeric else []
    wide = bool(across) and min(across) > 0 and max(across) / min(across) >= 8
    return spec(
        traces,
        xaxis=axis(plot_label(sweep.parameter), **_across(numeric, wide, across)),
        yaxis=value_axis(column, everything),
        showlegend=len(sweep.series) > 1,
        legend={"font": {"color": GREY}},
        **floor_line(floor, False, log_axis(column, everything)),
    )


def _across(numeric: bool, wide: bool, values: Sequence[float]) -> dict[str, Any]:
    if not numeric:
        return {"type": "category"}
    return log_ticks(values) if wide else {"type": "linear"}
