"""Metrics of other packages, made from the inputs; their answers are trusted in nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from genbench.errors import MetricError
from genbench.metrics.arrays import to_host
from genbench.metrics.checks import as_probabilities, missing
from genbench.metrics.custom import SEED, CustomMetric
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.uncertainty import Estimate, normal

NO_INTERVAL = "the metric's function gives no standard error"


def measure(metric: CustomMetric, inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The answer of a package's function to the inputs that it asks for."""
    real, fake = inputs.pair
    given = {key: _given(inputs, metric, key) for key in metric.keywords}
    try:
        answer = metric.function(_features(real), _features(fake), **given, **parameters)
    except SystemExit as error:  # ends neither the worker nor the other metrics
        raise MetricError(f"its function called sys.exit({error.code})", status="failed") from error
    return _measurement(inputs, answer)


def _given(inputs: Inputs, metric: CustomMetric, key: str) -> Any:
    """The function's argument of this name; ``not_applicable`` where it is not at hand."""
    if key == SEED:
        return inputs.seed
    if key == "train":
        return _features(inputs.train)
    if key.endswith("labels"):
        return _read_only(getattr(inputs.labels, key.removesuffix("_labels")))
    rows = inputs.fake_probabilities if key.startswith("fake") else inputs.real_probabilities
    if rows is None:
        raise missing("class probabilities", "this metric")
    return _features(as_probabilities(key, rows))


def _features(rows: Any) -> Any:
    """Float32, on the host: what other packages are promised."""
    return _read_only(to_host(rows).astype(np.float32, copy=False))


def _read_only(array: Any) -> Any:
    """A view that cannot be written to: other metrics are made of the same arrays."""
    view = array.view()
    view.flags.writeable = False
    return view


def _measurement(inputs: Inputs, answer: Any) -> Measurement:
    """The function's answer as an estimate; a broken answer is a MetricError."""
    parts = answer if isinstance(answer, tuple) else (answer, None)
    try:
        value, error = parts
        value, error = float(value), None if error is None else float(error)
    except (TypeError, ValueError) as wrong:
        raise MetricError(
            f"its function returned {type(answer).__name__} {str(answer)[:60]!r}: "
            "return a number, or (number, standard error)",
            status="failed",
        ) from wrong
    if error is None or not math.isfinite(value):
        return Measurement(Estimate(value, no_interval=NO_INTERVAL if error is None else ""))
    if not (math.isfinite(error) and error >= 0):
        raise MetricError(
            f"its function returned the standard error {error}: "
            "return one that is finite and not negative, or the number alone",
            status="failed",
        )
    return Measurement(inputs.maybe(normal(value, error)))
