"""How each metric that `evaluate` offers is made from its inputs, except those in `shared`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from genbench.errors import MetricError
from genbench.metrics.checks import (
    Labels,
    Rows,
    as_labels,
    as_pair,
    as_probabilities,
    as_rows,
    missing,
    require_rows,
)
from genbench.metrics.enough import LEAST, few_rows
from genbench.metrics.frechet import (
    frechet_distance,
    frechet_estimate,
    infinity_estimate,
    per_class_estimate,
)
from genbench.metrics.inception import inception_estimate, inception_score
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import (
    BLOCKS,
    Blocks,
    Estimate,
    below,
    block_mean,
    longer_above,
    make_blocks,
    one_row_at_least,
    student,
    wilson_share,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A metric's estimate, what else is worth keeping, and parameters that had to be changed."""

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
    """What `evaluate` was given; checked when a metric first needs it."""

    _real: Any
    _fake: Any
    _real_labels: Any
    _fake_labels: Any
    _train: Any
    real_probabilities: Any
    _fake_probabilities: Any
    seed: int
    intervals: bool

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
            gap = np.square((real - fake[0]).astype(np.float64)).sum(axis=1)
            row: Rows = real[gap.argmax()]
            return row

        return one_row_at_least(estimate, fake, farthest, again, low=low)

    def maybe(self, estimate: Estimate) -> Estimate:
        """The estimate, without its interval if none is wanted."""
        return estimate if self.intervals else Estimate(estimate.value)

    def remarks(self, metric: str, estimate: Estimate) -> dict[str, str]:
        """What `details` say of the value: too few rows, and why it has no interval."""
        found = {}
        if note := self._few(metric):
            found["note"] = note
        if self.intervals and estimate.interval is None:
            found["no_interval"] = estimate.no_interval or self._no_interval
        return found

    def _few(self, metric: str) -> str:
        if metric not in LEAST:  # those need no features
            return ""
        real, fake = self.pair
        n, what = min(len(real), len(fake)), "rows of the smaller set"
        if metric == "fid_per_class":
            sides = (self.labels.real, self.labels.fake)
            n = min(int(np.bincount(y, minlength=self.labels.classes).min()) for y in sides)
            what = "rows of the smallest class"
        return few_rows(metric, n, real.shape[1], what)

    @property
    def _no_interval(self) -> str:
        if self.n_fake < 2 * BLOCKS:
            return f"{self.n_fake} generated rows: an interval takes {2 * BLOCKS}"
        return "its error is not known"

    @property
    def n_real(self) -> int:
        """Reference rows given."""
        return _length(self._real)

    @property
    def n_fake(self) -> int:
        """Generated rows given."""
        given = self._fake if self._fake is not None else self._fake_probabilities
        return _length(given)


Parameters = Mapping[str, Any]
Maker = Callable[[Inputs, Parameters], Outcome]


def _length(x: Any) -> int:
    return 0 if x is None or np.ndim(x) == 0 else len(x)


def _fid(inputs: Inputs, parameters: Parameters) -> Outcome:
    real, fake = inputs.pair
    require_rows("real", len(real), 2)
    require_rows("fake", len(fake), 2)
    found = frechet_estimate(real, fake, inputs.blocks)
    return Outcome(inputs.floored(found, lambda rows: frechet_distance(real, rows)))


def _fid_infinity(inputs: Inputs, parameters: Parameters) -> Outcome:
    real, fake = inputs.pair

    def again(rows: Rows) -> float:
        return infinity_estimate(real, rows, None, seed=inputs.seed).value

    found = infinity_estimate(real, fake, inputs.blocks, seed=inputs.seed)
    return Outcome(inputs.floored(found, again, low=-math.inf))


def _fid_per_class(inputs: Inputs, parameters: Parameters) -> Outcome:
    (real, fake), labels = inputs.pair, inputs.labels
    result, estimate = per_class_estimate(
        real, fake, labels.real, labels.fake, labels.classes, blocks=inputs.blocks
    )
    details = {"by_class": {str(label): value for label, value in result.by_class.items()}}
    if estimate is None:
        absent = ", ".join(str(label) for label, v in result.by_class.items() if v is None)
        raise IncompleteError(f"fewer than two real or generated rows of class {absent}", details)

    def again(rows: Rows) -> float:
        one = per_class_estimate(real, rows, labels.real, labels.fake, labels.classes, blocks=None)
        return one[0].mean or 0.0

    return Outcome(inputs.floored(estimate, again), details)


def _classifier_score(inputs: Inputs, parameters: Parameters) -> Outcome:
    splits = parameters["splits"]
    blocks = inputs.blocks
    result, estimate = inception_estimate(
        inputs.fake_probabilities, blocks, splits=splits, seed=inputs.seed
    )
    estimate = longer_above(estimate, result.mean - 1.0)  # 1 is the least a score can be
    estimate = _floored_score(estimate, inputs.fake_probabilities, splits, inputs.seed)
    details = {"split_std": result.std}
    if inputs.real_probabilities is not None:
        real = inception_score(inputs.real_probabilities, splits=splits, seed=inputs.seed)
        details["real"] = real.mean
    return Outcome(estimate, details)


