"""The entry of a metric: the one place that says what it is. Imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Literal

from genbench import kinds

Need = Literal[
    "features", "probabilities", "labels", "train", "log_prob", "classifier", "pixels", "codes",
    "texts", "truth", "sound",
]  # fmt: skip
Scale = Literal["log", "linear"]
Pairs = Literal["kernel", "closed balls", "open balls"]
Source = Literal["features", "likelihood", "downstream", "codes", "truth"]
Group = Literal["quality", "diversity", "likelihood", "copies", "use", "inside", "other"]

# The groups in which tables show metrics side by side, in their order, with what each answers.
GROUPS: Mapping[Group, str] = MappingProxyType({
    "quality": "How near generated rows are to real ones.",
    "diversity": "How much of the real rows' variety is there.",
    "likelihood": "How probable the generator holds test rows to be.",
    "copies": "Whether generated rows are training rows again.",
    "use": "What generated rows are worth to a classifier.",
    "inside": "What codes keep of a row, and reconstructions give back.",
    "other": "What metrics of other packages tell.",
})  # fmt: skip

ALL_KINDS = ("image", "points", "sequence", "waveform")
IMAGE = ("image",)
JUDGED = ("image", "sequence", "waveform")  # the kinds whose rows classifiers are trained on
BITS = "bits/dim"  # the unit of likelihoods, which each kind of data calls by its own parts
PIXEL = "pixel_"  # how the ids of pixel twins begin


def any_number(dimensions: int) -> int:
    """0: for metrics to whose meaning the number of rows over dimensions does not matter."""
    return 0


def one_per_dimension(dimensions: int) -> int:
    """As many rows as dimensions: fewer have a singular covariance, and any plane parts them."""
    return dimensions


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """One sentence about a metric that `genbench selftest` checks, as data.

    Parameters
    ----------
    sentence
        The claim in words.
    low, high
        The range in which its number must lie.
    measure
        The method of `selftest.Laboratory` that makes the number from the metric's id.
    given
        Further arguments of the method.
    """

    sentence: str
    low: float
    high: float
    measure: str
    given: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)  # compared by identity
class MetricInfo:
    """One metric: all that the rest of the house knows of it.

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
        The inputs that must be at hand: ``features`` of real and generated rows, class
        ``probabilities``, ``labels``, the ``train`` rows, the generator's ``log_prob``, a
        ``classifier`` trained for the purpose, raw ``pixels``, the generator's ``codes``, the rows
        as ``texts``, the ``truth`` that the data were drawn from.
    kinds
        The kinds of data space it makes sense for.
    group
        The metrics beside which tables show it; ``other`` is for those of other packages.
    scale
        How an axis should show it.
    cost
        How the work grows: n rows, d feature dimensions.
    reference
        Where it is defined.
    bounds
        The least and the greatest value there can be.
    implementation
        The code that makes it and its version, such as ``"frechet/1"``: part of the signature.
        Raise the version when the same inputs would give another number.
    defaults
        The parameters that a suite may set, with their defaults.
    log_probs_of
        The likelihood metric whose log-probabilities it is made of; its own if empty.
    fixed
        Further choices that the signature names.
    maker
        ``"module:function"`` of ``function(inputs, parameters) -> Measurement`` (see
        `genbench.metrics.inputs`), or the function; of a metric that shares the pass over pairs,
        ``function(part, inputs, parameters)``, see `genbench.metrics.shared`. Empty for what is
        not made of features: likelihoods, metrics of codes, downstream metrics.
    pairs
        The part it takes in the one pass over all pairs of rows, if any: sums of a ``kernel``, or
        membership in ``closed balls`` or ``open balls`` around rows.
    standardised
        Whether it compares scales of directions: on points whose suite has no extractor it sees
        data standardised by the training split's moments.
    has_pixel_twin
        Whether there is the same metric on raw pixels, under its id with ``pixel_`` before it.
    on_cpu
        Whether the CPU makes it wherever the features are: beside the work of their device.
    least_rows
        The rows of the smaller set (with ``labels``, of its smallest class) from which it means
        something in so many feature dimensions.
    aspect
        The half of the trade-off it sees: each guards against rows that are good in the other only.
    ceiling
        The metric that says how good this one can be.
    says_extractor
        Whether its heading names the suite's extractor: known by the name of one network.
    of_copies
        Whether it tells copies of training rows, and so nothing where real rows are such copies.
    claims
        The claims that the selftest checks.
    oracle
        ``"tests.oracles.module:function"``: the naive form of its formula, for the tests.
    no_oracle
        The reason why there can be no naive form: `oracle`, if any, then checks its properties.
    """

    id: str
    title: str
    description: str
    unit: str | None = None
    higher_is_better: bool | None
    needs: frozenset[Need] = frozenset({"features"})
    kinds: tuple[str, ...] = ALL_KINDS
    group: Group = "other"
    scale: Scale = "linear"
    cost: str
    reference: str
    bounds: tuple[float, float] = (-math.inf, math.inf)
    implementation: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    log_probs_of: str = ""
    maker: str | Callable[..., Any] = ""
    pairs: Pairs | None = None
    standardised: bool = False
    has_pixel_twin: bool = False
    on_cpu: bool = False
    least_rows: Callable[[int], int] = any_number
    aspect: Literal["fidelity", "diversity"] | None = None
    ceiling: str = ""
    says_extractor: bool = False
    of_copies: bool = False
    claims: tuple[Claim, ...] = ()
    oracle: str = ""
    no_oracle: str = ""

    @property
    def source(self) -> Source:
        """The part of a run that makes it: from features (or texts), log-probabilities, codes,
        downstream, the truth.
        """
        if "log_prob" in self.needs:
            return "likelihood"
        if "codes" in self.needs:
            return "codes"
        if "truth" in self.needs:
            return "truth"
        return "downstream" if "classifier" in self.needs else "features"

    @property
    def on_pixels(self) -> bool:
        """True for a pixel twin: made of raw pixels, whatever the suite's extractor."""
        return "pixels" in self.needs

    @property
    def on_texts(self) -> bool:
        """True if it is made of the rows as texts, whatever the suite's extractor."""
        return "texts" in self.needs

    @property
    def on_sound(self) -> bool:
        """True if it is made of waveforms as they are, whatever the suite's extractor."""
        return "sound" in self.needs

    def unit_for(self, kind: str) -> str | None:
        """The unit on data of this kind, which says what its likelihoods are told in."""
        return kinds.of(kind).likelihood.unit if self.unit == BITS else self.unit

    def load_maker(self) -> Callable[..., Any]:
        """The function that `maker` names, imported now."""
        if callable(self.maker):
            return self.maker
        module, _, name = self.maker.partition(":")
        found: Callable[..., Any] = attrgetter(name)(import_module(module))
        return found


def pixel_twin(info: MetricInfo) -> MetricInfo:
    """The same metric on raw pixels instead of an extractor's features."""
    return replace(
        info,
        id=f"{PIXEL}{info.id}",
        title=f"{info.title} (pixels)",
        description=f"{info.description[:-1]}, on raw pixels instead of features.",
        needs=(info.needs - {"features"}) | {"pixels"},
        kinds=IMAGE,
        has_pixel_twin=False,
        says_extractor=False,
        of_copies=False,
        claims=(),
    )
