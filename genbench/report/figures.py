"""Plotly figures of one task, each with the sentence that tells how to read it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from plotly.io import to_json

from genbench.metrics import is_likelihood, plain_name
from genbench.report.columns import Column
from genbench.report.rows import Row, Table, Value
from genbench.report.text import count, finite, number, plot_label, plot_labels

PALETTE = (
    "#2f7fb8", "#d9772b", "#2f9a6e", "#b0559b", "#c94f4f",
    "#8a7d2e", "#3f9fae", "#7a6fd0", "#b07f57", "#7d8794",
    "#1f5a8c", "#e0a030", "#6fae3f", "#8c3b6e", "#e07fa0", "#4a7350",
)  # fmt: skip
GREY = "#8b95a1"
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star", "x", "hexagon")
_MANY = 14
_NAMED_CLASSES = 20  # names that stand side by side
_CLASS_CONTROLS = ("heldout", "mode-dropped")


@dataclass(frozen=True, slots=True)
class Choice:
    """A select box over a figure's variants: options as ``(key, text)``."""

    label: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in one or more variants.

    Parameters
    ----------
    id, title, reading
        `reading` is the sentence under the figure.
    specs
        Plotly JSON by the chosen keys joined with ``|``.
    headers, cells
        The figure's data as a table, for readers without JavaScript and as CSV.
    findings, notes
        Sentences: one per variant, and those that always stand under the figure.
    file
        Name of a download that holds the figure's data in full, where `cells` are a summary.
    """

    id: str
    title: str
    reading: str
    specs: Mapping[str, str]
    choices: tuple[Choice, ...] = ()
    headers: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()
    findings: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    file: str = ""

    @property
    def first(self) -> str:
        """Key of the variant shown first."""
        return next(iter(self.specs))

    @property
    def height(self) -> int:
        """Pixels the first variant will take: the page keeps them free until it is drawn."""
        return int(json.loads(self.specs[self.first])["layout"]["height"])


def colours(table: Table) -> dict[str, str]:
    """A colour per row: one each for a few generators, one per family for many; controls grey."""
    rows = sorted(table.generators, key=lambda row: (row.family, row.label))
    families = sorted({row.family for row in rows})
    keys = {
        row.id: index if len(rows) <= len(PALETTE) else families.index(row.family)
        for index, row in enumerate(rows)
    }
    chosen = {row_id: PALETTE[key % len(PALETTE)] for row_id, key in keys.items()}
    return {row.id: GREY for row in table.controls} | chosen


def symbols(rows: Sequence[Row]) -> dict[str, str]:
    """A marker per family, so that colour is never the only mark."""
    families = sorted({row.family for row in rows})
    return {row.id: _SYMBOLS[families.index(row.family) % len(_SYMBOLS)] for row in rows}


def spec(traces: Sequence[Mapping[str, Any]], **layout: Any) -> str:
    """Traces and layout through Plotly's serialiser.

    Plotly's validation takes 20 ms a figure, which a report renewed after each cell cannot spend:
    the tests validate every figure instead. Numbers keep seven digits, more than a pixel shows: the
    others were a tenth of the page.
    """
    body = {
        "template": {},
        "margin": {"l": 64, "r": 20, "t": 16, "b": 56},
        "height": 440,
        "hovermode": "closest",
        "showlegend": False,
    }
    whole = _short({"data": list(traces), "layout": {**body, **layout}})
    return str(to_json(whole, validate=False))


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, Mapping):
        return {key: _short(item) for key, item in value.items()}
    return [_short(item) for item in value] if isinstance(value, list | tuple) else value


def axis_title(column: Column) -> str:
    """A column's heading with unit and direction, for an axis."""
    unit = f" [{column.unit}]" if column.unit else ""
    return plot_label(f"{column.title}{unit} {column.arrow}".strip(), 60)


