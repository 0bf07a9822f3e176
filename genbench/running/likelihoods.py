"""The likelihood metrics' rows: a fitted generator's log-probabilities of them.

Scored in a process that has the stored state and the reference rows, except for a few training rows
that are scored in the fit's own process first: the stored state must say the same of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench import kinds
from genbench.data import Split, load_split
from genbench.errors import UsageError
from genbench.metrics import asks_log_probs
from genbench.plugins import GeneratorDriver, Stopped
from genbench.running.cellspec import CellSpec
from genbench.running.events import EventListener
from genbench.running.mass import MASS, MOST_DIMS, masses
from genbench.seeds import derive_seed

PROBES = 16  # training rows whose log_prob the stored state must bring back
PROBE = "probe"
Prior = npt.NDArray[np.float64]  # log-shares of the classes


def likelihood_plan(spec: CellSpec) -> dict[str, dict[str, int]]:
    """The likelihood metrics that the suite asks of this generator: id -> rows and draws."""
    if spec.generator.description.likelihood is None or "metrics" not in spec.parts:
        return {}
    plan = {}
    for request in spec.suite.metrics:
        if asks_log_probs(request.id):
            rows = int(request.parameters.get("rows", 10_000))
            plan[request.id] = {"rows": rows, "draws": int(request.parameters.get("draws", 1))}
    return plan


class LogProbs:
    """Scores rows by one cell's generator and tells the harness.

    Parameters
    ----------
    stopping
        Asked between calls; True ends the scoring with `Stopped`.
    """

    def __init__(self, spec: CellSpec, events: EventListener, stopping: Callable[[], bool]) -> None:
        self.spec, self.space, self.events = spec, spec.suite.space, events
        self._told_in = kinds.of(self.space.kind).likelihood
        self._stopping = stopping

    def probe(self, subject: GeneratorDriver, train: Split) -> None:
        """Score a few training rows: the same before the state was stored and after."""
        values = subject.log_prob(
            train.x[:PROBES],
            seed=derive_seed(self.spec.seed, PROBE),
            labels=train.y[:PROBES] if subject.takes_labels and train.y is not None else None,
            draws=1,
            first=0,
            of="training row",
        )
        self.events.log_probs({PROBE: values})

    def reference(self) -> tuple[Split, Prior | None]:
        """The rows to score, and the log-shares of the classes where it takes labels."""
        reference = self._split(self.spec.suite.document["protocol"]["reference"])
        given = self.spec.generator.description.labels == "given" and self.space.classes > 0
        return reference, self._label_prior() if given else None

    def score(self, subject: GeneratorDriver, reference: Split, prior: Prior | None) -> None:
        """Score the reference rows as often as the suite asks, and the mass where it can be had."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, ask in likelihood_plan(self.spec).items():
            rows = min(ask["rows"], len(reference.x))
            draws = ask["draws"] if self._draws_differ() else 1
            arrays[name] = self._rows(subject, reference, prior, rows, draws)
            if draws > 1:
                one = self._rows(subject, reference, prior, rows, 1)
                arrays[f"{name}_one_draw"] = one
            arrays[f"{name}_asked"] = np.array([ask["rows"], ask["draws"]])
        if self._told_in.integrable and self.space.dims <= MOST_DIMS:
            shares = None if prior is None else np.exp(prior)
            arrays[MASS] = masses(subject, reference.x, shares, self.spec.seed)
        self.events.log_probs(arrays)

    def _draws_differ(self) -> bool:
        """Whether the likelihood has noise to average: not if exact, nor a density of points."""
        likelihood = self.spec.generator.description.likelihood
        return likelihood == "lower-bound" or (
            likelihood == "dequantized" and self._told_in.dequantised
        )

    def _label_prior(self) -> Prior:
        y = self._split("train").y
        if y is None:
            raise UsageError(f"suite {self.spec.suite.name!r} has classes but no labels")
        share = np.bincount(y, minlength=self.space.classes) / len(y)
        return np.asarray(np.log(share), np.float64)

    def _rows(
        self,
        subject: GeneratorDriver,
        reference: Split,
        prior: Prior | None,
        rows: int,
        draws: int,
    ) -> npt.NDArray[np.float64]:
        chunk = max(1, 500 // draws)
        seed = derive_seed(self.spec.seed, "log_prob", draws)
        values = []
        for start in range(0, rows, chunk):
            if self._stopping():
                raise Stopped
            stop = min(start + chunk, rows)
            part = subject.log_prob(
                reference.x[start:stop],
                seed=derive_seed(seed, start),
                labels=None if prior is None or reference.y is None else reference.y[start:stop],
                draws=draws,
                first=start,
            )
            if prior is not None and reference.y is not None:
                part = part + prior[reference.y[start:stop]]
            values.append(part)
            self.events.progress(stop, rows, {})
        return np.concatenate(values)

    def _split(self, name: str) -> Split:
        return load_split(self.spec.suite.dataset, self.space, name)
