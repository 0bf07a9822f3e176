"""Marks of rows whose training the harness could not count: what they learnt from, and how much."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.report.copying import Mark
from genbench.report.text import finite
from genbench.results import Record, is_control_record, is_fixed

_FEW = 0.5  # of the budget

RAW = Mark(
    "raw rows read",
    "it read the training rows as a whole, which is allowed, for statistics or to train on: what "
    "it did with them is not counted in its budget",
    sure=False,
)
RAW_TRAINING = Mark(
    "trained on raw rows",
    "it read the training rows as a whole and was served less than half of the budget: what it "
    "learnt from them is not counted, so its budget is not that of the other rows",
    sure=True,
)
UNCOUNTED = Mark(
    "training not counted",
    "its weights changed although the harness served it no training example, and it names no data "
    "that it was trained on before: from what and from how much it learnt is unknown",
    sure=True,
)


def access_mark(records: Sequence[Record], budget: float | None) -> Mark | None:
    """The mark for how a row came by its training data, where a reader must know; the worst.

    Controls and scored samples are exempt: nothing was to be trained. `budget` are the examples
    that every generator of the suite is served.
    """
    if is_control_record(records[0]) or is_fixed(records[0]):
        return None
    found = [_of(record, budget) for record in records if record.status == "ok"]
    return next((m for m in (RAW_TRAINING, UNCOUNTED, RAW) if m in found), None)


def _of(record: Record, budget: float | None) -> Mark | None:
    served = record.examples_served
    if record.raw_access is True:
        few = served == 0 or (budget is not None and served < _FEW * budget)
        return RAW_TRAINING if few and _has_learnt(record) else RAW
    return UNCOUNTED if served == 0 and _has_learnt(record) else None


def _has_learnt(record: Record) -> bool:
    """Whether its weights came about in `fit`; of records of before, whether it has weights."""
    if record.cell["generator"].get("pretrained_on"):
        return False
    weights = finite(record.resources.get("parameters")) or 0
    return weights > 0 and record.resources.get("weights_changed", True) is not False
