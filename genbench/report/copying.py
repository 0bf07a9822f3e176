"""Marks of the rows that the copying metrics give away, beside their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genbench.metrics import MetricValue, plain_name
from genbench.results import AUTHENTIC_AT_LEAST, Record, copies_marked, is_control_record

# C_T is near 0 for fresh rows and grows with their number: far below 0 is evidence of a shift
# towards the training rows, which a smoother of training rows shows too. It is not proof of copies.
_FAR_BELOW = -3.0
TRAIN = "train"
_COPIED = "reference_in_train"  # the share of real rows that do it; told where it makes this moot


@dataclass(frozen=True, slots=True)
class Mark:
    """A remark on a row, in few words and in one sentence."""

    text: str
    why: str
    sure: bool


COPIES = Mark(
    "copies training rows",
    "nearly every row is nearer to a training row than that row's own nearest neighbour is "
    "(authenticity below 5 %, its interval included)",
    sure=True,
)
SOME_COPIES = Mark(
    "copies training rows",
    "rows among its samples are training rows, more than held-out rows are by chance",
    sure=True,
)
NEAR = Mark(
    "near training rows",
    "its rows lie nearer to the training rows than held-out real rows do (C_T below -3, its "
    "interval included) and are not shown to be far more authentic than those, which copying does "
    "and smoothing too: look at the nearest training rows beside its samples",
    sure=False,
)


REFERENCE_COPIES = Mark(
    "copies reference rows",
    "rows among its samples are test or validation rows, which no generator was given, in greater "
    "number than copies of training rows explain: its scores are those of the rows it is compared "
    "with",
    sure=True,
)
REFERENCE_NEAR = Mark(
    "near reference rows",
    "its rows lie nearer to test or validation rows, which no generator was given, than real rows "
    "do, and more often than to training rows: it may have been made of them",
    sure=True,
)


def copying_marks(records: Sequence[Record], heldout: Sequence[Record] = ()) -> tuple[Mark, ...]:
    """The marks for a row's copies, of training rows and of reference rows."""
    found = (training_mark(records, heldout), reference_mark(records))
    return tuple(mark for mark in found if mark is not None)


def training_mark(records: Sequence[Record], heldout: Sequence[Record] = ()) -> Mark | None:
    """The mark of a row, if every one of its seeds earns it; `heldout` are the control's records.

    Samples that equal training rows are enough at one seed, however few of its samples they are.

    Where held-out real data itself lies below zero on C_T, a row must lie below that too. What is
    smooth, blurred or empty lies near to everything in some features, noise among photographs too:
    such rows are far more authentic than held-out ones, halfway to all of them, which leaves no
    room for many copies, and are not marked. Where real rows equal training rows by nature, as
    discrete ones do, nothing is given away.
    """
    floors = [_ends(v)[0] for r in heldout for v in _of(r.metrics, "c_t")]
    limit = min([_FAR_BELOW, *floors])
    done = [r.metrics for r in records if r.status == "ok"]
    if _all_below(done, "authenticity", AUTHENTIC_AT_LEAST):
        return COPIES
    if any(copies_marked(r, ("exact",), (TRAIN,)) for r in records if r.status == "ok"):
        return SOME_COPIES
    if _far_more_authentic(done, [r.metrics for r in heldout]):
        return None
    return NEAR if _all_below(done, "c_t", limit) else None


def reference_mark(records: Sequence[Record]) -> Mark | None:
    """The mark of copies of test or validation rows, at any of the row's seeds; controls go free.

    They are such rows, or were made of the training rows alone.
    """
    if is_control_record(records[0]):
        return None
    done = [record for record in records if record.status == "ok"]
    if any(copies_marked(record, ("exact",), record.copies.keys() - {TRAIN}) for record in done):
        return REFERENCE_COPIES
    near = any(copies_marked(record, ("near",), record.copies) for record in done)
    return REFERENCE_NEAR if near else None


def _all_below(done: list[Mapping[str, MetricValue]], metric: str, limit: float) -> bool:
    """Whether each seed has the metric, under any extractor, with its interval below `limit`."""
    return bool(done) and all(
        any(_ends(value)[1] < limit for value in _of(metrics, metric)) for metrics in done
    )


def _far_more_authentic(
    done: list[Mapping[str, MetricValue]], heldout: list[Mapping[str, MetricValue]]
) -> bool:
    """Whether all seeds are, with their intervals, in every space that held-out rows have too."""
    real: dict[str, float] = {}
    for metrics in heldout:
        for key, value in metrics.items():
            if value in _of({key: value}, "authenticity"):
                real[key] = max(real.get(key, 0.0), _ends(value)[1])
    seen = [
        _ends(metrics[key])[0] > (1 + top) / 2
        for metrics in done
        for key, top in real.items()
        if key in metrics and metrics[key].value is not None
    ]
    return len(seen) >= len(done) > 0 and all(seen)


def _of(metrics: Mapping[str, MetricValue], metric: str) -> list[MetricValue]:
    return [
        v
        for k, v in metrics.items()
        if plain_name(k) == metric and v.value is not None and _COPIED not in v.details
    ]


def _ends(value: MetricValue) -> tuple[float, float]:
    number = float(value.value or 0.0)
    interval = value.interval
    return (number, number) if interval is None else (interval.low, interval.high)
