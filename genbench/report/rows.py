"""The table of a task as data: values with their error, rank and place; rows; the whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genbench.report.columns import Column, Scale
from genbench.report.copying import Mark
from genbench.results import Entry, is_fixed, is_ours


@dataclass(frozen=True, slots=True)
class Value:
    """One metric of one row, ready to be shown.

    The number as `text` with its half-width, or a word for why there is none; as a `number` the
    column sorts by it, None last. The interval's `basis` is seeds, sampling or unknown. `place` is
    the position between the noise control (0) and the floor (1); `order` the place in the order of
    the comparable rows, which claims nothing; `rank` the rank interval as ``1`` or ``1-2`` among
    `of` rows, empty if unranked. It `leads` if no row is significantly better, and is `tied` if
    some row differs by no more than chance. `floor` is ``at``, ``worse``, ``cannot tell`` against
    real held-out data, or empty; `note` what the metric says of its own value, such as too few
    rows; `std_error` and `df` the error behind comparisons, as `aggregation` has them.
    """

    text: str
    half: str = ""
    number: float | None = None
    low: float | None = None
    high: float | None = None
    basis: str = "unknown"
    status: str = "ok"
    reason: str = ""
    place: float | None = None
    order: int | None = None
    rank: str = ""
    of: int = 0
    leads: bool = False
    tied: bool = False
    floor: str = ""
    note: str = ""
    seeds: Mapping[int, float] = field(default_factory=dict)
    std_error: float | None = None
    df: float = math.inf
    signature: str = ""
    likelihood: str = ""

    @property
    def with_half(self) -> str:
        """The number with its half-width."""
        return f"{self.text} ±{self.half}" if self.half else self.text

    @property
    def at_floor(self) -> bool:
        """Whether it is shown to be as good as real data."""
        return self.floor == "at"


@dataclass(frozen=True, slots=True)
class Row:
    """One generator at one version with one set of parameters, over its seeds.

    `fit_core_s` is the CPU time of its fit, which neither load nor neighbours change, `fit_s` its
    wall time; both are means over the seeds, and records of before know wall time alone.
    `sampling_rate` counts generated rows per core second.
    """

    id: str
    name: str
    label: str
    version: str
    provider: str
    passed: str
    family: str
    likelihood: str
    reference: str
    control: bool
    published: bool
    values: Mapping[str, Value]
    entries: tuple[Entry, ...]
    seeds_planned: int
    fit_core_s: float | None
    fit_s: float | None
    sampling_rate: float | None
    peak_bytes: float | None
    parameters: float | None
    status: str
    unranked: str
    marks: tuple[Mark, ...] = ()

    @property
    def done(self) -> list[Entry]:
        """The entries that are ok."""
        return [e for e in self.entries if e.record.status == "ok"]

    @property
    def declared(self) -> Mapping[str, Any]:
        """The generator as its first record tells of it, which may be anybody's."""
        told: Mapping[str, Any] = self.entries[0].record.cell["generator"]
        return told

    @property
    def fixed(self) -> bool:
        """Whether it is a set of samples made elsewhere: nothing was trained."""
        return is_fixed(self.entries[0].record)

    @property
    def third_party(self) -> bool:
        """Whether another distribution than ours brings the generator."""
        return not is_ours(self.provider)

    @property
    def complete(self) -> bool:
        """Every planned seed is there."""
        return len(self.done) >= self.seeds_planned


@dataclass(frozen=True, slots=True)
class Table:
    """Columns, and rows in the order of the primary metric; scales by metric id.

    `classes` holds the names that the suite gives its classes, by number; it may give none.
    `placed` rows have a place in that order, and a rank if they can carry one.
    """

    columns: tuple[Column, ...]
    scales: Mapping[str, Scale]
    placed: tuple[Row, ...]
    unranked: tuple[Row, ...]
    controls: tuple[Row, ...]
    classes: tuple[str, ...] = ()

    def class_name(self, number: int) -> str:
        """The name of a class: its number, where the suite gives none."""
        return self.classes[number] if 0 <= number < len(self.classes) else str(number)

    def floor(self, column: Column) -> float | None:
        """The real-data floor of a metric; None where no control gives it one."""
        scale = self.scales.get(column.id)
        return None if scale is None else scale.floor

    @property
    def generators(self) -> tuple[Row, ...]:
        """Every row that is not a control."""
        return (*self.placed, *self.unranked)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, controls last."""
        return (*self.generators, *self.controls)
