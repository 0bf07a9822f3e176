"""The JSON Schema of a record, for people who read records with other tools."""

from __future__ import annotations

from typing import Any

from genbench.metrics import METRIC_STATUSES
from genbench.results.records import SCHEMA, STATUSES

_NUMBER = {"type": ["number", "null"]}
_TEXT = {"type": ["string", "null"]}
_OBJECT = {"type": "object"}
_DIGEST = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}

_INTERVAL = {
    "type": ["object", "null"],
    "properties": {
        "low": {"type": "number"},
        "high": {"type": "number"},
        "level": {"type": "number"},
        "method": {"type": "string"},
    },
    "required": ["low", "high", "level", "method"],
    "additionalProperties": False,
}

_METRIC = {
    "type": "object",
    "properties": {
        "status": {"enum": list(METRIC_STATUSES)},
        "value": _NUMBER,
        "interval": _INTERVAL,
        "std_error": _NUMBER,
        "unit": _TEXT,
        "higher_is_better": {"type": ["boolean", "null"]},
        "signature": {"type": "string"},
        "n": {"type": ["integer", "null"]},
        "seconds": _NUMBER,
        "reason": _TEXT,
        "details": _OBJECT,
    },
    "required": ["status", "signature"],
    "additionalProperties": False,
}

_SUITE = {
    "type": "object",
    "properties": {k: {"type": "string"} for k in ("name", "version", "task", "hash", "profile")},
    "required": ["name", "version", "task", "hash", "profile"],
}

_GENERATOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "provider": {"type": "string"},
        "params": _OBJECT,
        "params_passed": _OBJECT,
        "likelihood": {"enum": ["exact", "dequantized", "lower-bound", None]},
    },
    "required": ["name", "version", "provider", "params"],
}

_ARTIFACT = {
    "type": "object",
    "properties": {
        "role": {"type": "string"},
        "path": {"type": "string"},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "bytes": {"type": "integer", "minimum": 0},
    },
    "required": ["role", "path", "sha256", "bytes"],
    "additionalProperties": False,
}


def record_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of ``record.json``."""
    properties: dict[str, Any] = {
        "schema": {"const": SCHEMA},
        "record_id": {"type": "string", "description": "ULID of the attempt"},
        "cell_key": _DIGEST,
        "status": {"enum": list(STATUSES)},
        "cell": {
            "type": "object",
            "properties": {
                "suite": _SUITE,
                "generator": _GENERATOR,
                "seed": {"type": "integer", "minimum": 0},
            },
            "required": ["suite", "generator", "seed"],
        },
        "dataset": _OBJECT,
        "metrics": {"type": "object", "additionalProperties": _METRIC},
        "curves": _OBJECT,
        "timing": _OBJECT,
        "examples_served": {"type": "integer", "minimum": 0},
        "raw_access": {"type": "boolean"},
        "resources": _OBJECT,
        "environment": _OBJECT,
        "source": _OBJECT,
        "attempt": _OBJECT,
        "error": {"type": ["object", "null"]},
        "artifacts": {"type": "array", "items": _ARTIFACT},
        "times": _OBJECT,
        "copies": {
            "type": "object",
            "description": "copies of reference rows among the samples, by split; left out if "
            "nobody looked for any",
        },
        "digest": _DIGEST,
        "result_digest": _DIGEST,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        "type": "object",
        "properties": properties,
        "required": sorted(properties.keys() - {"copies"}),
        "additionalProperties": False,
    }
