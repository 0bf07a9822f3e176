"""The margin within which a value counts as good as real data. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genbench.metrics import METRICS, plain_name

# A twentieth of the way to a control that is worse beyond doubt: small beside what such a control
# lacks (all but two moments, or everything), and within reach of some thousand rows.
DEFAULT_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Margin:
    """The margin within which a value counts as good as real data.

    Parameters
    ----------
    share
        Of the way from ``heldout`` to the nearest of the controls that are significantly worse (see
        `genbench.results.floor.SCALES`).
    amounts
        By metric id, in its unit: these go before the share.
    """

    share: float = DEFAULT_SHARE
    amounts: Mapping[str, float] = field(default_factory=dict)


def margin_of(suite: Mapping[str, Any]) -> Margin:
    """The ``[floor] margin`` of a suite as stored with results, or the default.

    A number is a share; a table gives amounts by metric id. Anything else was not written by us.
    """
    table = suite.get("floor")
    margin = table.get("margin") if isinstance(table, Mapping) else None
    if isinstance(margin, Mapping):
        return Margin(amounts={str(k): float(v) for k, v in margin.items() if _positive(v)})
    return Margin(float(margin)) if margin is not None and _positive(margin) else Margin()


def complaint(margin: Any, metrics: Sequence[str]) -> tuple[str, str] | None:
    """The problem of a ``[floor] margin`` in a suite with these metrics, and the remedy."""
    if not isinstance(margin, Mapping):
        if _positive(margin):
            return None
        return (
            f"the floor's margin is {margin!r}",
            "give a share above 0, such as 0.05, or a table of amounts by metric",
        )
    for name, amount in margin.items():
        if name not in metrics:
            return f"the floor's margin names {name!r}", "name ids of [[metrics]]"
        info = METRICS.get(plain_name(name))
        if info is not None and info.higher_is_better is None:
            return f"{name!r} has no direction and so no floor", "leave it out"
        if not _positive(amount):
            return f"the floor's margin of {name!r} is {amount!r}", "give an amount above 0"
    return None


def _positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < 1e300
