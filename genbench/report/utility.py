"""Figures of the downstream protocols: augmentation curves, rare classes, robustness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from genbench.aggregation import quantile
from genbench.report.figures import GREY, Choice, Figure, axis, spec
from genbench.report.rows import Row, Table
from genbench.report.text import number, plot_label

Details = Mapping[str, Any]

ARMS = {
    "real": "real rows alone",
    "real+synthetic": "real + synthetic",
    "real+classical": "real + classical augmentation",
    "real+synthetic+classical": "real + synthetic + classical",
    "synthetic": "synthetic alone",
}
_DASH = {"real+synthetic": "solid", "real+classical": "dash",
         "real+synthetic+classical": "dot", "synthetic": "longdash"}  # fmt: skip
_SYMBOL = {"real+synthetic": "circle", "real+classical": "x",
           "real+synthetic+classical": "diamond", "synthetic": "square-open"}  # fmt: skip
_REMEDIES = ("as it is", "oversampled", "class weights")


def augmentation(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Gain in test accuracy over the real rows alone, per generator, arm and number of rows."""
    found = list(_details(table, "augmentation_gain", lambda d: (sentence("", d), _curve(d, GREY))))
    if not found:
        return None
    cells = []
    for row, details in found:
        for p in details["points"]:
            gain = p.get("gain") or {}
            cells.append((
                row.label, str(p["n"]), ARMS.get(p["arm"], str(p["arm"])), str(p["ratio"] or ""),
                number(p["accuracy"]), *(number(_percent(gain.get(k))) for k in _GAIN),
                str(p.get("verdict", "")),
            ))  # fmt: skip
    return Figure(
        "augmentation",
        "Does synthetic data help a classifier?",
        "Test accuracy gained over a classifier trained on the n real rows alone, when synthetic "
        "rows are added: the generator was fitted anew on exactly these n rows. Mean and 95 % t "
        "interval over replicates, paired. The dashed grey line, classical augmentation, is the "
        "one to beat.",
        {row.id: _curve(details, colour[row.id]) for row, details in found},
        (Choice("Generator", tuple((row.id, row.label) for row, _ in found)),),
        ("generator", "real rows", "arm", "ratio", "accuracy", "gain", "low", "high", "verdict"),
        tuple(cells),
        notes=tuple(sentence(row.label, details) for row, details in found),
    )


_GAIN = ("mean", "low", "high")


def sentence(name: str, details: Details) -> str:
    """What may be said of one generator: helps, hurts or no evidence, at which n and ratio."""
    added = [p for p in details["points"] if p["arm"] == "real+synthetic"]
    said = []
    for verdict in ("helps", "hurts"):
        points = [p for p in added if p["verdict"] == verdict]
        if points:
            said.append(f"{verdict} at " + "; ".join(_point(p) for p in points))
    silent = [p for p in added if p["verdict"] == "no evidence"]
    if silent:
        where = "; ".join(_point(p) for p in silent)
        said.append(f"no evidence that it helps or hurts at {where}")
    text = f"{name}: {', '.join(said)}."
    best = max(added, key=lambda p: float(p["gain"]["mean"]), default=None)
    against = None if best is None else best.get("over_classical")
    if against is not None:
        text += f" Against classical augmentation its best point is {_signed(against)} points."
    if details.get("rejected") is not None:
        text += (
            f" Its labels come from the classifier of the real rows, which rejected "
            f"{100 * float(details['rejected']):.0f} % of the rows."
        )
    return text


def _point(p: Mapping[str, Any]) -> str:
    return f"n = {p['n']:,}, {p['ratio']} to 1 ({_signed(p['gain'])} points)"


def _signed(gain: Mapping[str, Any]) -> str:
    mean, low, high = (100 * float(gain[k]) for k in _GAIN)
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * float(value)


