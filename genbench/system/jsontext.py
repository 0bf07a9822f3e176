"""JSON of strangers as data, fast and bounded, and our own as bytes that every reader takes."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import orjson

from genbench.errors import shorten

MOST_PARTS = 100_000  # lists and objects in one file
DEEPEST = 64
_LEAVES = frozenset((str, int, float, bool, type(None)))

# Nineteen digits where a value begins may be a whole number beyond 64 bits, which only the slower
# parser tells from a float: all that can stand before one is made a space, all digits a zero.
_SHAPE = bytes.maketrans(b"123456789\n\r\t:,[-", b"000000000" + b" " * 7)
_LONG = b" " + b"0" * 19
# Half a character: of a path that is not UTF-8. Only the slower parser takes one.
_HALF = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord(c): step for c, step in (("[", 1), ("{", 1), ("]", -1), ("}", -1))}


def parse_json(text: bytes) -> Any:
    """JSON as data: no NaN, no number that a float cannot hold, of bounded depth and parts.

    `ValueError` if it is not that; the slower parser may also raise RecursionError.
    """
    opened = text.count(b"[") + text.count(b"{")  # within texts too
    if opened > MOST_PARTS:
        raise ValueError(f"more than {MOST_PARTS:,} lists and objects")
    escapes = b"\\u" in text and _ESCAPED_HALF.search(text)
    if _LONG not in text.translate(_SHAPE) and not escapes:
        body = orjson.loads(text)
    else:
        body = json.loads(text, parse_constant=_refuse, parse_int=_whole, parse_float=_finite)
    if opened > DEEPEST and _seems_deep(text):
        _require_shallow(body)
    return body


def _seems_deep(text: bytes) -> bool:
    """Whether brackets, those within texts too, are nested deeper than we follow."""
    brackets = text.translate(None, _NOT_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets))) > DEEPEST


def _require_shallow(body: Any) -> None:
    """ValueError if lists and objects are nested deeper than what reads them can follow."""
    level: list[Any] = [body]
    for _ in range(DEEPEST):
        inner = (item.values() if isinstance(item, dict) else item for item in level)
        level = [part for parts in inner for part in parts if isinstance(part, dict | list)]
        if not level:
            return
    raise ValueError(f"lists and objects are nested deeper than {DEEPEST}")


def serialise(body: Any) -> bytes:
    """`body` as indented JSON in UTF-8; ValueError for NaN.

    Half a character, as Python reads a path that is not UTF-8, is written as an escape.
    """
    text = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    if not text.isascii():
        text = _HALF.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    return text.encode() + b"\n"


def _refuse(name: str) -> Any:
    raise ValueError(f"{shorten(name, 40)} is not a number that we use")


def _whole(text: str) -> int:
    """Whole numbers that every float, database and table can hold."""
    return int(text) if len(text) < 19 else _refuse(text)


def _finite(text: str) -> float:
    """Numbers such as 1e999 are infinite once they are read."""
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def plain_data(value: Any) -> Any:
    """Dataclasses, mappings and tuples as JSON data; anything else unchanged."""
    if type(value) in _LEAVES:  # nearly all of a record, so first
        return value
    if isinstance(value, dict | Mapping):
        return {str(key): plain_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [item if type(item) in _LEAVES else plain_data(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value
