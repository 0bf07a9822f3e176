"""The account of a cell that every tracker is told: plain data, made of a record and its pictures.

All names and texts are a record's, so anybody's: they are cut to one line, and what looks like a
secret is left out. Trackers replace what they cannot take in a name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from genbench.errors import shorten
from genbench.results import Record, Stored, course_of, digest, plain
from genbench.system import environment

FORM = 1  # raise it when more of a record is told: what was told before is then told anew

Scalar = bool | int | float | str

MOST_PIXELS = 50_000_000  # of a picture
MOST_NAME = 120  # characters
MOST_TEXT = 4_000
# Of a record's `timing` and `resources`: what a cell cost.
COSTS = ("fit_s", "fit_core_s", "sample_s", "sample_core_s", "metrics_s", "metrics_core_s",
         "refits_s", "refits_core_s", "peak_rss_bytes", "metrics_peak_rss_bytes", "parameters",
         "n_sampled")  # fmt: skip
OF_ENVIRONMENT = ("device", "device_name", "processor", "threads", "platform", "python")


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """The identity of a cell in every tracker.

    Parameters
    ----------
    id
        32 hexadecimal digits, of the suite with its version and profile and the cell's key: the
        same for every attempt, live and exported, on every machine.
    group
        ``digits@1.0.0 smoke``: an experiment, a group, a folder.
    name
        ``vae:latent=8 seed 0``.
    """

    id: str
    group: str
    name: str


@dataclass(frozen=True, slots=True)
class Account:
    """The account of one record.

    Parameters
    ----------
    run
        Which cell.
    stamp
        Text of the record and of `FORM`: a tracker that holds it already has nothing to do.
    status, error
        The record's status, and where and why it failed; empty if it did not.
    began, ended
        Seconds since 1970; 0 if the record does not say.
    parameters
        Of the generator.
    facts
        Suite, profile, seed, versions, machine, command: texts.
    values
        ``metrics/fid``, with the ends of its interval ``metrics/fid_low`` and ``metrics/fid_high``
        where it has one, and ``cost/fit_core_s``.
    curves
        By name (``curves/loss``, ``course/fid``): ``(examples served, value)``, ascending.
    signatures
        By metric: what exactly its number is.
    without
        By metric: why it has no number.
    pictures
        By role: the path of a PNG file.
    """

    run: TrackedRun
    stamp: str
    status: str
    error: str
    began: float
    ended: float
    parameters: Mapping[str, Scalar]
    facts: Mapping[str, str]
    values: Mapping[str, float]
    curves: Mapping[str, Sequence[Sequence[float]]]
    signatures: Mapping[str, str]
    without: Mapping[str, str]
    pictures: Mapping[str, str]

    @property
    def succeeded(self) -> bool:
        """Whether nothing went wrong."""
        return self.status in ("ok", "skipped")

    def rows(self) -> list[tuple[int, dict[str, float]]]:
        """The curves by examples, ascending: all values at a number of examples together."""
        found: dict[int, dict[str, float]] = {}
        for name, points in self.curves.items():
            for examples, value in points:
                found.setdefault(int(examples), {})[name] = value
        return sorted(found.items())

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Account:
        """Undo `to_json`."""
        return cls(**{**body, "run": TrackedRun(**body["run"])})


def group_of(name: str, version: str, profile: str) -> str:
    """The group of a suite's cells: ``digits@1.0.0 smoke``."""
    return _name(f"{name}@{version} {profile}")


def run_of(group: str, cell_key: str, name: str) -> TrackedRun:
    """The identity of a cell with this key and name in a group."""
    return TrackedRun(digest({"group": group, "cell": cell_key})[7:39], group, _name(name))


def account_of(stored: Stored) -> Account:
    """The account of a record, with those of its pictures that are whole."""
    record, suite = stored.record, stored.record.cell["suite"]
    values, signatures, without = _metrics(record)
    group = group_of(suite["name"], suite["version"], suite["profile"])
    return Account(
        run=run_of(group, record.cell_key, f"{record.label} seed {record.seed}"),
        stamp=f"{FORM}-{shorten(record.record_id)}",
        status=record.status,
        error=_error(record),
        began=_seconds(record.times.get("started")),
        ended=_seconds(record.times.get("finished")),
        parameters=_parameters(record),
        facts=_facts(record),
        values={**values, **_costs(record)},
        curves=_curves(record),
        signatures=signatures,
        without=without,
        pictures=_pictures(stored),
    )


