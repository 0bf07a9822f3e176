"""One number of one metric with its interval, or the typed reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from genbench.system import plain_data

MetricStatus = Literal["ok", "not_applicable", "failed", "undefined"]
METRIC_STATUSES = ("ok", "not_applicable", "failed", "undefined")


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval and how it was made: `method` such as ``block-jackknife``, ``wilson``."""

    low: float
    high: float
    level: float = 0.95
    method: str = ""


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric of one cell, or the typed reason why there is no number.

    Parameters
    ----------
    status
        ``ok``, or ``not_applicable``, ``failed``, ``undefined`` with a `reason` and no value.
    value
        The number; finite whenever `status` is ``ok``.
    interval
        Its sampling uncertainty at this `n` with the reference fixed (never the training spread).
    std_error
        Standard error behind `interval`, where the method has one.
    unit, higher_is_better
        Such as ``"bits/dim"``; the direction of better, None where there is none.
    signature
        What exactly the number is. Values are comparable only where signatures are equal.
    n
        Generated rows that entered.
    seconds
        Time this metric took; shared work is counted with the metric that did it first.
    details
        Further numbers by name: split or subset spreads, per-class values, parts.
    """

    status: MetricStatus
    value: float | None = None
    interval: Interval | None = None
    std_error: float | None = None
    unit: str | None = None
    higher_is_better: bool | None = None
    signature: str = ""
    n: int | None = None
    seconds: float | None = None
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        body: dict[str, Any] = plain_data(self)
        return body