def log_axis(column: Column, values: Sequence[float]) -> bool:
    """Whether an axis of these values is logarithmic."""
    low, high = min(values, default=0.0), max(values, default=0.0)
    return low > 0 and (column.logarithmic or high / low > 100)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title."""
    font = {"size": 13}
    return {"title": {"text": title, "font": font}, "automargin": True, "zeroline": False, **more}


def log_ticks(values: Sequence[float]) -> dict[str, Any]:
    """A logarithmic axis whose ticks read as plain numbers: 1, 2, 5, 10, or decades only."""
    low, high = min(values), max(values)
    decades = math.log10(high / low)
    steps = (1, 2, 5) if decades <= 2.5 else (1, 3) if decades <= 4 else (1,)
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    ticks = [m * 10.0**e for e in range(first, last + 1) for m in steps]
    if sum(0.9 * low <= tick <= 1.1 * high for tick in ticks) < 3:
        return {"type": "log"}  # less than a decade: Plotly's own ticks are plain numbers there
    texts = [number(tick, 2).removesuffix(".0") for tick in ticks]
    return {"type": "log", "tickvals": ticks, "ticktext": texts}


def value_axis(column: Column, values: Sequence[float]) -> dict[str, Any]:
    """An axis for a metric, logarithmic where its values ask for it."""
    return axis(axis_title(column), **(log_ticks(values) if log_axis(column, values) else {}))


def error_bar(values: Sequence[Value], colour: str | Sequence[str]) -> dict[str, Any]:
    """Plotly error bars of intervals (one colour: Plotly has one per trace)."""
    up = [0.0 if v.high is None or v.number is None else v.high - v.number for v in values]
    down = [0.0 if v.low is None or v.number is None else v.number - v.low for v in values]
    one = colour if isinstance(colour, str) else GREY
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down,
            "thickness": 1.4, "width": 3, "color": one}  # fmt: skip


def floor_line(level: float | None, vertical: bool, logarithmic: bool) -> dict[str, Any]:
    """Layout parts that draw the real-data floor with its name; empty without a floor."""
    if level is None:
        return {}
    along, across = ("y", "x") if vertical else ("x", "y")
    shape = {
        "type": "line", f"{along}ref": "paper", f"{along}0": 0, f"{along}1": 1,
        f"{across}0": level, f"{across}1": level,
        "line": {"color": GREY, "width": 1.2, "dash": "dot"},
    }  # fmt: skip
    note = {
        "text": "real data (floor)", "showarrow": False, "font": {"size": 11, "color": GREY},
        f"{along}ref": "paper", along: 1, across: math.log10(level) if logarithmic else level,
        "xanchor": "left" if vertical else "right", "yanchor": "bottom",
    }  # fmt: skip
    return {"shapes": [shape], "annotations": [note]}


def strips(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Every seed's value per generator, with mean and interval, per metric."""
    specs = {}
    for column in table.columns:
        rows = [r for r in table.generators if r.values[column.id].number is not None]
        if rows:
            specs[column.id] = _strip(column, rows, table, colour)
    if not specs:
        return None
    titles = {c.id: c.title for c in table.columns}
    seeds = sorted({s for key in specs for r in table.generators for s in r.values[key].seeds})
    cells = [
        (row.label, titles[key], *(number(known.get(seed), 6) for seed in seeds))
        for key in specs
        for row in table.generators
        if (known := row.values[key].seeds)
    ]
    return Figure(
        "strips",
        "Every seed",
        "Each dot is one training seed; the diamond is their mean and the bar its 95 % interval "
        "(with one seed: sampling error only). The dotted line is held-out real data.",
        specs,
        (Choice("Metric", tuple((key, titles[key]) for key in specs)),),
        ("generator", "metric", *(f"seed {seed}" for seed in seeds)),
        tuple(cells),
    )


def _strip(column: Column, rows: Sequence[Row], table: Table, colour: Mapping[str, str]) -> str:
    traces: list[dict[str, Any]] = []
    everything: list[float] = []
    labels = plot_labels([row.label for row in rows], 24)
    for row, label in reversed([*zip(rows, labels, strict=True)]):  # the first is drawn at the top
        value = row.values[column.id]
        seeds = sorted(value.seeds.items())
        everything += [v for _, v in seeds]
        traces.append(
            {"type": "scatter", "mode": "markers", "x": [v for _, v in seeds],
             "y": [label] * len(seeds), "text": [f"seed {s}" for s, _ in seeds],
             "marker": {"size": 9, "color": colour[row.id], "opacity": 0.55},
             "hovertemplate": "%{y}, %{text}: %{x:.5g}<extra></extra>"}
        )  # fmt: skip
        traces.append(
            {"type": "scatter", "mode": "markers", "x": [value.number], "y": [label],
             "marker": {"size": 10, "symbol": "diamond-open", "color": colour[row.id],
                        "line": {"width": 2}},
             "error_x": error_bar([value], colour[row.id]),
             "hovertemplate": "%{y}, mean: %{x:.5g}<extra></extra>"}
        )  # fmt: skip
    floor = table.floor(column)
    everything += [v for r in rows if (v := r.values[column.id].low) is not None]
    everything += [] if floor is None else [floor]
    return spec(
        traces,
        xaxis=value_axis(column, everything),
        yaxis={"automargin": True, "type": "category"},
        margin={"l": 64, "r": 20, "t": 30, "b": 56},
        **floor_line(floor, True, log_axis(column, everything)),
        height=130 + 34 * len(rows),
    )


