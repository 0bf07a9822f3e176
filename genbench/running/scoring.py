"""From stored samples to metric values: features once, `evaluate` once per feature space.

Runs in the worker, which never imports the generator. Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

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
    share_in,
    vocabulary_of,
)
from genbench.errors import GenbenchError
from genbench.features import IDENTITY, Features
from genbench.metrics import (
    FAKE_ROWS,
    REAL_ROWS,
    MetricValue,
    described,
    evaluate,
    exact_copies,
    metric_info,
    near_copies,
    nearest_rows,
    split_id,
    training_copies,
)
from genbench.running.cell_rows import SOUND, TRAIN_SCALE, CellRows
from genbench.running.cellspec import CellSpec
from genbench.running.codesplan import codes_wanted, plan_codes
from genbench.running.likelihood_scores import LikelihoodScores
from genbench.running.refits import Job, RefitResult
from genbench.seeds import derive_seed
from genbench.system import Slots

if TYPE_CHECKING:
    from genbench.running.utility import Utility

Array = npt.NDArray[Any]

COPIED = "reference_in_train"  # share of the reference rows that equal a training row
TEXTS = "texts"  # what metrics of texts are made in instead of features


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
        self.samples = samples
        self._rows = CellRows(spec, samples["x"])
        self.likelihood = likelihood
        self.likelihood_error = likelihood_error
        self.refits = refits
        self._progress = progress
        self._slots = slots
        self.reference = str(spec.suite.document["protocol"]["reference"])

    def score(self) -> dict[str, MetricValue]:
        """Every metric of the suite, each a value or a typed reason, in the suite's order."""
        values: dict[str, MetricValue] = {}
        with self._downstream() as utility:
            if "metrics" in self.spec.parts:
                values.update(LikelihoodScores(self).score())
                for (space, reference), ids in self._by_features().items():
                    self._progress(", ".join(ids))
                    values.update(self._evaluate(space, reference, ids))
            if utility is not None:
                values.update(utility.score())
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
        splits = self.split("train"), self.split(self.reference)
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
        """Copies of real rows among the samples, by split, or why nobody looked.

        Controls are such rows, or were made of training rows by us. Texts have metrics of their
        copies of training rows, which of names are normal.
        """
        if self.spec.generator.is_control or "metrics" not in self.spec.parts:
            return {}
        self._progress("copies of reference rows")
        try:
            found = {name: self._copies_of(name) for name in self._unseen()}
            if not kinds.of(self.spec.suite.space.kind).texts:
                sets = (self.split(self.reference).x, self.split("train").x, self.samples["x"])
                found["train"] = {"exact": asdict(training_copies(*sets))}
            return found
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
            if metric_info(request.id).source != "features":
                continue
            key = self._space_of(request.id), self.reference_of(request.id)
            spaces.setdefault(key, []).append(request.id)
        return spaces

    def reference_of(self, id_: str) -> str:
        """The split that a metric compares samples with."""
        return split_id(id_).split or self.reference

    def _space_of(self, id_: str) -> str:
        """The feature space that a metric is computed in."""
        info, extractor = metric_info(id_), split_id(id_).extractor
        space = extractor or self.spec.suite.extractor
        if info.on_pixels:
            return "pixels"
        if info.on_texts:
            return TEXTS
        if info.on_sound:
            return SOUND
        scaled = extractor is None and space == IDENTITY and info.standardised
        return TRAIN_SCALE if scaled else space

    def split(self, name: str) -> Split:
        """A split of the data, read once."""
        return self._rows.split(name)

    def generated(self, x: Array) -> Array:
        """Other rows of the generator's: their features are needed once, and not kept."""
        return self._rows.generated(x)

    def alike(self, x: Array) -> Array | None:
        """The training row nearest to each generated row in the suite's features; None without."""
        extractor = str(self.spec.suite.document["protocol"]["extractor"])
        train = self.split("train").x
        try:
            extract, _ = self._rows.features_in(extractor)
            sides = [extract(rows).on("cpu").features for rows in (self.generated(x), train)]
        except GenbenchError:  # no weights, which the metrics say
            return None
        return np.asarray(train[nearest_rows(*sides).index])

    def features_of(self, id_: str) -> tuple[Callable[[Array], Features], str]:
        """The function from rows to the features that a metric is made of, and its name."""
        return self._rows.features_in(self._space_of(id_))

    def _evaluate(self, space: str, against: str, ids: list[str]) -> dict[str, MetricValue]:
        infos = {id_: described(id_) for id_ in ids}
        try:
            reference = self.split(against)
            needs_train = any("train" in info.needs for info in infos.values())
            train = self.split("train").x if needs_train else None
            sets, identity = self._sets(space, reference.x, self.samples["x"], train)
        except (GenbenchError, MemoryError) as error:
            return {id_: self.unmeasured(id_, "failed", str(error)) for id_ in ids}
        found = evaluate(
            sets.pop("real", None),
            sets.pop("fake", None),
            ids,
            parameters={r.id: r.parameters for r in self.spec.suite.metrics if r.id in infos},
            real_labels=reference.y,
            fake_labels=self.samples.get("y"),
            seed=derive_seed(self.spec.seed, "metrics"),
            **sets,
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

    def _sets(
        self, space: str, real: Array, fake: Array, train: Array | None
    ) -> tuple[dict[str, Any], str]:
        """The arguments of `evaluate` that hold the rows of a feature space, and its name."""
        if space == TEXTS:
            words = vocabulary_of(self.spec.suite.dataset)
            given = {"real": real, "fake": fake, "train": train}
            spelt = {} if words is None else {
                f"{name}_texts": words.decode(x) for name, x in given.items() if x is not None
            }  # fmt: skip
            return spelt, TEXTS
        extract, identity = self._rows.features_in(space)
        of_real, of_fake = extract(real), extract(fake)
        return {
            "real": of_real.features,
            "fake": of_fake.features,
            "train": None if train is None else extract(train).features,
            "real_probabilities": of_real.probabilities,
            "fake_probabilities": of_fake.probabilities,
        }, identity

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
        against = self.reference_of(id_)
        share = share_in(self.split("train").x, self.split(against).x)
        if share < UNRELIABLE:
            return value
        note = f"unreliable: {share:.1%} of the real {against} rows equal a training row"
        return replace(value, details={**value.details, COPIED: share, "note": note})

    @contextmanager
    def _downstream(self) -> Iterator[Utility | None]:
        """The downstream part, whose classifiers may begin to train; None where none is asked."""
        if "downstream" not in self.spec.parts or not self.spec.suite.document.get("downstream"):
            yield None
            return
        from genbench.running.utility import Utility

        train, test = self.split("train"), self.split("test")
        utility = Utility(
            self.spec, self.samples, train, test, self.refits, self._progress, self._slots
        )
        with utility.begun():
            yield utility

    def unmeasured(self, id_: str, status: Any, reason: str) -> MetricValue:
        """A typed cell for a metric that has no number."""
        info = described(id_)
        return MetricValue(
            status=status,
            reason=reason,
            unit=info.unit_for(self.space.kind),
            higher_is_better=info.higher_is_better,
            signature=f"{id_}|reference={self.reference_of(id_)}",
        )
