"""Honest ranking: corrected differences, rank intervals, ties, the floor, the Pareto front.

Works on records alone and imports no torch. A row is ranked against rows of the same task,
signature, likelihood kind and seeds, and against no other. A row trained at one seed has a place in
the order and no rank: how far another training would have moved it, nobody knows.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from genbench.errors import UsageError
from genbench.results.aggregation import LEVEL, Basis, RowKey, Summary, group, summarize
from genbench.results.differences import difference
from genbench.results.floor import Floor, FloorVerdict, floor_verdict, floors_of, partner_ids
from genbench.results.margins import Margin
from genbench.results.records import Record

ONE_SEED = "one seed: the spread between trainings is unknown"
ALONE = "no other row here can be ranked: they were trained at one seed"


@dataclass(frozen=True, slots=True)
class Standing:
    """The standing of a row on one metric.

    Parameters
    ----------
    summary
        The row's number.
    ranked, reason
        Unranked rows say why: one seed, a control, incomplete, another signature, failed, no
        direction.
    place
        1 + the number of comparable rows with a better mean, ranked or not: the order of the table,
        which claims nothing. None for rows that compare with no other.
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
    floor
        Against real held-out data, see `genbench.results.floor.floor_verdict`.
    """

    summary: Summary
    ranked: bool = False
    reason: str | None = None
    place: int | None = None
    rank: int | None = None
    rank_interval: tuple[int, int] | None = None
    of: int = 0
    ties: tuple[RowKey, ...] = ()
    basis: Basis = "unknown"
    floor: FloorVerdict | None = None

    @property
    def row(self) -> RowKey:
        """The row's key."""
        return self.summary.row

    @property
    def at_floor(self) -> bool | None:
        """True if it is shown to be as good as real data; None where nothing is said of that."""
        return None if self.floor is None else self.floor == "at"


def standings(
    records: Iterable[Record],
    metric_id: str,
    *,
    higher_is_better: bool | None,
    seeds: Iterable[int] | None = None,
    margin: Margin | None = None,
) -> list[Standing]:
    """Rank the rows of one task on one metric, such as ``"fid"``.

    Parameters
    ----------
    records
        Records of one task and profile, in any order, with any number of attempts per cell.
    higher_is_better
        The metric's direction; None ranks nothing.
    seeds
        The seeds that a row must have to be ranked, and the only ones that count. By default
        every seed at which some row that could be ranked has a value.
    margin
        How much worse than real data is still at the floor.

    Returns
    -------
    list of Standing
        Rows from best to worst (likelihood kinds one after the other), then those without a place,
        then controls. Every row of `records` is there once.

    Notes
    -----
    A is above B when the Holm-corrected 95 % interval of their difference excludes 0, over all
    pairs of ranked rows that compare. Ranked are rows of at least two seeds and rows of fixed
    samples, whose error is sampling error alone.
    """
    only = None if seeds is None else frozenset(seeds)
    groups = group(records)
    rows = [summarize(r, metric_id, seeds=only) for r in groups.values()]
    floor_of = _floor_judge(groups, rows, metric_id, higher_is_better, margin or Margin())
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
        result += _ordered(chosen, bool(higher_is_better), unranked)
    done = {standing.row for standing in result}
    rest = [Standing(row, reason=unranked[row.row]) for row in rows if row.row not in done]
    rest.sort(key=lambda s: (s.summary.control, s.summary.mean is None, s.row))
    return [replace(s, floor=floor_of(s.summary)) for s in (*result, *rest)]


