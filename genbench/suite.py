"""Suites: data, splits, protocol, metrics and profiles in one TOML file, read and checked.

A suite is data only. Two hashes name it: the *task* hash covers what decides the samples (data,
split, fit and sample protocol, budget, profile) and names the results folder; the *suite* hash
covers the metrics and downstream protocols as well.
"""

from __future__ import annotations

import copy
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from genbench.downstream import protocols
from genbench.errors import UsageError, did_you_mean, shorten
from genbench.generator import Space
from genbench.metrics.table import METRICS, split_id
from genbench.records import digest

MAX_BYTES = 1 << 20
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
DEFAULT_PROFILE = "standard"

# What each table may hold: key -> (type, required). A dict stands for a table that a loader or a
# metric reads with keys of its own.
_TABLES: dict[str, dict[str, tuple[type | tuple[type, ...], bool]]] = {
    "": {
        "schema": (int, True),
        "suite": (dict, True),
        "dataset": (dict, True),
        "protocol": (dict, True),
        "budget": (dict, True),
        "metrics": (list, True),
        "extractors": (list, False),
        "downstream": (dict, False),
        "controls": (dict, False),
        "profiles": (dict, False),
    },
    "suite": {
        "name": (str, True),
        "version": (str, True),
        "title": (str, True),
        "description": (str, True),
        "primary": (str, True),
    },
    "dataset": {
        "name": (str, True),
        "loader": (str, True),
        "licence": (str, True),
        "credit": (str, False),
        "content_sha256": (str, False),
        "folder": (str, False),
        "class_names": (list, False),
        "options": (dict, False),
        "space": (dict, True),
        "files": (list, False),
        "split": (dict, True),
    },
    "dataset.space": {
        "kind": (str, True),
        "shape": (list, True),
        "levels": (int, False),
        "classes": (int, False),
        "pad": (int, False),
    },
    "dataset.files[]": {
        "role": (str, True),
        "path": (str, True),
        "bytes": (int, True),
        "sha256": (str, True),
        "content_sha256": (str, False),
        "urls": (list, False),
    },
    "extractors[]": {
        "name": (str, True),
        "version": (str, True),
        "path": (str, True),
        "sha256": (str, True),
        "channels": (list, True),
        "accuracy": (float, False),
        "trained_on": (str, True),
        "licence": (str, False),
    },
    "protocol": {
        "n_samples": (int, True),
        "seeds": (list, True),
        "reference": (str, True),
        "extractor": (str, True),
        "sample_chunk": (int, False),
    },
    "budget": {"examples": (int, True)},
    "controls": {"names": (list, False), "dropped_class": (int, False)},
    "downstream": {
        "tstr": (dict, False),
        "augmentation": (dict, False),
        "classical": (dict, False),
        "imbalance": (dict, False),
        "robustness": (dict, False),
    },
    "downstream.tstr": {
        "n": (int, True),
        "steps": (int, True),
        "batch_size": (int, True),
    },
    "downstream.augmentation": {
        "n": (list, True),
        "ratios": (list, True),
        "replicates": (int, True),
        "steps": (int, True),
        "batch_size": (int, True),
        "budget": (int, True),
        "headline_n": (int, True),
        "headline_ratio": (int, True),
        "confidence": ((int, float), False),
    },
    "downstream.classical": {
        "shift": ((int, float), False),
        "rotation": ((int, float), False),
        "scale": ((int, float), False),
        "flip": (bool, False),
    },
    "downstream.imbalance": {
        "n": (int, True),
        "classes": (list, True),
        "keep": ((int, float), True),
        "replicates": (int, True),
    },
    "downstream.robustness": {
        "n": (int, True),
        "epsilon": ((int, float), True),
        "rows": (int, True),
        "steps": (int, True),
    },
}

