"""The JSON Schema of a record, for people who read records with other tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench.metrics import METRIC_STATUSES
from genbench.results.records import SCHEMA, STATUSES

_NUMBER = {"type": ["number", "null"]}
_TEXT = {"type": ["string", "null"]}
_OBJECT = {"type": "object"}
_DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}

_STRING = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}


def _object(optional: Mapping[str, Any] | None = None, **required: Any) -> dict[str, Any]:
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required)}


def _closed(optional: Mapping[str, Any] | None = None, **required: Any) -> dict[str, Any]:
    """An object that has no other properties."""
    return {**_object(optional, **required), "additionalProperties": False}


_ENDS = {key: {"type": "number"} for key in ("low", "high", "level")}
_INTERVAL = {**_closed(**_ENDS, method=_STRING), "type": ["object", "null"]}

_METRIC = _closed(
    {
        "value": _NUMBER,
        "interval": _INTERVAL,
        "std_error": _NUMBER,
        "unit": _TEXT,
        "higher_is_better": {"type": ["boolean", "null"]},
        "n": {"type": ["integer", "null"]},
        "seconds": _NUMBER,
        "reason": _TEXT,
        "details": _OBJECT,
    },
    status={"enum": list(METRIC_STATUSES)},
    signature=_STRING,
)

_SUITE = _object(**dict.fromkeys(("name", "version", "task", "hash", "profile"), _STRING))

_GENERATOR = _object(
    {
        "params_passed": _OBJECT,
        "likelihood": {"enum": ["exact", "dequantized", "lower-bound", None]},
    },
    **dict.fromkeys(("name", "version", "provider"), _STRING),
    params=_OBJECT,
)

_HEX = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_ARTIFACT = _closed(role=_STRING, path=_STRING, sha256=_HEX, bytes=_COUNT)


def record_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``record.json``."""
    copies = {
        "type": "object",
        "description": "copies of real rows among the samples, by split; left out if "
        "nobody looked for any",
    }
    course = {
        "type": "object",
        "description": "scores of states that the fit kept on its way, over examples served; left "
        "out if the suite asked for none",
    }
    open_ = ("dataset", "curves", "timing", "resources", "environment", "source", "attempt",
             "times")  # fmt: skip
    body = _closed(
        {"copies": copies, "course": course},
        schema={"const": SCHEMA},
        record_id={"type": "string", "description": "ULID of the attempt"},
        status={"enum": list(STATUSES)},
        cell=_object(suite=_SUITE, generator=_GENERATOR, seed=_COUNT),
        metrics={"type": "object", "additionalProperties": _METRIC},
        examples_served=_COUNT,
        raw_access={"type": "boolean"},
        error={"type": ["object", "null"]},
        artifacts={"type": "array", "items": _ARTIFACT},
        **dict.fromkeys(open_, _OBJECT),
        **dict.fromkeys(("cell_key", "digest", "result_digest"), _DIGEST),
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        **body,
        "required": sorted(body["required"]),
    }