def _curve(details: Details, colour: str) -> str:
    series: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for p in details["points"]:
        if p["arm"] != "real":
            series.setdefault((str(p["arm"]), int(p["ratio"])), []).append(p)
    sizes = sorted({int(p["n"]) for p in details["points"]})
    most = max(ratio for _, ratio in series)
    traces: list[dict[str, Any]] = []
    for index, ((arm, ratio), points) in enumerate(series.items()):
        shade = GREY if arm == "real+classical" else colour
        # Side by side on the logarithmic axis, so that intervals do not hide each other.
        nudge = 1.06 ** (index - (len(series) - 1) / 2)
        gains = [[100 * float(p["gain"][k]) for k in _GAIN] for p in points]
        name = ARMS.get(arm, arm) + (f" x {ratio}" if ratio else "")
        traces.append(
            {"type": "scatter", "mode": "lines+markers", "name": plot_label(name, 40),
             "x": [p["n"] * nudge for p in points], "y": [g[0] for g in gains],
             "error_y": {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
                         "array": [g[2] - g[0] for g in gains],
                         "arrayminus": [g[0] - g[1] for g in gains], "color": shade},
             "text": [f"n = {p['n']:,}: {p['verdict']}" for p in points],
             "opacity": 0.45 + 0.55 * (ratio or most) / most,
             # Far below the rest as a rule: one click brings it, and its scale, back.
             "visible": "legendonly" if arm == "synthetic" else True,
             "line": {"color": shade, "width": 1.8, "dash": _DASH.get(arm, "solid")},
             "marker": {"size": 8, "symbol": _SYMBOL.get(arm, "circle"), "color": shade},
             "hovertemplate": "%{text}<br>%{y:+.2f} points"}
        )  # fmt: skip
    ticks = {"type": "log", "tickvals": sizes, "ticktext": [f"{n:,}" for n in sizes]}
    return spec(
        traces,
        xaxis=axis("real labelled rows", **ticks),
        yaxis=axis(
            "gain in accuracy points ↑", zeroline=True, zerolinecolor=GREY, zerolinewidth=1.5
        ),
        showlegend=True,
        legend={"orientation": "h", "y": -0.22, "yanchor": "top"},
        margin={"l": 64, "r": 20, "t": 16, "b": 130},
        height=480,
    )