CONTROLS = ("heldout", "train-copy", "gaussian", "noise", "mode-dropped")


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
        """The classifiers that come with the suite, each with its `path` made absolute."""
        tables = self.document.get("extractors", ())
        return tuple({**t, "path": str(self.root / t["path"])} for t in tables)

    @property
    def extractors_asked(self) -> tuple[str, ...]:
        """Names of the extractors that the metrics use."""
        others = (split_id(metric.id)[1] for metric in self.metrics)
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
    def controls(self) -> tuple[str, ...]:
        """Names of the control rows this suite runs."""
        return tuple(self.document.get("controls", {}).get("names", CONTROLS))

    @property
    def task_hash(self) -> str:
        """Digest of all that decides the samples."""
        told = ("licence", "credit", "folder", "class_names")
        data = {k: v for k, v in self.document["dataset"].items() if k not in told}
        data["files"] = [
            {k: f[k] for k in ("role", "sha256")} for f in self.document["dataset"].get("files", ())
        ]
        return digest(
            {
                "schema": self.document["schema"],
                "dataset": data,
                "protocol": {"n_samples": self.n_samples, "sample_chunk": self.sample_chunk},
                "budget": self.document["budget"],
                "controls": self.document.get("controls", {}),
                "profile": self.profile,
            }
        )

    @property
    def suite_hash(self) -> str:
        """Digest of the task and of how it is scored."""
        scored = {k: self.document.get(k) for k in ("metrics", "downstream")}
        protocol = self.document["protocol"]
        scored["protocol"] = {k: v for k, v in protocol.items() if k != "seeds"}
        if "extractors" in self.document:
            scored["extractors"] = {t["name"]: t["sha256"] for t in self.document["extractors"]}
        return digest({"task": self.task_hash, "primary": self.primary, **scored})

    def part_hash(self, part: str) -> str:
        """Digest of the task and of what decides one part of the scores, given the samples."""
        protocol = self.document["protocol"]
        scored: dict[str, Any] = {"downstream": self.document.get("downstream")}
        if part == "metrics":
            scored = {"metrics": self.document["metrics"]}
            scored |= {key: protocol[key] for key in ("reference", "extractor")}
        return digest({"task": self.task_hash, **scored})

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
    return _Checker(path, text).suite(_parse(path, text), profile or DEFAULT_PROFILE)


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


