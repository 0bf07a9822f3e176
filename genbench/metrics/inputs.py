"""The inputs of `evaluate` as metrics take them, and the measurement that they give back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from genbench.errors import MetricError
from genbench.metrics.arrays import in_float64
from genbench.metrics.checks import Labels, Rows, as_labels, as_pair, as_rows, missing
from genbench.metrics.entry import MetricInfo, any_number
from genbench.metrics.uncertainty import BLOCKS, Blocks, Estimate, make_blocks, one_row_at_least


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric's result, as a maker gives it back: the value, with its interval or why it has none.

    `details` are further numbers worth keeping, plain data. `used` are parameters that had to be
    changed, as they were used: they enter the signature.
    """

    estimate: Estimate
    details: Mapping[str, Any] = field(default_factory=dict)
    used: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabelPair:
    """Labels of both sets; `classes` comes from the real ones."""

    real: Labels
    fake: Labels
    classes: int


@dataclass(frozen=True)
class Inputs:
    """The arguments of `evaluate`, checked when a metric first needs them."""

    _real: Any
    _fake: Any
    _real_labels: Any
    _fake_labels: Any
    _train: Any
    real_probabilities: Any
    _fake_probabilities: Any
    seed: int
    intervals: bool
    _real_texts: Sequence[str] | None = None
    _fake_texts: Sequence[str] | None = None
    _train_texts: Sequence[str] | None = None

    @cached_property
    def pair(self) -> tuple[Rows, Rows]:
        """Real and fake features, finite and of equal dimension."""
        if self._real is None or self._fake is None:
            raise missing("features of real and generated rows", "this metric")
        return as_pair(self._real, self._fake)

    @cached_property
    def train(self) -> Rows:
        """Features of the training rows."""
        if self._train is None:
            raise missing("the training rows", "this metric")
        return as_rows("train", self._train)

    @property
    def texts(self) -> tuple[Sequence[str], Sequence[str]]:
        """Real and generated rows as texts."""
        if self._real_texts is None or self._fake_texts is None:
            raise missing("real and generated rows as texts", "this metric")
        given = (self._real, self._real_texts), (self._fake, self._fake_texts)
        for rows, texts in given:
            if rows is not None and len(rows) != len(texts):
                raise MetricError(
                    f"{len(texts)} texts for {len(rows)} rows: give those of the same rows",
                    status="failed",
                )
        return self._real_texts, self._fake_texts

    @property
    def train_texts(self) -> Sequence[str]:
        """The training rows as texts."""
        if self._train_texts is None:
            raise missing("the training rows as texts", "this metric")
        return self._train_texts

    @property
    def fake_probabilities(self) -> Any:
        """Class probabilities of the generated rows."""
        if self._fake_probabilities is None:
            raise missing("class probabilities", "the classifier score")
        return self._fake_probabilities

    @cached_property
    def labels(self) -> LabelPair:
        """Labels of both sets, in range."""
        real, fake = self.pair
        for labels, whose in ((self._real_labels, "real"), (self._fake_labels, "generated")):
            if labels is None:
                raise missing(f"labels of {whose} rows", "a per-class metric")
        of_real = as_labels("real_labels", self._real_labels, n=len(real))
        classes = int(of_real.max()) + 1
        of_fake = as_labels("fake_labels", self._fake_labels, n=len(fake), classes=classes)
        return LabelPair(of_real, of_fake, classes)

    @cached_property
    def blocks(self) -> Blocks | None:
        """Blocks of generated rows, None if no intervals are wanted or possible."""
        return make_blocks(self.n_fake) if self.intervals else None

    def floored(
        self, estimate: Estimate, again: Callable[[Rows], float], *, low: float = 0.0
    ) -> Estimate:
        """The estimate with an error of at least one generated row exchanged for a real one.

        `again` is the metric of changed generated rows; the real row is the one farthest from the
        first generated row.
        """
        real, fake = self.pair

        def farthest() -> Rows:
            gap = in_float64(real - fake[0])
            gap *= gap
            return real[int(gap.sum(axis=1).argmax())]

        return one_row_at_least(estimate, fake, farthest, again, low=low)

    def maybe(self, estimate: Estimate) -> Estimate:
        """The estimate, without its interval if none is wanted."""
        return estimate if self.intervals else Estimate(estimate.value)

    def remarks(self, info: MetricInfo, estimate: Estimate) -> dict[str, str]:
        """The notes that `details` hold: too few rows, and why the value has no interval."""
        found = {}
        if note := self._few(info):
            found["note"] = note
        if self.intervals and estimate.interval is None:
            found["no_interval"] = estimate.no_interval or self._no_interval
        return found

    def _few(self, info: MetricInfo) -> str:
        if info.least_rows is any_number:  # those need no features
            return ""
        real, fake = self.pair
        n, which = min(len(real), len(fake)), "rows of the smaller set"
        if "labels" in info.needs:
            sides = (self.labels.real, self.labels.fake)
            n = min(int(np.bincount(y, minlength=self.labels.classes).min()) for y in sides)
            which = "rows of the smallest class"
        return few_rows(info, n, real.shape[1], which)

    @property
    def _no_interval(self) -> str:
        if self.n_fake < 2 * BLOCKS:
            return f"{self.n_fake} generated rows: an interval takes {2 * BLOCKS}"
        return "its error is not known"

    @property
    def n_real(self) -> int:
        """Reference rows given."""
        return _length(self._real if self._real is not None else self._real_texts)

    @property
    def n_fake(self) -> int:
        """Generated rows given."""
        every = (self._fake, self._fake_probabilities, self._fake_texts)
        return _length(next((given for given in every if given is not None), None))


def _length(x: Any) -> int:
    return 0 if x is None or np.ndim(x) == 0 else len(x)


class IncompleteError(MetricError):
    """An undefined metric whose parts are still worth keeping as `details`."""

    def __init__(self, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message, status="undefined")
        self.details = details


def few_rows(
    info: MetricInfo, n: int, dimensions: int, which: str = "rows of the smaller set"
) -> str:
    """The note for a value from too few rows; empty for enough.

    Such a value is still a value, and its interval may hold; but it says little of the generator.
    """
    if n >= info.least_rows(dimensions):
        return ""
    return f"too few rows (n < d): {n} {which} in {dimensions} feature dimensions"
