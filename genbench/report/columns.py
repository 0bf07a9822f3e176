"""The metric columns of a report: title, direction, and the scale between noise and floor."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genbench import kinds
from genbench.errors import shorten
from genbench.metrics import METRICS, Group, plain_name, split_id
from genbench.report.headings import heading
from genbench.results import Record, direction

_SPANS_DECADES = 100.0


@dataclass(frozen=True, slots=True)
class Column:
    """One metric as the table shows it; `higher_is_better` None: no direction, never ranked."""

    id: str
    name: str
    features: str
    description: str
    unit: str | None
    higher_is_better: bool | None
    logarithmic: bool
    primary: bool
    reference: str
    group: Group = "other"

    @property
    def title(self) -> str:
        """The heading: the metric's name, with the extractor's where that must be said."""
        return f"{self.name} ({self.features})" if self.features else self.name

    @property
    def arrow(self) -> str:
        """An arrow in the better direction, or nothing."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    @property
    def direction(self) -> str:
        """The same in words, for screen readers and tooltips."""
        words = {True: "higher is better", False: "lower is better", None: "no better direction"}
        return words[self.higher_is_better]


@dataclass(frozen=True, slots=True)
class Scale:
    """The scale of a metric from the noise control (0) to the real-data floor (1)."""

    noise: float
    floor: float
    logarithmic: bool

    def place(self, value: float) -> float:
        """Position in 0..1, clipped."""
        low, high, at = self.noise, self.floor, value
        if self.logarithmic:
            if value <= 0:
                return 1.0 if high < low else 0.0
            low, high, at = math.log(low), math.log(high), math.log(value)
        return min(1.0, max(0.0, (at - low) / (high - low)))


def scale(noise: float | None, floor: float | None, column: Column) -> Scale | None:
    """The scale of a column, logarithmic where the metric spans decades; None without controls."""
    if noise is None or floor is None or noise == floor:
        return None
    positive = noise > 0 and floor > 0
    spans = positive and max(noise / floor, floor / noise) >= _SPANS_DECADES
    return Scale(noise, floor, positive and (column.logarithmic or spans))


def columns(suite: Mapping[str, Any], records: Sequence[Record]) -> list[Column]:
    """The suite's metrics in its order, then any others that records hold."""
    ids = [str(m["id"]) for m in suite.get("metrics", ())]
    order = {name: index for index, name in enumerate(METRICS)}
    found = {name for record in records for name in record.metrics}
    others = sorted(found, key=lambda name: (order.get(plain_name(name), 1000), name))
    ids = list(dict.fromkeys([*ids, *others]))
    primary = str(suite["suite"].get("primary", ""))
    ids.sort(key=lambda name: name != primary)  # stable: the primary metric leads
    return [_column(name, suite, primary, records) for name in ids]


def _column(name: str, suite: Mapping[str, Any], primary: str, records: Sequence[Record]) -> Column:
    info = METRICS.get(plain_name(name))
    units = [r.metrics[name].unit for r in records if name in r.metrics]
    unit = next((shorten(text, 30) for text in units if text), None)
    if info is None:
        about = "A metric of another package or version; unit and direction are the records' own."
        up = direction(records, name)
        return Column(name, name, "", about, unit, up, False, name == primary, "")
    split = split_id(name).split
    kind = str(suite.get("space", {}).get("kind", "image"))
    told = heading(name, suite, [r.metrics[name] for r in records if name in r.metrics])
    return Column(
        id=name,
        name=f"{told.name}, {split}" if split else told.name,
        features=told.features,
        description=f"{info.description} Compared with the split {split}."
        if split
        else info.description,
        unit=unit if kinds.built_in(kind) is None else info.unit_for(kind),
        higher_is_better=info.higher_is_better,
        logarithmic=info.scale == "log",
        primary=name == primary,
        reference=info.reference,
        group=info.group,
    )
