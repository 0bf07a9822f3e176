"""Suites: data, splits, protocol, metrics and profiles in one TOML file, read and checked.

A suite is data only. Two hashes name it: the *task* hash covers what decides the samples (data,
split, fit and sample protocol, budget, profile) and names the results folder; the *suite* hash
covers the metrics and downstream protocols as well.
"""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from genbench.errors import UsageError, did_you_mean, shorten
from genbench.generator import Space
from genbench.metrics import split_id
from genbench.results import CONTROLS, digest
from genbench.tasks import protocols
from genbench.tasks.classical import Classical
from genbench.tasks.course import Course, read
from genbench.tasks.format import DEFAULT_PROFILE, Checker

MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """One entry of a suite's ``[[metrics]]``: the metric's id and its parameters."""

    id: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite at one profile, checked.

    Parameters
    ----------
    document
        The whole resolved suite as JSON data: the profile applied, `profiles` left out.
    root
        Folder that data paths are relative to; not part of any hash.
    """

    document: Mapping[str, Any]
    profile: str
    root: Path

    @property
    def name(self) -> str:
        """The suite's name."""
        return str(self.document["suite"]["name"])

    @property
    def version(self) -> str:
        """The suite's version."""
        return str(self.document["suite"]["version"])

    @property
    def primary(self) -> str:
        """The metric id that orders the leaderboard."""
        return str(self.document["suite"]["primary"])

    @property
    def space(self) -> Space:
        """The data space."""
        return Space.from_json(self.document["dataset"]["space"])

    @property
    def dataset(self) -> dict[str, Any]:
        """The dataset table for `genbench.data`, with ``root`` filled in."""
        return {**self.document["dataset"], "root": str(self.root)}

    @property
    def n_samples(self) -> int:
        """Rows each generator is asked for."""
        return int(self.document["protocol"]["n_samples"])

    @property
    def sample_chunk(self) -> int:
        """Rows asked for in one call of `sample`."""
        return int(self.document["protocol"].get("sample_chunk", 1000))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Default training seeds."""
        return tuple(self.document["protocol"]["seeds"])

    @property
    def extractor(self) -> str:
        """Name of the feature extractor that metric ids without ``@`` use."""
        return str(self.document["protocol"]["extractor"])

    @property
    def extractors(self) -> tuple[dict[str, Any], ...]:
        """The extractors that come with the suite; a classifier's `path` is made absolute."""
        tables = self.document.get("extractors", ())
        return tuple(
            {**t, "path": str(self.root / t["path"])} if "path" in t else dict(t) for t in tables
        )

    @property
    def extractors_asked(self) -> tuple[str, ...]:
        """Names of the extractors that the metrics use."""
        others = (split_id(metric.id).extractor for metric in self.metrics)
        return tuple(dict.fromkeys([self.extractor, *(name for name in others if name)]))

    @property
    def budget(self) -> int:
        """Training examples served to each generator."""
        return int(self.document["budget"]["examples"])

    @property
    def metrics(self) -> tuple[MetricRequest, ...]:
        """The metrics asked for, in the suite's order."""
        return tuple(
            MetricRequest(m["id"], {k: v for k, v in m.items() if k != "id"})
            for m in self.document["metrics"]
        )

    @property
    def generators(self) -> tuple[str, ...]:
        """Names of the generators that a run takes when none is asked for; empty for no choice."""
        return tuple(self.document.get("generators", {}).get("names", ()))

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the control rows this suite runs."""
        return tuple(self.document.get("controls", {}).get("names", CONTROLS))

    @property
    def course(self) -> Course | None:
        """The course of training that is recorded; None where none is asked for."""
        return read(self.document)

    @property
    def training(self) -> Mapping[str, Any]:
        """How training rows are served: ``augment``, ``balance``; empty for just as they are."""
        found: Mapping[str, Any] = self.document.get("training", {})
        return found

    @property
    def classical(self) -> Classical | None:
        """The classical transforms of its rows, if it names some."""
        return protocols.classical_of(self.document)

    @property
    def task_hash(self) -> str:
        """Digest of all that decides the samples."""
        descriptive = ("licence", "credit", "folder", "class_names", "column_names")
        data = {k: v for k, v in self.document["dataset"].items() if k not in descriptive}
        data["files"] = [
            {k: f[k] for k in ("role", "sha256")} for f in self.document["dataset"].get("files", ())
        ]
        body = {
            "schema": self.document["schema"],
            "dataset": data,
            "protocol": {"n_samples": self.n_samples, "sample_chunk": self.sample_chunk},
            "budget": self.document["budget"],
            "controls": self.document.get("controls", {}),
            "profile": self.profile,
        }
        if self.training:  # without it, the hash stays what it was before there was the table
            body["training"] = dict(self.training)
        return digest(body)

    @property
    def suite_hash(self) -> str:
        """Digest of the task and of how it is scored."""
        scored = {k: self.document.get(k) for k in ("metrics", "downstream")}
        protocol = self.document["protocol"]
        scored["protocol"] = {k: v for k, v in protocol.items() if k != "seeds"}
        if "extractors" in self.document:
            scored["extractors"] = self._weights()
        return digest({"task": self.task_hash, "primary": self.primary, **scored})

    def part_hash(self, part: str) -> str:
        """Digest of the task and of what decides one part of the scores, given the samples."""
        protocol = self.document["protocol"]
        scored: dict[str, Any] = {part: self.document.get(part)}
        if part != "downstream":
            scored |= {key: protocol[key] for key in ("reference", "extractor")}
            if self.document.get("extractors"):  # without any, the hash stays what it was before
                scored["extractors"] = self._weights()
        return digest({"task": self.task_hash, **scored})

    def _weights(self) -> dict[str, str]:
        """The suite's own extractors by name, each with the digest of its weights."""
        return {t["name"]: t["sha256"] for t in self.document["extractors"]}

    @property
    def folder_name(self) -> str:
        """Name of this task's results folder."""
        return f"{self.name}@{self.version}-{self.task_hash[7:15]}-{self.profile}"

    def describe(self) -> dict[str, Any]:
        """The suite as the report reads it: the document, its profile and hashes."""
        body = copy.deepcopy(dict(self.document))
        body.update(
            profile=self.profile,
            task=self.task_hash,
            hash=self.suite_hash,
            space=body["dataset"]["space"],
        )
        return body


