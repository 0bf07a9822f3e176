"""Figures of one quantity against another: quality against cost, metric against metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genbench.report.columns import Column
from genbench.report.figures import (
    GREY,
    Choice,
    Figure,
    axis,
    cost_text,
    crowded,
    error_bar,
    floor_line,
    log_axis,
    log_ticks,
    spec,
    symbols,
    value_axis,
)
from genbench.report.rows import Row, Table
from genbench.report.text import plot_label, plot_labels
from genbench.results import pareto_front


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost of a generator; a `portable` one is the same on any machine."""

    key: str
    title: str
    of: Callable[[Row], float | None]
    portable: bool = False


COSTS = (
    Cost("fit", "Training time [core s]", lambda r: r.fit_core_s),
    Cost("sample", "Time per 1,000 samples [core s]",
         lambda r: None if not r.sampling_rate else 1000 / r.sampling_rate),
    Cost("memory", "Peak memory [GB]", lambda r: None if not r.peak_bytes else r.peak_bytes / 1e9),
    Cost("parameters", "Parameters", lambda r: r.parameters or None, portable=True),
)  # fmt: skip


def quality_cost(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Quality against cost, with the Pareto front, for every metric that has a direction."""
    specs: dict[str, str] = {}
    findings: dict[str, str] = {}
    metrics = [c for c in table.columns if c.higher_is_better is not None]
    used: dict[str, None] = {}
    costs: dict[str, None] = {}
    for column in metrics:
        for cost in COSTS:
            rows = _shown(table, column, cost)
            if rows:
                key = f"{column.id}|{cost.key}"
                specs[key], findings[key] = _quality_cost(table, column, cost, rows, colour)
                used[column.id] = costs[cost.key] = None
    if not specs:
        return None
    titles = {c.id: c.title for c in metrics}
    names = {c.key: c.title for c in COSTS}
    cells = tuple(
        (row.label, *(cost_text(c.key, c.of(row)) for c in COSTS),
         *(row.values[m].text for m in used))
        for row in table.generators
    )  # fmt: skip
    return Figure(
        "quality-cost",
        "Quality against cost",
        "Generators on the line are the Pareto front: none other is both cheaper and better. "
        "Bars are 95 % intervals; further towards the good end of the vertical axis and further "
        "left is better. Hollow marks are rows that are not ranked.",
        specs,
        (
            Choice("Quality", tuple((key, titles[key]) for key in used)),
            Choice("Cost", tuple((key, names[key]) for key in names if key in costs)),
        ),
        ("generator", *names.values(), *(titles[m] for m in used)),
        cells,
        findings,
    )


def _shown(table: Table, column: Column, cost: Cost) -> list[Row]:
    return [
        row
        for row in table.generators
        if row.values[column.id].number is not None
        and cost.of(row) is not None
        and (cost.portable or not row.published)
    ]


def _quality_cost(
    table: Table, column: Column, cost: Cost, rows: Sequence[Row], colour: Mapping[str, str]
) -> tuple[str, str]:
    x = [float(cost.of(row) or 0.0) for row in rows]
    values = [row.values[column.id] for row in rows]
    y = [float(v.number or 0.0) for v in values]
    front = pareto_front(x, y, bool(column.higher_is_better))
    shapes = symbols(table.generators)
    signs = [shapes[row.id] + ("-open" if row.unranked else "") for row in rows]
    texts = [plot_label(row.label, 22) for row in rows]
    families = [plot_label(row.family) for row in rows]
    shades = [colour[row.id] for row in rows]
    clear = [1.0 if on else 0.65 for on in front]
    dots: list[dict[str, Any]]
    if crowded(rows):  # one trace of all: a page of many generators would hold megabytes of traces
        dots = [
            {"type": "scatter", "mode": "markers", "x": x, "y": y, "text": texts,
             "customdata": families, "error_y": error_bar(values, GREY),
             "marker": {"size": 13, "color": shades, "symbol": signs, "opacity": clear},
             "hovertemplate": _HOVER}
        ]  # fmt: skip
    else:  # one a row, with its name beside it and an error bar in its colour
        dots = [
            {"type": "scatter", "mode": "markers+text", "x": [x[i]], "y": [y[i]],
             "text": [texts[i]], "textposition": "top center" if i % 2 else "bottom center",
             "customdata": [families[i]], "name": texts[i],
             "error_y": error_bar([values[i]], shades[i]),
             "marker": {"size": 13, "color": shades[i], "symbol": signs[i], "opacity": clear[i]},
             "hovertemplate": _HOVER}
            for i in range(len(rows))
        ]  # fmt: skip
    traces = [_front(x, y, front), *dots]
    floor = table.floor(column)
    everything = [*y, *(v.low for v in values if v.low is not None)]
    everything += [] if floor is None else [floor]
    wide = min(x) > 0 and max(x) / min(x) > 5
    figure = spec(
        traces,
        xaxis=axis(cost.title, **(log_ticks(x) if wide else {"rangemode": "tozero"})),
        yaxis=value_axis(column, everything),
        **floor_line(floor, False, log_axis(column, everything)),
    )
    names = ", ".join(row.label for row, on in zip(rows, front, strict=True) if on)
    return figure, f"On the front: {names}."


_HOVER = "<b>%{text}</b> (%{customdata})<br>cost %{x:.4g}<br>value %{y:.5g}<extra></extra>"


def _front(x: Sequence[float], y: Sequence[float], front: Sequence[bool]) -> dict[str, Any]:
    points = sorted((a, b) for a, b, on in zip(x, y, front, strict=True) if on)
    return {
        "type": "scatter", "mode": "lines", "x": [a for a, _ in points],
        "y": [b for _, b in points], "hoverinfo": "skip",
        "line": {"shape": "hv", "color": GREY, "width": 1.6, "dash": "dash"},
    }  # fmt: skip


def metric_pairs(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """The primary metric against each other one, with their rank correlation."""
    directed = [c for c in table.columns if c.higher_is_better is not None]
    if len(directed) < 2:
        return None
    first, specs, findings, cells = directed[0], {}, {}, []
    marks = symbols(table.generators)
    for other in directed[1:]:
        rows = [r for r in table.generators if _both(r, first, other)]
        if len(rows) < 3:
            continue
        x, y = ([float(r.values[c.id].number or 0.0) for r in rows] for c in (other, first))
        traces = [
            {"type": "scatter", "mode": "markers" if crowded(rows) else "markers+text",
             "x": x, "y": y, "text": [plot_label(r.label, 22) for r in rows],
             "textposition": "top center",
             "marker": {"size": 12, "color": [colour[r.id] for r in rows],
                        "symbol": [marks[r.id] for r in rows]},
             "hovertemplate": "<b>%{text}</b><br>%{x:.5g}, %{y:.5g}<extra></extra>"}
        ]  # fmt: skip
        specs[other.id] = spec(
            traces,
            xaxis=value_axis(other, x),
            yaxis=value_axis(first, y),
        )
        rho = agreement(x, y, other, first)
        findings[other.id] = f"Spearman's ρ = {rho:+.2f} over {len(rows)} generators."
        cells.append((other.title, f"{rho:+.2f}", str(len(rows))))
    if not specs:
        return None
    titles = {c.id: c.title for c in directed}
    return Figure(
        "metric-pairs",
        "Do the metrics agree?",
        f"{first.title} against another metric. The rank correlation is signed so that +1 means "
        "the two order the generators alike and −1 that they order them the other way round.",
        specs,
        (Choice("Against", tuple((key, titles[key]) for key in specs)),),
        ("metric", f"rank correlation with {first.title}", "generators"),
        tuple(cells),
        findings,
    )


def correlations(table: Table) -> Figure | None:
    """Rank correlation of every metric with every other, as a heat map."""
    directed = [c for c in table.columns if c.higher_is_better is not None]
    shown = [
        c for c in directed if sum(r.values[c.id].number is not None for r in table.generators) >= 4
    ]
    if len(shown) < 3:
        return None
    z = [[_correlation(table, a, b) for b in shown] for a in shown]
    titles = plot_labels([c.title for c in shown], 26)
    trace = {
        "type": "heatmap", "z": z[::-1], "x": titles, "y": titles[::-1], "zmin": -1, "zmax": 1,
        "colorscale": [[0, "#b2533e"], [0.5, "#eef0f2"], [1, "#2f7fb8"]],
        "hovertemplate": "%{y} with %{x}: %{z:.2f}<extra></extra>",
        "colorbar": {"title": {"text": "ρ"}, "thickness": 12},
    }  # fmt: skip
    cells = tuple(
        (c.title, *("—" if v is None else f"{v:+.2f}" for v in row))
        for c, row in zip(shown, z, strict=True)
    )
    return Figure(
        "correlations",
        "Agreement of all metrics",
        "Blue pairs order the generators alike, red pairs contradict each other (both turned so "
        "that better is up). With few generators a single swap moves this much.",
        {"all": spec([trace], height=200 + 30 * len(shown), xaxis={"automargin": True},
                     yaxis={"automargin": True})},
        headers=("metric", *(c.title for c in shown)),
        cells=cells,
    )  # fmt: skip


def _both(row: Row, a: Column, b: Column) -> bool:
    return row.values[a.id].number is not None and row.values[b.id].number is not None


def _correlation(table: Table, a: Column, b: Column) -> float | None:
    rows = [r for r in table.generators if _both(r, a, b)]
    if len(rows) < 3:
        return None
    x, y = ([float(r.values[c.id].number or 0.0) for r in rows] for c in (a, b))
    return round(agreement(x, y, a, b), 4)


def agreement(x: Sequence[float], y: Sequence[float], a: Column, b: Column) -> float:
    """Spearman's correlation of two metrics, each turned so that higher is better."""
    sign = (1 if a.higher_is_better else -1) * (1 if b.higher_is_better else -1)
    ranks = np.array([_ranks(x), _ranks(y)])
    centred = ranks - ranks.mean(1, keepdims=True)
    norm = float(np.sqrt((centred**2).sum(1).prod()))
    return sign * float(centred.prod(0).sum()) / norm if norm else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks with ties averaged."""
    ordered = sorted(values)
    return [ordered.index(v) + (ordered.count(v) - 1) / 2 for v in values]
