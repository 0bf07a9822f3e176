"""Records as the table of a task: who stands in which row, in which order, with what values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from genbench.report.access import access_mark
from genbench.report.columns import Column, Scale, columns, scale
from genbench.report.copying import Mark, copying_marks
from genbench.report.labels import labels, passed
from genbench.report.rows import Row, Table, Value
from genbench.report.text import finite, with_error
from genbench.results import (
    Entry,
    Record,
    RowKey,
    Standing,
    TaskResults,
    group,
    is_control_record,
    margin_of,
    standings,
)

MARKS = {"not_applicable": "n/a", "failed": "failed", "undefined": "undefined", "missing": "—"}


def table(task: TaskResults) -> Table:
    """The table of one task."""
    entries = _counted(task.entries)
    records = [entry.record for entry in entries]
    own = {id(entry.record): entry for entry in entries}  # ids of records are a stranger's text
    cols = columns(task.suite, records)
    margin = margin_of(task.suite)
    rank: dict[str, dict[RowKey, Standing]] = {}
    for c in cols:
        found = standings(records, c.id, higher_is_better=c.higher_is_better, margin=margin)
        rank[c.id] = {standing.row: standing for standing in found}
    scales = {c.id: s for c in cols if (s := _scale(c, rank[c.id].values())) is not None}
    groups = group(records)
    planned = _planned(group(e.record for e in entries if not e.published) or groups)
    names = labels(groups)
    marks = _marks(groups, task)
    rows = {
        key: replace(
            _row(i, key, [own[id(r)] for r in members], cols, rank, scales, planned, names[key]),
            marks=marks[key],
        )
        for i, (key, members) in enumerate(groups.items())
    }
    ordered = [rows[key] for key in (rank[cols[0].id] if cols else rows)]
    models = [row for row in ordered if not row.control]
    first = cols[0].id if cols else ""
    controls = sorted((row for row in ordered if row.control), key=lambda r: _sort_key(r, first))
    return Table(
        columns=tuple(cols),
        scales=scales,
        placed=tuple(row for row in models if not row.unranked),
        unranked=tuple(row for row in models if row.unranked),
        controls=tuple(controls),
        classes=_class_names(task.suite),
    )


def _class_names(suite: Mapping[str, Any]) -> tuple[str, ...]:
    """The suite's names of its classes; a suite file may be anybody's."""
    dataset = suite.get("dataset")
    names = dataset.get("class_names") if isinstance(dataset, Mapping) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _marks(
    groups: Mapping[RowKey, Sequence[Record]], task: TaskResults
) -> dict[RowKey, tuple[Mark, ...]]:
    """The marks beside each row's name."""
    budget = task.suite.get("budget")
    examples = finite(budget.get("examples")) if isinstance(budget, Mapping) else None
    heldout = [r for key, members in groups.items() for r in members
               if key.name == "heldout" and is_control_record(r)]  # fmt: skip
    found: dict[RowKey, tuple[Mark, ...]] = {}
    for key, members in groups.items():
        access = access_mark(members, examples)
        found[key] = (*copying_marks(members, heldout), *((access,) if access else ()))
    return found


def _counted(entries: Iterable[Entry]) -> list[Entry]:
    """Published entries only for generators that were not run here."""
    which = [(e, e.record.generator, e.record.cell["generator"]["version"]) for e in entries]
    here = {(name, version) for e, name, version in which
            if not e.published and e.record.status == "ok"}  # fmt: skip
    return [e for e, *generator in which if not e.published or tuple(generator) not in here]


def _planned(groups: Mapping[RowKey, Sequence[Record]]) -> int:
    models = [r for members in groups.values() for r in members if not is_control_record(r)]
    return len({r.seed for r in models} or {r.seed for m in groups.values() for r in m})


def _scale(column: Column, found: Iterable[Standing]) -> Scale | None:
    means = {s.row.name: s.summary.mean for s in found if s.summary.control}
    return scale(means.get("noise"), means.get("heldout"), column)


