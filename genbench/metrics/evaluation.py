"""Several metrics at once, sharing their work; one that fails leaves the others alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from genbench.errors import GenbenchError, MetricError, PluginError
from genbench.metrics.arrays import on_host
from genbench.metrics.custom import described
from genbench.metrics.entry import MetricInfo
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.shared import measure_together
from genbench.metrics.signatures import signature, with_defaults
from genbench.metrics.table import split_id
from genbench.metrics.values import MetricStatus, MetricValue

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Request:
    """One metric as asked for: its key (an id, taken whole), its entry, all parameters."""

    key: str
    info: MetricInfo
    parameters: Parameters


def evaluate(
    real: Any,
    fake: Any,
    names: Iterable[str],
    *,
    parameters: Mapping[str, Parameters] | None = None,
    real_labels: Any = None,
    fake_labels: Any = None,
    train: Any = None,
    real_probabilities: Any = None,
    fake_probabilities: Any = None,
    real_texts: Sequence[str] | None = None,
    fake_texts: Sequence[str] | None = None,
    train_texts: Sequence[str] | None = None,
    seed: int = 0,
    intervals: bool = True,
) -> dict[str, MetricValue]:
    """Metrics of one set of generated rows against one set of real rows, in one feature space.

    Parameters
    ----------
    real, fake
        Features ``(n_real, d)`` and ``(n_fake, d)``: arrays or tensors, float32 or float64.
    names
        Metric ids of the table or of installed packages, with or without extractor and split; a
        ``pixel_`` metric is computed like its namesake, on whatever rows are given.
    parameters
        By name, such as ``{"kid": {"subset_size": 500}}``.
    real_labels, fake_labels
        int ``(n_real,)`` and ``(n_fake,)``, for per-class metrics.
    train
        Features of the rows that the generator was trained on, for memorisation metrics.
    real_probabilities, fake_probabilities
        Class probabilities ``(n, classes)``, for the classifier score.
    real_texts, fake_texts, train_texts
        The same rows as texts, for metrics of texts; where nothing else is asked, `real` and `fake`
        may be None.
    seed
        Of every random draw.
    intervals
        Whether to compute uncertainties (see `genbench.metrics.uncertainty`).

    Returns
    -------
    dict
        A `MetricValue` for each name, in order. What could not be computed has a status other than
        ``ok``, a reason and no value: never 0, never NaN. Signatures lack the extractor and the
        reference split, which the caller knows and appends.

    Raises
    ------
    UsageError
        If a name is unknown.

    Notes
    -----
    KID, precision, recall, density and coverage share one pass over all pairs of rows. `seconds` of
    shared work are counted with the first metric that needed it. Of features on a device, those
    metrics that the CPU makes (`MetricInfo.on_cpu`) are made in a thread beside the others.
    """
    inputs = Inputs(
        real, fake, real_labels, fake_labels, train,
        real_probabilities, fake_probabilities, seed, intervals,
        real_texts, fake_texts, train_texts,
    )  # fmt: skip
    results: dict[str, MetricValue] = {}
    requests = []
    for key in names:
        info = described(key)
        results[key] = _blank(info)
        try:
            full = with_defaults(key, (parameters or {}).get(key, {}))
        except GenbenchError as error:
            results[key] = _without_value(key, "failed", str(error), inputs)
        else:
            requests.append(_Request(key, info, full))
    beside = [] if on_host(fake) else [request for request in requests if request.info.on_cpu]
    with ThreadPoolExecutor(1) as thread:
        made = [thread.submit(_evaluate_one, inputs, request) for request in beside]
        together = [request for request in requests if request.info.pairs]
        results.update(_evaluate_shared(inputs, together))
        for request in requests:
            if not request.info.pairs and request not in beside:
                results[request.key] = _evaluate_one(inputs, request)
        for request, value in zip(beside, made, strict=True):
            results[request.key] = value.result()
    return results


def _evaluate_shared(inputs: Inputs, requests: list[_Request]) -> dict[str, MetricValue]:
    """The metrics made of pairs of rows, from one pass."""
    start = time.perf_counter()
    asked = {request.key: (request.info, request.parameters) for request in requests}
    measured = measure_together(inputs, asked)
    seconds = time.perf_counter() - start
    values = {}
    for request in requests:
        found = _guarded(inputs, request, partial(_settled, measured[request.key]))
        values[request.key] = replace(found, seconds=seconds)
        seconds = 0.0
    return values


def _settled(result: Measurement | Exception) -> Measurement:
    if isinstance(result, Exception):
        raise result
    return result


def _evaluate_one(inputs: Inputs, request: _Request) -> MetricValue:
    start = time.perf_counter()
    if request.info.source != "features":
        name = request.info.id
        reason = f"{name} is not made of features: it comes from another part of a run"
        return _without_value(request.key, "not_applicable", reason, inputs)
    value = _guarded(inputs, request, lambda: request.info.load_maker()(inputs, request.parameters))
    return replace(value, seconds=time.perf_counter() - start)


def _guarded(inputs: Inputs, request: _Request, make: Callable[[], Measurement]) -> MetricValue:
    """The measurement as a value, any failure as a typed cell: the one place that catches all."""
    try:
        return _value(inputs, request, make())
    except Exception as error:
        status: Any = error.status if isinstance(error, MetricError) else "failed"
        known = isinstance(error, GenbenchError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        details = getattr(error, "details", {}) if known else {}
        return _without_value(request.key, status, reason, inputs, details)


def _value(inputs: Inputs, request: _Request, found: Measurement) -> MetricValue:
    estimate = found.estimate
    if not math.isfinite(estimate.value):
        raise MetricError(f"{request.key} came out as {estimate.value}", status="undefined")
    used = {**request.parameters, **found.used}
    interval = estimate.interval
    if interval is not None and not math.isfinite(interval.low + interval.high):
        interval = None
    details = {**found.details, **inputs.remarks(request.info, estimate)}
    return replace(
        _blank(request.info),
        status="ok",
        value=float(estimate.value),
        interval=interval,
        std_error=None if interval is None else estimate.std_error,
        signature=signature(request.key, used, inputs.n_fake, inputs.n_real, {}),
        n=inputs.n_fake,
        details=details,
    )


def _blank(info: MetricInfo) -> MetricValue:
    return MetricValue("failed", unit=info.unit, higher_is_better=info.higher_is_better)


def _without_value(
    key: str,
    status: MetricStatus,
    reason: str,
    inputs: Inputs,
    details: Mapping[str, Any] | None = None,
) -> MetricValue:
    try:
        text = signature(key, {}, inputs.n_fake, inputs.n_real, {})
    except PluginError:  # who would make it cannot be told
        text = split_id(key).name
    return replace(
        _blank(described(key)), status=status, reason=reason, signature=text, details=details or {}
    )
