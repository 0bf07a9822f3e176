"""The table of a task as CSV (one row per generator, and one per value) and as JSON."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import TYPE_CHECKING, Any

from genbench.report.course import stability_of
from genbench.report.curves import recorded
from genbench.report.page import Page
from genbench.report.rows import Row, Table
from genbench.report.text import finite
from genbench.results import spreadsheet

if TYPE_CHECKING:
    import pandas as pd


# Cost columns by the names of their fields in a row.
_COSTS = {
    "fit_core_seconds": "fit_core_s",
    "fit_seconds": "fit_s",
    "samples_per_core_second": "sampling_rate",
    "peak_bytes": "peak_bytes",
    "parameters": "parameters",
}
_OF_ROWS = ("version", "provider", "family", "likelihood", "control", "published", "status")


def wide_csv(page: Page) -> str:
    """One line per generator: means and interval ends of every metric, costs, status."""
    return _csv(*_wide(page.table))


def frame(table: Table) -> pd.DataFrame:
    """The same as a pandas frame that begins with rank, generator and the primary metric.

    ``rank`` is the rank interval on the primary metric; what has no number is NaN.
    """
    import pandas as pd

    head, lines = _wide(table)
    known = [[math.nan if value is None else value for value in line] for line in lines]
    found = pd.DataFrame(known, columns=head)
    first = [f"{c.id}{suffix}" for c in table.columns[:1] for suffix in ("", "_low", "_high")]
    ranks = found[f"{table.columns[0].id}_rank"] if table.columns else ""
    found.insert(0, "rank", ranks)
    leading = ["rank", "generator", "parameters_passed", *first]
    return found[[*leading, *(name for name in found.columns if name not in leading)]]


def _wide(table: Table) -> tuple[list[str], list[list[Any]]]:
    ids = [c.id for c in table.columns]
    head = ["generator", "parameters_passed", *_OF_ROWS, "seeds_done", "seeds_planned"]
    head += [f"{i}{suffix}" for i in ids for suffix in ("", "_low", "_high", "_rank")]
    return [*head, *_COSTS], [_wide_line(row, ids) for row in table.rows]


def _wide_line(row: Row, ids: list[str]) -> list[Any]:
    line: list[Any] = [row.name, row.passed, *(getattr(row, name) for name in _OF_ROWS),
                       len(row.done), row.seeds_planned]  # fmt: skip
    for key in ids:
        value = row.values[key]
        line += [value.number, value.low, value.high, value.rank]
    return [*line, *(getattr(row, name) for name in _COSTS.values())]


def long_csv(page: Page) -> str:
    """One line per cell and metric, with signature and reason."""
    head = ["record", "generator", "parameters_passed", "seed", "status", "metric",
            "metric_status", "value", "low", "high", "unit", "n", "signature",
            "reason"]  # fmt: skip
    lines = []
    for row, entry in page.entries:
        record = entry.record
        start = [record.record_id, row.name, row.passed, record.seed, record.status]
        if not record.metrics:
            reason = (record.error or {}).get("message", "")
            lines.append([*start, *[""] * 8, reason])
        for name, value in sorted(record.metrics.items()):
            interval = value.interval
            ends = [None, None] if interval is None else [interval.low, interval.high]
            lines.append([*start, name, value.status, value.value, *ends, value.unit, value.n,
                          value.signature, value.reason])  # fmt: skip
    return _csv(head, lines)


def curves_csv(page: Page) -> str:
    """One line per point of every recorded training curve; an empty value was not finite."""
    lines = [_csv(["generator", "curve", "seed", "attempt", "examples", "value"], [])]
    for row, entry in page.entries:
        record = entry.record
        for name in sorted(record.curves):
            known = [row.label, name, record.seed, record.attempt.get("n", 1)]
            start = _csv(known, []).removesuffix("\n")
            lines += (
                f"{start},{at!r},{'' if (value := finite(y)) is None else repr(value)}\n"
                for x, y in zip(*recorded(record.curves[name]), strict=True)
                if (at := finite(x)) is not None
            )
    return "".join(lines)


def _csv(head: list[Any], lines: list[list[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([_field(v) for v in head])
    writer.writerows([_field(v) for v in line] for line in lines)
    return buffer.getvalue()


def _field(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    return spreadsheet(str(value))


def table_json(page: Page) -> str:
    """Suite, rows and values with full precision."""
    body = {
        "schema": "genbench.report/1",
        "suite": dict(page.suite),
        "rows": [
            {
                "generator": row.name,
                "params_passed": row.passed,
                **{name: getattr(row, name) for name in _OF_ROWS},
                "unranked": row.unranked or None,
                "marks": [{"text": mark.text, "why": mark.why} for mark in row.marks],
                "records": [entry.record.record_id for entry in row.entries],
                "costs": {title: getattr(row, name) for title, name in _COSTS.items()},
                "metrics": {key: _metric(row, key) for key in row.values},
                **_stability(row),
            }
            for row in page.table.rows
        ],
    }
    return json.dumps(body, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _stability(row: Row) -> dict[str, Any]:
    """What its courses of training say together, if it has any."""
    known = stability_of(row)
    return {} if known is None else {"stability": known.to_json()}


def _metric(row: Row, key: str) -> dict[str, Any]:
    value = row.values[key]
    return {
        "status": value.status,
        "reason": value.reason or None,
        "value": value.number,
        "interval": None if value.low is None else [value.low, value.high],
        "basis": value.basis,
        "place": value.order,
        "rank": value.rank or None,
        "at_floor": value.at_floor,
        "floor": value.floor or None,
        "note": value.note or None,
        "seeds": {str(seed): number for seed, number in value.seeds.items()},
        "signature": value.signature,
    }