def _sort_key(row: Row, metric: str) -> tuple[bool, float, str]:
    value = row.values.get(metric)
    number = value.number if value is not None else None
    return number is None, number or 0.0, row.name


def _row(
    index: int,
    key: RowKey,
    entries: list[Entry],
    cols: Sequence[Column],
    rank: Mapping[str, Mapping[RowKey, Standing]],
    scales: Mapping[str, Scale],
    planned: int,
    label: str,
) -> Row:
    records = [entry.record for entry in entries]
    done = [r for r in records if r.status == "ok"]
    first = records[0]
    control = is_control_record(first)
    standing = rank[cols[0].id][key] if cols else None
    placed = standing is None or standing.place is not None
    peak = max((finite(r.resources.get("peak_rss_bytes")) or 0 for r in done), default=0)
    cell = first.cell["generator"]
    return Row(
        id=f"r{index}",
        name=key.name,
        label=label,
        version=key.version,
        provider=key.provider,
        passed=passed(first),
        family=str(cell.get("family") or "unknown"),
        likelihood=str(cell.get("likelihood") or "none"),
        reference=str(cell.get("reference") or ""),
        control=control,
        published=all(entry.published for entry in entries),
        values={c.id: _value(rank[c.id][key], scales.get(c.id)) for c in cols},
        entries=tuple(entries),
        seeds_planned=len(records) if control else planned,
        fit_core_s=_mean_of_all(r.timing.get("fit_core_s") for r in done),
        fit_s=_mean(r.timing.get("fit_s") for r in done),
        sampling_rate=_mean_of_all(map(_rate, done)),
        peak_bytes=peak or None,
        parameters=_mean(r.resources.get("parameters") for r in done),
        status=_status(records, planned, control),
        unranked="" if placed or standing is None else standing.reason or "unranked",
    )


def _status(records: Sequence[Record], planned: int, control: bool) -> str:
    bad = sorted({r.status for r in records if r.status != "ok"})
    if bad:
        return bad[0] if all(r.status != "ok" for r in records) else f"some {bad[0]}"
    return "ok" if control or len(records) >= planned else "incomplete"


def _value(standing: Standing, place: Scale | None) -> Value:
    summary = standing.summary
    if summary.mean is None:
        status = summary.status
        reason = summary.reason or "; ".join(sorted(set(summary.problems.values())))
        return Value(MARKS.get(status, status), status=status, reason=reason)
    interval = summary.interval
    half = None if interval is None else (interval.high - interval.low) / 2
    text, error = with_error(summary.mean, half)
    low_high = standing.rank_interval
    return Value(
        text=text,
        half=error,
        number=summary.mean,
        low=None if interval is None else interval.low,
        high=None if interval is None else interval.high,
        basis=summary.basis,
        reason="" if standing.ranked else standing.reason or "",
        place=None if place is None else place.place(summary.mean),
        order=standing.place,
        rank="" if low_high is None else "–".join(map(str, sorted(set(low_high)))),
        of=standing.of,
        leads=low_high is not None and low_high[0] == 1 and standing.of > 1,
        tied=bool(standing.ties),
        floor=standing.floor or "",
        note=summary.note,
        seeds=dict(summary.values),
        std_error=summary.std_error,
        df=summary.df,
        signature=summary.signature,
        likelihood=summary.likelihood or "",
    )


def _mean(values: Iterable[Any]) -> float | None:
    numbers = [x for v in values if (x := finite(v)) is not None]
    return sum(numbers) / len(numbers) if numbers else None


def _mean_of_all(values: Iterable[Any]) -> float | None:
    """None unless every one is a number: a mean over some seeds is no cost of the row."""
    numbers = [finite(v) for v in values]
    return None if None in numbers else _mean(numbers)


def _rate(record: Record) -> float | None:
    """Rows drawn per core second; None for records that know wall time alone."""
    seconds = finite(record.timing.get("sample_core_s"))
    n = finite(record.resources.get("n_sampled"))
    return None if not seconds or not n else n / seconds
