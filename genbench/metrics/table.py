"""Every metric by id: what it is, its unit, direction, needs and cost. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from genbench.errors import UsageError, did_you_mean
from genbench.system import extensions

Need = Literal["features", "probabilities", "labels", "train", "log_prob", "classifier", "pixels"]
Scale = Literal["log", "linear"]

ALL_KINDS = ("image", "points", "sequence", "waveform")
IMAGE = ("image",)

# Metrics made of the generator's log-probabilities rather than of its samples.
LIKELIHOOD_METRICS = ("nll", "nll_tight")


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One metric as people and tables need to know it.

    Parameters
    ----------
    id
        The key in suites and records.
    title
        The column's heading, without the extractor's name.
    description
        One sentence.
    unit
        Such as ``"bits/dim"``; None for a pure number. See `unit_for`.
    higher_is_better
        None where neither direction is better in itself.
    needs
        What must be at hand: ``features`` of real and generated rows, class ``probabilities``,
        ``labels``, the ``train`` rows, the generator's ``log_prob``, a ``classifier`` trained for
        the purpose, raw ``pixels``.
    kinds
        The kinds of data space it makes sense for.
    scale
        How an axis should show it.
    cost
        How the work grows: n rows, d feature dimensions.
    reference
        Where it is defined.
    """

    id: str
    title: str
    description: str
    unit: str | None
    higher_is_better: bool | None
    needs: frozenset[Need]
    kinds: tuple[str, ...]
    scale: Scale
    cost: str
    reference: str

    def unit_for(self, kind: str) -> str | None:
        """The unit on data of this kind: likelihoods of points are in nats, not bits/dim."""
        return "nats" if self.unit == "bits/dim" and kind == "points" else self.unit


def split_id(metric: str) -> tuple[str, str | None]:
    """``"fid@inception-v3-compat"`` -> ``("fid", "inception-v3-compat")``; no ``@`` -> None.

    Raises
    ------
    UsageError
        If neither genbench nor an installed package has the metric, or nothing follows the ``@``.
    """
    name, at, extractor = metric.partition("@")
    if name not in METRICS and name not in (others := extensions.announced(extensions.METRICS)):
        raise UsageError(f"unknown metric {name!r}: {did_you_mean(name, {*METRICS, *others})}")
    if at and not extractor:
        raise UsageError(f"metric {metric!r} names no extractor: write {name} or {name}@EXTRACTOR")
    return name, extractor or None


def metric_info(metric: str) -> MetricInfo:
    """The table's entry for an id with or without ``@EXTRACTOR``; unknown ones raise UsageError.

    Of a package's own metric this imports nothing and tells nothing but that it exists: see
    `genbench.metrics.custom.described`.
    """
    name = split_id(metric)[0]
    return METRICS[name] if name in METRICS else _entry(
        name, name, "A metric of another package.", up=None, needs=("features",), cost="unknown",
        reference="",
    )  # fmt: skip


def _entry(
    id: str,  # noqa: A002
    title: str,
    description: str,
    *,
    up: bool | None,
    needs: tuple[Need, ...],
    cost: str,
    reference: str,
    unit: str | None = None,
    kinds: tuple[str, ...] = ALL_KINDS,
    scale: Scale = "linear",
) -> MetricInfo:
    return MetricInfo(
        id, title, description, unit, up, frozenset(needs), kinds, scale, cost, reference
    )


_HEUSEL = "Heusel et al. 2017, arXiv:1706.08500"
_RAVURI = "Ravuri & Vinyals 2019, arXiv:1905.10887"
_NAEEM = "Naeem et al. 2020, arXiv:2002.09797"
_KYNKAANNIEMI = "Kynkaanniemi et al. 2019, arXiv:1904.06991"

