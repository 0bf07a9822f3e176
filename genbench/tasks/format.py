"""The format of a suite file, and the complaint about everything else: file, line and remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from genbench import kinds
from genbench.data import further_splits
from genbench.errors import GenbenchError, UsageError, did_you_mean, shorten
from genbench.metrics import METRICS, custom, split_id
from genbench.results import CONTROLS, margins
from genbench.tasks import codes, course, protocols

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
DEFAULT_PROFILE = "standard"
LARGEST = 1e300  # of a moment: NaN and numbers that are no float are no less

Keys = Mapping[str, tuple[type | tuple[type, ...], bool]]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": float,
    "list": list,
    "dict": dict,
    "bool": bool,
    "margin": (int, float, dict),
}


def _keys(text: str) -> Keys:
    """The keys of a table: ``name:str`` for one that it must have, ``credit?:str`` for others."""
    parts = (word.split(":") for word in text.split())
    return {key.removesuffix("?"): (_TYPES[kind], not key.endswith("?")) for key, kind in parts}


# What each table may hold: key -> (type, required). A dict stands for a table that a loader or a
# metric reads with keys of its own.
TABLES: dict[str, Keys] = {
    "": _keys(
        "schema:int suite:dict dataset:dict protocol:dict budget:dict metrics:list "
        "extractors?:list downstream?:dict codes?:dict training?:dict generators?:dict "
        "controls?:dict floor?:dict course?:dict profiles?:dict"
    ),
    "suite": _keys("name:str version:str title:str description:str primary:str"),
    "dataset": _keys(
        "name:str loader:str reader?:int licence:str credit?:str content_sha256?:str folder?:str "
        "class_names?:list column_names?:list options?:dict space:dict files?:list split:dict"
    ),
    "dataset.space": _keys("kind:str shape:list levels?:int classes?:int pad?:int rate?:int"),
    "dataset.files[]": _keys(
        "role:str path:str bytes:int sha256:str content_sha256?:str urls?:list"
    ),
    "extractors[]": _keys(
        "name:str version:str path?:str sha256:str channels?:list network?:str centre?:list "
        "spread?:list accuracy?:float trained_on:str licence?:str"
    ),
    "protocol": _keys("n_samples:int seeds:list reference:str extractor:str sample_chunk?:int"),
    "budget": _keys("examples:int"),
    "training": _keys("augment?:bool balance?:bool"),
    "generators": _keys("names:list"),
    "controls": _keys("names?:list dropped_class?:int"),
    "floor": _keys("margin:margin"),
    "codes": _keys("metrics:list rows?:int labels?:list subsets?:int"),
    "course": _keys("fractions:list rows?:int"),
    "downstream": _keys("tstr?:dict " + " ".join(f"{name}?:dict" for name in protocols.TABLES)),
    "downstream.tstr": _keys("n:int steps:int batch_size:int replicates?:int judges?:list"),
    **{f"downstream.{name}": protocols.keys_of(forms) for name, forms in protocols.TABLES.items()},
}


class Checker:
    """Checks one suite document; every complaint names the file, the line and the remedy."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def resolve(self, document: dict[str, Any], profile: str) -> dict[str, Any]:
        """The checked document as JSON data, one profile applied; UsageError if it is wrong."""
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
                what = f"profile {shorten(name)!r} has no usable name"
                self._fail(what, "use lower case, digits and -")
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
        return plain

    def _keys(self, document: Mapping[str, Any]) -> None:
        for where, keys in TABLES.items():
            for table in _tables_at(document, where):
                if not isinstance(table, dict):
                    self._fail(f"[{where}] is not a table", "write it as one", where)
                self._table(where, table, keys)
        for index, metric in enumerate(document["metrics"]):
            if not isinstance(metric, dict) or not isinstance(metric.get("id"), str):
                self._fail(f"[[metrics]] entry {index + 1} has no id", 'add id = "fid"', "metrics")

    def _table(self, where: str, table: Mapping[str, Any], keys: Keys) -> None:
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
        for key, form, remedy in (
            ("name", NAME, "use lower case, digits and -"),
            ("version", VERSION, "use digits, letters, dots"),  # part of a folder's name
        ):
            if not form.fullmatch(suite[key]):
                self._fail(f"{key} {shorten(suite[key])!r} is not usable", remedy, key)
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
        for name in further_splits(document["dataset"]):
            if not NAME.fullmatch(name):
                what = f"split {shorten(name)!r} has no usable name"
                self._fail(what, "use lower case, digits and -", name)
        self._seeds(protocol["seeds"])
        self._metrics(document)
        for name in document.get("generators", {}).get("names", ()):
            if not isinstance(name, str):
                self._fail(
                    f"generator {name!r} is no name", "give texts: see genbench list", "names"
                )
        for name in document.get("controls", {}).get("names", ()):
            if name not in CONTROLS:
                self._fail(f"unknown control {name!r}", did_you_mean(str(name), CONTROLS), "names")
        self._floor(document, [metric["id"] for metric in document["metrics"]])
        self._space(document["dataset"]["space"])
        for of in (protocols.complaints, codes.complaints, course.complaints):
            for complaint in of(document):
                self._fail(complaint.what, complaint.remedy, complaint.key)
        self._class_names(document["dataset"])
        for table in document.get("extractors", ()):
            self._extractor(table, document["dataset"]["space"])

    def _extractor(self, table: Mapping[str, Any], space: Mapping[str, Any]) -> None:
        """An extractor of the suite's own: weights in a file, or the moments of points."""
        given = {key for key in ("path", "channels", "centre", "spread") if key in table}
        who, texts = f"extractor {table['name']!r}", kinds.of(space["kind"]).texts
        if given == {"centre", "spread"}:
            self._moments(table, space)
        elif given not in ({"path", "channels"}, {"path"} if texts else set()):
            remedy = "give path and channels of a classifier, or centre and spread of points"
            self._fail(f"{who} has {', '.join(sorted(given)) or 'nothing'}", remedy, table["name"])
        elif Path(table["path"]).is_absolute() or ".." in Path(table["path"]).parts:
            where = table["path"]
            self._fail(f"{who} lies at {where!r}", "put it beside the suite", where)

    def _moments(self, table: Mapping[str, Any], space: Mapping[str, Any]) -> None:
        numbers = (int, float)
        good = all(
            len(table[key]) == space["shape"][0]
            and all(type(v) in numbers and abs(v) <= LARGEST for v in table[key])
            for key in ("centre", "spread")
        )
        if not kinds.of(space["kind"]).columns or not good or min(table["spread"]) <= 0:
            self._fail(
                f"centre and spread of extractor {table['name']!r} do not fit the space",
                f"give {space['shape'][0]} finite numbers each, spreads above 0, on points",
                "spread",
            )

    def _class_names(self, dataset: Mapping[str, Any]) -> None:
        space = dataset["space"]
        width = space["shape"][0] if kinds.of(space["kind"]).columns else 0
        for key, things, n in (
            ("class_names", "classes", space.get("classes", 0)),
            ("column_names", "columns", width),
        ):
            names = dataset.get(key)
            if names is None or (len(names) == n and all(isinstance(v, str) for v in names)):
                continue
            what = f"{key} has {len(names)} entries, the space {n} {things}"
            self._fail(what, "name each once", key)

    def _seeds(self, seeds: Any) -> None:
        good = seeds and all(isinstance(s, int) and not isinstance(s, bool) for s in seeds)
        if not good or any(s < 0 for s in seeds) or len(set(seeds)) != len(seeds):
            self._fail(f"seeds is {seeds!r}", "list distinct whole numbers from 0 up", "seeds")

    def _metrics(self, document: Mapping[str, Any]) -> None:
        ids = [metric["id"] for metric in document["metrics"]]
        for metric in document["metrics"]:
            self._metric(metric, document["protocol"]["extractor"])
            self._compared(metric["id"], document)
            of = custom.entry(metric["id"]).log_probs_of
            if of and of not in ids:
                self._fail(f"metric {metric['id']!r} is made of {of!r}", "add that", metric["id"])
        if len(set(ids)) != len(ids):
            self._fail("a metric id stands twice in [[metrics]]", "keep one", "metrics")
        primary = document["suite"]["primary"]
        who = f"primary {primary!r}"
        if primary not in ids:
            self._fail(f"{who} is not among [[metrics]]", did_you_mean(primary, ids), "primary")
        info = METRICS.get(split_id(primary)[0])
        if info is None:  # reports rank without importing anybody's package
            self._fail(f"{who} is another package's", "choose a built-in", "primary")
        if info.higher_is_better is None:
            self._fail(f"{who} has no direction", "choose another", "primary")

    def _floor(self, document: Mapping[str, Any], metrics: list[str]) -> None:
        if "floor" in document:
            wrong = margins.complaint(document["floor"]["margin"], metrics)
            if wrong is not None:
                self._fail(*wrong, "margin")

    def _metric(self, metric: Mapping[str, Any], own: str) -> None:
        """One entry of [[metrics]], `own` the suite's extractor; imports a package's metric."""
        id_ = metric["id"]
        try:
            name, extractor, _ = split_id(id_)
            info = custom.entry(id_)
        except GenbenchError as error:
            self._fail(str(error), "see `genbench list metrics`", id_)
        if info.source == "codes":
            self._fail(f"metric {id_!r} is made of codes", "name it in the table [codes]", id_)
        for key in metric:
            if key != "id" and key not in info.defaults:
                what = f"metric {id_!r} has no parameter {shorten(key)!r}"
                self._fail(what, did_you_mean(key, info.defaults), key, below=id_)
        if extractor is not None and (extractor == own or info.on_pixels):
            why = "is the suite's own extractor" if extractor == own else "plays no part on pixels"
            self._fail(f"{extractor!r} in {id_!r} {why}", f"write {name!r}", id_)

    def _compared(self, id_: str, document: Mapping[str, Any]) -> None:
        """The split that a metric's id names, if any: one that no control is made of."""
        split = split_id(id_).split
        if split is None:
            return
        plain, reference = id_.partition(":")[0], document["protocol"]["reference"]
        if custom.entry(id_).source != "features":
            self._fail(f"{id_!r} is not made by comparing rows", f"write {plain!r}", id_)
        if split == reference:
            self._fail(f"{split!r} in {id_!r} is the suite's reference", f"write {plain!r}", id_)
        dataset = document["dataset"]
        known = {"test", *further_splits(dataset)} & set(dataset["split"]) - {reference}
        if split not in known:
            remedy = did_you_mean(split, known) if known else f"write {plain!r}"
            self._fail(f"{split!r} in {id_!r} is no split to compare with", remedy, id_)

    def _space(self, table: Mapping[str, Any]) -> None:
        shape = table["shape"]
        if not shape or not all(isinstance(s, int) and 0 < s <= 1 << 20 for s in shape):
            self._fail(f"shape is {shape!r}", "list positive whole numbers", "shape")
        # Our own first: which others there are takes a look at every installed package.
        if kinds.built_in(table["kind"]) is None and table["kind"] not in (known := kinds.names()):
            self._fail(f"kind {table['kind']!r} is unknown", did_you_mean(table["kind"], known))
        wrong = kinds.of(table["kind"]).complaint(table)
        if wrong is not None:
            self._fail(*wrong)

    def _fail(
        self, what: str, remedy: str, key: str | None = None, *, below: str | None = None
    ) -> NoReturn:
        """Complain, with the line of `key`: the first one, or the first below another's."""
        start = (self._line(below) if below else None) or 0
        line = self._line(key, start) if key else None
        place = f"{self._path}, line {line}" if line else str(self._path)
        raise UsageError(f"{place}: {what}: {remedy}")

    def _line(self, key: str, start: int = 0) -> int | None:
        name = re.escape(key.rsplit(".", 1)[-1].removesuffix("[]"))
        pattern = re.compile(rf"^\s*(\[+[\w.\"-]*\b{name}\]+|\"?{name}\"?\s*=|id\s*=\s*\"{name}\")")
        for number, line in enumerate(self._lines[start:], start=start + 1):
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
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged
