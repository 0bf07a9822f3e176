"""Names of rows in the table."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence

from genbench.report.text import shorten
from genbench.results import Record, RowKey, plain


def labels(groups: Mapping[RowKey, Sequence[Record]]) -> dict[RowKey, str]:
    """A short name per row: what was asked for, and beside it only what tells rows apart."""
    found: dict[RowKey, str] = {}
    for key, members in groups.items():
        found[key] = key.name + (f" ({asked})" if (asked := passed(members[0])) else "")
    for difference in (
        lambda key, alike: shorten(key.version, 16),
        _differing_params,
        lambda key, alike: shorten(key.provider, 16),
        lambda key, alike: shorten(key.source, 16),
    ):
        namesakes: dict[str, list[RowKey]] = defaultdict(list)
        for key, label in found.items():
            namesakes[label].append(key)
        for label, alike in namesakes.items():
            texts = {key: difference(key, alike) for key in alike}
            if len(set(texts.values())) > 1:
                found |= {key: f"{label} {text}" for key, text in texts.items() if text}
    return found


def _differing_params(key: RowKey, alike: Sequence[RowKey]) -> str:
    """The parameters of `key` that `alike`, rows of one name, do not share: changed defaults."""
    params = {row: json.loads(row.params) for row in alike}
    own = {
        name: value
        for name, value in params[key].items()
        if any(name not in other or other[name] != value for other in params.values())
    }
    text = ", ".join(f"{name}={plain(value)}" for name, value in sorted(own.items()))
    return f"({shorten(text, 48)})" if text else ""


def passed(record: Record) -> str:
    """The parameters that somebody set, as text."""
    params = record.cell["generator"].get("params_passed") or {}
    return ", ".join(f"{k}={plain(v)}" for k, v in sorted(params.items()))