def _floored_score(estimate: Estimate, given: Any, splits: int, seed: int) -> Estimate:
    """A row that is sure of the least likely class, in place of the first."""
    p = as_probabilities("probabilities", given)

    def sure() -> Rows:
        row: Rows = np.eye(p.shape[1])[p.mean(axis=0).argmin()]
        return row

    def again(rows: Rows) -> float:
        return inception_score(rows, splits=splits, seed=seed).mean

    if estimate.std_error is not None and estimate.value - 1.0 < 1 / len(p):
        # Less than one sure row would add: blocks that hold no such row cannot tell its error.
        estimate = replace(estimate, std_error=0.0)
    return one_row_at_least(estimate, p, sure, again, low=1.0)


class IncompleteError(MetricError):
    """An undefined metric whose parts are still worth keeping as `details`."""

    def __init__(self, message: str, details: Mapping[str, Any]) -> None:
        super().__init__(message, status="undefined")
        self.details = details


def _emd(inputs: Inputs, parameters: Parameters) -> Outcome:
    from genbench.metrics.transport import block_earth_movers_distance

    block, p = parameters["block"], parameters["p"]
    real, fake = inputs.pair

    def again(rows: Rows) -> float:
        return block_earth_movers_distance(real, rows, block=block, p=p, seed=inputs.seed).value

    found = block_earth_movers_distance(real, fake, block=block, p=p, seed=inputs.seed)
    return Outcome(
        inputs.maybe(inputs.floored(block_mean(found.values), again)),
        {"blocks": len(found.values)},
        {"block": found.block_rows},
    )


def _sliced_wasserstein(inputs: Inputs, parameters: Parameters) -> Outcome:
    from genbench.metrics.transport import sliced_wasserstein, sliced_wasserstein_estimate

    options: Any = {**parameters, "seed": inputs.seed}
    real, fake = inputs.pair
    if inputs.blocks is None:
        return Outcome(Estimate(sliced_wasserstein(real, fake, **options)))
    found = sliced_wasserstein_estimate(real, fake, inputs.blocks, **options)
    return Outcome(inputs.floored(found, lambda rows: sliced_wasserstein(real, rows, **options)))


def _vendi(inputs: Inputs, parameters: Parameters) -> Outcome:
    from genbench.metrics.vendi import vendi_score

    real, fake = inputs.pair
    value = vendi_score(fake)
    details = {"real": vendi_score(real)}
    if inputs.blocks is None:
        return Outcome(Estimate(value), details)
    block = inputs.blocks.of_row
    blocks = range(inputs.blocks.count)
    left_out = np.array(side_by_side(lambda b: vendi_score(fake[block != b]), blocks))
    most = float(min(fake.shape))
    found = Estimate(value, no_interval=f"at {most:g}, the most that {fake.shape} rows can have")
    if value < most:
        found = below(most, value, left_out)
    return Outcome(inputs.floored(found, vendi_score, low=1.0), details)


def _c2st(inputs: Inputs, parameters: Parameters) -> Outcome:
    from genbench.metrics.two_sample import classifier_two_sample, two_sample_estimate

    found = classifier_two_sample(*inputs.pair, seed=inputs.seed)
    details = {
        "null_low": found.null.low,
        "null_high": found.null.high,
        "p_value": found.p_value,
        "classifier": found.classifier,
        "n_test": found.n_test,
    }
    if not inputs.intervals:
        return Outcome(Estimate(found.accuracy), details)
    estimate, accuracies = two_sample_estimate(*inputs.pair, found, seed=inputs.seed)
    return Outcome(estimate, {**details, "splits": accuracies})


def _c_t(inputs: Inputs, parameters: Parameters) -> Outcome:
    from genbench.metrics.copying import data_copying

    train = inputs.train
    real, fake = inputs.pair
    # The cells are part of what the number is: one seed for all, so that no luck of a k-means start
    # stands between two generators.
    found = data_copying(train, real, fake, seed=0)
    details = {
        "z": found.z,
        "skipped_cells": found.skipped,
        "cell_z": [cell.z for cell in found.cells],
        "by_draw": list(found.by_draw),
    }
    estimate = student(found.c_t, found.std_error, found.df, "block-jackknife")
    if found.unsteady:
        estimate = Estimate(found.c_t, no_interval=found.unsteady)
    return Outcome(inputs.maybe(estimate), details)


def _authenticity(inputs: Inputs, parameters: Parameters) -> Outcome:
    from genbench.metrics.copying import authentic_rows

    train = inputs.train
    found = authentic_rows(train, inputs.pair[1])
    return Outcome(inputs.maybe(wilson_share(found.authentic, found.n)))


OWN: Mapping[str, Maker] = {
    "fid": _fid,
    "fid_infinity": _fid_infinity,
    "fid_per_class": _fid_per_class,
    "classifier_score": _classifier_score,
    "emd": _emd,
    "sliced_wasserstein": _sliced_wasserstein,
    "vendi": _vendi,
    "c2st": _c2st,
    "c_t": _c_t,
    "authenticity": _authenticity,
}
