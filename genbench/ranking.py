"""Honest ranking: corrected differences, rank intervals, ties, the floor, the Pareto front.

Works on records alone and imports no torch. A row is ranked against rows of the same task,
signature, likelihood kind and seeds, and against no other.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from genbench.aggregation import (
    LEVEL,
    Basis,
    Difference,
    RowKey,
    Summary,
    difference,
    group,
    is_control,
    summarize,
)
from genbench.errors import UsageError
from genbench.records import Record

__all__ = [
    "Difference",
    "RowKey",
    "Standing",
    "Summary",
    "difference",
    "group",
    "holm",
    "is_control",
    "pareto_front",
    "standings",
    "summarize",
]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a row stands on one metric.

    Parameters
    ----------
    summary
        The row's number.
    ranked, reason
        Unranked rows say why: a control, incomplete, another signature, failed, no direction.
    rank
        1 + the number of ranked rows with a strictly better mean.
    rank_interval
        ``[1 + number significantly better, N - number significantly worse]``.
    of
        N, the ranked rows that this one was compared with: those of its likelihood kind.
    ties
        Rows that differ from this one by no more than chance.
    basis
        The weakest error that its comparisons rest on; ``sampling`` must be marked as such.
    at_floor
        Not worse than real held-out data as far as the data can tell; None when there is no
        comparable ``heldout`` row.
    """

    summary: Summary
    ranked: bool = False
    reason: str | None = None
    rank: int | None = None
    rank_interval: tuple[int, int] | None = None
    of: int = 0
    ties: tuple[RowKey, ...] = ()
    basis: Basis = "unknown"
    at_floor: bool | None = None

    @property
    def row(self) -> RowKey:
        """The row's key."""
        return self.summary.row


def standings(
    records: Iterable[Record],
    metric_id: str,
    *,
    higher_is_better: bool | None,
    seeds: Iterable[int] | None = None,
) -> list[Standing]:
    """Rank the rows of one task on one metric.

    Parameters
    ----------
    records
        Records of one task and profile, in any order, with any number of attempts per cell.
    metric_id
        Such as ``"fid"``.
    higher_is_better
        The metric's direction; None ranks nothing.
    seeds
        The seeds that a row must have to be ranked, and the only ones that count. By default
        every seed at which some row that could be ranked has a value.

    Returns
    -------
    list of Standing
        Ranked rows from best to worst (likelihood kinds one after the other), then the unranked,
        then controls. Every row of `records` is there once.

    Notes
    -----
    A is above B when the Holm-corrected 95 % interval of their difference excludes 0, over all
    pairs of ranked rows that compare.
    """
    only = None if seeds is None else frozenset(seeds)
    rows = [summarize(r, metric_id, seeds=only) for r in group(records).values()]
    floors = [s for s in rows if s.control and s.row.name == "heldout"]
    kinds: dict[str, list[Summary]] = defaultdict(list)
    for row in rows:
        if not _why_unranked(row, higher_is_better):
            kinds[row.likelihood or ""].append(row)
    unranked = {row.row: _why_unranked(row, higher_is_better) for row in rows}
    result: list[Standing] = []
    for kind in sorted(kinds):
        chosen, refused = _comparable(kinds[kind], only)
        if len(kinds) > 1 and len(chosen) == 1:
            refused[chosen.pop().row] = f"other likelihood kind: no other row is {kind}"
        unranked.update(refused)
        result += _ranked(chosen, bool(higher_is_better), floors)
    done = {standing.row for standing in result}
    rest = [
        Standing(row, reason=unranked[row.row], at_floor=_at_floor(row, floors, higher_is_better))
        for row in rows
        if row.row not in done
    ]
    return result + sorted(rest, key=lambda s: (s.summary.control, s.summary.mean is None, s.row))


def _why_unranked(summary: Summary, higher_is_better: bool | None) -> str:
    if summary.control:
        return "control"
    if summary.mean is None:
        return summary.reason or summary.status
    if summary.unranked:
        return summary.unranked
    return f"{summary.metric} has no direction" if higher_is_better is None else ""


