"""Metrics of other packages: how one is declared, found and entered. Imports nothing heavy.

A package's code is imported when a suite asks for its metric, and never to read results.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from genbench.errors import PluginError, UsageError, did_you_mean
from genbench.metrics.entry import MetricInfo, Need
from genbench.metrics.table import METRICS, metric_info, plain_name
from genbench.system import extensions

NAME = r"(?!pixel_)[a-z0-9][a-z0-9_-]{0,63}"
VERSION = r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}"

# Inputs that a metric may ask for, and the keywords by which its function gets them.
KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "features": (),
    "labels": ("real_labels", "fake_labels"),
    "train": ("train",),
    "probabilities": ("real_probabilities", "fake_probabilities"),
}
SEED = "seed"


@dataclass(frozen=True, slots=True)
class CustomMetric:
    """A package's metric: what an entry point ``name = "module:OBJECT"`` leads to.

    The entry point stands in the group ``genbench.metrics``; its name is the metric's id.

    Parameters
    ----------
    title, description
        The column's heading, and one sentence.
    function
        ``function(real, fake, **more)`` -> a number, or ``(number, standard error)`` for a normal
        interval. `real` and `fake` are features, float32 ``(n, d)``, read-only. `more` is what
        `needs` asks for; a ``seed``, if it has such an argument; and its parameters, which are
        all further arguments and have defaults that a suite may override.
    higher_is_better
        None where neither direction is better in itself.
    needs
        ``labels`` come as `real_labels` and `fake_labels`, int64 ``(n,)``; ``train`` as `train`,
        features of the training rows; ``probabilities`` as `real_probabilities` and
        `fake_probabilities`, float32 ``(n, classes)``.
    version
        Raise it when the same features would give another number.
    unit, cost, reference
        The number's unit; how the work grows; where the metric is defined.

    Raises
    ------
    PluginError
        If it cannot be used as it is, with what to change.
    """

    title: str
    description: str
    function: Callable[..., Any]
    higher_is_better: bool | None
    needs: tuple[Need, ...] = ("features",)
    version: str = "1"
    unit: str | None = None
    cost: str = "unknown"
    reference: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.version, str) or not re.fullmatch(VERSION, self.version):
            raise PluginError(f"version {self.version!r} is not usable: use digits, letters, dots")
        if self.unit is not None and not isinstance(self.unit, str):
            raise PluginError(f"unit is {self.unit!r}: give a text, or None")
        if self.higher_is_better not in (True, False, None):
            raise PluginError(f"higher_is_better is {self.higher_is_better!r}: give True or False")
        for need in self.needs:
            if need not in KEYWORDS:
                raise PluginError(f"needs {need!r} is not at hand: {did_you_mean(need, KEYWORDS)}")
        try:
            inspect.signature(self.function).bind(None, None, **dict.fromkeys(self.keywords))
        except (TypeError, ValueError) as error:
            takes = ", ".join(["real", "fake", *self._asked])
            raise PluginError(f"its function cannot be called with {takes}: {error}") from error
        for name, default in self.parameters.items():
            # It enters signatures, where only what prints alike everywhere is of use.
            if not isinstance(default, bool | int | float | str | None):
                raise PluginError(f"parameter {name} is {default!r}: give a number or a text")

    @property
    def keywords(self) -> tuple[str, ...]:
        """Names of the arguments that the function gets besides `real`, `fake` and parameters."""
        seeded = SEED in inspect.signature(self.function).parameters
        return (*self._asked, SEED) if seeded else self._asked

    @property
    def _asked(self) -> tuple[str, ...]:
        return tuple(keyword for need in self.needs for keyword in KEYWORDS[need])

    @property
    def parameters(self) -> dict[str, Any]:
        """The arguments that a suite may set, with their defaults."""
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        arguments = list(inspect.signature(self.function).parameters.values())[2:]
        return {
            a.name: a.default for a in arguments if a.kind in named and a.name not in self.keywords
        }


def provider(metric: str) -> str | None:
    """Package and version that a metric is from, read from metadata; None for a built-in one."""
    name = plain_name(metric)
    if name in METRICS:
        return None
    entries = extensions.announced(extensions.METRICS).get(name, [])
    return " and ".join(sorted(map(extensions.owner, entries))) or "no package installed here"


def complaint(name: str) -> str | None:
    """The reason that a package's metric cannot have this name, or None if it can."""
    if name in METRICS:
        return f"metric {name!r} of another package would hide genbench's own: rename it"
    if not re.fullmatch(NAME, name):
        return f"metric {name!r} has no usable name: use lower case, digits, - and _, not pixel_..."
    return None


def find(metric: str) -> CustomMetric:
    """The metric that a package announces under this id. Executes the package's code.

    Raises
    ------
    UsageError
        If none does.
    PluginError
        If its name cannot be used, two packages claim it, it does not import, or it is no
        `CustomMetric`.
    """
    name = plain_name(metric)
    known = extensions.announced(extensions.METRICS)
    if name not in known:
        raise UsageError(f"unknown metric {name!r}: {did_you_mean(name, {*METRICS, *known})}")
    wrong = complaint(name)
    if wrong is not None:
        raise PluginError(wrong)
    found = extensions.load(extensions.METRICS, name)
    if not isinstance(found, CustomMetric):
        raise PluginError(
            f"metric {name!r} of {provider(name)} is of type {type(found).__name__}: "
            "announce a genbench.metrics.CustomMetric"
        )
    return found


def entry(metric: str) -> MetricInfo:
    """The entry of the metric that an id names; imports a package's, as `find`."""
    plain = metric_info(metric)
    if plain.id in METRICS:
        return plain
    found = find(plain.id)

    def make(inputs: Any, parameters: Mapping[str, Any]) -> Any:
        from genbench.metrics.third_party import measure

        return measure(found, inputs, parameters)

    return replace(
        plain,
        title=found.title,
        description=found.description,
        unit=found.unit,
        higher_is_better=found.higher_is_better,
        needs=frozenset({"features", *found.needs}),
        cost=found.cost,
        reference=found.reference,
        implementation=f"{plain.id}/{found.version} of {provider(plain.id)}",
        defaults=found.parameters,
        maker=make,
        no_oracle="another package's: tested there",
    )


def described(metric: str) -> MetricInfo:
    """The `entry` of a metric; of one that cannot be imported, no more than `metric_info` says."""
    try:
        return entry(metric)
    except PluginError:
        return metric_info(metric)
