"""Which rows the copying metrics give away: a mark beside their name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from genbench.records import MetricValue, Record

# An exact copy is never authentic, and neither is one that was moved a little; held-out rows of
# digits and MNIST score about 0.6.
_NO_MORE_THAN = 0.05
# C_T is near 0 for fresh rows and grows with their number: far below 0 is evidence of a shift
# towards the training rows, which a smoother of training rows shows too. It is not proof of copies.
_FAR_BELOW = -3.0
_COPIED = "reference_in_train"  # the share of real rows that do it; told where it makes this moot


@dataclass(frozen=True, slots=True)
class Mark:
    """What is said of a row, in few words and in one sentence."""

    text: str
    why: str
    sure: bool


COPIES = Mark(
    "copies training rows",
    "nearly every row is nearer to a training row than that row's own nearest neighbour is "
    "(authenticity below 5 %, its interval included)",
    sure=True,
)
NEAR = Mark(
    "near training rows",
    "its rows lie nearer to the training rows than held-out real rows do (C_T below -3, its "
    "interval included), which copying does and smoothing too: look at the nearest training rows "
    "beside its samples",
    sure=False,
)


def mark(records: Iterable[Record], heldout: Iterable[Record] = ()) -> Mark | None:
    """The mark of a row, if every one of its seeds earns it; `heldout` are the control's records.

    Where held-out real data itself lies below zero on C_T, a row must lie below that too. Where
    real rows equal training rows by nature, as discrete ones do, nothing is given away.
    """
    floors = [_ends(v)[0] for r in heldout for v in _of(r.metrics, "c_t")]
    limit = min([_FAR_BELOW, *floors])
    done = [r.metrics for r in records if r.status == "ok"]
    if _all_below(done, "authenticity", _NO_MORE_THAN):
        return COPIES
    return NEAR if _all_below(done, "c_t", limit) else None


def _all_below(done: list[Mapping[str, MetricValue]], metric: str, limit: float) -> bool:
    """Whether each seed has the metric, under any extractor, with its interval below `limit`."""
    return bool(done) and all(
        any(_ends(value)[1] < limit for value in _of(metrics, metric)) for metrics in done
    )


def _of(metrics: Mapping[str, MetricValue], metric: str) -> list[MetricValue]:
    return [
        v
        for k, v in metrics.items()
        if k.partition("@")[0] == metric and v.value is not None and _COPIED not in v.details
    ]


def _ends(value: MetricValue) -> tuple[float, float]:
    number = float(value.value or 0.0)
    interval = value.interval
    return (number, number) if interval is None else (interval.low, interval.high)