_DISTANCES = (
    _entry(
        "fid",
        "FID",
        "Distance between the Gaussians fitted to real and to generated features.",
        up=False,
        needs=("features",),
        cost="n d^2 + d^3",
        reference=_HEUSEL,
        scale="log",
    ),
    _entry(
        "fid_infinity",
        "FID∞",
        "Frechet distance extrapolated to infinitely many rows, so that its bias in n is gone.",
        up=False,
        needs=("features",),
        cost="about 15 times fid, and 40 times that with its interval",
        reference="Chong & Forsyth 2020, arXiv:1911.07023",
    ),
    _entry(
        "fid_per_class",
        "FID per class",
        "Mean over classes of the Frechet distance between rows of that class.",
        up=False,
        needs=("features", "labels"),
        kinds=IMAGE,
        cost="n d^2 + classes d^3",
        reference="Miyato & Koyama 2018 (intra FID), arXiv:1802.05637",
        scale="log",
    ),
    _entry(
        "kid",
        "KID",
        "Squared maximum mean discrepancy with a cubic kernel: unbiased, so it may be negative.",
        up=False,
        needs=("features",),
        cost="n^2 d, shared",
        reference="Binkowski et al. 2018, arXiv:1801.01401",
    ),
    _entry(
        "emd",
        "EMD",
        "Exact cost of moving generated rows onto real ones (optimal transport, biased up).",
        up=False,
        needs=("features",),
        cost="n^2 d + n^3 worst case, on blocks of 2,000 rows",
        reference="Peyre & Cuturi 2019, arXiv:1803.00567",
        scale="log",
    ),
    _entry(
        "sliced_wasserstein",
        "Sliced W2",
        "Mean Wasserstein distance of one-dimensional projections in random directions.",
        up=False,
        needs=("features",),
        cost="projections (n d + n log n)",
        reference="Bonneel et al. 2015, doi:10.1007/s10851-014-0506-3",
        scale="log",
    ),
)

_QUALITY_AND_SPREAD = (
    _entry(
        "classifier_score",
        "Classifier score",
        "How surely and how evenly a classifier names generated rows (the inception score's formula"
        " off Inception).",
        up=True,
        needs=("probabilities",),
        kinds=IMAGE,
        cost="n classes",
        reference="Salimans et al. 2016, arXiv:1606.03498",
    ),
    _entry(
        "precision",
        "Precision",
        "Share of generated rows that lie within the real rows' neighbourhoods.",
        up=True,
        needs=("features",),
        cost="n^2 d, shared",
        reference=_KYNKAANNIEMI,
    ),
    _entry(
        "recall",
        "Recall",
        "Share of real rows that lie within the generated rows' neighbourhoods.",
        up=True,
        needs=("features",),
        cost="n^2 d, shared",
        reference=_KYNKAANNIEMI,
    ),
    _entry(
        "density",
        "Density",
        "How many real neighbourhoods hold each generated row, over what is expected (1).",
        up=True,
        needs=("features",),
        cost="n^2 d, shared",
        reference=_NAEEM,
    ),
    _entry(
        "coverage",
        "Coverage",
        "Share of real neighbourhoods that hold at least one generated row.",
        up=True,
        needs=("features",),
        cost="n^2 d, shared",
        reference=_NAEEM,
    ),
    _entry(
        "vendi",
        "Vendi",
        "Effective number of distinct modes among the generated rows; says nothing of realism.",
        up=True,
        needs=("features",),
        cost="n d^2 + d^3",
        reference="Friedman & Dieng 2023, arXiv:2210.02410",
    ),
)

_LIKELIHOOD = (
    _entry(
        "nll",
        "NLL",
        "Negative log-likelihood of the test rows, typed by the generator's kind of likelihood.",
        up=False,
        needs=("log_prob",),
        unit="bits/dim",
        cost="one pass of the generator over the test rows",
        reference="Theis et al. 2016, arXiv:1511.01844",
    ),
    _entry(
        "nll_tight",
        "NLL, tight",
        "The same with more draws on fewer rows: a tighter bound on the true likelihood.",
        up=False,
        needs=("log_prob",),
        unit="bits/dim",
        cost="draws times a pass over fewer rows",
        reference="Burda et al. 2016, arXiv:1509.00519",
    ),
)