def shipped() -> dict[str, Path]:
    """The suites that come with genbench: name -> TOML file."""
    folder = Path(str(resources.files("genbench.suites")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_suite(name_or_file: str, profile: str | None = None) -> Suite:
    """Read a suite by the name of a shipped one or by the path of a TOML file.

    Raises
    ------
    UsageError
        For an unknown name, a file that cannot be read, malformed TOML, an unknown key, a missing
        key, a value of the wrong type or out of range, or an unknown profile; with the line where
        it can be found and the remedy.
    """
    path = _find(name_or_file)
    text = _read(path)
    chosen = profile or DEFAULT_PROFILE
    document = Checker(path, text).resolve(_parse(path, text), chosen)
    return Suite(document, chosen, path.resolve().parent)


def profiles_of(name_or_file: str) -> tuple[str, ...]:
    """Names of the profiles a suite has, ``standard`` included."""
    path = _find(name_or_file)
    document = _parse(path, _read(path))
    return tuple(sorted({DEFAULT_PROFILE, *document.get("profiles", {})}))


def _find(name_or_file: str) -> Path:
    known = shipped()
    if name_or_file in known:
        return known[name_or_file]
    path = Path(name_or_file)
    if path.suffix == ".toml" or "/" in name_or_file:
        if os.path.isfile(path):  # Path.is_file raises for names too long
            return path
        raise UsageError(f"no suite file at {shorten(name_or_file)}: check the path")
    raise UsageError(
        f"unknown suite {shorten(name_or_file)!r}: {did_you_mean(name_or_file, known)}; "
        "a file of your own needs a path ending in .toml"
    )


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: numbers of thousands of digits too
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is larger than {MAX_BYTES} bytes: not a suite file")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the suite file {path}: {error}") from error
