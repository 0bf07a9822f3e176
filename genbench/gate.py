"""Has anything got worse? A baseline's records against a candidate's, with three verdicts.

*Pass*: even the unlucky end of the 95 % interval is within the tolerance. *Regression*: worse than
the tolerance allows, and not by chance (one-sided, Holm over all that was judged). *Inconclusive*:
the seeds cannot tell. Coverage (do the cells and their metrics still exist), quality and cost are
judged apart. Nothing here imports torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scipy import special

from genbench.aggregation import (
    RowKey,
    Summary,
    difference,
    direction,
    is_control,
    mean_of,
    paired_difference,
    quantile,
    summarize,
)
from genbench.comparison import number, rows_of, same_environment, tasks_of
from genbench.errors import GenbenchError, UsageError, did_you_mean
from genbench.metrics.table import METRICS, split_id
from genbench.ranking import holm
from genbench.records import Record
from genbench.report.inputs import TaskResults

Verdict = Literal["pass", "regression", "inconclusive"]
Aspect = Literal["coverage", "quality", "cost"]

ASPECTS: tuple[Aspect, ...] = ("coverage", "quality", "cost")
COSTS = ("fit_core_s", "sample_core_s", "peak_rss_bytes")


class NotComparableError(GenbenchError):
    """Two results that have nothing in common to judge."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse is still fine: an absolute amount, or a share of the baseline's value."""

    amount: float
    relative: bool

    def of(self, value: float) -> float:
        """In the metric's unit, where the baseline has `value`."""
        return self.amount * abs(value) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{100 * self.amount:g} %" if self.relative else f"{self.amount:g}"


QUALITY_TOLERANCE = Tolerance(0.05, True)
COST_TOLERANCE = Tolerance(0.25, True)


def parse_tolerances(texts: Sequence[str]) -> dict[str, Tolerance]:
    """``fid=5%`` or ``kid=0.02``; the names are metrics, costs, ``quality`` and ``cost``.

    Raises
    ------
    UsageError
        If one is not NAME=AMOUNT, or the name is unknown.
    """
    known = {*METRICS, *COSTS, "quality", "cost"}
    found = {}
    for text in texts:
        match = re.fullmatch(r"([^=]+)=(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(%?)", text.strip())
        if match is None:
            raise UsageError(f"tolerance {text!r} is not NAME=AMOUNT: write fid=5% or kid=0.02")
        name, amount, percent = match.groups()
        if split_id(name)[0] not in METRICS if "@" in name else name not in known:
            raise UsageError(f"tolerance {text!r}: no metric {name!r}: {did_you_mean(name, known)}")
        found[name] = Tolerance(float(amount) / (100 if percent else 1), bool(percent))
    return found


@dataclass(frozen=True, slots=True)
class Judgement:
    """One thing judged.

    Parameters
    ----------
    aspect, task, generator, what
        What was judged: a metric, a cost, or for coverage ``cells`` and metric ids.
    verdict
        None where it is told but counts for nothing: controls, metrics without a direction.
    baseline, candidate
        The two means.
    harm, low, high
        By how much the candidate is worse (below 0: better), and its 95 % interval.
    tolerance
        In the same unit.
    p_value
        One-sided, of harm beyond the tolerance.
    note
        Why there is no number, or how it was compared.
    decides
        Whether an inconclusive verdict here makes the whole inconclusive: coverage, and the
        suite's primary metric. A regression counts wherever it is found.
    """

    aspect: Aspect
    task: str
    generator: str
    what: str
    verdict: Verdict
    baseline: float | None = None
    candidate: float | None = None
    harm: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float | None = None
    p_value: float = 1.0
    note: str = ""
    decides: bool = False


@dataclass(frozen=True, slots=True)
class Gate:
    """All judgements, and tasks of the baseline that the candidate did not run."""

    judgements: tuple[Judgement, ...]
    not_run: tuple[str, ...]

    def verdict(self, aspect: Aspect | None = None) -> Verdict:
        """Of one aspect, or of all."""
        mine = [j for j in self.judgements if aspect in (None, j.aspect)]
        if any(j.verdict == "regression" for j in mine):
            return "regression"
        if any(j.verdict == "inconclusive" and j.decides for j in mine):
            return "inconclusive"
        if self.not_run and aspect in (None, "coverage"):
            return "inconclusive"
        return "pass"


