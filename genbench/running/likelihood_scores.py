"""From stored log-probabilities to the values of the likelihood metrics, typed by what they are."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genbench import kinds
from genbench.data import Split, truth_of, vocabulary_of
from genbench.formats import UNKNOWN
from genbench.metrics import (
    METRICS,
    Estimate,
    MetricValue,
    is_likelihood,
    nll_bits_per_dim,
    nll_nats,
    perplexity,
    signature,
)
from genbench.running.cellspec import CellSpec
from genbench.running.mass import MASS, impossible

Array = npt.NDArray[Any]

MOST_IMPOSSIBLE = 0.01  # of the generated rows: their NLL under the source is infinite
MOST_LOG_PROB = 1e-3  # nats: float noise of a probability of 1


class Scored(Protocol):
    """The parts of a `genbench.running.scoring.Scorer` that likelihoods are made of."""

    spec: CellSpec
    samples: Mapping[str, Array]
    likelihood: Mapping[str, Array]
    likelihood_error: str | None
    reference: str

    def split(self, name: str) -> Split:
        """A split of the data."""

    def unmeasured(self, id_: str, status: Any, reason: str) -> MetricValue:
        """A typed cell for a metric that has no number."""


class LikelihoodScores:
    """The likelihood metrics of one cell."""

    def __init__(self, scorer: Scored) -> None:
        self._scorer, self.spec = scorer, scorer.spec
        self.space = scorer.spec.suite.space
        self._kind = kinds.of(self.space.kind)
        self.likelihood = dict(scorer.likelihood)
        self._dataset = scorer.spec.suite.dataset
        self._truth = truth_of(self._dataset)

    def score(self) -> dict[str, MetricValue]:
        """A value or a typed reason for each metric of log-probabilities that the suite asks."""
        values = {}
        for request in self.spec.suite.metrics:
            start = time.perf_counter()
            if is_likelihood(request.id):
                value = self._likelihood(request.id, dict(request.parameters))
            elif request.id in METRICS and METRICS[request.id].source == "truth":
                value = self._under_truth(request.id)
            else:
                continue
            values[request.id] = replace(value, seconds=time.perf_counter() - start)
        return values

    def _likelihood(self, id_: str, parameters: dict[str, Any]) -> MetricValue:
        kind, of = self._kind_told, METRICS[id_].log_probs_of or id_
        unmeasured, subject = self._scorer.unmeasured, self.spec.generator
        if subject.is_control and subject.name == "heldout" and self._truth is not None:
            return self._entropy(id_, of, parameters)
        if kind is None:
            return unmeasured(id_, "not_applicable", f"{subject.name} has no likelihood")
        if of not in self.likelihood:
            reason = self._scorer.likelihood_error or "no log-probabilities were stored"
            return unmeasured(id_, "failed", reason)
        if (why := self._impossible(of, str(subject.description.likelihood))) is not None:
            return unmeasured(id_, "undefined", why)
        return self._value(id_, of, kind, parameters)

    @property
    def _kind_told(self) -> str | None:
        """The kind of likelihood: of a text that can be cut otherwise, one cut is a lower bound."""
        kind = self.spec.generator.description.likelihood
        several = self._words is not None and self._words.several_spellings
        return "lower-bound" if several and kind == "exact" else kind

    def _impossible(self, id_: str, kind: str) -> str | None:
        """The reason that these can be no log-probabilities of a distribution; None if they can."""
        log_prob = np.asarray(self.likelihood[id_], np.float64)
        counted = self._kind.likelihood.quantised
        discrete, levels = bool(self.space.levels or counted), counted or "the levels"
        if discrete and kind == "exact" and log_prob.max() > MOST_LOG_PROB:
            row = int(log_prob.argmax())
            return (
                f"the probability of reference row {row} is exp({log_prob[row]:.4g}), where at "
                f"most 1 is possible: log_prob must be of the row in {levels}, in nats"
            )
        error = log_prob.std(ddof=1) / len(log_prob) ** 0.5 if len(log_prob) > 1 else 0.0
        if discrete and log_prob.mean() > MOST_LOG_PROB + 4 * error:
            return (
                f"the mean log-probability of discrete rows is {log_prob.mean():.4g} nats, where "
                f"at most 0 is possible: log_prob must be in units of {levels}, in nats"
            )
        return impossible(self.likelihood[MASS]) if MASS in self.likelihood else None

    def _value(self, id_: str, of: str, kind: str, parameters: dict[str, Any]) -> MetricValue:
        log_prob, info = self.likelihood[of], METRICS[id_]
        labelled = self.spec.generator.description.labels == "given" and self.space.classes > 0
        rows = self._scorer.split(self._scorer.reference).x[: len(log_prob)]
        details: dict[str, Any] = {"kind": kind, "draws": int(parameters.get("draws", 1))}
        one_draw = self.likelihood.get(f"{of}_one_draw")
        if one_draw is not None:
            details["one_draw"] = self._mean(one_draw, rows).value
        if (unknown := self._unknown(rows)) > 0:
            details["unknown_tokens"] = unknown
        context = {"kind": kind, "reference": self._scorer.reference}
        if labelled:
            context["labels"] = "joint"
        if self._kind.likelihood.signed:
            context["unit"] = self._kind.likelihood.signed
        events = None if not info.log_probs_of else self._kind.events(self.space, rows)
        estimate = self._mean(log_prob, rows) if events is None else perplexity(log_prob, events)
        return self._told(id_, estimate, len(log_prob), details, context, parameters)

    def _told(
        self, id_: str, estimate: Estimate, n: int, details: dict[str, Any],
        context: dict[str, str], parameters: dict[str, Any],
    ) -> MetricValue:  # fmt: skip
        info = METRICS[id_]
        return MetricValue(
            status="ok",
            value=estimate.value,
            interval=estimate.interval,
            std_error=estimate.std_error,
            unit=info.unit_for(self.space.kind),
            higher_is_better=info.higher_is_better,
            signature=signature(id_, parameters, n, n, context),
            n=n,
            details=details,
        )

    def _entropy(self, id_: str, of: str, parameters: dict[str, Any]) -> MetricValue:
        """The floor of a likelihood: the reference rows under what they were drawn from."""
        assert self._truth is not None
        rows = int(parameters.get("rows", 10_000))
        x = self._scorer.split(self._scorer.reference).x[:rows]
        self.likelihood[of] = self._truth(x)
        return self._value(id_, of, "exact", parameters)

    def _under_truth(self, id_: str) -> MetricValue:
        """Generated rows under what the data were drawn from."""
        if self._truth is None:
            reason = "nobody knows what these data were drawn from"
            return self._scorer.unmeasured(id_, "not_applicable", reason)
        x = self._scorer.samples["x"]
        log_prob = self._truth(x)
        possible = np.isfinite(log_prob)
        lost = int((~possible).sum())
        if lost > MOST_IMPOSSIBLE * len(x):
            reason = f"{lost:,} of {len(x):,} generated rows are impossible in the source"
            return self._scorer.unmeasured(id_, "undefined", reason)
        details: dict[str, Any] = {}
        if lost:
            left_out = f"{lost:,} generated rows, impossible in the source, are left out"
            details = {"impossible": lost, "note": left_out}
        context = {"unit": self._kind.likelihood.unit}
        estimate = self._mean(log_prob[possible], x[possible])
        return self._told(id_, estimate, len(x) - lost, details, context, {})

    def _mean(self, log_prob: Array, rows: Array) -> Estimate:
        """In the unit of the kind, of these `rows`."""
        if not self._kind.likelihood.in_bits:
            return nll_nats(log_prob)
        given = () if self._words is None else (self._words.characters(rows),)
        parts = self._kind.parts(self.space, rows, *given)
        return nll_bits_per_dim(log_prob * (self.space.dims / parts), self.space.dims)

    @cached_property
    def _words(self) -> Any:
        return vocabulary_of(self._dataset)

    def _unknown(self, rows: Array) -> int:
        """Tokens of these rows that stand for what the vocabulary lacks: one of them tells less."""
        return 0 if self._words is None else int((rows == UNKNOWN).sum())