def rare_classes(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Recall of classes that were cut to a few rows, by remedy."""
    found = list(_details(table, "imbalance_recall", _check_rare))
    if not found:
        return None
    first = found[0][1]
    bars: list[tuple[str, Sequence[float], str]] = [
        (name, first["arms"][name]["recall"], GREY) for name in _REMEDIES
    ]
    bars += [(f"filled by {r.label}", d["arms"]["filled"]["recall"], colour[r.id])
             for r, d in found]  # fmt: skip
    cells = [
        (
            row.label,
            arm,
            *(number(_mean(values[k])) for k in ("recall", "balanced")),
            _against(d, arm),
        )
        for row, d in found
        for arm, values in d["arms"].items()
    ]  # fmt: skip
    classes = " and ".join(str(c) for c in first["classes"])
    return Figure(
        "imbalance",
        "Can synthetic rows replace rare ones?",
        f"Test recall of class {classes}, cut to {100 * float(first['keep']):.3g} % of their rows, "
        "after the usual remedies (grey) and after filling up with rows of a generator fitted on "
        "the unbalanced set. Mean and 95 % t interval over replicates.",
        {"all": _bars(bars, "recall of the rare classes ↑")},
        headers=("generator", "arm", "recall", "balanced accuracy", "filled against this arm"),
        cells=tuple(cells),
        notes=tuple(_remedy(row.label, d) for row, d in found),
    )


def _remedy(name: str, details: Details) -> str:
    parts = [
        f"{gain['verdict']} against {arm} ({_signed(gain)} points)"
        for arm, gain in details["gains"].items()
    ]
    return f"{name}: filling up " + ", ".join(parts) + "."


def _against(details: Details, arm: str) -> str:
    gain = details["gains"].get(arm)
    return "" if gain is None else f"{_signed(gain)}: {gain['verdict']}"


def robustness(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Accuracy under attack, with and without synthetic rows."""
    found = list(_details(table, "robust_accuracy", _check_attacked))
    if not found:
        return None
    first = found[0][1]
    titles = {"pgd": "PGD", "fgsm": "FGSM", "clean": "no attack"}
    specs, cells = {}, []
    for attack in titles:
        bars: list[tuple[str, Sequence[float], str]] = [
            ("real rows alone", first["arms"]["real"][attack], GREY)
        ]
        bars += [(f"with {row.label}", d["arms"]["real+synthetic"][attack], colour[row.id])
                 for row, d in found]  # fmt: skip
        specs[attack] = _bars(bars, "test accuracy ↑")
        cells += [(name, titles[attack], number(_mean(values))) for name, values, _ in bars]
    return Figure(
        "robustness",
        "Does it make the classifier more robust?",
        "Accuracy of the same classifiers when each pixel may be changed by "
        f"{100 * float(first['epsilon']):.3g} % of the grey range. Mean and 95 % t interval over "
        "replicates.",
        specs,
        (Choice("Attack", tuple(titles.items())),),
        ("classifier", "attack", "accuracy"),
        tuple(cells),
        notes=tuple(
            f"{row.label}: {d['gain']['verdict']} under PGD ({_signed(d['gain'])} points)."
            for row, d in found
        ),
    )


def _details(
    table: Table, metric: str, check: Callable[[Details], object]
) -> Iterator[tuple[Row, Details]]:
    """Each generator's details of a metric, where they are what this version writes.

    The seeds of a generator share the replicates: the first one's stand for all.
    """
    for row in table.generators:
        for entry in row.done:
            value = entry.record.metrics.get(metric)
            if value is None or value.status != "ok":
                continue
            try:
                check(value.details)
            except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
                continue  # a record from elsewhere: its value stands in the table all the same
            yield row, value.details
            break


def _check_rare(details: Details) -> None:
    _remedy("", details)
    _ = float(details["keep"]), list(details["classes"])
    for arm in (*_REMEDIES, "filled"):
        _ = _mean(details["arms"][arm]["recall"]), _mean(details["arms"][arm]["balanced"])


def _check_attacked(details: Details) -> None:
    _ = float(details["epsilon"]), str(details["gain"]["verdict"]), _signed(details["gain"])
    for arm in ("real", "real+synthetic"):
        _ = [_mean(details["arms"][arm][attack]) for attack in ("clean", "fgsm", "pgd")]


def _bars(bars: Sequence[tuple[str, Sequence[float], str]], title: str) -> str:
    halves = [_half(values) for _, values, _ in bars]
    means = [_mean(values) for _, values, _ in bars]
    trace = {
        "type": "bar", "x": [plot_label(name, 28) for name, _, _ in bars], "y": means,
        "marker": {"color": [shade for _, _, shade in bars]},
        "error_y": {"type": "data", "symmetric": False, "color": GREY, "thickness": 1.4, "width": 4,
                    "array": [min(h, 1 - m) for h, m in zip(halves, means, strict=True)],
                    "arrayminus": [min(h, m) for h, m in zip(halves, means, strict=True)]},
        "hovertemplate": "%{x}: %{y:.3f}<extra></extra>",
    }  # fmt: skip
    return spec(
        [trace],
        xaxis={"automargin": True, "type": "category"},
        yaxis=axis(title, range=[0, 1]),
        bargap=0.45,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _half(values: Sequence[float]) -> float:
    count = len(values)
    if count < 2:
        return 0.0
    mean = _mean(values)
    variance = sum((v - mean) ** 2 for v in values) / (count - 1)
    return quantile(count - 1) * float((variance / count) ** 0.5)
