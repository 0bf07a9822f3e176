"""Texts of values in tables and names."""

from __future__ import annotations

import json
from typing import Any

from genbench.errors import visible

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def spreadsheet(text: str) -> str:
    """`text` for a cell of a CSV: a spreadsheet would run one that begins like a formula."""
    text = visible(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def plain(value: Any) -> str:
    """A parameter's value as one would type it: JSON, but strings without quotes."""
    return value if isinstance(value, str) else dumps(value)


# Made once: that takes longer than most of what is written with it.
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def dumps(body: Any) -> str:
    """Compact JSON with sorted keys."""
    return _encode(body)
