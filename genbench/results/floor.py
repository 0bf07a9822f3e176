"""Is a row as good as real data? An equivalence test against the ``heldout`` control.

Not to differ significantly proves nothing: the noisier the number, the easier it is. So a row is at
the floor only where its interval shows that it is not worse by more than a margin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from genbench.metrics import METRICS, plain_name
from genbench.results.aggregation import LEVEL, Summary, quantile
from genbench.results.differences import Difference, difference
from genbench.results.margins import Margin

FloorVerdict = Literal["at", "worse", "cannot tell"]

# The controls that give a metric its scale. Copies of training rows do not, and a dropped class
# moves metrics of single rows so little that no margin would be left.
SCALES = ("gaussian", "noise")
TOO_FEW = "too few rows"

_ASPECTS = {info.id: info.aspect for info in METRICS.values() if info.aspect}
PARTNERS = {
    one: tuple(other for other in _ASPECTS if _ASPECTS[other] != aspect)
    for one, aspect in _ASPECTS.items()
}
_COLLAPSED_BELOW = 0.5


@dataclass(frozen=True, slots=True)
class Floor:
    """One metric of real data, the ``heldout`` control's: what rows are held against.

    `margin` is in the metric's unit; None where no control gives it a scale.
    """

    heldout: Summary
    margin: float | None


def floors_of(
    rows: Sequence[Summary], metric: str, higher_is_better: bool | None, margin: Margin
) -> list[Floor]:
    """A floor for each ``heldout`` row among `rows` (there may be several versions of it)."""
    if higher_is_better is None:
        return []
    controls = [row for row in rows if row.control]
    return [
        Floor(row, margin.amounts.get(metric) or _scaled(row, controls, higher_is_better, margin))
        for row in controls
        if row.row.name == "heldout"
    ]


def _scaled(
    heldout: Summary, controls: Sequence[Summary], higher_is_better: bool, margin: Margin
) -> float | None:
    gaps = [difference(c, heldout) for c in controls if c.row.name in SCALES]
    worse = [_harm(gap, higher_is_better) for gap in gaps if gap.significant]
    return min((margin.share * harm for harm in worse if harm > 0), default=None)


def floor_verdict(
    row: Summary,
    floors: Sequence[Floor],
    higher_is_better: bool | None,
    partners: Callable[[Summary], Sequence[Summary]],
) -> FloorVerdict | None:
    """The verdict whether `row` is as good as real data.

    ``at``: not worse by more than the margin, at 95 % (the one of the two one-sided tests that asks
    for harm; to be better than real data is no merit and no fault here). ``worse``: significantly,
    and not shown to be within the margin. ``cannot tell``: neither. None: there is no comparable
    ``heldout`` row, or a partner collapsed: `partners` gives the same row's numbers of the metrics
    that this one must not be read without, for a row of this metric (see `PARTNERS`).

    Not corrected for the number of rows. At one seed it is said of that one trained model.
    """
    if row.control or higher_is_better is None:
        return None
    for floor in floors:
        gap = difference(row, floor.heldout)
        if gap.estimate is None:
            continue
        if _collapsed(partners(row), partners(floor.heldout)):
            return None
        return _judged(gap, floor, higher_is_better, row.note)
    return None


def _judged(gap: Difference, floor: Floor, higher_is_better: bool, note: str) -> FloorVerdict:
    harm = _harm(gap, higher_is_better)
    few = TOO_FEW in note or TOO_FEW in floor.heldout.note
    if floor.margin is not None and gap.std_error is not None and not few:
        reach = quantile(gap.df, LEVEL) * gap.std_error
        if harm + reach < floor.margin:
            return "at"
    return "worse" if harm > 0 and gap.significant else "cannot tell"


def _harm(gap: Difference, higher_is_better: bool) -> float:
    return (-1.0 if higher_is_better else 1.0) * (gap.estimate or 0.0)


def _collapsed(row: Sequence[Summary], heldout: Sequence[Summary]) -> bool:
    """Whether one of the row's numbers is less than half of real data's: precision without recall.

    A blank smear is precise and covers nothing; scattered noise covers all and is never right.
    """
    real = {summary.metric: summary.mean for summary in heldout}
    return any(
        summary.mean is not None
        and (other := real.get(summary.metric)) is not None
        and summary.mean < _COLLAPSED_BELOW * other
        for summary in row
    )


def partner_ids(metric: str) -> tuple[str, ...]:
    """The metrics that `metric` must not be read without, by the same extractor and split."""
    name = plain_name(metric)
    return tuple(other + metric.removeprefix(name) for other in PARTNERS.get(name, ()))
