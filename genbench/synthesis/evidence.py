"""A record's evidence that a generator's rows help a classifier. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from genbench.errors import Declined, UsageError
from genbench.results import Record


def nearest_point(record: Record, n: int) -> Mapping[str, Any]:
    """The measured point of the augmentation curve whose number of synthetic rows is nearest to n.

    Of several as near, one that does not help: the evidence has to hold whichever is meant.
    `UsageError` if the record holds no augmentation curve.
    """
    value = record.metrics.get("augmentation_gain")
    if value is None or value.status != "ok":
        why = "was not measured" if value is None else f"is {value.status}: {value.reason}"
        raise UsageError(
            f"the augmentation gain of {record.generator} {why}: run the suite with its downstream "
            "part first, or leave --if-helps out"
        )
    points = [p for p in value.details["points"] if p["arm"] == "real+synthetic"]

    def order(point: Mapping[str, Any]) -> tuple[float, bool]:
        distance = abs(math.log(point["n"] * point["ratio"] / n))
        return round(distance, 9), point["verdict"] == "helps"

    return min(points, key=order)


def describe(point: Mapping[str, Any]) -> str:
    """One point in words: amounts, gain with its interval, verdict."""
    gain = point["gain"]
    low, mean, high = (100 * float(gain[k]) for k in ("low", "mean", "high"))
    return (
        f"{point['n'] * point['ratio']:,} synthetic rows added to {point['n']:,} real ones: "
        f"{mean:+.2f} accuracy points (95 % interval {low:+.2f} to {high:+.2f}), "
        f"{point['verdict']}"
    )


def require_help(record: Record, n: int) -> str:
    """The evidence, in words, that the gain measured nearest to `n` synthetic rows excludes zero
    from below; `Declined` if there is none.
    """
    point = nearest_point(record, n)
    if point["verdict"] != "helps":
        raise Declined(
            f"no evidence that rows of {record.generator} help at this size "
            f"({describe(point)}): nothing was written; without --if-helps it is built all the same"
        )
    return describe(point)
