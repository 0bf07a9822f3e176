"""Has anything got worse? A baseline's records against a candidate's, with three verdicts.

*Pass*: even the unlucky end of the 95 % interval is within the tolerance. *Regression*: worse than
the tolerance allows, and not by chance (one-sided, Holm over all that was judged). *Inconclusive*:
the seeds cannot tell. Coverage (do the cells and their metrics still exist), quality and cost are
judged apart. Nothing here imports torch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genbench.errors import GenbenchError, UsageError, did_you_mean
from genbench.metrics import METRICS, plain_name
from genbench.results.aggregation import RowKey, Summary, direction, is_control_record, summarize
from genbench.results.comparison import number, rows_of, same_environment, tasks_of
from genbench.results.differences import difference, mean_of
from genbench.results.entries import TaskResults
from genbench.results.judgement import (
    COST_TOLERANCE,
    EQUAL,
    ONE_SEED,
    Aspect,
    Judgement,
    Tolerance,
    Verdict,
    equal,
    judge_metric,
    lost_seeds,
    weighed,
)
from genbench.results.power import Trial, outlook
from genbench.results.ranking import holm
from genbench.results.records import Record
from genbench.results.rownames import row_name

ASPECTS: tuple[Aspect, ...] = ("coverage", "quality", "cost")
COSTS = ("fit_core_s", "sample_core_s", "peak_rss_bytes")


class NotComparableError(GenbenchError):
    """Two results that have nothing in common to judge."""

    exit_code = 5


# Below this no default tolerance asks: a quarter of next to nothing is nothing.
LEAST_COST = {True: float(64 << 20), False: 1.0}  # bytes, seconds


def parse_tolerances(texts: Sequence[str]) -> dict[str, Tolerance]:
    """``fid=5%`` or ``kid=0.02``; the names are metrics, costs, ``quality`` and ``cost``.

    `UsageError` if one is not NAME=AMOUNT, or the name is unknown.
    """
    known = {*METRICS, *COSTS, "quality", "cost"}
    found = {}
    for text in texts:
        match = re.fullmatch(r"([^=]+)=(\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*(%?)", text.strip())
        if match is None:
            raise UsageError(f"tolerance {text!r} is not NAME=AMOUNT: write fid=5% or kid=0.02")
        name, amount, percent = match.groups()
        if plain_name(name) not in METRICS if set(name) & set("@:") else name not in known:
            raise UsageError(f"tolerance {text!r}: no metric {name!r}: {did_you_mean(name, known)}")
        found[name] = Tolerance(float(amount) / (100 if percent else 1), bool(percent))
    return found


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

    `UsageError` if a place holds no results, `NotComparableError` if they have no task in common.
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
        if is_control_record(before[0]) or not any(r.status == "ok" for r in before):
            continue
        name = row_name(before)
        yield _cells(task, name, before, after)
        if not after:
            continue
        same = same_environment(before, after)
        for metric in dict.fromkeys(m for r in before for m in r.metrics):
            a, b = summarize(before, metric), summarize(after, metric)
            if not a.values:
                continue
            up = direction(before, metric)
            lost = lost_seeds(a, b, after)
            if lost:
                yield Judgement("coverage", task, name, metric, "regression", a.mean, b.mean,
                                note=lost, decides=True)  # fmt: skip
            else:
                yield judge_metric(
                    task, name, metric, up, a, b, same, tolerances, metric == primary
                )
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


def _cost(
    task: str, name: str, cost: str, before: Sequence[Record], after: Sequence[Record],
    tolerances: Mapping[str, Tolerance],
) -> Iterator[Judgement]:  # fmt: skip
    a, b = _cost_summary(before, cost), _cost_summary(after, cost)
    if a.mean is None or b.mean is None:
        return
    least = 0.0 if cost in tolerances else LEAST_COST[cost.endswith("bytes")]
    base = tolerances.get(cost, tolerances.get("cost", COST_TOLERANCE))
    judgement = Judgement("cost", task, name, cost, "inconclusive", a.mean, b.mean,
                          tolerance=max(base.of(a.mean), least))  # fmt: skip
    if equal(a, b):
        yield replace(judgement, verdict="pass", harm=0.0, note=EQUAL)
        return
    change = difference(b, a)
    if change.std_error is None:
        yield replace(judgement, harm=b.mean - a.mean, note=ONE_SEED)
        return
    trial = Trial(change.std_error, change.df, min(a.n_seeds, b.n_seeds), False)
    yield weighed(judgement, b.mean - a.mean, trial, "Welch over seeds")


def _cost_summary(records: Sequence[Record], cost: str) -> Summary:
    """A cost over the seeds: core seconds, which neither load nor neighbours change, or memory.

    Without a value it has no mean, with one no standard error.
    """
    bodies = [r.resources if cost.endswith("bytes") else r.timing for r in records
              if r.status == "ok"]  # fmt: skip
    values = [float(body[cost]) for body in bodies if body.get(cost) is not None]
    found = Summary(RowKey.of(records[0]), cost, False, "ok", values=dict(enumerate(values)))
    if not values:
        return found
    mean, error, df = mean_of(values)
    if len(values) < 2:
        return replace(found, mean=mean, df=df)
    return replace(found, mean=mean, std_error=error, df=df, basis="seeds")


def _decide(found: Sequence[Judgement]) -> Iterator[Judgement]:
    """Turn inconclusive into regression where Holm's correction over the aspect allows it.

    What stays inconclusive says what it could have seen.
    """
    rejected: dict[int, bool] = {}
    tests: Counter[Aspect] = Counter(j.aspect for j in found if j.trial is not None)
    for aspect in ("quality", "cost"):
        mine = [i for i, j in enumerate(found) if j.aspect == aspect and j.trial is not None]
        rejected |= dict(zip(mine, holm([found[i].p_value for i in mine], 0.025), strict=True))
    for i, judgement in enumerate(found):
        if rejected.get(i):
            yield replace(judgement, verdict="regression")
        elif judgement.verdict == "inconclusive" and judgement.trial is not None:
            seen = outlook(judgement.trial, judgement.harm or 0.0, judgement.tolerance or 0.0,
                           tests[judgement.aspect])  # fmt: skip
            yield replace(judgement, note=f"{judgement.note}; {seen}")
        else:
            yield judgement


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
