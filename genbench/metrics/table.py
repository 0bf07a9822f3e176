"""Every metric by id, genbench's own and those of installed packages. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from genbench.errors import UsageError, did_you_mean
from genbench.metrics.entries import ENTRIES
from genbench.metrics.entry import MetricInfo, pixel_twin
from genbench.system import extensions

METRICS: Mapping[str, MetricInfo] = MappingProxyType(
    {info.id: info for info in ENTRIES}
    | {twin.id: twin for twin in (pixel_twin(info) for info in ENTRIES if info.has_pixel_twin)}
)
"""All built-in metrics by id, in the order in which tables show them."""


class MetricId(NamedTuple):
    """A metric's id taken apart: ``NAME[@EXTRACTOR][:SPLIT]``.

    Without an `extractor` it is made in the suite's; without a `split` against its reference.
    """

    name: str
    extractor: str | None = None
    split: str | None = None


def split_id(metric: str) -> MetricId:
    """``"fid@inception-v3-compat:vendor"`` -> ``("fid", "inception-v3-compat", "vendor")``.

    Raises
    ------
    UsageError
        If neither genbench nor an installed package has the metric, or nothing follows the ``@``
        or the ``:``.
    """
    left, colon, split = metric.partition(":")
    name, at, extractor = left.partition("@")
    if name not in METRICS and name not in (others := extensions.announced(extensions.METRICS)):
        raise UsageError(f"unknown metric {name!r}: {did_you_mean(name, {*METRICS, *others})}")
    if at and not extractor:
        raise UsageError(f"metric {metric!r} names no extractor: write {name} or {name}@EXTRACTOR")
    if colon and not split:
        raise UsageError(f"metric {metric!r} names no split: write {left} or {left}:SPLIT")
    return MetricId(name, extractor or None, split or None)


def plain_name(metric: str) -> str:
    """The name alone of any id, known here or not: ``"fid@net:vendor"`` -> ``"fid"``."""
    return metric.partition(":")[0].partition("@")[0]


def metric_info(metric: str) -> MetricInfo:
    """The table's entry for an id; one whose name is unknown raises UsageError.

    Of a package's own metric this imports nothing and tells nothing but that it exists: see
    `genbench.metrics.custom.described`.
    """
    name = split_id(metric).name
    return METRICS[name] if name in METRICS else MetricInfo(
        id=name, title=name, description="A metric of another package.", higher_is_better=None,
        cost="unknown", reference="", implementation="",
    )  # fmt: skip


def is_likelihood(metric: str) -> bool:
    """True for the id of a metric made of the generator's log-probabilities."""
    return metric in METRICS and METRICS[metric].source == "likelihood"


def asks_log_probs(metric: str) -> bool:
    """True for a likelihood metric with log-probabilities of its own, not another one's."""
    return is_likelihood(metric) and not METRICS[metric].log_probs_of