_MEMORISATION = (
    _entry(
        "c2st",
        "C2ST",
        "Held-out accuracy of a classifier told to separate real from generated rows (best: 0.5).",
        up=False,
        needs=("features",),
        cost="training two small classifiers on n rows",
        reference="Lopez-Paz & Oquab 2017, arXiv:1610.06545",
    ),
    _entry(
        "c_t",
        "C_T",
        "Whether generated rows lie nearer to training rows than held-out rows do: far below 0"
        " means copies.",
        up=None,
        needs=("features", "train"),
        cost="n n_train d",
        reference="Meehan et al. 2020, arXiv:2004.05675",
    ),
    _entry(
        "authenticity",
        "Authenticity",
        "Share of generated rows not nearer to a training row than that row's own neighbour; read"
        " it beside the held-out control's.",
        up=None,
        needs=("features", "train"),
        cost="n_train^2 d + n n_train d",
        reference="Alaa et al. 2022, arXiv:2102.08921",
    ),
)

_DOWNSTREAM = (
    _entry(
        "tstr_accuracy",
        "TSTR accuracy",
        "Real-test accuracy of a fixed classifier trained on generated rows only.",
        up=True,
        needs=("classifier", "labels"),
        kinds=IMAGE,
        cost="a classifier training per replicate",
        reference=_RAVURI,
    ),
    _entry(
        "trtr_accuracy",
        "TRTR accuracy",
        "Real-test accuracy of the same classifier trained on as many real rows: the ceiling.",
        up=None,
        needs=("classifier", "labels", "train"),
        kinds=IMAGE,
        cost="one classifier training",
        reference=_RAVURI,
    ),
    _entry(
        "trts_accuracy",
        "TRTS accuracy",
        "Accuracy of a classifier trained on real rows on generated ones: exposes wrong labels.",
        up=True,
        needs=("classifier", "labels", "train"),
        kinds=IMAGE,
        cost="one classifier training",
        reference="Esteban et al. 2017, arXiv:1706.02633",
    ),
    _entry(
        "augmentation_gain",
        "Augmentation gain",
        "Test accuracy gained by adding generated rows to few real ones, paired per replicate.",
        up=True,
        needs=("classifier", "labels", "train"),
        kinds=IMAGE,
        unit="accuracy points",
        cost="replicates times (one fit and all arms' classifier trainings)",
        reference=_RAVURI,
    ),
    _entry(
        "imbalance_recall",
        "Imbalance recall",
        "Recall of classes cut to a few rows after filling them up with generated ones.",
        up=True,
        needs=("classifier", "labels", "train"),
        kinds=IMAGE,
        unit="recall",
        cost="replicates times (one fit and four classifier trainings)",
        reference=_RAVURI,
    ),
    _entry(
        "robust_accuracy",
        "Robust accuracy",
        "Accuracy under attack of a classifier trained with generated rows added.",
        up=True,
        needs=("classifier", "labels", "train"),
        kinds=IMAGE,
        cost="one classifier training and its attacks",
        reference="Madry et al. 2018, arXiv:1706.06083",
    ),
)


def _pixel(info: MetricInfo) -> MetricInfo:
    """The same metric on raw pixels instead of an extractor's features."""
    return replace(
        info,
        id=f"pixel_{info.id}",
        title=f"{info.title} (pixels)",
        description=f"{info.description[:-1]}, on raw pixels instead of features.",
        needs=(info.needs - {"features"}) | {"pixels"},
        kinds=IMAGE,
    )


_FEATURED = (
    *_DISTANCES, *_QUALITY_AND_SPREAD, *_LIKELIHOOD, *_MEMORISATION, *_DOWNSTREAM
)  # fmt: skip
_ON_PIXELS = ("fid", "kid", "emd", "sliced_wasserstein", "c2st", "authenticity")

METRICS: Mapping[str, MetricInfo] = MappingProxyType(
    {info.id: info for info in _FEATURED}
    | {f"pixel_{info.id}": _pixel(info) for info in _FEATURED if info.id in _ON_PIXELS}
)
"""All metrics by id, in the order in which tables show them."""
