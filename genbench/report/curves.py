"""Training curves: a Plotly figure for the page of a task, plain SVG for the page of a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from genbench.report.figures import Choice, Figure, axis, spec
from genbench.report.rows import Row, Table
from genbench.report.text import count, finite, number, plot_label

CURVES = "curves.csv"
MAX_POINTS = 70
MAX_SEEDS = 5
MAX_CURVES = 8
_DASHES = ("solid", "dot", "dash", "dashdot", "longdash")


def recorded(curve: Any) -> tuple[list[Any], list[Any]]:
    """Examples and values of one recorded curve, as they are; malformed curves are empty."""
    if not isinstance(curve, Mapping):
        return [], []
    x, y = curve.get("examples"), curve.get("value")
    if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
        return [], []
    return x, y


def points(curve: Any, limit: int = MAX_POINTS) -> list[tuple[float, float | None]]:
    """``(examples, value)`` of one recorded curve, thinned."""
    x, y = recorded(curve)
    step = max(1, -(-len(x) // limit))
    kept = range((len(x) - 1) % step, len(x), step)  # the last one always
    return [(at, _rounded(y[i])) for i in kept if (at := finite(x[i])) is not None]


def _rounded(value: Any) -> float | None:
    known = finite(value)
    return None if known is None else float(f"{known:.5g}")


def training_curves(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Losses over examples served, one generator at a time."""
    specs: dict[str, str] = {}
    labels: dict[str, str] = {}
    cells: list[tuple[str, ...]] = []
    for row in table.generators:
        names = sorted({name for e in row.entries for name in e.record.curves})[:MAX_CURVES]
        drawn = [n for n in names if any(points(e.record.curves.get(n)) for e in row.entries)]
        if drawn:
            labels[row.id] = row.label
            specs[row.id] = _stacked(row, drawn, colour[row.id])
            cells += [line for name in drawn for line in _last(row, name)]
    if not specs:
        return None
    return Figure(
        "curves",
        "Training curves",
        "What each generator reported while it was trained, averaged in equal slices of the "
        "budget; one line per seed. Losses of different families are not comparable; a gap is a "
        "value that was not finite. The page of each cell draws its curves without JavaScript; the "
        "CSV holds every point of every seed.",
        specs,
        (Choice("Generator", tuple(labels.items())),),
        ("generator", "curve", "seed", "first", "last"),
        tuple(cells),
        file=CURVES,
    )


def _last(row: Row, name: str) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for entry in row.entries:
        known = [v for _, v in points(entry.record.curves.get(name)) if v is not None]
        if known:
            seed = str(entry.record.seed)
            lines.append((row.label, name, seed, number(known[0]), number(known[-1])))
    return lines


def _stacked(row: Row, names: Sequence[str], colour: str) -> str:
    gap = 0.09 if len(names) > 1 else 0.0
    share = (1 - gap * (len(names) - 1)) / len(names)
    traces: list[dict[str, Any]] = []
    layout: dict[str, Any] = {"annotations": []}
    for k, name in enumerate(names):
        top = 1 - k * (share + gap)
        suffix = "" if k == 0 else str(k + 1)
        layout[f"yaxis{suffix}"] = {"domain": [max(0.0, top - share), top], "automargin": True,
                                    "zeroline": False, "nticks": 5}  # fmt: skip
        layout["annotations"].append(
            {"text": plot_label(name), "x": 0, "xref": "paper", "xanchor": "left", "y": top,
             "yref": "paper", "yanchor": "bottom", "showarrow": False, "font": {"size": 12}}
        )  # fmt: skip
        for s, entry in enumerate(row.entries[:MAX_SEEDS]):
            line = points(entry.record.curves.get(name))
            traces.append(
                {"type": "scatter", "mode": "lines", "x": [x for x, _ in line],
                 "y": [y for _, y in line], "xaxis": "x", "yaxis": f"y{suffix}",
                 "name": f"seed {entry.record.seed}", "showlegend": k == 0,
                 "legendgroup": str(entry.record.seed), "connectgaps": False,
                 "line": {"color": colour, "width": 1.7, "dash": _DASHES[s % len(_DASHES)]},
                 "hovertemplate": "%{x:,} examples: %{y:.5g}"}
            )  # fmt: skip
    last = "" if len(names) == 1 else str(len(names))
    layout["xaxis"] = axis("training examples served", anchor=f"y{last}", rangemode="tozero")
    return spec(
        traces,
        **layout,
        height=110 + 170 * len(names),
        showlegend=len(row.entries) > 1,
        margin={"l": 64, "r": 20, "t": 24, "b": 84},
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom"},
        hovermode="x",
    )


def svg(name: str, curves: Sequence[Any], width: int = 420, height: int = 150) -> Markup:
    """One curve of each of some cells, on common axes, as inline SVG; empty if there is none.

    The range of all is written on it.
    """
    lines = [line for curve in curves if len(_known(line := points(curve, 140))) > 1]
    if not lines:
        return Markup("")
    known = [point for line in lines for point in _known(line)]
    left, right = min(x for x, _ in known), max(x for x, _ in known)
    low, high = min(y for _, y in known), max(y for _, y in known)
    rise, run = (high - low) or 1.0, (right - left) or 1.0

    def at(x: float, y: float) -> str:
        across, down = (x - left) / run, (high - y) / rise
        return f"{8 + across * (width - 16):.1f} {26 + down * (height - 52):.1f}"

    ends = ", ".join(f"from {number(k[0][1])} to {number(k[-1][1])}" for k in map(_known, lines))
    return Markup(
        '<svg class="curve" viewBox="0 0 {w} {h}" role="img" aria-label="{label}">'
        '<text x="8" y="14">{name}</text>'
        '<text x="{r}" y="14" text-anchor="end">{low} … {high}</text>'
        "{paths}"
        '<text x="8" y="{b}">{start}</text><text x="{r}" y="{b}" text-anchor="end">{end}'
        " examples</text></svg>"
    ).format(
        w=width, h=height, r=width - 8, b=height - 6, label=f"{name}: {ends}",
        name=escape(name[:60]), low=number(low), high=number(high),
        paths=Markup("").join(Markup('<path d="{}"/>').format(_path(line, at)) for line in lines),
        start=count(left), end=count(right),
    )  # fmt: skip


def _known(line: Sequence[tuple[float, float | None]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in line if y is not None]


def _path(line: Sequence[tuple[float, float | None]], at: Callable[[float, float], str]) -> str:
    """The commands of an SVG path; a value that was not finite is a gap."""
    commands, pen = [], "M"
    for x, y in line:
        if y is not None:
            commands.append(pen + at(x, y))
        pen = "M" if y is None else "L"
    return " ".join(commands)
