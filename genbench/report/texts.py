"""Sample texts of a cell as a page shows them, and figures of all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from genbench.report.figures import GREY, Figure, axis, spec
from genbench.report.images import ArtefactError, artefact, read
from genbench.report.placing import RowSamples, Shown, ShownText
from genbench.report.rows import Row, Table
from genbench.report.text import finite, number, plot_label
from genbench.results import Entry
from genbench.system import parse_json

GENERATED, REAL = "texts", "real-texts"
TITLES = {GENERATED: "Generated, with the nearest training rows", REAL: "Real test rows"}
MOST_TEXTS, LONGEST = 200, 100_000  # shown of an artefact; lengths of a histogram
_COPY = 1e-9
NGRAMS = "ngram_js"


@dataclass(frozen=True, slots=True)
class _Texts:
    """The artefact: texts to show, and rows by length in characters."""

    texts: tuple[ShownText, ...]
    lengths: tuple[float, ...]


def shown(entry: Entry, role: str, classes: Sequence[str]) -> Shown:
    """The texts of an artefact as they appear in a page, or why they do not."""
    try:
        return Shown(TITLES[role], texts=_artefact(entry, role, classes).texts)
    except ArtefactError as error:
        return Shown(TITLES[role], missing=f"Not shown: {error}.")


def gallery(board: Table) -> tuple[tuple[Shown, ...], tuple[RowSamples, ...]]:
    """Real texts once, and each row's own."""
    real: tuple[Shown, ...] = ()
    samples = []
    for row in board.rows:
        entry = next((e for e in row.done if artefact(e, GENERATED)), None)
        if entry is None:
            continue
        if not real:
            found = shown(entry, REAL, board.classes)
            real = (found,) if found.texts else ()
        pictures = (shown(entry, GENERATED, board.classes),)
        samples.append(RowSamples(row, entry.record.seed, pictures))
    return real, tuple(samples)


def _artefact(entry: Entry, role: str, classes: Sequence[str]) -> _Texts:
    try:
        body = parse_json(read(entry, role))
        texts = tuple(_text(one, classes) for one in body["texts"][:MOST_TEXTS])
        lengths = tuple(finite(count) or 0.0 for count in body["lengths"][:LONGEST])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtefactError(f"it holds no texts ({type(error).__name__})") from error
    return _Texts(texts, lengths)


def _text(body: Mapping[str, Any], classes: Sequence[str]) -> ShownText:
    label, distance = body.get("label"), finite(body.get("distance"))
    named = ""
    if type(label) is int:
        named = classes[label] if 0 <= label < len(classes) else str(label)
    near, alike = body.get("nearest"), body.get("alike")
    return ShownText(
        text=str(body["text"]),
        label=named,
        nearest=None if near is None else str(near),
        distance=number(distance, 2) if distance is not None else "",
        copy=distance is not None and distance <= _COPY,
        alike=None if alike is None else str(alike),
    )


def lengths(board: Table, colour: Mapping[str, str]) -> Figure | None:
    """How long the texts are, as shares of rows: real ones and each row's."""
    lines: list[tuple[str, tuple[float, ...], str]] = []
    for row in board.rows:
        entry = next((e for e in row.done if artefact(e, GENERATED)), None)
        if entry is None:
            continue
        with suppress(ArtefactError):
            if not lines:
                lines.append(("real", _artefact(entry, REAL, ()).lengths, "#222222"))
            lines.append((row.label, _artefact(entry, GENERATED, ()).lengths, colour[row.id]))
    if len(lines) < 2:
        return None
    most = max(len(values) for _, values, _ in lines)
    traces, cells = [], []
    for name, values, ink in lines:
        total = math.fsum(values) or 1.0
        shares = [*(v / total for v in values), *[0.0] * (most - len(values))]
        mean = math.fsum(i * share for i, share in enumerate(shares))
        cells.append((name, number(mean)))
        width = 3 if name == "real" else 1.5
        traces.append({
            "type": "scatter", "mode": "lines", "name": plot_label(name, 24), "y": shares,
            "line": {"color": ink, "width": width, "shape": "hvh"},
            "hovertemplate": "%{x} characters: %{y:.3g}<extra>" + plot_label(name) + "</extra>",
        })  # fmt: skip
    return Figure(
        "lengths",
        "Length of the texts",
        "Share of the texts that have so many characters. A line left of the black one, the real "
        "test rows, is a generator that ends its texts too early.",
        {"all": spec(traces, xaxis=axis("characters"), yaxis=axis("share of the texts"),
                     showlegend=True)},
        headers=("texts of", "mean length in characters"),
        cells=tuple(cells),
    )  # fmt: skip


def ngrams(board: Table, colour: Mapping[str, str]) -> Figure | None:
    """The Jensen-Shannon distance of n-grams over their length, a line for each row."""
    lines = [(row, values) for row in board.rows if (values := _by_n(row))]
    if not lines:
        return None
    traces, cells = [], []
    for row, values in lines:
        control = row.name if row.control else ""
        traces.append({
            "type": "scatter", "mode": "lines+markers", "name": plot_label(row.label, 24),
            "x": list(values), "y": list(values.values()),
            "line": {"color": GREY if control else colour[row.id],
                     "dash": {"heldout": "dash", "noise": "dot"}.get(control, "solid")},
            "hovertemplate": "n = %{x}: %{y:.4g}<extra>" + plot_label(row.label) + "</extra>",
        })  # fmt: skip
        cells.append((row.label, *(number(values.get(n)) for n in range(1, 5))))
    return Figure(
        "ngrams",
        "N-grams",
        "Jensen-Shannon distance of the frequencies of n-grams to those of real test rows; 0 is "
        "equal. The dashed line, held-out real rows, is as low as so many texts can come.",
        {"all": spec(traces, xaxis=axis("n", dtick=1), yaxis=axis("distance", rangemode="tozero"),
                     showlegend=True)},
        headers=("texts of", *(f"n = {n}" for n in range(1, 5))),
        cells=tuple(cells),
    )  # fmt: skip


def _by_n(row: Row) -> dict[int, float]:
    """The distances of the first finished seed."""
    for entry in row.done:
        value = entry.record.metrics.get(NGRAMS)
        found = None if value is None else value.details.get("by_n")
        if isinstance(found, Mapping):
            numbers = {n: finite(found.get(str(n))) for n in range(1, 5)}
            return {n: v for n, v in numbers.items() if v is not None}
    return {}
