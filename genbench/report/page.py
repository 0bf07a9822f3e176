"""The content of one task's page, as plain data for the templates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from genbench.report import course, sounds, swept, texts, utility
from genbench.report.copying import Mark
from genbench.report.curves import training_curves
from genbench.report.figures import Figure, colours, likelihoods, per_class, strips
from genbench.report.gaps import Failure, Gap, Note, Unranked, failures, gaps, notes, unranked
from genbench.report.history import history
from genbench.report.images import (
    ArtefactError,
    Limits,
    artefact,
    cloud,
    density_picture,
    frame,
    scatter_picture,
)
from genbench.report.inside import Inside, inside
from genbench.report.placing import Place, RowSamples, Shown, grid
from genbench.report.rows import Row, Table
from genbench.report.tabulation import table
from genbench.report.text import shorten, slug
from genbench.report.tradeoffs import correlations, metric_pairs, quality_cost
from genbench.results import Entry, Margin, TaskResults, environment_mark, margin_of


@dataclass(frozen=True, slots=True)
class Page:
    """Everything one task shows."""

    id: str
    suite: Mapping[str, Any]
    table: Table
    colour: Mapping[str, str]
    figures: tuple[Figure, ...]
    real: tuple[Shown, ...]
    samples: tuple[RowSamples, ...]
    inside: Inside
    failures: tuple[Failure, ...]
    gaps: tuple[Gap, ...]
    unranked: tuple[Unranked, ...]
    entries: tuple[tuple[Row, Entry], ...]
    one_seed: bool
    marks: tuple[Mark, ...]
    notes: tuple[Note, ...]
    margin: str

    @property
    def title(self) -> str:
        """The suite's title."""
        about = self.suite["suite"]
        return str(about.get("title") or about["name"])

    @property
    def names(self) -> str:
        """Suite, version and profile in one word."""
        about = self.suite["suite"]
        return f"{about['name']}@{about['version']} · {self.suite['profile']}"

    @property
    def signatures(self) -> dict[str, list[str]]:
        """All signatures found, by metric."""
        return {
            c.id: sorted({v.signature for r in self.table.rows if (v := r.values[c.id]).signature})
            for c in self.table.columns
        }


def page_id(task: TaskResults) -> str:
    """The name of a task's page and the prefix of its elements."""
    about = task.suite["suite"]
    return slug(f"{about['name']}-{about['version']}-{task.suite['profile']}").replace(".", "_")


def page(task: TaskResults, identity: str, place: Place) -> Page:
    """Compute the page of a task; `place` stores a picture and returns its address."""
    board = table(task)
    colour = colours(board)
    found = (
        quality_cost(board, colour),
        strips(board, colour),
        swept.figure(board),
        utility.replacement(board, colour),
        utility.augmentation(board, colour),
        utility.rare_classes(board, colour),
        utility.robustness(board, colour),
        likelihoods(board, colour),
        course.figure(board, colour),
        training_curves(board, colour),
        per_class(board),
        texts.ngrams(board, colour),
        texts.lengths(board, colour),
        metric_pairs(board, colour),
        correlations(board),
        history(board, task.history, colour),
    )
    real, samples = gallery(board, str(task.suite.get("space", {}).get("kind", "")), place)
    counted = [(row, entry) for row in board.rows for entry in row.entries]
    return Page(
        id=identity,
        suite=task.suite,
        table=board,
        colour=colour,
        figures=tuple(f for f in found if f is not None),
        real=real,
        samples=samples,
        inside=inside(board, place),
        failures=failures(board),
        gaps=gaps(board),
        unranked=unranked(board),
        entries=tuple(counted),
        one_seed=any(len(row.done) == 1 and not row.fixed for row in board.generators),
        marks=tuple(dict.fromkeys(mark for row in board.rows for mark in row.marks)),
        notes=notes(board, board.columns),
        margin=_margin_text(margin_of(task.suite)),
    )


def _margin_text(margin: Margin) -> str:
    """A margin in words, behind "worse by less than"."""
    share = f"{100 * margin.share:g} % of the way from it to the nearest control that is worse"
    if not margin.amounts:
        return share
    return f"the suite's margin for each metric, or where it has none {share}"


