"""The page of one row: what the generator is, what it scored at every seed, what it made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from markupsafe import Markup

from genbench.plugins import installed
from genbench.report.cells import pictures
from genbench.report.columns import Column
from genbench.report.course import stability_text
from genbench.report.curves import MAX_CURVES, MAX_SEEDS, svg
from genbench.report.groups import ColumnGroup, metric_groups
from genbench.report.images import artefact
from genbench.report.page import Page
from genbench.report.placing import Place, Shown, grid
from genbench.report.reproduce import command
from genbench.report.rows import Row, Table, Value
from genbench.report.tabulation import MARKS
from genbench.report.text import count, duration, number, shorten, size, with_error
from genbench.results import Entry, is_ours, plain

_LIKELIHOODS = {
    "exact": "exact: the probability under a normalised discrete model",
    "dequantized": "dequantized: a density under uniform noise on the grey levels, a bound in "
    "expectation",
    "lower-bound": "a lower bound (ELBO): the model's own likelihood is no worse",
    "none": "none: the model can be sampled and not asked",
}
_LABELS = {
    "given": "samples the class it is asked for",
    "own": "labels its samples itself",
    "none": "ignores them",
}
_DRAWN = ("grid", "points", "texts", "sounds")
_SEEDS_DRAWN = 3


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the generator; `asked` if somebody set it for this row."""

    name: str
    value: str
    asked: bool


@dataclass(frozen=True, slots=True)
class Score:
    """One metric of the row: over all seeds, of real data, and in each of the row's cells."""

    column: Column
    value: Value
    floor: str
    cells: tuple[str, ...]
    remark: str


@dataclass(frozen=True, slots=True)
class RowView:
    """One row, ready for its template; `cells` are its entries with their addresses."""

    row: Row
    sentence: str
    standing: str
    facts: tuple[tuple[str, str], ...]
    parameters: tuple[Parameter, ...]
    scores: tuple[tuple[ColumnGroup, tuple[Score, ...]], ...]
    cells: tuple[tuple[Entry, str], ...]
    command: str
    curves: tuple[Markup, ...]
    pictures: tuple[Shown, ...]


def row_view(row: Row, page: Page, place: Place, link: Callable[[Entry], str]) -> RowView:
    """Collect what the page of a row shows; `link` gives the address of a cell's page."""
    return RowView(
        row=row,
        sentence=sentence(row),
        standing=_standing(row, page.table),
        facts=tuple(
            (title, text)
            for title, text in (*_facts(row), ("Stability", stability_text(row, page.table)))
            if text
        ),
        parameters=tuple(_parameters(row)),
        scores=tuple(
            (group, tuple(_score(row, column, page.table) for column in group.columns))
            for group in metric_groups(page.table)
        ),
        cells=tuple((entry, link(entry)) for entry in row.entries),
        command=command(row.entries[0].record, [entry.record.seed for entry in row.entries]),
        curves=_curves(row.entries),
        pictures=_pictures(row.done, place, page.table.classes),
    )


def sentence(row: Row) -> str:
    """The generator in a sentence of its own; empty if its records are of before they had one."""
    return _text(row.declared, "summary")


def _text(declared: Mapping[str, Any], key: str) -> str:
    """A text that a record may have, lack, or have something else in the place of."""
    value = declared.get(key)
    return value if isinstance(value, str) else ""


def _standing(row: Row, board: Table) -> str:
    """Where the row stands on the primary metric, and why it has no rank, if it has none."""
    if not board.columns:
        return ""
    first = board.columns[0]
    value = row.values[first.id]
    if not row.done:
        return "None of its cells has a result."
    reason = "" if value.rank or row.control else row.unranked or value.reason
    why = f" No rank: {shorten(reason, 300)}." if reason else ""
    if value.number is None:
        return f"It has no {first.title}.{why}"
    rank = f", rank {value.rank} of {value.of}" if value.rank else ""
    floor = board.floor(first)
    beside = "" if floor is None or row.name == "heldout" else f"; real data: {number(floor)}"
    return f"{first.title} {value.with_half}{rank}{beside}.{why}"