def likelihoods(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Likelihoods side by side but typed: kinds of bound are never ranked together."""
    ids = [c for c in table.columns if is_likelihood(plain_name(c.id))]
    rows = [r for r in table.generators if any(r.values[c.id].number is not None for c in ids)]
    if not rows:
        return None
    traces = []
    for k, column in enumerate(ids):
        shown = [r for r in reversed(rows) if r.values[column.id].number is not None]
        values = [r.values[column.id] for r in shown]
        traces.append(
            {"type": "scatter", "mode": "markers", "name": plot_label(column.title),
             "x": [v.number for v in values],
             "y": [[plot_label(r.likelihood) for r in shown],
                   [plot_label(r.label, 24) for r in shown]],
             "error_x": error_bar(values, GREY),
             "marker": {"size": 11, "symbol": ("circle", "diamond-open", "square")[k % 3],
                        "color": [colour[r.id] for r in shown], "line": {"width": 2}},
             "hovertemplate": "%{y}: %{x:.5g}<extra></extra>"}
        )  # fmt: skip
    unit = ids[0].unit or "nats"
    cells = tuple(
        (r.label, r.likelihood, c.title, r.values[c.id].text, r.values[c.id].half)
        for r in rows
        for c in ids
    )
    return Figure(
        "likelihoods",
        "Likelihood by kind",
        "Test likelihoods, grouped by what they are: exact, dequantized, or a lower bound. Compare "
        "within a group; a bound can only be as good as it is tight.",
        {
            "all": spec(
                traces,
                xaxis=axis(f"{unit} ↓"),
                yaxis={"automargin": True},
                height=150 + 44 * len(rows),
                showlegend=len(ids) > 1,
                margin={"l": 64, "r": 20, "t": 44, "b": 56},
                legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
            )
        },
        headers=("generator", "kind", "metric", "value", "±"),
        cells=cells,
    )


def per_class(table: Table) -> Figure | None:
    """Heat maps of per-class values, where a metric's details hold them."""
    specs, cells = {}, []
    # Of numbers a narrow screen may leave out every other one, of names it may not.
    every = {"dtick": 1} if 0 < len(table.classes) <= _NAMED_CLASSES else {}
    titles = {c.id: c.title for c in table.columns}
    shown = [(row.label, row) for row in table.generators]
    shown += [(f"{r.label} (control)", r) for r in table.controls if r.name in _CLASS_CONTROLS]
    for column in table.columns:
        rows = [(name, v) for name, row in shown if (v := _class_values(row, column.id))]
        if not rows:
            continue
        width = max(len(v) for _, v in rows)
        names = [name for name, _ in rows]
        z = [[*v, *[None] * (width - len(v))] for _, v in rows]
        across = plot_labels([table.class_name(c) for c in range(width)], 28)
        cells += [
            (name, titles[column.id], *(number(v) for v in line))
            for name, line in zip(names, z, strict=True)
        ]
        specs[column.id] = spec(
            [{"type": "heatmap", "z": z[::-1], "x": across,
              "y": plot_labels(names, 28)[::-1], "colorscale": "Viridis",
              "reversescale": column.higher_is_better is False, "texttemplate": "%{z:.3g}",
              "hovertemplate": "%{y}, class %{x}: %{z:.5g}<extra></extra>",
              "colorbar": {"title": {"text": column.arrow}, "thickness": 12}}],
            xaxis=axis("class", type="category", **every),
            yaxis={"automargin": True, "type": "category"},
            height=150 + 34 * len(rows),
        )  # fmt: skip
    if not specs:
        return None
    width = max(len(row) for row in cells) - 2
    return Figure(
        "classes",
        "Class by class",
        "Each cell is one class of one generator, averaged over seeds; dark is worse. A dark "
        "column is a class that is hard for all, a single dark cell or a hole a class that one "
        "model lost: the control mode-dropped shows what that looks like, heldout is real data.",
        specs,
        (Choice("Metric", tuple((key, titles[key]) for key in specs)),),
        ("generator", "metric", *(f"class {table.class_name(c)}" for c in range(width))),
        tuple((*row, *[""] * (width + 2 - len(row))) for row in cells),
    )


def _class_values(row: Row, metric: str) -> list[float | None]:
    found = []
    for entry in row.done:
        value = entry.record.metrics.get(metric)
        classes = None if value is None else value.details.get("by_class")
        if isinstance(classes, Mapping):
            keys = sorted(classes, key=lambda k: (len(str(k)), str(k)))
            classes = [classes[k] for k in keys]
        if isinstance(classes, list | tuple) and 1 < len(classes) <= 200:
            found.append([finite(v) for v in classes])
    if not found or len({len(v) for v in found}) != 1:
        return []
    columns = zip(*found, strict=True)
    return [None if any(v is None for v in c) else sum(c) / len(c) for c in columns]


def crowded(rows: Sequence[Row]) -> bool:
    """Too many points to write every name beside its own."""
    return len(rows) > _MANY


def cost_text(key: str, value: float | None) -> str:
    """A cost as a table cell."""
    return count(value) if key == "parameters" else number(value)
