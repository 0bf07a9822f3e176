"""The order for one cell, as it crosses to a worker process: JSON, never a pickle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genbench.data import sources
from genbench.plugins import GeneratorChoice
from genbench.results import CONTROLS, SPEC, Store
from genbench.system import read_json, write_json
from genbench.tasks import Suite

SCHEMA = "genbench.cellspec/1"
PARTS = ("metrics", "downstream", "codes")


@dataclass(frozen=True, slots=True)
class CellSpec:
    """All that a worker needs to run one cell and write its record.

    Parameters
    ----------
    folder
        The attempt's folder, made by the worker; its name is the record's id.
    reuse
        Folder of an earlier attempt whose samples are scored again, or None to fit.
    resume
        Checkpoint of an interrupted attempt, or None.
    parts
        Which of ``metrics``, ``downstream`` and ``codes`` to compute.
    timeout, memory_limit
        Seconds and bytes for the generator's process tree; None for no limit.
    threads
        Threads that it fits, samples and refits with; everything else takes one.
    slots
        How many cells and refits of its run go on at a time.
    fresh
        Take no refit and no downstream value from the cache.
    sandbox
        Whether processes that import the generator are confined, where the system can.
    claimed
        Whether other machines may take its worker for dead and write the record in its place: then
        whoever writes it first has written it.
    """

    folder: Path
    cache: Path
    cell_key: str
    suite: Suite
    generator: GeneratorChoice
    seed: int
    device: str = "cpu"
    threads: int = 1
    attempt: int = 1
    reuse: Path | None = None
    resume: Path | None = None
    parts: tuple[str, ...] = PARTS
    timeout: float | None = None
    memory_limit: int | None = None
    slots: int = 1
    fresh: bool = False
    sandbox: bool = True
    claimed: bool = False
    source: Mapping[str, Any] = field(default_factory=dict)

    @property
    def split(self) -> str:
        """The split whose rows the generator is fitted on."""
        return CONTROLS[self.generator.name] if self.generator.is_control else "train"

    def hidden(self) -> list[Path]:
        """Files and folders with rows that the generator's processes may not read."""
        return [*Store(self.cache.parent).hidden(), *sources(self.suite.dataset)]

    def readable(self) -> list[Path]:
        """What they may read all the same: their own attempt and the folder of the plugin."""
        file = self.generator.ref.file
        found = [self.folder, self.resume, Path(file).parent if file else None]
        return [path for path in found if path is not None]

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        body: dict[str, Any] = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in ("suite", "generator")
        }
        for name in ("folder", "cache", "reuse", "resume"):
            body[name] = None if body[name] is None else str(body[name])
        body["parts"] = list(self.parts)
        body["source"] = dict(self.source)
        body["schema"] = SCHEMA
        body["suite"] = {
            "document": dict(self.suite.document),
            "profile": self.suite.profile,
            "root": str(self.suite.root),
        }
        body["generator"] = self.generator.to_json()
        return body

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> CellSpec:
        """Undo `to_json`."""
        values = {k: v for k, v in body.items() if k != "schema"}
        for name in ("folder", "cache", "reuse", "resume"):
            values[name] = None if values[name] is None else Path(values[name])
        suite = values["suite"]
        values["suite"] = Suite(suite["document"], suite["profile"], Path(suite["root"]))
        values["generator"] = GeneratorChoice.from_json(values["generator"])
        values["parts"] = tuple(values["parts"])
        return cls(**values)


def write_spec(spec: CellSpec) -> Path:
    """Put the order for a cell into its folder, where a worker finds it."""
    path = spec.folder / SPEC
    write_json(path, spec.to_json())
    return path


def read_spec(path: Path) -> CellSpec:
    """Read what `write_spec` wrote."""
    return CellSpec.from_json(read_json(path))