class _Checker:
    """Checks one suite document; every complaint names the file, the line and the remedy."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def suite(self, document: dict[str, Any], profile: str) -> Suite:
        self._keys(document)
        profiles = document.get("profiles", {})
        if profile != DEFAULT_PROFILE and profile not in profiles:
            known = {DEFAULT_PROFILE, *profiles}
            raise UsageError(
                f"suite {document['suite']['name']!r} has no profile {profile!r}: "
                f"{did_you_mean(profile, known)}"
            )
        resolved = {k: v for k, v in document.items() if k != "profiles"}
        chosen: dict[str, Any] = resolved
        for name, override in profiles.items():
            if not NAME.fullmatch(name):
                self._fail(
                    f"profile {shorten(name)!r} has no usable name", "use lower case, digits and -"
                )
            merged = _merge(resolved, override)
            self._keys(merged)
            self._values(merged)
            if name == profile:
                chosen = merged
        self._values(resolved)
        try:
            plain: dict[str, Any] = json.loads(json.dumps(chosen, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            self._fail(f"a value has no JSON form ({error})", "use numbers, strings, lists, tables")
        return Suite(plain, profile, self._path.resolve().parent)

    def _keys(self, document: Mapping[str, Any]) -> None:
        for where, keys in _TABLES.items():
            for table in _tables_at(document, where):
                if not isinstance(table, dict):
                    self._fail(f"[{where}] is not a table", "write it as one", where)
                self._table(where, table, keys)
        for index, metric in enumerate(document["metrics"]):
            if not isinstance(metric, dict) or not isinstance(metric.get("id"), str):
                self._fail(f"[[metrics]] entry {index + 1} has no id", 'add id = "fid"', "metrics")

    def _table(
        self,
        where: str,
        table: Mapping[str, Any],
        keys: Mapping[str, tuple[type | tuple[type, ...], bool]],
    ) -> None:
        place = f"[{where}]" if where else "the top level"
        for key in table:
            if key not in keys:
                self._fail(f"unknown key {key!r} in {place}", did_you_mean(key, keys), key)
        for key, (kind, required) in keys.items():
            if key not in table:
                if required:
                    self._fail(f"{place} lacks {key!r}", "add it", where or None)
                continue
            value = table[key]
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                name = kind.__name__ if isinstance(kind, type) else "a number"
                given = f"{type(value).__name__} {str(value)[:60]!r}"
                self._fail(f"{key!r} in {place} is {given}, expected {name}", "correct it", key)

    def _values(self, document: Mapping[str, Any]) -> None:
        suite, protocol = document["suite"], document["protocol"]
        if document["schema"] != 1:
            self._fail(f"schema {document['schema']} is unknown", "use schema = 1", "schema")
        if not NAME.fullmatch(suite["name"]):
            self._fail(
                f"name {shorten(suite['name'])!r} is not usable",
                "use lower case, digits and -",
                "name",
            )
        if not VERSION.fullmatch(suite["version"]):  # it becomes part of a folder's name
            self._fail(
                f"version {shorten(suite['version'])!r} is not usable",
                "use digits, letters, dots",
                "version",
            )
        for table, key, low in (
            (protocol, "n_samples", 2),
            (document["budget"], "examples", 1),
            (protocol, "sample_chunk", 1),
        ):
            if table.get(key, low) < low:
                self._fail(f"{key} is {table[key]}", f"it must be at least {low}", key)
        if protocol["reference"] not in ("valid", "test"):
            self._fail(
                f"reference {protocol['reference']!r} is no split", "use test or valid", "reference"
            )
        self._seeds(protocol["seeds"])
        self._metrics(document)
        for name in document.get("controls", {}).get("names", ()):
            if name not in CONTROLS:
                self._fail(f"unknown control {name!r}", did_you_mean(str(name), CONTROLS), "names")
        self._space(document["dataset"]["space"])
        for complaint in protocols.complaints(document):
            self._fail(complaint.what, complaint.remedy, complaint.key)
        self._class_names(document["dataset"])
        for table in document.get("extractors", ()):
            if Path(table["path"]).is_absolute() or ".." in Path(table["path"]).parts:
                self._fail(
                    f"extractor {table['name']!r} lies at {table['path']!r}",
                    "put it beside the suite",
                    table["path"],
                )

    def _class_names(self, dataset: Mapping[str, Any]) -> None:
        names, classes = dataset.get("class_names"), dataset["space"].get("classes", 0)
        if names is not None and (
            len(names) != classes or not all(isinstance(n, str) for n in names)
        ):
            self._fail(
                f"class_names has {len(names)} entries, the space {classes} classes",
                "name each class once",
                "class_names",
            )

    def _seeds(self, seeds: Any) -> None:
        good = seeds and all(isinstance(s, int) and not isinstance(s, bool) for s in seeds)
        if not good or any(s < 0 for s in seeds) or len(set(seeds)) != len(seeds):
            self._fail(f"seeds is {seeds!r}", "list distinct whole numbers from 0 up", "seeds")

    def _metrics(self, document: Mapping[str, Any]) -> None:
        ids = [metric["id"] for metric in document["metrics"]]
        for id_ in ids:
            try:
                split_id(id_)
            except UsageError as error:
                self._fail(str(error), "see `genbench list metrics`", id_)
        if len(set(ids)) != len(ids):
            self._fail("a metric id stands twice in [[metrics]]", "keep one", "metrics")
        primary = document["suite"]["primary"]
        if primary not in ids:
            self._fail(
                f"primary {primary!r} is not among [[metrics]]",
                did_you_mean(primary, ids),
                "primary",
            )
        if METRICS[split_id(primary)[0]].higher_is_better is None:
            self._fail(f"primary {primary!r} has no direction", "choose another", "primary")

    def _space(self, table: Mapping[str, Any]) -> None:
        shape = table["shape"]
        if not shape or not all(isinstance(s, int) and 0 < s <= 1 << 20 for s in shape):
            self._fail(f"shape is {shape!r}", "list positive whole numbers", "shape")
        if table["kind"] not in ("image", "points", "sequence", "waveform"):
            kinds = ("image", "points", "sequence", "waveform")
            self._fail(f"kind {table['kind']!r} is unknown", did_you_mean(table["kind"], kinds))
        if table["kind"] == "image" and not 2 <= table.get("levels", 0) <= 256:
            self._fail("an image space needs levels", "set levels between 2 and 256", "levels")

    def _fail(self, what: str, remedy: str, key: str | None = None) -> None:
        line = self._line(key) if key else None
        place = f"{self._path}, line {line}" if line else str(self._path)
        raise UsageError(f"{place}: {what}: {remedy}")

    def _line(self, key: str) -> int | None:
        name = re.escape(key.rsplit(".", 1)[-1].removesuffix("[]"))
        pattern = re.compile(rf"^\s*(\[+[\w.\"-]*\b{name}\]+|\"?{name}\"?\s*=|id\s*=\s*\"{name}\")")
        for number, line in enumerate(self._lines, start=1):
            if pattern.match(line):
                return number
        return None


def _tables_at(document: Mapping[str, Any], where: str) -> list[Any]:
    """The tables a dotted path leads to: none, one, or each of an array of tables."""
    found: list[Any] = [document]
    for part in where.split(".") if where else ():
        name = part.removesuffix("[]")
        found = [t[name] for t in found if isinstance(t, dict) and name in t]
        if part.endswith("[]"):
            found = [item for items in found for item in items]
    return found


def _merge(base: Mapping[str, Any], override: Any) -> dict[str, Any]:
    """`base` with `override` laid over it, tables merged key by key, all else replaced."""
    if not isinstance(override, dict):
        raise UsageError(f"a profile must be a table, got {type(override).__name__}")
    merged = dict(base)
    for key, value in override.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merged[key] = _merge(base[key], value)
        else:
            merged[key] = value
    return merged
