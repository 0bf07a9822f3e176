"""The order for examining a generator, as it crosses to the process that does it: JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.plugins import GeneratorRef

ORDER = "order.json"
RESULTS = "results.jsonl"
CHECK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Order:
    """The order to examine a generator: the checks to make, with those that they need, or all.

    `scratch` is an empty folder for everything that is written; ``results.jsonl`` grows in it.
    `shape` is that of the tiny images, waveforms or points, None for the usual ones; a check that
    takes longer than `seconds` has failed; `path` goes in front of ``sys.path``. In the `sandbox`
    the generator may write below `scratch` alone, where the system can see to it.
    """

    ref: GeneratorRef
    scratch: Path
    only: tuple[str, ...] = ()
    shape: tuple[int, ...] | None = None
    seconds: float = CHECK_SECONDS
    path: tuple[str, ...] = ()
    sandbox: bool = True

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {**dataclasses.asdict(self), "scratch": str(self.scratch)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Order:
        """Undo `to_json`."""
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in body.items()
        }
        ref, scratch = GeneratorRef.from_json(body["ref"]), Path(body["scratch"])
        return cls(**{**values, "ref": ref, "scratch": scratch})
