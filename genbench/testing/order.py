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
    """The order to examine a generator.

    Parameters
    ----------
    scratch
        An empty folder for everything that is written; ``results.jsonl`` grows in it.
    only
        Checks to make, with those that they need; empty for all.
    shape
        Shape of the tiny images, waveforms or points; None for the usual ones.
    seconds
        A check that takes longer has failed.
    path
        Entries to put in front of ``sys.path``.
    sandbox
        Whether the generator may write below `scratch` alone, where the system can see to it.
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
        shape = body["shape"]
        return cls(
            GeneratorRef.from_json(body["ref"]),
            Path(body["scratch"]),
            tuple(body["only"]),
            None if shape is None else tuple(shape),
            body["seconds"],
            tuple(body["path"]),
            body["sandbox"],
        )
