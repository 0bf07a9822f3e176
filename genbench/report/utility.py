"""Figures of the downstream protocols: replacement, augmentation, rare classes, robustness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from genbench.report.details import (
    ARMS,
    ATTACKS,
    FILLED,
    REMEDIES,
    Attacked,
    Curve,
    Gain,
    Point,
    Rare,
    attacked,
    curve,
    each,
    each_seed,
    price,
    prices_by_others,
    rare,
)
from genbench.report.figures import GREY, Choice, Figure, axis, spec
from genbench.report.rows import Row, Table
from genbench.report.text import number, plot_label, plot_labels, shorten
from genbench.results import quantile

T = TypeVar("T")
_Read = Sequence[tuple[Row, T | str]]

_DASH = {"real+synthetic": "solid", "real+classical": "dash",
         "real+synthetic+classical": "dot", "synthetic": "longdash"}  # fmt: skip
_SYMBOL = {"real+synthetic": "circle", "real+classical": "x",
           "real+synthetic+classical": "diamond", "synthetic": "square-open"}  # fmt: skip


def augmentation(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Gain in test accuracy over the real rows alone, per generator, arm and number of rows."""
    read = each(table, "augmentation_gain", curve)
    found = _found(read)
    if not found:
        return None
    return Figure(
        "augmentation",
        "Does synthetic data help a classifier?",
        "Test accuracy gained over a classifier trained on the n real rows alone, when synthetic "
        "rows are added: the generator was fitted anew on exactly these n rows. Mean and 95 % "
        "interval over replicates and test rows, paired. The dashed grey line, classical "
        "augmentation, is the one to beat.",
        {row.id: _curve(details, colour[row.id]) for row, details in found},
        (Choice("Generator", tuple((row.id, row.label) for row, _ in found)),),
        ("generator", "real rows", "arm", "ratio", "accuracy", "gain", "low", "high", "verdict"),
        tuple(_cells(row.label, point) for row, details in found for point in details.points),
        notes=_notes(read, sentence),
    )


def _found(read: _Read[T]) -> list[tuple[Row, T]]:
    return [(row, details) for row, details in read if not isinstance(details, str)]


def _notes(read: _Read[T], say: Callable[[str, T], str]) -> tuple[str, ...]:
    """A sentence per generator; of one that was left out, why."""
    said = []
    for row, details in read:
        name = shorten(row.label, 60)
        if isinstance(details, str):
            said.append(f"{name}: left out: {details.removesuffix('.')}.")
        else:
            said.append(say(name, details))
    return tuple(said)


def _cells(label: str, point: Point) -> tuple[str, ...]:
    gain = point.gain
    ends = (None, None, None) if gain is None else (gain.mean, gain.low, gain.high)
    return (
        label,
        str(point.n),
        ARMS[point.arm],
        str(point.ratio or ""),
        number(point.accuracy),
        *(number(None if end is None else 100 * end) for end in ends),
        "" if gain is None else gain.verdict,
    )


def sentence(name: str, details: Curve) -> str:
    """The verdict on one generator: helps, hurts or no evidence, at which n and ratio."""
    added = [(p, p.gain) for p in details.points if p.arm == "real+synthetic" and p.gain]
    said = []
    for verdict in ("helps", "hurts"):
        points = [_point(p, gain) for p, gain in added if gain.verdict == verdict]
        if points:
            said.append(f"{verdict} at " + "; ".join(points))
    silent = [_point(p, gain) for p, gain in added if gain.verdict == "no evidence"]
    if silent:
        said.append(f"no evidence that it helps or hurts at {'; '.join(silent)}")
    text = f"{name}: {', '.join(said)}."
    best = max(added, key=lambda found: found[1].mean, default=None)
    if best is not None and best[0].over_classical is not None:
        against = best[0].over_classical.points
        text += f" Against classical augmentation its best point is {against} points."
    if details.rejected is not None:
        text += (
            f" Its labels come from the classifier of the real rows, which rejected "
            f"{100 * details.rejected:.0f} % of the rows."
        )
    return text