def _facts(row: Row) -> Iterator[tuple[str, str]]:
    """Titles and texts, of which some may be empty: it is unknown then."""
    yield "Family", row.family
    yield "Likelihood", "" if row.control else _LIKELIHOODS.get(row.likelihood, row.likelihood)
    labels = _text(row.declared, "labels")
    yield "Classes", _LABELS.get(labels, labels)
    yield "Paper", row.reference
    yield "Code", code_of(row)
    yield "Version", row.version
    yield "Trained before on", _text(row.declared, "pretrained_on")
    yield "Seeds", f"{len(row.done)} of {row.seeds_planned}"
    yield "Training", _training(row)
    yield "Sampling", f"{count(row.sampling_rate)} rows per core second" * bool(row.sampling_rate)
    yield "Memory", f"{size(row.peak_bytes)} at most" * bool(row.peak_bytes)
    yield "Weights", count(row.parameters) if row.parameters else ""


def _training(row: Row) -> str:
    """The mean cost of a fit and the examples that were served; they are nothing to controls."""
    if not row.done or row.control or row.fixed:
        return ""
    core, wall = row.fit_core_s, row.fit_s
    told = [f"{duration(core)} of one core"] if core is not None else []
    told += [f"{duration(wall)} of wall time"] if wall is not None else []
    served = sorted({entry.record.examples_served for entry in row.done})
    between = f"{served[0]:,}" + (f" to {served[-1]:,}" if len(served) > 1 else "")
    return ", ".join([*told, f"{between} examples"])


def code_of(row: Row) -> str:
    """Who brings the generator, with its file where that is a part of genbench."""
    parts = [row.provider]
    if is_ours(row.provider) and row.name in _modules():
        parts.append(_modules()[row.name])
    if source := _text(row.declared, "source"):
        parts.append(f"source {source.removeprefix('sha256:')[:8]}")
    return ", ".join(parts)


@cache  # package metadata does not change in a process
def _modules() -> dict[str, str]:
    """Files of genbench's own generators in its repository, by name: nothing is imported."""
    return {
        ref.name: ref.module.removeprefix("genbench.").replace(".", "/") + ".py"
        for owners in installed().values()
        for ref in owners
        if ref.module and is_ours(ref.provider)
    }


def _parameters(row: Row) -> Iterator[Parameter]:
    """All of the row's parameters; those that were set for it come first."""
    asked = row.declared.get("params_passed")
    asked = asked if isinstance(asked, Mapping) else {}
    every = {**(row.declared.get("params") or {}), **asked}
    for name in sorted(every, key=lambda name: (name not in asked, str(name))):
        yield Parameter(str(name), plain(every[name]), name in asked)


def _score(row: Row, column: Column, board: Table) -> Score:
    floor, value = board.floor(column), row.values[column.id]
    # Why a number has no rank is no remark on what is never ranked.
    never = value.number is not None and (row.control or column.higher_is_better is None)
    return Score(
        column,
        value,
        "" if floor is None else number(floor),
        tuple(_at_seed(entry, column.id) for entry in row.entries),
        "" if never else value.reason,
    )


def _at_seed(entry: Entry, metric: str) -> str:
    """The metric in one cell: its number with its sampling error, or a word for why it has none."""
    found = entry.record.metrics.get(metric)
    if found is None:
        return MARKS["missing"] if entry.record.status == "ok" else entry.record.status
    if found.value is None:
        return MARKS.get(found.status, found.status)
    ends = found.interval
    text, half = with_error(found.value, None if ends is None else (ends.high - ends.low) / 2)
    return f"{text} ±{half}" if half else text


def _curves(entries: Sequence[Entry]) -> tuple[Markup, ...]:
    """Each recorded curve once, with a line per seed."""
    names = sorted({name for entry in entries for name in entry.record.curves})[:MAX_CURVES]
    shown = entries[:MAX_SEEDS]
    drawn = (svg(name, [entry.record.curves.get(name) for entry in shown]) for name in names)
    return tuple(curve for curve in drawn if curve)


def _pictures(done: Sequence[Entry], place: Place, classes: Sequence[str]) -> tuple[Shown, ...]:
    """All pictures of the first seed that has some, and the samples of a few others."""
    drawn = [entry for entry in done if any(artefact(entry, role) for role in _DRAWN)]
    if not drawn:
        return ()
    first, *others = drawn[:_SEEDS_DRAWN]
    more = [
        grid(entry, "grid", f"Generated, seed {entry.record.seed}", place)
        for entry in others
        if artefact(entry, "grid")
    ]
    return (*pictures(first, place, classes), *more)
