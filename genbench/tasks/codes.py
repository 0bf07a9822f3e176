"""The suite's ``[codes]`` table: what is asked of generators with codes. Imports nothing heavy.

It stands outside both of the suite's hashes: it adds values to a record, moves none, and each says
by its signature what it is. The scoring key of the part ``codes`` holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from genbench.errors import did_you_mean
from genbench.metrics import METRICS
from genbench.tasks.protocols import Complaint

CODE_METRICS = tuple(id_ for id_, info in METRICS.items() if info.source == "codes")


@dataclass(frozen=True, slots=True)
class CodesAsked:
    """``[codes]``.

    Parameters
    ----------
    metrics
        Ids of metrics made of codes; none for no look at all.
    rows
        The most training rows, and the most reference rows, whose codes are taken.
    labels
        Numbers of labelled training rows that the probe is trained on besides all of them.
    subsets
        Stratified draws of so many labelled rows each, over which the accuracy is averaged.
    """

    metrics: tuple[str, ...]
    rows: int = 10_000
    labels: tuple[int, ...] = (100, 1000)
    subsets: int = 5


def codes_asked(document: Mapping[str, Any]) -> CodesAsked | None:
    """The table of a resolved suite; None if it has none."""
    table = document.get("codes")
    if table is None:
        return None
    lists = {key: tuple(value) for key, value in table.items() if isinstance(value, list)}
    return CodesAsked(**{**table, **lists})


def complaints(document: Mapping[str, Any]) -> Iterator[Complaint]:
    """Everything that is wrong with the values of the table."""
    asked = codes_asked(document)
    if asked is None:
        return
    for id_ in asked.metrics:
        if id_ not in CODE_METRICS:
            remedy = did_you_mean(str(id_), CODE_METRICS)
            yield Complaint(f"{id_!r} in [codes] is no metric of codes", remedy, "metrics")
    for key, least in (("rows", 2), ("subsets", 2)):
        if getattr(asked, key) < least:
            remedy = f"it must be at least {least}"
            yield Complaint(f"{key} of [codes] is {getattr(asked, key)}", remedy, key)
    classes = int(document["dataset"]["space"].get("classes", 0))
    for n in asked.labels:
        if type(n) is not int or n < max(2, classes):
            remedy = "give a row of each class at least"
            yield Complaint(f"labels of [codes] has {n!r}", remedy, "labels")
    if len(set(asked.metrics)) != len(asked.metrics):
        yield Complaint("a metric stands twice in [codes]", "keep one", "metrics")
