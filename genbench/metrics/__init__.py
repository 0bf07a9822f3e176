"""Metrics: pure functions on arrays, `real` before `fake`, and the table that describes them.

Importing this package imports neither torch nor numpy: each function is loaded when it is asked
for. `METRICS` says what each metric is; `evaluate` computes several at once and shares the work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from genbench.metrics.entry import MetricInfo
from genbench.metrics.table import METRICS, metric_info, split_id

if TYPE_CHECKING:
    from genbench.metrics.authentic import authenticity
    from genbench.metrics.copying import data_copying
    from genbench.metrics.custom import CustomMetric
    from genbench.metrics.evaluation import evaluate
    from genbench.metrics.frechet import (
        frechet_distance,
        frechet_distance_infinity,
        frechet_distance_per_class,
    )
    from genbench.metrics.inception import inception_score
    from genbench.metrics.kernel import kernel_distance
    from genbench.metrics.likelihood import bits_per_dim
    from genbench.metrics.neighbours import density_coverage, precision_recall
    from genbench.metrics.signatures import signature
    from genbench.metrics.transport import earth_movers_distance, sliced_wasserstein
    from genbench.metrics.two_sample import classifier_two_sample
    from genbench.metrics.vendi import vendi_score

_HOME = {
    "CustomMetric": "custom",
    "authenticity": "authentic",
    "bits_per_dim": "likelihood",
    "classifier_two_sample": "two_sample",
    "data_copying": "copying",
    "density_coverage": "neighbours",
    "earth_movers_distance": "transport",
    "evaluate": "evaluation",
    "frechet_distance": "frechet",
    "frechet_distance_infinity": "frechet",
    "frechet_distance_per_class": "frechet",
    "inception_score": "inception",
    "kernel_distance": "kernel",
    "precision_recall": "neighbours",
    "signature": "signatures",
    "sliced_wasserstein": "transport",
    "vendi_score": "vendi",
}

__all__ = [
    "METRICS",
    "CustomMetric",
    "MetricInfo",
    "authenticity",
    "bits_per_dim",
    "classifier_two_sample",
    "data_copying",
    "density_coverage",
    "earth_movers_distance",
    "evaluate",
    "frechet_distance",
    "frechet_distance_infinity",
    "frechet_distance_per_class",
    "inception_score",
    "kernel_distance",
    "metric_info",
    "precision_recall",
    "signature",
    "sliced_wasserstein",
    "split_id",
    "vendi_score",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
