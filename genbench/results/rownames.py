"""From what a user calls a row to its records: NAME, NAME:key=value,... or NAME@VERSION."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from genbench.errors import UsageError, shorten
from genbench.results.aggregation import asked_for, group
from genbench.results.entries import TaskResults
from genbench.results.records import Record
from genbench.results.wording import plain


def row_names(task: TaskResults) -> list[str]:
    """The names of a task's rows, each once."""
    rows = group([entry.record for entry in task.entries]).values()
    return sorted({row_name(records) for records in rows})


def row_name(records: Sequence[Record]) -> str:
    """The name of a row on a command line, with the parameters that were asked for."""
    name, passed = asked_for(records[0])
    given = json.loads(passed)
    shown = ",".join(f"{key}={plain(value)}" for key, value in sorted(given.items()))
    return f"{name}:{shown}" if shown else name


def find_row(task: TaskResults, name: str) -> list[Record]:
    """The records of the row that `name` fits; empty if it fits none.

    Without parameters it is the row of defaults if there is one, without a version the newest.
    `UsageError` if it fits rows of different parameters.
    """
    text, _, version = name.partition("@")
    if not version:
        text, version = name, ""
    elif ":" in version:  # NAME@VERSION:key=value
        version, _, params = version.partition(":")
        text = f"{text}:{params}"
    rows = [
        records
        for records in group([entry.record for entry in task.entries]).values()
        if not version or records[0].cell["generator"]["version"] == version
    ]
    exact = [records for records in rows if _is_called(records, text)]
    fitting = exact or [records for records in rows if records[0].generator == text]
    names = sorted({row_name(records) for records in fitting})
    if len(names) > 1:
        raise UsageError(
            f"{shorten(name)!r} fits {len(names)} rows: name one of {', '.join(names)}"
        )
    return max(fitting, key=newest_id, default=[])


def _is_called(records: Sequence[Record], text: str) -> bool:
    """Whether `text` names the row's parameters, in any order and spelling: ``1`` is ``1.0``."""
    if row_name(records) == text:
        return True
    name, passed = asked_for(records[0])
    known, _, params = text.partition(":")
    given = json.loads(passed)
    stated = dict(part.partition("=")[::2] for part in params.split(",")) if params else {}
    return (
        known == name
        and stated.keys() == given.keys()
        and all(_is_value(stated[key], value) for key, value in given.items())
    )


def _is_value(text: str, value: Any) -> bool:
    if isinstance(value, bool):
        return text.lower() == plain(value).lower()
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text == plain(value)


def newest_id(records: Sequence[Record]) -> str:
    """The newest record's id: they sort by time."""
    return max(record.record_id for record in records)
