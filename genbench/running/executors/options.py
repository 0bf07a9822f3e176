"""Options of executors, read from a text or a TOML value and checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench.errors import UsageError, shorten


def number_of(options: Mapping[str, Any], name: str, default: float, least: float = 0.0) -> float:
    """A number above `least`; `UsageError` for anything else."""
    given = options.get(name, default)
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = float("nan")
    if not least < value < float("inf"):
        raise UsageError(f"option {name} is {shorten(str(given))!r}: give a number above {least:g}")
    return value


def text_of(options: Mapping[str, Any], name: str) -> str | None:
    """A text in one line, or None; several values of a TOML list are joined by commas."""
    given = options.get(name)
    if given is None:
        return None
    text = ",".join(map(str, given)) if isinstance(given, list) else str(given)
    if "\n" in text or not text:
        raise UsageError(f"option {name} is {shorten(text)!r}: give a text in one line")
    return text
