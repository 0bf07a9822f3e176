"""The page of one cell: everything its record says, and how to get it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from genbench.metrics import MetricValue
from genbench.report import sounds, texts
from genbench.report.curves import MAX_CURVES, svg
from genbench.report.images import (
    ArtefactError,
    artefact,
    cloud,
    density_picture,
    frame,
    log_tail,
    scatter_picture,
)
from genbench.report.inside import PICTURES
from genbench.report.page import Page
from genbench.report.placing import Place, Shown, grid
from genbench.report.reproduce import command
from genbench.report.rows import Row
from genbench.results import Entry, Record

_GRIDS = (
    ("real", "Real test rows"),
    ("grid", "Generated"),
    ("neighbours", "Generated, above the nearest training row"),
    *PICTURES.items(),
)
_CLOUDS = (("real-points", "Real"), ("points", "Generated"))


@dataclass(frozen=True, slots=True)
class CellView:
    """One cell, ready for its template."""

    row: Row
    entry: Entry
    command: str
    metrics: tuple[tuple[str, MetricValue], ...]
    titles: Mapping[str, str]
    curves: tuple[Markup, ...]
    pictures: tuple[Shown, ...]
    log: str
    json: str
    json_href: str

    @property
    def record(self) -> Record:
        """The record itself."""
        return self.entry.record

    @property
    def params(self) -> Mapping[str, Any]:
        """All parameters of the generator, defaults included."""
        return dict(self.record.cell["generator"].get("params") or {})

    @property
    def attempt(self) -> Mapping[str, Any]:
        """Attempt and times in one."""
        return {**self.record.attempt, **self.record.times}


def cell_view(row: Row, entry: Entry, page: Page, place: Place, json_href: str = "") -> CellView:
    """Collect what the page of a cell shows."""
    record = entry.record
    order = [c.id for c in page.table.columns]
    metrics = sorted(
        record.metrics.items(), key=lambda m: (order.index(m[0]) if m[0] in order else 999, m[0])
    )
    drawn = (svg(name, [record.curves[name]]) for name in sorted(record.curves)[:MAX_CURVES])
    return CellView(
        row=row,
        entry=entry,
        command=command(record),
        metrics=tuple(metrics),
        titles={c.id: c.title for c in page.table.columns},
        curves=tuple(c for c in drawn if c),
        pictures=pictures(entry, place, page.table.classes),
        log=log_tail(entry) if (found := artefact(entry, "log")) and found.bytes else "",
        json=record_json(record),
        json_href=json_href,
    )


def record_json(record: Record) -> str:
    """The record as it lies in the results folder, digests included."""
    body = record.to_json()
    lines = (f" {json.dumps(key)}: {_lines(body[key])}" for key in sorted(body))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _lines(value: Any) -> str:
    """JSON with a line per metric, curve or field; the own indent of `json` is slow and longer."""
    if not isinstance(value, dict) or not value:
        return _json(value)
    lines = (f"  {json.dumps(key)}: {_json(value[key])}" for key in sorted(value))
    return "{\n" + ",\n".join(lines) + "\n }"


_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode  # made once: it is slow to make


def pictures(entry: Entry, place: Place, classes: Sequence[str] = ()) -> tuple[Shown, ...]:
    """Every picture of a cell, or why it cannot be shown."""
    shown = [grid(entry, role, title, place) for role, title in _GRIDS if artefact(entry, role)]
    shown += [texts.shown(entry, r, classes) for r in texts.TITLES if artefact(entry, r)]
    shown += [sounds.shown(entry, r, classes, place) for r in sounds.TITLES if artefact(entry, r)]
    limits = None
    for role, title in _CLOUDS:
        if artefact(entry, role) is None:
            continue
        try:
            x = cloud(entry, role)
        except ArtefactError as error:
            shown.append(Shown(f"{title} points", missing=f"Not shown: {error}."))
            continue
        limits = limits or frame(x)
        drawn = {"points": scatter_picture(x, limits), "density": density_picture(x, limits)}
        for kind, picture in drawn.items():
            shown.append(Shown(f"{title}, {kind}", place(picture), picture.width, picture.height))
    return tuple(shown)
