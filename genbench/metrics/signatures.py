"""Signatures: the text that says exactly what a number is. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench.errors import UsageError, did_you_mean
from genbench.metrics import custom
from genbench.metrics.table import split_id


def signature(
    metric: str, parameters: Mapping[str, Any], n: int, n_real: int, context: Mapping[str, str]
) -> str:
    """One line that is equal only for numbers that may be compared.

    Parameters
    ----------
    metric
        Id; an extractor or a split that it names belongs into `context`, that with its hash.
    parameters
        The ones that were used; left-out ones enter with their defaults.
    n, n_real
        Generated rows and reference rows.
    context
        All that the metric cannot know: extractor, reference split, kind of likelihood.

    Returns
    -------
    str
        Such as ``fid|frechet/1|ddof=1|n=10000|ref=10000|extractor=mnist-cnn/1``.
    """
    name = split_id(metric).name
    info = custom.entry(name)
    given = {**info.fixed, **info.defaults, **parameters}
    parts = [name, info.implementation]
    parts += [f"{key}={given[key]}" for key in sorted(given) if given[key] is not None]
    parts += [f"n={n}", f"ref={n_real}"]
    parts += [f"{key}={context[key]}" for key in sorted(context)]
    return "|".join(parts)


def with_defaults(metric: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The metric's parameters, defaults filled in.

    Raises
    ------
    UsageError
        If the metric knows no parameter of a given name.
    PluginError
        If it is a package's own and cannot be loaded.
    """
    known = custom.entry(metric).defaults
    for name in parameters:
        if name not in known:
            raise UsageError(f"{metric} has no parameter {name!r}: {did_you_mean(name, known)}")
    return {**known, **parameters}
