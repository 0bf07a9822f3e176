"""Samples as a CSV of points, in the layout of the suite's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from genbench import kinds
from genbench.errors import DataError, UsageError, shorten
from genbench.formats import Layout, Numbers, first_cells, parse_csv
from genbench.plugins.external.rows import StagedRows, points_of, reading_order, require_in_space
from genbench.tasks import Suite

MOST_BYTES = 4 << 30


def read_table(file: Path, suite: Suite) -> StagedRows:
    """The rows of a CSV that are scored.

    Columns are told by their heading, in whatever order; without one, they stand in the suite's.
    Columns that the suite leaves out may be there or not. `DataError` as by
    `genbench.formats.parse_csv`, and if the columns are not the suite's.
    """
    if "csv" not in kinds.of(suite.space.kind).scored_from:
        raise DataError(f"{file.name} holds points, suite {suite.name!r} holds {suite.space.kind}")
    try:
        if file.stat().st_size > MOST_BYTES:
            raise DataError(f"{file.name} has over {MOST_BYTES >> 30} GiB: give a part of it")
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    names = [str(name) for name in suite.document["dataset"].get("column_names", ())]
    table = _parsed(content, file.name, suite, names)
    x, note = _in_order(table, file.name, suite.space.shape[0], names)
    if len(x) < 2:
        raise DataError(f"{file.name} holds {len(x)} rows: at least 2 are needed")
    rows = np.sort(reading_order(len(x), suite)[: suite.n_samples])
    found, points_note = points_of(x[rows], suite, file.name)
    require_in_space(found, suite.space, file.name)
    notes = tuple(text for text in (*table.notes, note, points_note) if text)
    return StagedRows(found, None, len(x), file.name, notes)


def _parsed(content: bytes, file: str, suite: Suite, names: Sequence[str]) -> Numbers:
    options = suite.document["dataset"].get("options", {})
    lists = (options.get(key) for key in ("drop", "keep"))
    drop, keep = (tuple(map(str, v)) if isinstance(v, list) else () for v in lists)
    header = options.get("header")
    first = first_cells(content, file)
    if header is not False:
        header = True if names and set(names) <= set(first) else None
    layout = Layout(header, drop if len(first) > suite.space.shape[0] else ())
    layout = replace(layout, keep=tuple(ref for ref in keep if ref in first or not names))
    remedy = f"give it a heading ({shorten(','.join(names))})" if names else "remove a heading"
    try:
        return parse_csv(content, file, layout, remedy)
    except UsageError as error:
        raise DataError(f"{error}; suite {suite.name!r} leaves it out") from error


def _in_order(
    table: Numbers, file: str, width: int, names: Sequence[str]
) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], str]:
    """The columns as the suite has them, and what to tell if they had to be put in order."""
    found = list(table.names)
    if found and names:
        if sorted(found) != sorted(names):
            raise DataError(
                f"{file} has the columns {shorten(', '.join(found))}, the suite "
                f"{shorten(', '.join(names))}: give these, by these names"
            )
        if found != list(names) and len(set(names)) == len(names):
            return table.x[:, [found.index(name) for name in names]], "columns are told by name"
    if table.x.shape[1] != width:
        raise DataError(f"{file} has {table.x.shape[1]} columns, expected {width}")
    return table.x, ""