def judge(
    baseline: Path, candidate: Path, tolerances: Mapping[str, Tolerance] | None = None
) -> Gate:
    """Judge the candidate's results against the baseline's, task by task.

    Raises
    ------
    UsageError
        If a place holds no results.
    NotComparableError
        If they have no task in common.
    """
    old, new = tasks_of(baseline), tasks_of(candidate)
    if not set(old) & set(new):
        raise NotComparableError(
            f"{baseline} and {candidate} have no task in common ({', '.join(sorted(old))} against "
            f"{', '.join(sorted(new))}): run the same suite, version and profile"
        )
    return judge_tasks(old, new, tolerances)


def judge_tasks(
    old: Mapping[str, TaskResults],
    new: Mapping[str, TaskResults],
    tolerances: Mapping[str, Tolerance] | None = None,
) -> Gate:
    """`judge` for results already read, by the name of their task."""
    found = [
        judgement
        for task in sorted(set(old) & set(new))
        for judgement in _judge_task(task, old[task], new[task], tolerances or {})
    ]
    return Gate(tuple(_decide(found)), tuple(sorted(set(old) - set(new))))


def _judge_task(
    task: str, old: TaskResults, new: TaskResults, tolerances: Mapping[str, Tolerance]
) -> Iterator[Judgement]:
    primary = str(old.suite["suite"]["primary"])
    theirs = rows_of(new)
    for label, before in rows_of(old).items():
        after = theirs.get(label, [])
        if is_control(before[0]) or not any(r.status == "ok" for r in before):
            continue
        name = label.partition(" ")[0]
        yield _cells(task, name, before, after)
        if not after:
            continue
        same = same_environment(before, after)
        for metric in dict.fromkeys(m for r in before for m in r.metrics):
            a, b = summarize(before, metric), summarize(after, metric)
            if a.mean is None:
                continue
            up = direction(before, metric)
            yield _metric(task, name, metric, up, a, b, same, tolerances, metric == primary)
        if same:
            for cost in COSTS:
                yield from _cost(task, name, cost, before, after, tolerances)


def _cells(task: str, name: str, before: Sequence[Record], after: Sequence[Record]) -> Judgement:
    """Cells that were ok: as many must be ok now, and none may have failed."""
    were = [r.seed for r in before if r.status == "ok"]
    failed = [f"seed {r.seed}: {r.status}" for r in after if r.status != "ok"]
    done = sum(r.status == "ok" for r in after)
    note = "; ".join(failed)
    if done < len(were) and not failed:
        note = f"{done} of {len(were)} seeds are there"
    verdict: Verdict = "regression" if failed or done < len(were) else "pass"
    return Judgement("coverage", task, name, "cells", verdict, len(were), done, note=note,
                     decides=True)  # fmt: skip


def _metric(
    task: str, name: str, metric: str, up: bool | None, a: Summary, b: Summary, same: bool,
    tolerances: Mapping[str, Tolerance], decides: bool,
) -> Judgement:  # fmt: skip
    if b.mean is None:
        why = b.reason or "no number"
        return Judgement("coverage", task, name, metric, "regression", a.mean, None, note=why)
    told = Judgement("quality", task, name, metric, "inconclusive", a.mean, b.mean, decides=decides)
    if up is None:
        return replace(told, verdict="pass", note="has no direction", decides=False)
    change = difference(b, a)
    if change.estimate is None:
        return replace(told, note=change.reason or "")
    sign = -1.0 if up else 1.0
    base = tolerances.get(metric, tolerances.get("quality", QUALITY_TOLERANCE))
    matched = paired_difference(b, a) if same else None
    if matched is not None and matched.estimate is not None:
        return _weighed(told, sign * matched.estimate, matched.std_error or 0.0, matched.df, base,
                        "paired by seed")  # fmt: skip
    if a.basis != "seeds" or b.basis != "seeds":
        # One seed shows its sampling error and nothing of the spread between trainings.
        harm = sign * change.estimate
        return replace(told, harm=harm, tolerance=base.of(a.mean or 0.0),
                       note="one seed: the spread between trainings is unknown")  # fmt: skip
    return _weighed(
        told, sign * change.estimate, change.std_error or 0.0, change.df, base, "Welch over seeds"
    )