def _comparable(
    rows: Sequence[Summary], seeds: frozenset[int] | None
) -> tuple[list[Summary], dict[RowKey, str]]:
    """The rows that may be ranked together, and why each other one may not.

    The signature that most rows have is the table's; of equally frequent ones, the first by name.
    """
    counts = Counter(row.signature for row in rows)
    signature = min(counts, key=lambda name: (-counts[name], name))
    same = [row for row in rows if row.signature == signature]
    need = seeds if seeds is not None else frozenset().union(*(row.values for row in same))
    refused = {
        row.row: f"other signature: {row.signature}" for row in rows if row.signature != signature
    }
    for row in same:
        lacks = sorted(need - set(row.values))
        if lacks:
            names = ", ".join(map(str, lacks))
            refused[row.row] = (
                f"incomplete: {len(need) - len(lacks)} of {len(need)} seeds (lacks {names})"
            )
    return [row for row in same if row.row not in refused], refused


def _ranked(
    rows: Sequence[Summary], higher_is_better: bool, floors: Sequence[Summary]
) -> list[Standing]:
    sign = -1.0 if higher_is_better else 1.0
    score = {row.row: sign * (row.mean or 0.0) for row in rows}  # low is good
    pairs = {(a.row, b.row): difference(a, b) for a, b in combinations(rows, 2)}
    rejected = holm([d.p_value for d in pairs.values()])
    better: Counter[RowKey] = Counter()
    worse: Counter[RowKey] = Counter()
    ties: dict[RowKey, list[RowKey]] = defaultdict(list)
    bases: dict[RowKey, set[Basis]] = {row.row: {row.basis} for row in rows}
    for ((a, b), found), differ in zip(pairs.items(), rejected, strict=True):
        bases[a].add(found.basis)
        bases[b].add(found.basis)
        if differ:
            above, below = (a, b) if score[a] < score[b] else (b, a)
            worse[above] += 1
            better[below] += 1
        else:
            ties[a].append(b)
            ties[b].append(a)
    standings_ = [
        Standing(
            summary=row,
            ranked=True,
            rank=1 + sum(other < score[row.row] for other in score.values()),
            rank_interval=(1 + better[row.row], len(rows) - worse[row.row]),
            of=len(rows),
            ties=tuple(sorted(ties[row.row])),
            basis=_weakest(bases[row.row]),
            at_floor=_at_floor(row, floors, higher_is_better),
        )
        for row in rows
    ]
    return sorted(standings_, key=lambda s: (s.rank, s.row))


def _weakest(bases: Iterable[Basis]) -> Basis:
    order: tuple[Basis, ...] = ("unknown", "sampling", "seeds")
    return min(bases, key=order.index)


def _at_floor(
    row: Summary, floors: Sequence[Summary], higher_is_better: bool | None
) -> bool | None:
    """Whether `row` is not significantly worse than real data; uncorrected, so claimed less."""
    if row.control or higher_is_better is None:
        return None
    for floor in floors:
        gap = difference(row, floor)
        if gap.estimate is None:
            continue
        is_worse = gap.estimate < 0 if higher_is_better else gap.estimate > 0
        return not is_worse or (gap.std_error is not None and not gap.significant)
    return None


def holm(p_values: Sequence[float], alpha: float = 1 - LEVEL) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects, holding the family-wise error."""
    rejected = [False] * len(p_values)
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - step) >= alpha:
            break
        rejected[index] = True
    return rejected


def pareto_front(
    costs: Sequence[float | None], qualities: Sequence[float | None], higher_is_better: bool
) -> list[bool]:
    """Which points no other point beats: none is as cheap and as good, and better in one.

    Points with a missing or non-finite coordinate are never on the front.
    """
    if len(costs) != len(qualities):
        raise UsageError(
            f"{len(costs)} costs and {len(qualities)} qualities: give one of each per row"
        )
    sign = -1.0 if higher_is_better else 1.0
    points = [
        None if c is None or q is None or not math.isfinite(c + q) else (c, sign * q)
        for c, q in zip(costs, qualities, strict=True)
    ]
    known = [point for point in points if point is not None]
    return [
        point is not None
        and not any(o[0] <= point[0] and o[1] <= point[1] and o != point for o in known)
        for point in points
    ]
