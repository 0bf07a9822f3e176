"""The floats that a model's black and white are, as declared and as seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genbench.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor

CLIPPED = 0.001  # a share of values outside of the range from which on it is told
UNUSED = 0.25  # a share of the range that no value reaches
_USUAL = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


@dataclass(frozen=True, slots=True)
class Range:
    """The floats that stand for black and white in what a model returns."""

    low: float
    high: float


def stated(name: str, low: float | None, high: float | None) -> Range | None:
    """The range that a generator's author declared; None if he declared none.

    `PluginError` if it is half a range, or black is not below white.
    """
    if low is None and high is None:
        return None
    if low is None or high is None:
        lacking = "low" if low is None else "high"
        raise PluginError(f"generator {name!r} has no {lacking}=: give low= and high=, or neither")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise PluginError(
            f"generator {name!r} has low={low:g} and high={high:g}: low= is the float of black and "
            "must be below high=, that of white"
        )
    return Range(float(low), float(high))


class Seen:
    """The floats that a model has returned, beside the range that was declared for them, if any.

    Within half of one of the space's grey `levels` nothing counts as clipped.
    """

    def __init__(self, values: Range | None, levels: int) -> None:
        self.values = values
        self._levels = levels
        self._n = self._clipped = 0
        self._low, self._high = math.inf, -math.inf

    def add(self, x: Tensor) -> None:
        """Take float32 samples of any shape into account."""
        if self.values is None or x.numel() == 0:
            return
        slack = (self.values.high - self.values.low) / (2 * max(1, self._levels - 1))
        outside = (x < self.values.low - slack) | (x > self.values.high + slack)
        self._n += x.numel()
        self._clipped += int(outside.sum())
        self._low = min(self._low, float(x.min()))
        self._high = max(self._high, float(x.max()))

    def notes(self) -> tuple[str, ...]:
        """Notes on values that were clipped, and on a range that is hardly used."""
        if self.values is None or self._n == 0:
            return ()
        low, high = self.values.low, self.values.high
        used = max(0.0, min(high, self._high) - max(low, self._low)) / (high - low)
        held = f"its values reach from {self._low:.3g} to {self._high:.3g}, declared are "
        held += f"low={low:g} and high={high:g}{self._perhaps()}"
        notes = []
        if self._clipped / self._n >= CLIPPED:
            notes.append(f"{self._clipped / self._n:.1%} of the values were clipped: {held}")
        if 1 - used >= UNUSED:
            notes.append(f"{1 - used:.0%} of the grey levels are never reached: {held}")
        return tuple(notes)

    def _perhaps(self) -> str:
        """The usual range that fits what was seen, if it is another than the declared one."""
        for low, high in _USUAL:
            slack = 0.05 * (high - low)
            inside = low - slack <= self._low and self._high <= high + slack
            if inside and self._high - self._low >= (high - low) / 2:
                declared = self.values is not None and (low, high) == (
                    self.values.low, self.values.high,
                )  # fmt: skip
                return "" if declared else f" (perhaps low={low:g} and high={high:g} is meant)"
        return ""
