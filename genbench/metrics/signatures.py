"""Signatures: the text that says exactly what a number is. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from genbench.errors import UsageError, did_you_mean
from genbench.metrics import custom
from genbench.metrics.table import METRICS, split_id


@dataclass(frozen=True, slots=True)
class Implementation:
    """Which code makes a metric, and the parameters that it knows with their defaults.

    Raise the version in `name` when the same inputs would give another number.
    """

    name: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)


_CLOSED = Implementation("neighbours/2", {"k": 3})
_OPEN = Implementation("neighbours/2", {"k": 5})
_CLASSIFIER = Implementation("classifier/1")

IMPLEMENTATIONS: Mapping[str, Implementation] = {
    "fid": Implementation("frechet/1", fixed={"ddof": 1}),
    "fid_infinity": Implementation("frechet-infinity/1", fixed={"sizes": 15}),
    "fid_per_class": Implementation("frechet-per-class/1", fixed={"ddof": 1}),
    "kid": Implementation("kernel/2", {"subsets": 100, "subset_size": 1000}),
    "emd": Implementation("transport/1", {"p": 1, "block": 2000}),
    "sliced_wasserstein": Implementation("sliced/1", {"projections": 1000, "p": 2}),
    "classifier_score": Implementation("inception/1", {"splits": 10}),
    "precision": _CLOSED,
    "recall": _CLOSED,
    "density": _OPEN,
    "coverage": _OPEN,
    "vendi": Implementation("vendi/1"),
    "nll": Implementation("likelihood/1", {"draws": 1, "rows": None}),
    "nll_tight": Implementation("likelihood/1", {"draws": 64, "rows": None}),
    "c2st": Implementation("two-sample/2"),
    "c_t": Implementation("data-copying/2"),
    "authenticity": Implementation("authenticity/2"),
    "tstr_accuracy": _CLASSIFIER,
    "trtr_accuracy": _CLASSIFIER,
    "trts_accuracy": _CLASSIFIER,
    "augmentation_gain": _CLASSIFIER,
    "imbalance_recall": _CLASSIFIER,
    "robust_accuracy": _CLASSIFIER,
}


def signature(
    metric: str, parameters: Mapping[str, Any], n: int, n_real: int, context: Mapping[str, str]
) -> str:
    """One line that is equal only for numbers that may be compared.

    Parameters
    ----------
    metric
        Id, with or without ``@EXTRACTOR`` (the extractor belongs into `context`, with its hash).
    parameters
        Those that were used; left-out ones enter with their defaults.
    n, n_real
        Generated rows and reference rows.
    context
        What the metric cannot know: extractor, reference split, kind of likelihood.

    Returns
    -------
    str
        Such as ``fid|frechet/1|ddof=1|n=10000|ref=10000|extractor=mnist-cnn/1``.
    """
    name = split_id(metric)[0]
    made_by = implementation(name)
    given = {**made_by.fixed, **made_by.defaults, **parameters}
    parts = [name, made_by.name]
    parts += [f"{key}={given[key]}" for key in sorted(given) if given[key] is not None]
    parts += [f"n={n}", f"ref={n_real}"]
    parts += [f"{key}={context[key]}" for key in sorted(context)]
    return "|".join(parts)


def implementation(metric: str) -> Implementation:
    """Who makes a metric; ``pixel_`` ones are made like their namesakes on features.

    Raises
    ------
    PluginError
        If it is a package's own and cannot be loaded.
    """
    name = split_id(metric)[0]
    if name not in METRICS:
        found = custom.find(name)
        made_by = f"{name}/{found.version} of {custom.provider(name)}"
        return Implementation(made_by, found.parameters)
    return IMPLEMENTATIONS[name.removeprefix("pixel_")]


def with_defaults(metric: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The metric's parameters, defaults filled in.

    Raises
    ------
    UsageError
        If the metric knows no parameter of a given name.
    PluginError
        As `implementation`.
    """
    known = implementation(metric).defaults
    for name in parameters:
        if name not in known:
            raise UsageError(f"{metric} has no parameter {name!r}: {did_you_mean(name, known)}")
    return {**known, **parameters}