def gallery(
    board: Table, kind: str, place: Place
) -> tuple[tuple[Shown, ...], tuple[RowSamples, ...]]:
    """Real pictures once, and each row's own, generators before controls."""
    roles = {a.role for row in board.rows for e in row.done for a in e.record.artifacts}
    if "points" in roles:
        return _clouds(board, place)
    if texts.GENERATED in roles:
        return texts.gallery(board)
    if sounds.GENERATED in roles:
        return sounds.gallery(board, place)
    if not roles & {"grid", "neighbours"}:
        return (), ()
    real: tuple[Shown, ...] = ()
    samples = []
    for row in board.rows:
        drawn = [e for e in row.done if artefact(e, "grid")]
        if not row.done or (row.control and not drawn):
            continue
        entry = [*drawn, *row.done][0]
        if not real or not real[0].src:
            real = (grid(entry, "real", f"Real test rows{_from_top(board)}", place),)
        pictures = [grid(entry, "grid", "Generated", place)]
        if artefact(entry, "neighbours"):
            title = "Generated, above the nearest training row"
            pictures.append(grid(entry, "neighbours", title, place))
        samples.append(RowSamples(row, entry.record.seed, tuple(pictures)))
    return tuple(s for s in real if s.src), tuple(samples)


def _from_top(board: Table) -> str:
    """The names of the classes, one to a line of pictures."""
    names = [shorten(name, 30) for name in board.classes[:20]]
    return f", from the top: {', '.join(names)}" if names else ""


def _clouds(board: Table, place: Place) -> tuple[tuple[Shown, ...], tuple[RowSamples, ...]]:
    firsts = ((row, [e for e in row.done if artefact(e, "points")][:1]) for row in board.rows)
    rows = [(row, entry) for row, found in firsts for entry in found]
    limits: Limits | None = None
    real: tuple[Shown, ...] = ()
    for _, entry in rows:
        with suppress(ArtefactError):
            x = cloud(entry, "real-points")
            limits, real = frame(x), _drawn(x, frame(x), place)
            break
    samples = []
    for row, entry in rows:
        try:
            x = cloud(entry, "points")
            limits = limits or frame(x)
            pictures = _drawn(x, limits, place)
        except ArtefactError as error:
            pictures = (Shown("Generated points", missing=f"Not shown: {error}."),)
        samples.append(RowSamples(row, entry.record.seed, pictures))
    return real, tuple(samples)


def _drawn(x: Any, limits: Limits, place: Place) -> tuple[Shown, ...]:
    pictures = {"Points": scatter_picture(x, limits), "Density": density_picture(x, limits)}
    return tuple(Shown(t, place(p), p.width, p.height) for t, p in pictures.items())


def verdict(found: Page) -> list[str]:
    """Sentences that sum up the primary metric: who leads, who is tied, how far from the floor."""
    board = found.table
    if not board.columns:
        return []
    first = board.columns[0]
    ranked = [row for row in board.placed if row.values[first.id].rank]
    leaders = [row for row in ranked if row.values[first.id].leads]
    sentences = []
    if board.placed and not ranked:
        value = board.placed[0].values[first.id]
        sentences.append(
            f"{board.placed[0].label} comes first on {first.title} with {value.text}, at one seed: "
            "an order, not a ranking, since other trainings may give another."
        )
    if leaders:
        best = ranked[0]
        value = best.values[first.id]
        error = f" ± {value.half}" if value.half else ""
        sentences.append(f"{best.label} leads on {first.title} with {value.text}{error}.")
        if best.marks:
            sentences.append(f"It is marked: {', '.join(mark.text for mark in best.marks)}.")
        others = [row.label for row in leaders if row is not best]
        if others:
            sentences.append(f"Not significantly worse: {', '.join(others)}.")
    floor = next((r.values[first.id] for r in board.controls if r.name == "heldout"), None)
    if floor is not None and floor.number is not None:
        sentences.append(f"Held-out real data scores {floor.text}: that is the floor.")
    return sentences


def compare_data(found: Page) -> dict[str, Any]:
    """The data from which the compare view computes differences."""
    return {
        "columns": [
            {"id": c.id, "title": c.title, "up": c.higher_is_better, "unit": c.unit}
            for c in found.table.columns
        ],
        "rows": [_compared(row) for row in found.table.rows],
    }


def _compared(row: Row) -> dict[str, Any]:
    params = row.entries[0].record.cell["generator"].get("params") or {}
    return {
        "label": row.label,
        "control": row.control,
        "params": {str(k): v for k, v in params.items()},
        "machines": {str(e.record.seed): environment_mark(e.record) for e in row.done},
        "values": {
            key: {
                "mean": v.number,
                "se": v.std_error,
                "df": v.df if math.isfinite(v.df) else None,
                "basis": v.basis,
                "seeds": {str(s): x for s, x in v.seeds.items()},
                "signature": f"{v.signature} {v.likelihood}",
                "reason": v.reason or v.text,
            }
            for key, v in row.values.items()
        },
    }