def _cost(
    task: str, name: str, cost: str, before: Sequence[Record], after: Sequence[Record],
    tolerances: Mapping[str, Tolerance],
) -> Iterator[Judgement]:  # fmt: skip
    a, b = _cost_summary(before, cost), _cost_summary(after, cost)
    if a is None or a.mean is None or b is None or b.mean is None:
        return
    told = Judgement("cost", task, name, cost, "inconclusive", a.mean, b.mean)
    base = tolerances.get(cost, tolerances.get("cost", COST_TOLERANCE))
    change = difference(b, a)
    if change.std_error is None:
        harm = b.mean - a.mean
        yield replace(told, harm=harm, tolerance=base.of(a.mean), note="one seed")
        return
    yield _weighed(told, b.mean - a.mean, change.std_error, change.df, base, "Welch over seeds")


def _cost_summary(records: Sequence[Record], cost: str) -> Summary | None:
    """A cost over the seeds; None without a value, no standard error with one."""
    values = _costs(records, cost)
    if not values:
        return None
    mean, error, df = mean_of(values)
    known = len(values) > 1
    return Summary(
        RowKey.of(records[0]), cost, False, "ok", mean=mean, std_error=error if known else None,
        df=df, basis="seeds" if known else "unknown",
    )  # fmt: skip


def _costs(records: Sequence[Record], cost: str) -> list[float]:
    """Core seconds, which neither load nor neighbours change, or memory."""
    values = [
        r.resources.get(cost) if cost.endswith("bytes") else r.timing.get(cost)
        for r in records
        if r.status == "ok"
    ]
    return [float(v) for v in values if v is not None]


def _weighed(
    told: Judgement, harm: float, error: float, df: float, base: Tolerance, how: str
) -> Judgement:
    """With interval, p-value and, before correction, a verdict of pass or inconclusive."""
    tolerance = base.of(told.baseline or 0.0)
    half = error * quantile(df)
    if error > 0:
        t = (tolerance - harm) / error
        p_value = float(special.ndtr(t) if math.isinf(df) else special.stdtr(df, t))
    else:
        p_value = 1.0 if harm <= tolerance else 0.0
    verdict: Verdict = "pass" if harm + half <= tolerance else "inconclusive"
    return replace(
        told, verdict=verdict, harm=harm, low=harm - half, high=harm + half, tolerance=tolerance,
        p_value=p_value, note=how,
    )  # fmt: skip


def _decide(found: Sequence[Judgement]) -> Iterator[Judgement]:
    """Turn inconclusive into regression where Holm's correction over the aspect allows it."""
    rejected: dict[int, bool] = {}
    for aspect in ("quality", "cost"):
        mine = [i for i, j in enumerate(found) if j.aspect == aspect and j.low is not None]
        rejected |= dict(zip(mine, holm([found[i].p_value for i in mine], 0.025), strict=True))
    for i, judgement in enumerate(found):
        yield replace(judgement, verdict="regression") if rejected.get(i) else judgement


def markdown(gate: Gate) -> str:
    """A summary for a pull request: the verdicts, and every judgement that is not a pass."""
    marks = {"pass": "pass", "regression": "**regression**", "inconclusive": "inconclusive"}
    lines = [f"### genbench gate: {marks[gate.verdict()]}", ""]
    lines += [f"- {aspect}: {marks[gate.verdict(aspect)]}" for aspect in ASPECTS]
    lines += [f"- not run by the candidate: {task}" for task in gate.not_run]
    shown = [j for j in gate.judgements if j.verdict != "pass"]
    if shown:
        lines += [
            "",
            "| verdict | task | generator | what | baseline | candidate | worse by | tolerance | |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for j in sorted(shown, key=lambda j: (j.verdict != "regression", not j.decides)):
            cells = (
                marks[j.verdict], j.task, j.generator, j.what, number(j.baseline),
                number(j.candidate), worse_by(j), number(j.tolerance), j.note,
            )  # fmt: skip
            lines.append(f"| {' | '.join(map(_escaped, cells))} |")
    return "\n".join(lines) + "\n"


def worse_by(judgement: Judgement) -> str:
    """Harm with its interval, as text."""
    if judgement.harm is None:
        return "–"
    if judgement.low is None or judgement.high is None:
        return f"{judgement.harm:+.4g}"
    return f"{judgement.harm:+.4g} [{judgement.low:+.4g}, {judgement.high:+.4g}]"


def _escaped(text: str) -> str:
    """No cell of a table may end it, break the line, or hold HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(text.split())