def _point(p: Point, gain: Gain) -> str:
    return f"n = {p.n:,}, {p.ratio} to 1 ({gain.points} points)"


def _curve(details: Curve, colour: str) -> str:
    series: dict[tuple[str, int], list[tuple[int, Gain]]] = {}
    for p in details.points:
        if p.gain is not None:
            series.setdefault((p.arm, p.ratio), []).append((p.n, p.gain))
    sizes = sorted({p.n for p in details.points})
    most = max(ratio for _, ratio in series)
    traces: list[dict[str, Any]] = []
    for index, ((arm, ratio), points) in enumerate(series.items()):
        shade = GREY if arm == "real+classical" else colour
        # Side by side on the logarithmic axis, so that intervals do not hide each other.
        nudge = 1.06 ** (index - (len(series) - 1) / 2)
        name = ARMS[arm] + (f" x {ratio}" if ratio else "")
        traces.append(
            {"type": "scatter", "mode": "lines+markers", "name": plot_label(name, 40),
             "x": [n * nudge for n, _ in points], "y": [100 * g.mean for _, g in points],
             "error_y": {"type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
                         "array": [100 * (g.high - g.mean) for _, g in points],
                         "arrayminus": [100 * (g.mean - g.low) for _, g in points],
                         "color": shade},
             "text": [f"n = {n:,}: {g.verdict}" for n, g in points],
             "opacity": 0.45 + 0.55 * (ratio or most) / most,
             # Far below the rest as a rule: one click brings it, and its scale, back.
             "visible": "legendonly" if arm == "synthetic" else True,
             "line": {"color": shade, "width": 1.8, "dash": _DASH[arm]},
             "marker": {"size": 8, "symbol": _SYMBOL[arm], "color": shade},
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


_REPLACED_BY = ("heldout", "train-copy")  # controls that show what rows of their kind are worth


def replacement(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """The figure of the loss by training on generated rows alone, per generator and seed."""
    rows = [*table.generators, *(row for row in table.controls if row.name in _REPLACED_BY)]
    found = each_seed(rows, "tstr_accuracy", price)
    if all(row.control for row, _ in found):
        return None
    others = {row.id: mine for row, mine in each_seed(rows, "tstr_accuracy", prices_by_others)}
    names = [row.label + (" (control)" if row.control else "") for row, _ in found]
    traces, notes = [], []
    for (row, mine), name, label in zip(found, names, plot_labels(names, 28), strict=True):
        traces.append(
            {"type": "scatter", "mode": "markers", "name": label,
             "x": [100 * gap.mean for _, gap in mine], "y": [label] * len(mine),
             "error_x": {"type": "data", "symmetric": False, "thickness": 1.4, "width": 4,
                         "color": GREY,
                         "array": [100 * (gap.high - gap.mean) for _, gap in mine],
                         "arrayminus": [100 * (gap.mean - gap.low) for _, gap in mine]},
             "text": [f"seed {seed}: {gap.points}" for seed, gap in mine],
             "marker": {"size": 9, "color": GREY if row.control else colour[row.id]},
             "hovertemplate": "%{text} points<extra></extra>"}
        )  # fmt: skip
        notes.append(_replaced(name, mine, others.get(row.id, [])))
    return Figure(
        "replacement",
        "Can generated rows replace real ones?",
        "Test accuracy that is lost when the fixed classifier is trained on as many generated rows "
        "in place of real ones (TRTR minus TSTR), and its 95 % interval over the trainings and "
        "the rows tested. At 0 nothing is lost; heldout shows what fresh real rows lose, and a "
        "copier loses nothing either.",
        {
            "all": spec(
                traces,
                xaxis=axis("accuracy points lost ↓", zeroline=True, zerolinecolor=GREY),
                yaxis={"automargin": True, "type": "category", "autorange": "reversed"},
                height=150 + 40 * len(found),
                showlegend=False,
            )
        },
        headers=("generator", "seed", "points lost", "low", "high"),
        cells=tuple(
            (row.label, str(seed), *(number(100 * end) for end in (gap.mean, gap.low, gap.high)))
            for row, mine in found
            for seed, gap in mine
        ),
        notes=tuple(notes),
    )


def _replaced(
    name: str,
    mine: Sequence[tuple[int, Gain]],
    others: Sequence[tuple[int, Sequence[tuple[str, Gain]]]],
) -> str:
    """The points lost, and those by other classifiers."""
    points = "; ".join(f"seed {seed} {gap.points}" for seed, gap in mine)
    text = f"{shorten(name, 60)}: {points} points."
    said = [f"seed {seed} by {judge} {gap.points}" for seed, told in others for judge, gap in told]
    return text + (f" Also: {'; '.join(said)} points." if said else "")


def rare_classes(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Recall of classes that were cut to a few rows, by remedy."""
    read = each(table, "imbalance_recall", rare)
    found = _found(read)
    if not found:
        return None
    first = found[0][1]
    bars = [(name, first.recall[name], GREY) for name in REMEDIES]
    bars += [(f"filled by {row.label}", d.recall[FILLED], colour[row.id]) for row, d in found]
    classes = " and ".join(shorten(table.class_name(number)) for number in first.classes)
    return Figure(
        "imbalance",
        "Can synthetic rows replace rare ones?",
        f"Test recall of class {classes}, cut to {100 * first.keep:.3g} % of their rows, "
        "after the usual remedies (grey) and after filling up with rows of a generator fitted on "
        "the unbalanced set. Mean and 95 % t interval over replicates.",
        {"all": _bars(bars, "recall of the rare classes ↑")},
        headers=("generator", "arm", "recall", "balanced accuracy", "filled against this arm"),
        cells=tuple(
            (row.label, arm, number(_mean(d.recall[arm])), number(_mean(d.balanced[arm])),
             _against(d.gains.get(arm)))
            for row, d in found
            for arm in d.recall
        ),
        notes=_notes(read, _remedy),
    )  # fmt: skip


def _remedy(name: str, details: Rare) -> str:
    parts = [
        f"{gain.verdict} against {arm} ({gain.points} points)"
        for arm, gain in details.gains.items()
    ]
    return f"{name}: filling up " + ", ".join(parts) + "."


def _against(gain: Gain | None) -> str:
    return "" if gain is None else f"{gain.points}: {gain.verdict}"


def robustness(table: Table, colour: Mapping[str, str]) -> Figure | None:
    """Accuracy under attack, with and without synthetic rows."""
    read = each(table, "robust_accuracy", attacked)
    found = _found(read)
    if not found:
        return None
    first = found[0][1]
    specs, cells = {}, []
    for attack, title in ATTACKS.items():
        bars = [("real rows alone", first.arms["real"][attack], GREY)]
        bars += [(f"with {row.label}", d.arms["real+synthetic"][attack], colour[row.id])
                 for row, d in found]  # fmt: skip
        specs[attack] = _bars(bars, "test accuracy ↑")
        cells += [(name, title, number(_mean(values))) for name, values, _ in bars]
    return Figure(
        "robustness",
        "Does it make the classifier more robust?",
        "Accuracy of the same classifiers when each pixel may be changed by "
        f"{100 * first.epsilon:.3g} % of the grey range. Mean and 95 % t interval over "
        "replicates.",
        specs,
        (Choice("Attack", tuple(ATTACKS.items())),),
        ("classifier", "attack", "accuracy"),
        tuple(cells),
        notes=_notes(read, _robust),
    )


def _robust(name: str, details: Attacked) -> str:
    return f"{name}: {details.gain.verdict} under PGD ({details.gain.points} points)."


def _bars(bars: Sequence[tuple[str, Sequence[float], str]], title: str) -> str:
    halves = [_half(values) for _, values, _ in bars]
    means = [_mean(values) for _, values, _ in bars]
    trace = {
        "type": "bar", "x": plot_labels([name for name, _, _ in bars], 28), "y": means,
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
