"""The groups in which the columns of the board open and close."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genbench.metrics import GROUPS
from genbench.report.columns import Column
from genbench.report.rows import Row, Table

COST = "cost"
_ROOM = 10  # columns that stand side by side on a desktop: so many need not be closed

# ``(field of a row, title, help)``
_COSTS = (
    ("fit_core_s", "Training", "CPU time of fit on the machine of the record: core seconds, mean "
     "over seeds; wall time beside it."),
    ("sampling_rate", "Samples/s", "Generated rows per core second when sampling."),
    ("peak_bytes", "Memory", "Peak resident memory of the worker, greatest over seeds."),
    ("parameters", "Parameters", "Number of weights."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CostColumn:
    """A cost as the board shows it; `id` is the field of a row that holds it."""

    id: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class ColumnGroup:
    """Columns of one subject, costs or metrics; closed, the group shows its first alone."""

    id: str
    description: str
    columns: tuple[Column, ...] = ()
    costs: tuple[CostColumn, ...] = ()

    @property
    def title(self) -> str:
        """Its heading."""
        return self.id.capitalize()

    @property
    def all(self) -> tuple[Column | CostColumn, ...]:
        """Its columns, whatever they hold."""
        return (*self.columns, *self.costs)


def column_groups(table: Table) -> tuple[ColumnGroup, ...]:
    """The groups that have columns, each of them once.

    That of the primary metric leads and the costs follow: quality and price are seen at once, on a
    narrow screen too.
    """
    found = metric_groups(table)
    costs = cost_columns(table.rows)
    spent = [ColumnGroup(COST, "What it took to train and to sample.", costs=costs)]
    return (*found[:1], *(spent if costs else []), *found[1:])


def metric_groups(table: Table) -> tuple[ColumnGroup, ...]:
    """The groups of metrics, that of the primary metric first."""
    first = table.columns[0].group if table.columns else ""
    found = []
    for name, description in sorted(GROUPS.items(), key=lambda group: group[0] != first):  # stable
        columns = tuple(c for c in table.columns if c.group == name)
        if columns:
            found.append(ColumnGroup(name, description, columns))
    return tuple(found)


def cost_columns(rows: Sequence[Row]) -> tuple[CostColumn, ...]:
    """The costs that any row can fill."""
    known = (CostColumn(*cost) for cost in _COSTS)
    return tuple(c for c in known if any(_can_fill(row, c.id) for row in rows))


def _can_fill(row: Row, cost: str) -> bool:
    """Of a fit, wall time stands where nothing else is known."""
    known = getattr(row, cost) is not None
    return known or (cost == "fit_core_s" and row.fit_s is not None)


def roomy(groups: Sequence[ColumnGroup]) -> bool:
    """Whether all columns have room side by side, so that no group starts closed."""
    return sum(len(group.all) for group in groups) <= _ROOM
