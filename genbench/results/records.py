"""The record of one attempt at a cell: frozen dataclasses, JSON both ways, and digests.

A record is data. Reading one imports no plugin and executes nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import orjson

from genbench.errors import StoreError, shorten
from genbench.metrics import METRIC_STATUSES, Interval, MetricValue
from genbench.results.wording import dumps
from genbench.system import plain_data

SCHEMA = "genbench.record/1"

Status = Literal["ok", "failed", "timeout", "oom", "interrupted", "skipped"]

# No measurement is larger: float32 reaches 3.4e38 and its square 1e77. Beyond it sums of squares
# overflow, so that one forged value would spoil what stands beside it.
LARGEST = 1e100
MOST_METRICS = 1_000

STATUSES = get_args(Status)
_NUMBERS = frozenset((int, float))  # of JSON; True is none

# Small numbers as orjson writes them and Python does not: ``1e-7`` and, below 1e-4, ``0.000012``.
_EXPONENT = re.compile(rb"e-([0-9])(?=[,\]}])")
_SMALL = re.compile(rb"0\.0000([1-9])([0-9]*)(?=[,\]}])")

# What may differ between two runs that computed the same thing.
_NOT_RESULT = ("digest", "result_digest", "record_id", "times", "timing", "resources",
               "environment", "source", "attempt", "artifacts")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file beside the record: `role` such as ``samples``, ``grid``, ``state``, ``log``."""

    role: str
    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt at one cell; `record_id` is a ULID. See DESIGN of the record in the docs."""

    record_id: str
    cell_key: str
    status: Status
    cell: Mapping[str, Any]
    dataset: Mapping[str, Any]
    metrics: Mapping[str, MetricValue]
    curves: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, Any] = field(default_factory=dict)
    examples_served: int = 0
    raw_access: bool = False
    resources: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)
    attempt: Mapping[str, Any] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    artifacts: tuple[Artifact, ...] = ()
    times: Mapping[str, Any] = field(default_factory=dict)
    copies: Mapping[str, Any] = field(default_factory=dict)
    course: Mapping[str, Any] = field(default_factory=dict)

    @property
    def generator(self) -> str:
        """The generator's name."""
        return str(self.cell["generator"]["name"])

    @property
    def label(self) -> str:
        """The generator with the parameters that were asked for: ``vae:latent=8``."""
        passed = self.cell["generator"].get("params_passed") or {}
        given = ",".join(f"{k}={v}" for k, v in sorted(passed.items()))
        return f"{self.generator}:{given}" if given else self.generator

    @property
    def seed(self) -> int:
        """The cell's seed."""
        return int(self.cell["seed"])

    def to_json(self) -> dict[str, Any]:
        """The record as JSON data, its two digests included.

        Half a character, in a path that is not UTF-8 or a message, has no JSON: it is written out.
        """
        body = {"schema": SCHEMA, **plain_data(self)}
        for name in ("copies", "course"):  # as in records of before there was the field
            if not body[name]:
                del body[name]
        try:
            return self._sealed(body)
        except UnicodeEncodeError:
            return self._sealed(_written_out(body))

    @staticmethod
    def _sealed(body: dict[str, Any]) -> dict[str, Any]:
        """`body` with its digests, for which long parts are written once."""
        texts = {name: dumps(value) for name, value in body.items()}
        timeless = {
            name: {key: value for key, value in metric.items() if key != "seconds"}
            for name, metric in body["metrics"].items()
        }
        result = {name: text for name, text in texts.items() if name not in _NOT_RESULT}
        body["result_digest"] = _digest_of_parts({**result, "metrics": dumps(timeless)})
        texts["result_digest"] = dumps(body["result_digest"])
        body["digest"] = _digest_of_parts(texts)
        return body

    @classmethod
    def from_json(cls, body: Any) -> Record:
        """Check `body` (schema, fields, types, digest) and make the record of it.

        `StoreError`, with what is wrong, if it is not a valid record.
        """
        if not isinstance(body, dict):
            raise StoreError(f"not a record: expected a JSON object, got {type(body).__name__}")
        schema = body.get("schema")
        if schema != SCHEMA:
            raise StoreError(
                f"record schema {schema!r} is not {SCHEMA!r}: "
                "read it with the genbench version that wrote it"
            )
        metrics = body.get("metrics")
        if isinstance(metrics, dict) and len(metrics) > MOST_METRICS:
            raise StoreError(f"record has {len(metrics):,} metrics, over {MOST_METRICS:,}")
        _check_digest(body)
        if unknown := sorted(body.keys() - _KEYS):
            raise StoreError(f"record has unknown fields: {shorten(', '.join(unknown), 200)}")
        try:
            values = {name: value for name, value in body.items() if name in _FIELDS}
            values["metrics"] = {k: metric_value(v) for k, v in body["metrics"].items()}
            values["artifacts"] = tuple(Artifact(**a) for a in body.get("artifacts", ()))
            record = cls(**values)
            record._check()
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            reason = f"{type(error).__name__}: {shorten(str(error), 300)}"
            raise StoreError(f"the record is malformed: {reason}") from error
        return record

    def _check(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is none of {', '.join(STATUSES)}")
        suite, generator = self.cell["suite"], self.cell["generator"]
        for key in ("name", "version", "task", "hash", "profile"):
            _expect(str, suite[key], "cell.suite", key)
        for key in ("name", "version", "provider"):
            _expect(str, generator[key], "cell.generator", key)
        _expect(dict, generator["params"], "cell.generator", "params")
        _expect(int, self.cell["seed"], "cell", "seed")
        for key in ("record_id", "cell_key"):
            _expect(str, getattr(self, key), "", key)
        for key in ("dataset", "curves", "timing", "resources", "environment", "source",
                    "attempt", "times", "copies", "course"):  # fmt: skip
            _expect(dict, getattr(self, key), "", key)
        if self.error is not None:
            _expect(dict, self.error, "", "error")
        for item in self.artifacts:
            for name in ("role", "path", "sha256"):
                _expect(str, getattr(item, name), "artifacts", name)
            _expect(int, item.bytes, "artifacts", "bytes")
        for name, body in (("timing", self.timing), ("resources", self.resources)):
            for key, value in body.items():
                if type(value) in _NUMBERS and not -LARGEST < value < LARGEST:
                    raise ValueError(f"{name}.{key} is {value:.4g}: no measurement is so large")
        _expect(int, self.examples_served, "", "examples_served")
        if self.examples_served < 0:
            raise ValueError(f"examples_served is {self.examples_served}: no count is negative")
        _expect(int, self.attempt.get("n", 1), "attempt", "n")


# What a record's JSON can hold: read once, as records are read by the hundred thousand.
_FIELDS = frozenset(f.name for f in dataclasses.fields(Record))
_KEYS = _FIELDS | {"schema", "digest", "result_digest"}


def _expect(kind: type, value: Any, place: str, key: str) -> None:
    """ValueError, with the place and the key, where a value of JSON data is of another kind."""
    if type(value) is not kind:
        where = f"{place}.{key}".removeprefix(".")
        raise ValueError(f"{where} is {type(value).__name__}, expected {kind.__name__}")


def metric_value(body: Any) -> MetricValue:
    """Undo `MetricValue.to_json`; TypeError or ValueError for anything else."""
    values = dict(body)
    if values.get("interval") is not None:
        values["interval"] = Interval(**values["interval"])
    metric = MetricValue(**values)
    if metric.status not in METRIC_STATUSES:
        raise ValueError(f"metric status {metric.status!r} is unknown")
    if (metric.status == "ok") != (metric.value is not None):
        raise ValueError(f"a metric that is {metric.status} has the value {metric.value!r}")
    numbers = [metric.value, metric.std_error, metric.n, metric.seconds]
    if metric.interval is not None:
        bounds = (metric.interval.low, metric.interval.high, metric.interval.level)
        if None in bounds:
            raise ValueError("an interval lacks an end or its level")
        numbers += bounds
        _expect(str, metric.interval.method, "interval", "method")
    for number in numbers:
        if number is not None and not (type(number) in _NUMBERS and -LARGEST < number < LARGEST):
            raise ValueError(f"{number!r} stands where a finite number below {LARGEST:g} belongs")
    if metric.interval is not None and not (
        metric.interval.low <= metric.interval.high and 0 < metric.interval.level < 1
    ):
        raise ValueError(f"{metric.interval} is no interval: its ends or its level are wrong")
    for text in (metric.unit, metric.reason):
        if text is not None:
            _expect(str, text, "", "unit or reason")
    if metric.higher_is_better not in (None, True, False):
        raise ValueError(f"higher_is_better is {metric.higher_is_better!r}")
    _expect(str, metric.signature, "", "signature")
    _expect(dict, metric.details, "", "details")
    return metric


def _is_measurement(number: float) -> bool:
    return -LARGEST < number < LARGEST  # false for NaN too


def storable(metric: MetricValue) -> MetricValue:
    """`metric`, or a typed reason in its place where its number is too large to be stored."""
    interval = metric.interval
    ends = () if interval is None else (interval.low, interval.high)
    numbers = [n for n in (metric.value, metric.std_error, *ends) if n is not None]
    if all(map(_is_measurement, numbers)):
        return metric
    reason = f"it came out as {metric.value:.4g}, beyond {LARGEST:g}"
    return dataclasses.replace(
        metric, status="undefined", value=None, interval=None, std_error=None, reason=reason
    )


def _written_out(value: Any) -> Any:
    """JSON data with half characters as text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_written_out(key): _written_out(item) for key, item in value.items()}
    return [_written_out(item) for item in value] if isinstance(value, list) else value


def _check_digest(body: Mapping[str, Any]) -> None:
    without = {name: value for name, value in body.items() if name != "digest"}
    quick = _quick_digest(without)
    if quick is not None and body.get("digest") == quick:
        return
    try:
        found = digest(without)
    except (ValueError, RecursionError) as error:  # infinity, half a character, too deep
        raise StoreError(f"the record has no canonical form: {error}") from error
    if body.get("digest") != found:
        raise StoreError("the record's digest does not match its content: it was altered")


def _quick_digest(body: Mapping[str, Any]) -> str | None:
    """`digest`, several times faster; another one where two writers of JSON differ.

    They differ in small numbers, which are mended here, and in what JSON does not have. So only
    that it equals the digest asked for says anything.
    """
    try:
        text = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return None
    if b"e-" in text:  # to look first is cheaper than an expression that finds nothing
        text = _EXPONENT.sub(rb"e-0\1", text)
    if b"0.0000" in text:
        text = _SMALL.sub(_scientific, text)
    return digest_of(text)


def _scientific(small: re.Match[bytes]) -> bytes:
    first, rest = small.groups()
    return first + (b"." + rest if rest else b"") + b"e-05"


def canonical_json(body: Any) -> bytes:
    """JSON with sorted keys, no spaces, UTF-8, and no NaN: what every digest is taken of."""
    return dumps(body).encode()


def digest(body: Any) -> str:
    """``sha256:`` and the hex digest of the canonical JSON of `body`."""
    return digest_of(canonical_json(body))


def _digest_of_parts(texts: Mapping[str, str]) -> str:
    """`digest` of an object, given the canonical JSON of each of its values."""
    parts = ",".join(f"{dumps(name)}:{texts[name]}" for name in sorted(texts))
    return digest_of(f"{{{parts}}}".encode())


def digest_of(text: bytes) -> str:
    """The same, of a canonical JSON."""
    return "sha256:" + hashlib.sha256(text).hexdigest()
