"""From stored samples to metric values: features once, `evaluate` once per feature space.

Runs in the worker, which never imports the generator. Imports torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench import kinds
from genbench.data import (
    APART,
    COPIES,
    UNRELIABLE,
    Split,
    changed_by,
    further_splits,
    log_density,
    share_in,
)
from genbench.errors import GenbenchError
from genbench.features import IDENTITY, Features
from genbench.metrics import (
    FAKE_ROWS,
    METRICS,
    REAL_ROWS,
    Estimate,
    MetricValue,
    described,
    evaluate,
    exact_copies,
    is_likelihood,
    metric_info,
    near_copies,
    nll_bits_per_dim,
    nll_nats,
    signature,
    split_id,
)
from genbench.running.cell_rows import TRAIN_SCALE, CellRows
from genbench.running.cellspec import CellSpec
from genbench.running.codesplan import codes_wanted, plan_codes
from genbench.running.mass import MASS, impossible
from genbench.running.refits import Job, RefitResult
from genbench.seeds import derive_seed
from genbench.system import Slots

Array = npt.NDArray[Any]

COPIED = "reference_in_train"  # share of the reference rows that equal a training row
MOST_LOG_PROB = 1e-3  # nats: float noise of a probability of 1


class Scorer:
    """Scores the samples of one cell.

    Parameters
    ----------
    samples
        Arrays ``x`` and, where there are labels, ``y``.
    likelihood
        Log-probabilities of reference rows by metric id, as generation stored them.
    likelihood_error
        Why there are none although the generator declares a likelihood.
    refits
        What the generator drew after being fitted anew for the downstream protocols.
    progress
        Told the name of what is being computed; may raise to stop.
    slots
        Where cores of the run are idle, they are used; None for this one alone.
    """

    def __init__(
        self,
        spec: CellSpec,
        samples: Mapping[str, Array],
        likelihood: Mapping[str, Array],
        likelihood_error: str | None,
        refits: Mapping[Job, RefitResult],
        progress: Callable[[str], None],
        slots: Slots | None = None,
    ) -> None:
        self.spec = spec
        self.space = spec.suite.space
        self._told_in = kinds.of(self.space.kind).likelihood
        self.samples = samples
        self._rows = CellRows(spec, samples["x"])
        self.likelihood = likelihood
        self.likelihood_error = likelihood_error
        self.refits = refits
        self._progress = progress
        self._slots = slots
        self._reference = str(spec.suite.document["protocol"]["reference"])

    def score(self) -> dict[str, MetricValue]:
        """Every metric of the suite, each a value or a typed reason, in the suite's order."""
        values: dict[str, MetricValue] = {}
        if "metrics" in self.spec.parts:
            values.update(self._likelihoods())
            for (space, reference), ids in self._by_features().items():
                self._progress(", ".join(ids))
                values.update(self._evaluate(space, reference, ids))
        if "downstream" in self.spec.parts:
            values.update(self._downstream())
        return self._signed(values)

    def codes(self, found: Mapping[str, Array], problem: str | None) -> dict[str, MetricValue]:
        """The metrics of codes that the suite asks for, made of what `Look` told.

        `problem` is the reason why it told no more.
        """
        asked = codes_wanted(self.spec)
        if asked is None:
            return {}
        from genbench.running.codes import CodeScores

        self._progress("codes")
        splits = self.split("train"), self.split(self._reference)
        plan = plan_codes(asked, *splits)
        if "rebuilt" in found:
            self.generated(found["rebuilt"])
        scores = CodeScores(self.spec, plan, found, problem, splits, self._rows.features_in).score()
        return self._signed(scores)

    def _signed(self, values: dict[str, MetricValue]) -> dict[str, MetricValue]:
        """The values, their signatures with what was done to the real rows before, if anything."""
        if not (changed := changed_by(self.spec.suite.dataset)):
            return values
        return {
            id_: replace(value, signature=f"{value.signature}|data={changed}")
            for id_, value in values.items()
        }

    def copies(self) -> dict[str, Any]:
        """Copies of reference rows among the samples, by split, or why nobody looked.

        Controls are such rows, or were made of training rows by us.
        """
        if self.spec.generator.is_control or "metrics" not in self.spec.parts:
            return {}
        self._progress("copies of reference rows")
        try:
            return {name: self._copies_of(name) for name in self._unseen()}
        except (GenbenchError, MemoryError) as error:
            return {"failed": str(error)}

    def _unseen(self) -> list[str]:
        """The splits that no generator is given."""
        further = further_splits(self.spec.suite.document["dataset"])
        return ["test", "valid", *further]

    def _copies_of(self, name: str) -> dict[str, Any]:
        seed = derive_seed(0, "copies", name)
        heldout, train, made = self.split(name).x, self.split("train").x, self.samples["x"]
        space = self.spec.suite.extractor
        exact = exact_copies(heldout, train, made, seed=seed)
        # The real rows drawn are the same in every cell, so that the cache knows their features.
        near = near_copies(
            self._rows.some_features(space, heldout, REAL_ROWS, seed),
            self._rows.some_features(space, train, REAL_ROWS, derive_seed(0, "copies", "train")),
            self._rows.some_features(space, made, FAKE_ROWS, seed),
            seed=seed,
        )
        return {"exact": asdict(exact), "near": asdict(near)}

    def _by_features(self) -> dict[tuple[str, str], list[str]]:
        """Metric ids by the feature space they are computed in and the split compared with."""
        spaces: dict[tuple[str, str], list[str]] = {}
        for request in self.spec.suite.metrics:
            if is_likelihood(request.id):
                continue
            key = self._space_of(request.id), self._reference_of(request.id)
            spaces.setdefault(key, []).append(request.id)
        return spaces

    def _reference_of(self, id_: str) -> str:
        """The split that a metric compares samples with."""
        return split_id(id_).split or self._reference

    def _space_of(self, id_: str) -> str:
        """The feature space that a metric is computed in."""
        info, extractor = metric_info(id_), split_id(id_).extractor
        space = extractor or self.spec.suite.extractor
        if info.on_pixels:
            return "pixels"
        scaled = extractor is None and space == IDENTITY and info.standardised
        return TRAIN_SCALE if scaled else space

    def split(self, name: str) -> Split:
        """A split of the data, read once."""
        return self._rows.split(name)

    def generated(self, x: Array) -> Array:
        """Other rows of the generator's: their features are needed once, and not kept."""
        return self._rows.generated(x)

    def features_of(self, id_: str) -> tuple[Callable[[Array], Features], str]:
        """The function from rows to the features that a metric is made of, and its name."""
        return self._rows.features_in(self._space_of(id_))

    def _evaluate(self, space: str, against: str, ids: list[str]) -> dict[str, MetricValue]:
        infos = {id_: described(id_) for id_ in ids}
        try:
            extract, identity = self._rows.features_in(space)
            reference = self.split(against)
            real, fake = extract(reference.x), extract(self.samples["x"])
            needs_train = any("train" in info.needs for info in infos.values())
            train = extract(self.split("train").x).features if needs_train else None
        except (GenbenchError, MemoryError) as error:
            return {id_: self._unmeasured(id_, "failed", str(error)) for id_ in ids}
        found = evaluate(
            real.features,
            fake.features,
            ids,
            parameters={r.id: r.parameters for r in self.spec.suite.metrics if r.id in infos},
            real_labels=reference.y,
            fake_labels=self.samples.get("y"),
            train=train,
            real_probabilities=real.probabilities,
            fake_probabilities=fake.probabilities,
            seed=derive_seed(self.spec.seed, "metrics"),
        )
        context = f"extractor={identity}|reference={against}"
        return {
            id_: replace(
                self._with_class_names(self._with_copies_note(id_, value)),
                signature=f"{value.signature}|{context}",
                unit=infos[id_].unit_for(self.space.kind),
            )
            for id_, value in found.items()
        }

    def _with_class_names(self, value: MetricValue) -> MetricValue:
        """A metric whose reason ends with numbers of classes, with their names where there are."""
        names = self.spec.suite.document["dataset"].get("class_names")
        by_class = value.details.get("by_class")
        if not names or not value.reason or not isinstance(by_class, Mapping):
            return value
        absent = [label for label, found in by_class.items() if found is None]
        numbers, called = ", ".join(absent), ", ".join(names[int(label)] for label in absent)
        if not absent or not value.reason.endswith(f"of class {numbers}"):
            return value
        return replace(value, reason=value.reason.removesuffix(numbers) + called)

    def _with_copies_note(self, id_: str, value: MetricValue) -> MetricValue:
        """A metric of copying with a note where real test rows equal training rows by nature."""
        if not metric_info(id_).of_copies or value.value is None:
            return value
        if self.spec.suite.document["dataset"]["split"].get(COPIES) != APART:
            return value
        against = self._reference_of(id_)
        share = share_in(self.split("train").x, self.split(against).x)
        if share < UNRELIABLE:
            return value
        note = f"unreliable: {share:.1%} of the real {against} rows equal a training row"
        return replace(value, details={**value.details, COPIED: share, "note": note})

    def _likelihoods(self) -> dict[str, MetricValue]:
        kind = self.spec.generator.description.likelihood
        values = {}
        for request in self.spec.suite.metrics:
            if not is_likelihood(request.id):
                continue
            start = time.perf_counter()
            if self.spec.generator.name == "heldout" and self._true_density():
                values[request.id] = self._entropy(request.id, dict(request.parameters))
            elif kind is None:
                reason = f"{self.spec.generator.name} has no likelihood"
                values[request.id] = self._unmeasured(request.id, "not_applicable", reason)
            elif request.id not in self.likelihood:
                reason = self.likelihood_error or "no log-probabilities were stored"
                values[request.id] = self._unmeasured(request.id, "failed", reason)
            elif (why := self._impossible(request.id, kind)) is not None:
                values[request.id] = self._unmeasured(request.id, "undefined", why)
            else:
                value = self._nll(request.id, kind, dict(request.parameters))
                values[request.id] = replace(value, seconds=time.perf_counter() - start)
        return values

    def _impossible(self, id_: str, kind: str) -> str | None:
        """The reason that these can be no log-probabilities of a distribution; None if they can."""
        log_prob = np.asarray(self.likelihood[id_], np.float64)
        if self.space.levels and kind == "exact" and log_prob.max() > MOST_LOG_PROB:
            row = int(log_prob.argmax())
            return (
                f"the probability of reference row {row} is exp({log_prob[row]:.4g}), where at "
                "most 1 is possible: log_prob must be of the discrete row, in nats"
            )
        error = log_prob.std(ddof=1) / len(log_prob) ** 0.5 if len(log_prob) > 1 else 0.0
        if self.space.levels and log_prob.mean() > MOST_LOG_PROB + 4 * error:
            return (
                f"the mean log-probability of discrete rows is {log_prob.mean():.4g} nats, where "
                "at most 0 is possible: log_prob must be in units of the levels, in nats"
            )
        return impossible(self.likelihood[MASS]) if MASS in self.likelihood else None

    def _nll(self, id_: str, kind: str, parameters: dict[str, Any]) -> MetricValue:
        log_prob = self.likelihood[id_]
        info = METRICS[id_]
        labelled = self.spec.generator.description.labels == "given" and self.space.classes > 0
        estimate = self._mean(log_prob)
        details: dict[str, Any] = {"kind": kind, "draws": int(parameters.get("draws", 1))}
        one_draw = self.likelihood.get(f"{id_}_one_draw")
        if one_draw is not None:
            details["one_draw"] = self._mean(one_draw).value
        context = {"kind": kind, "reference": self._reference}
        if labelled:
            context["labels"] = "joint"
        if self._told_in.signed:
            context["unit"] = self._told_in.signed
        return MetricValue(
            status="ok",
            value=estimate.value,
            interval=estimate.interval,
            std_error=estimate.std_error,
            unit=info.unit_for(self.space.kind),
            higher_is_better=False,
            signature=signature(id_, parameters, len(log_prob), len(log_prob), context),
            n=len(log_prob),
            details=details,
        )

    def _true_density(self) -> bool:
        """Whether the data were drawn from a density that we know."""
        return (
            self.spec.generator.is_control
            and self.spec.suite.document["dataset"]["loader"] == "toy"
        )

    def _entropy(self, id_: str, parameters: dict[str, Any]) -> MetricValue:
        """The floor of a likelihood: the reference rows under the density they came from."""
        rows = int(parameters.get("rows", 10_000))
        x = self.split(self._reference).x[:rows]
        name = str(self.spec.suite.document["dataset"]["name"])
        self.likelihood = {**self.likelihood, id_: log_density(name, x)}
        return self._nll(id_, "exact", parameters)

    def _mean(self, log_prob: Array) -> Estimate:
        """In the unit of the kind, of the first rows of the reference."""
        if not self._told_in.in_bits:
            return nll_nats(log_prob)
        rows = self.split(self._reference).x[: len(log_prob)]
        parts = kinds.of(self.space.kind).parts(self.space, rows)
        return nll_bits_per_dim(log_prob * (self.space.dims / parts), self.space.dims)

    def _downstream(self) -> dict[str, MetricValue]:
        if not self.spec.suite.document.get("downstream"):
            return {}
        from genbench.running.utility import Utility

        train, test = self.split("train"), self.split("test")
        return Utility(
            self.spec, self.samples, train, test, self.refits, self._progress, self._slots
        ).score()

    def _unmeasured(self, id_: str, status: Any, reason: str) -> MetricValue:
        """A typed cell for a metric that has no number."""
        info = described(id_)
        return MetricValue(
            status=status,
            reason=reason,
            unit=info.unit_for(self.space.kind),
            higher_is_better=info.higher_is_better,
            signature=f"{id_}|reference={self._reference_of(id_)}",
        )