def _floor_judge(
    groups: Mapping[RowKey, Sequence[Record]],
    rows: Sequence[Summary],
    metric_id: str,
    higher_is_better: bool | None,
    margin: Margin,
) -> Callable[[Summary], FloorVerdict | None]:
    floors: list[Floor] = floors_of(rows, metric_id, higher_is_better, margin)

    def partners(row: Summary) -> list[Summary]:
        return [summarize(groups[row.row], other) for other in partner_ids(metric_id)]

    return lambda row: floor_verdict(row, floors, higher_is_better, partners)


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
    """The rows that may stand in one order, and why each other one may not.

    The signature that most rows have is the table's; of equally frequent ones, the first by name.
    """
    counts = Counter(row.signature for row in rows)
    signature = min(counts, key=lambda name: (-counts[name], name))
    same = [row for row in rows if row.signature == signature]
    refused = {
        row.row: f"other signature: {row.signature}" for row in rows if row.signature != signature
    }
    need = _needed(same, seeds)
    for row in same:
        lacks = [] if row.fixed else sorted(need - set(row.values))
        if lacks:
            there = f"{len(need) - len(lacks)} of {len(need)} seeds"
            refused[row.row] = f"incomplete: {there} (lacks {', '.join(map(str, lacks))})"
    # A row that was asked for at one seed alone still shows where it stands, as an incomplete one.
    placed = {row.row for row in same if seeds is None and row.n_seeds == 1 and not row.problems}
    return [row for row in same if row.row not in refused or row.row in placed], refused


def _needed(rows: Sequence[Summary], seeds: frozenset[int] | None) -> frozenset[int]:
    """The seeds a trained row must have; none where no row has two, and so none can be ranked."""
    if seeds is not None:
        return seeds
    trained = [row.values for row in rows if not row.fixed]
    if all(len(values) < 2 for values in trained):
        return frozenset()
    return frozenset().union(*trained)


def _ordered(
    rows: Sequence[Summary], higher_is_better: bool, reasons: Mapping[RowKey, str]
) -> list[Standing]:
    """All rows by their mean, those that can carry a claim with a rank, others with a reason."""
    sign = -1.0 if higher_is_better else 1.0
    score = {row.row: sign * (row.mean or 0.0) for row in rows}  # low is good
    claims = [row for row in rows if row.fixed or row.n_seeds > 1]
    if len(claims) == 1 < len(rows):
        found = [Standing(claims[0], reason=ALONE)]
    else:
        found = _ranked(claims, score)
    found += [
        Standing(row, reason=reasons.get(row.row) or ONE_SEED) for row in rows if row not in claims
    ]
    placed = [
        replace(s, place=1 + sum(other < score[s.row] for other in score.values())) for s in found
    ]
    return sorted(placed, key=lambda s: (s.place, s.row))


def _ranked(rows: Sequence[Summary], score: Mapping[RowKey, float]) -> list[Standing]:
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
    return [
        Standing(
            summary=row,
            ranked=True,
            rank=1 + sum(score[other.row] < score[row.row] for other in rows),
            rank_interval=(1 + better[row.row], len(rows) - worse[row.row]),
            of=len(rows),
            ties=tuple(sorted(ties[row.row])),
            basis=_weakest(bases[row.row]),
        )
        for row in rows
    ]


def _weakest(bases: Iterable[Basis]) -> Basis:
    order: tuple[Basis, ...] = ("unknown", "sampling", "seeds")
    return min(bases, key=order.index)


def holm(p_values: Sequence[float], alpha: float = 1 - LEVEL) -> list[bool]:
    """The rejections of Holm's step-down procedure, which holds the family-wise error."""
    return [p < alpha for p in holm_adjusted(p_values)]


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values: each is below alpha where the procedure rejects at alpha."""
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for step, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = min(1.0, max(largest, p_values[index] * (len(p_values) - step)))
        adjusted[index] = largest
    return adjusted


def pareto_front(
    costs: Sequence[float | None], qualities: Sequence[float | None], higher_is_better: bool
) -> list[bool]:
    """The points that no other beats: none is as cheap and as good, and better in one.

    Points with a missing or non-finite coordinate are never on the front.
    """
    n, m = len(costs), len(qualities)
    if n != m:
        raise UsageError(f"{n} costs and {m} qualities: give one of each per row")
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