def _metrics(record: Record) -> tuple[dict[str, float], dict[str, str], dict[str, str]]:
    """Values with their ends, signatures, and reasons."""
    values: dict[str, float] = {}
    signatures: dict[str, str] = {}
    without: dict[str, str] = {}
    for metric, found in sorted(record.metrics.items()):
        name = _name(metric)
        signatures[name] = _text(found.signature)
        if found.value is None:
            without[name] = _text(f"{found.status}: {found.reason or 'no reason given'}")
            continue
        values[f"metrics/{name}"] = float(found.value)
        if found.interval is not None:
            values[f"metrics/{name}_low"] = float(found.interval.low)
            values[f"metrics/{name}_high"] = float(found.interval.high)
    return values, signatures, without


def _costs(record: Record) -> dict[str, float]:
    known = {**record.resources, **record.timing, "examples_served": record.examples_served}
    names = (*COSTS, "examples_served")
    return {f"cost/{name}": float(known[name]) for name in names if _is_number(known.get(name))}


def _curves(record: Record) -> dict[str, list[tuple[int, float]]]:
    """Curves of the fit and scores of states on its way; values that were not finite are gaps."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name, curve in sorted(record.curves.items()):
        x, y = (curve.get(key) for key in ("examples", "value")) if _is_curve(curve) else ((), ())
        points = {int(at): float(v) for at, v in zip(x, y, strict=False)
                  if _is_number(at) and _is_number(v)}  # fmt: skip
        if points:
            found[f"curves/{_name(name)}"] = sorted(points.items())
    course = course_of(record)
    for point in () if course is None else course.points:
        for name, value in sorted(point.values.items()):
            found.setdefault(f"course/{_name(name)}", []).append((point.examples, value))
    return found


def _is_curve(curve: Any) -> bool:
    return isinstance(curve, Mapping) and all(
        isinstance(curve.get(key), list) for key in ("examples", "value")
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _parameters(record: Record) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {}
    for name, value in sorted(record.cell["generator"]["params"].items()):
        if environment.is_secret(name):
            value = "***"
        found[_name(name)] = value if isinstance(value, bool | int | float) else _text(plain(value))
    return found


def _facts(record: Record) -> dict[str, str]:
    suite, generator = record.cell["suite"], record.cell["generator"]
    found = {
        "suite": suite["name"],
        "suite_version": suite["version"],
        "profile": suite["profile"],
        "task": suite["task"],
        "generator": generator["name"],
        "generator_version": generator["version"],
        "provider": generator["provider"],
        "family": generator.get("family"),
        "seed": record.seed,
        "status": record.status,
        "record_id": record.record_id,
        "attempt": record.attempt.get("n", 1),
        "git_commit": record.source.get("git_commit"),
        **{key: record.environment.get(key) for key in OF_ENVIRONMENT},
    }
    argv = record.source.get("argv")
    if isinstance(argv, list):
        found["command"] = " ".join(environment.redact([str(word) for word in argv]))
    return {key: _text(str(value)) for key, value in found.items() if value not in (None, "")}


def _error(record: Record) -> str:
    if not record.error:
        return ""
    where, message = record.error.get("phase"), record.error.get("message")
    return _text(f"in {where}: {message}")


def _pictures(stored: Stored) -> dict[str, str]:
    """The pictures of an attempt by role: those whose digest holds and that are PNG files."""
    found: dict[str, str] = {}
    for item in stored.record.artifacts:
        path = stored.artifact(item.role) if item.path.endswith(".png") else None
        if path is not None and _is_png(path):
            found[_name(item.role)] = str(path.absolute())
    return found


def _is_png(path: Path) -> bool:
    """Whether a file is a whole picture: one that is not would have trackers refuse its cell."""
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.verify()
            return image.width * image.height <= MOST_PIXELS
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _seconds(time: Any) -> float:
    """Seconds since 1970 of an ISO time; 0 for anything else."""
    try:
        return datetime.fromisoformat(str(time)).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _name(text: str) -> str:
    """A name as every tracker gets it: one line, no end that a path would lose."""
    return shorten(text, MOST_NAME).strip("/. ") or "unnamed"


def _text(text: str) -> str:
    return environment.without_login(shorten(text, MOST_TEXT))
