"""From records to one number per row and metric: which record counts, means, errors.

Training spread and sampling error are kept apart: the values of several seeds contain both, one
seed shows its sampling error only.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from scipy import special

from genbench.errors import UsageError
from genbench.metrics import METRICS, Interval, MetricValue, is_likelihood, plain_name
from genbench.results import controls
from genbench.results.records import Record, canonical_json, digest

Basis = Literal["seeds", "sampling", "unknown"]

LEVEL = 0.95


@dataclass(frozen=True, slots=True, order=True)
class RowKey:
    """The identity of a table's row: a generator at one version with one set of parameters.

    `params` is canonical JSON; `source` the hash of the generator's source where it is in the cell.
    """

    name: str
    version: str
    provider: str
    params: str = "{}"
    source: str = ""

    @classmethod
    def of(cls, record: Record) -> RowKey:
        """The row that `record` belongs to."""
        cell = record.cell["generator"]
        params = canonical_json(dict(cell.get("params") or {})).decode()
        source = cell.get("source") or ""
        text = source if isinstance(source, str) else digest(source)
        return cls(cell["name"], cell["version"], cell["provider"], params, text)


def asked_for(record: Record) -> tuple[str, str]:
    """The generator's name and, as canonical JSON, the parameters that somebody set.

    This is what a row is followed by from one time to another: versions, sources and defaults are
    what may have changed.
    """
    cell = record.cell["generator"]
    return str(cell["name"]), canonical_json(dict(cell.get("params_passed") or {})).decode()


@dataclass(frozen=True, slots=True)
class Summary:
    """One metric of one row, over the row's seeds.

    Parameters
    ----------
    row, metric, control
        Whose number, which one, and whether the row is a control.
    status, reason
        ``ok`` when at least one seed has a value and all values have one signature; otherwise the
        typed reason why there is no mean.
    mean, values
        Mean over the seeds, and each seed's value.
    training_sd
        Standard deviation over seeds (ddof = 1); None with one seed: then it is unknown.
    interval
        One seed: the metric's own sampling interval. More: a t interval over the seeds' values,
        which contain sampling error already. Controls: sampling, since their seeds share rows.
    std_error, df, basis
        The error behind comparisons of the mean, its degrees of freedom, and where it is from.
    sampling_error
        Root mean square of the seeds' sampling standard errors.
    signature, likelihood, unit, n
        What exactly was measured; `likelihood` only for metrics that have a kind of it.
    problems
        By seed: why it has no value.
    unranked
        Why the row's own records keep it out of the ranking; empty if they do not.
    fixed
        Whether the row is a set of samples made elsewhere: nothing is trained, so its sampling
        error is all the error there is.
    note
        What the metric itself says of its value, such as ``too few rows (n < d)``; or empty.
    """

    row: RowKey
    metric: str
    control: bool
    status: str
    reason: str | None = None
    mean: float | None = None
    values: Mapping[int, float] = field(default_factory=dict)
    training_sd: float | None = None
    interval: Interval | None = None
    std_error: float | None = None
    df: float = math.inf
    basis: Basis = "unknown"
    sampling_error: float | None = None
    signature: str = ""
    likelihood: str | None = None
    unit: str | None = None
    n: int | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    unranked: str = ""
    fixed: bool = False
    note: str = ""

    @property
    def n_seeds(self) -> int:
        """Seeds that have a value."""
        return len(self.values)


def is_control_record(record: Record) -> bool:
    """Whether `record` calibrates the table and is never ranked."""
    cell = record.cell["generator"]
    return controls.is_control(cell["name"], cell["provider"])


def is_fixed(record: Record) -> bool:
    """Whether `record` scores samples that were made elsewhere: no training of ours is in it."""
    return bool(record.cell["generator"].get("family") == "scored")


def notes(values: Collection[MetricValue]) -> str:
    """The notes of metrics on their own values, each text once.

    That is ``details["note"]``, and for the value of one seed, whose interval is its own, why it
    has none.
    """
    texts = [value.details.get("note") for value in values]
    if len(values) == 1:
        texts += [
            f"no interval: {why}" for value in values if (why := value.details.get("no_interval"))
        ]
    return "; ".join(dict.fromkeys(text for text in texts if isinstance(text, str) and text))


def environment_mark(record: Record) -> str:
    """A short mark of machine, threads and libraries: where it is equal a seed is the same trial.

    Neither the amount of memory, the version of genbench nor another card of the same name makes it
    another.
    """
    environment = {k: v for k, v in record.environment.items() if k != "memory_bytes"}
    if isinstance(environment.get("device"), str):
        environment["device"] = environment["device"].partition(":")[0]
    packages = environment.get("packages")
    if isinstance(packages, Mapping):
        environment["packages"] = {k: v for k, v in packages.items() if k != "genbench"}
    return digest(environment)[7:15]


def direction(records: Iterable[Record], metric: str) -> bool | None:
    """The better direction: ours to say for our metrics, the records' for a package's own.

    None where they do not agree, or do not say.
    """
    info = METRICS.get(plain_name(metric))
    if info is not None:
        return info.higher_is_better
    directions = {r.metrics[metric].higher_is_better for r in records if metric in r.metrics}
    return directions.pop() if len(directions) == 1 else None


def group(records: Iterable[Record]) -> dict[RowKey, list[Record]]:
    """The record that counts for each seed of each row, seeds ascending, rows in key order.

    Of several ok records of a cell the greatest ``attempt["n"]`` counts; without an ok one, the
    newest attempt. `UsageError` if the records are of more than one task or profile: those are
    never put side by side.
    """
    cells: dict[RowKey, dict[int, Record]] = defaultdict(dict)
    tasks = set()
    for record in records:
        suite = record.cell["suite"]
        tasks.add(f"{suite['name']}@{suite['version']} {suite['task'][:15]} {suite['profile']}")
        seeds = cells[RowKey.of(record)]
        other = seeds.get(record.seed)
        if other is None or _recency(record) > _recency(other):
            seeds[record.seed] = record
    if len(tasks) > 1:
        raise UsageError(
            f"records of {len(tasks)} tasks cannot be ranked together ({'; '.join(sorted(tasks))}):"
            " give those of one suite version and profile"
        )
    return {row: [cells[row][seed] for seed in sorted(cells[row])] for row in sorted(cells)}


def _recency(record: Record) -> tuple[bool, int, str]:
    return record.status == "ok", int(record.attempt.get("n", 1)), record.record_id


def summarize(
    records: Sequence[Record], metric_id: str, *, seeds: Iterable[int] | None = None
) -> Summary:
    """One metric, such as ``"fid"``, over the seeds of one row; only `seeds` count if given.

    `records` are the row's, one per seed, as `group` returns them; not empty.
    """
    first = records[0]
    if seeds is not None:
        only = set(seeds)
        records = [record for record in records if record.seed in only]
    if not records:
        reason = "it has none of the seeds asked for"
        return Summary(RowKey.of(first), metric_id, is_control_record(first), "missing", reason)
    first = records[0]
    found = {r.seed: r.metrics[metric_id] for r in records if _has_value(r, metric_id)}
    problems = {r.seed: _problem(r, metric_id) for r in records if r.seed not in found}
    row, control = RowKey.of(first), is_control_record(first)
    if not found:
        return Summary(
            row, metric_id, control, *_status(first, metric_id), problems=problems,
            likelihood=_likelihood(first, metric_id),
        )  # fmt: skip
    signatures = sorted({value.signature for value in found.values()})
    if len(signatures) > 1:
        reason = f"its seeds were measured differently: {'; '.join(signatures)}"
        values = {seed: float(v.value or 0.0) for seed, v in found.items()}
        return Summary(row, metric_id, control, "undefined", reason, values=values)
    return _summary(first, metric_id, found, problems)


def _summary(
    first: Record, metric_id: str, found: Mapping[int, MetricValue], problems: Mapping[int, str]
) -> Summary:
    values = {seed: float(v.value) for seed, v in found.items() if v.value is not None}
    mean = math.fsum(values.values()) / len(values)
    sd = _sd(list(values.values()))
    errors = [e for e in map(_sampling, found.values()) if e is not None]
    sampling = math.sqrt(math.fsum(e[0] ** 2 for e in errors) / len(errors)) if errors else None
    error, df, basis = sampling, min((e[1] for e in errors), default=math.inf), "sampling"
    # Identical values at every seed (a coarse metric) do not make the sampling error zero.
    if sd is not None and not (sampling is not None and (is_control_record(first) or sd == 0)):
        error, df, basis = sd / math.sqrt(len(values)), len(values) - 1.0, "seeds"
    any_value = next(iter(found.values()))
    own = any_value.interval if len(found) == 1 else None
    return Summary(
        row=RowKey.of(first),
        metric=metric_id,
        control=is_control_record(first),
        status="ok",
        mean=mean,
        values=values,
        training_sd=sd,
        interval=own or t_interval(mean, error, df, "t-over-seeds" if basis == "seeds" else basis),
        std_error=error,
        df=df,
        basis="unknown" if error is None else "seeds" if basis == "seeds" else "sampling",
        sampling_error=sampling,
        signature=any_value.signature,
        likelihood=_likelihood(first, metric_id),
        unit=any_value.unit,
        n=any_value.n,
        problems=problems,
        unranked=_unranked(first),
        fixed=is_fixed(first),
        note=notes(found.values()),
    )


def _has_value(record: Record, metric_id: str) -> bool:
    value = record.metrics.get(metric_id)
    return record.status == "ok" and value is not None and value.status == "ok"


def _status(record: Record, metric_id: str) -> tuple[str, str]:
    value = record.metrics.get(metric_id)
    if record.status != "ok":
        return "failed", _problem(record, metric_id)
    return "missing" if value is None else value.status, _problem(record, metric_id)


def _problem(record: Record, metric_id: str) -> str:
    if record.status != "ok":
        error = record.error or {}
        text = error.get("message") or error.get("reason") or error.get("type")
        return f"{record.status}: {text}" if text else record.status
    value = record.metrics.get(metric_id)
    if value is None:
        return f"the record has no {metric_id}: run the suite again to compute it"
    return value.reason or value.status


def _unranked(record: Record) -> str:
    cell = record.cell["generator"]
    if controls.poses_as_control(cell["name"], cell["provider"], cell.get("family")):
        return f"calls its family {controls.FAMILY}, and is none of genbench's"
    return str(cell.get("unranked") or "")


def _likelihood(record: Record, metric_id: str) -> str | None:
    if not is_likelihood(plain_name(metric_id)):
        return None
    kind = record.cell["generator"].get("likelihood")
    value = record.metrics.get(metric_id)
    # Of texts in byte pairs an exact model's is a bound: the value says so.
    told = None if value is None else value.details.get("kind")
    return None if kind is None else str(told or kind)


def _sd(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    if min(values) == max(values):  # the mean of equal floats may differ from them by rounding
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def _sampling(value: MetricValue) -> tuple[float, float] | None:
    """Sampling standard error and the degrees of freedom that the interval's width implies."""
    interval, error = value.interval, value.std_error
    if interval is None:
        return None if error is None else (error, math.inf)
    half, upper = (interval.high - interval.low) / 2, (1 + interval.level) / 2
    normal = float(special.ndtri(upper))
    if not error:
        return half / normal, math.inf
    if half <= normal * error * (1 + 1e-6):  # normal, or narrower as Wilson's can be
        return error, math.inf
    return error, max(1.0, float(special.stdtridf(upper, half / error)))


def t_interval(mean: float, error: float | None, df: float, method: str) -> Interval | None:
    """The 95 % interval around a mean with this standard error; None where that is unknown."""
    if error is None:
        return None
    half = error * quantile(df)
    return Interval(mean - half, mean + half, LEVEL, method)


def quantile(df: float, p: float = (1 + LEVEL) / 2) -> float:
    """Student's quantile, normal where `df` is infinite: by default the standard errors that a
    two-sided 95 % interval reaches to either side.
    """
    return float(special.ndtri(p) if math.isinf(df) else special.stdtrit(df, p))


def cumulative(df: float, t: float) -> float:
    """The probability of no more than `t` under Student's distribution, normal as in `quantile`."""
    return float(special.ndtr(t) if math.isinf(df) else special.stdtr(df, t))
