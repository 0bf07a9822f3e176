"""All downstream metrics of one cell: TSTR of its samples, and the protocols with refits."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.data import Split, vocabulary_of
from genbench.downstream import (
    METHOD,
    Arm,
    AugmentationResults,
    Classifier,
    ImbalanceResults,
    Recipe,
    Replicate,
    RobustnessResults,
    changes,
    stratified,
)
from genbench.errors import MetricError, StoreError
from genbench.formats import Vocabulary
from genbench.metrics import MetricValue
from genbench.results import digest, metric_value
from genbench.running.ahead import train_ahead
from genbench.running.cellspec import CellSpec
from genbench.running.recording import LOG
from genbench.running.refits import Job, RefitResult, why_not_refitted
from genbench.running.substitution import Substitution, unmeasured
from genbench.system import Slots, read_json, trusted_files, write_json
from genbench.tasks import Protocols
from genbench.tasks import protocols as tables

Array = NDArray[Any]
Progress = Callable[[str], None]


class Utility:
    """The downstream part of a cell's scores.

    Parameters
    ----------
    refits
        What `genbench.running.refit_scheduler.run_refits` returned.
    progress
        Told what is being computed; may raise to stop.
    slots
        Where cores of the run are idle, classifiers are trained side by side; None for in turn.
    """

    def __init__(
        self,
        spec: CellSpec,
        samples: Mapping[str, Array],
        train: Split,
        test: Split,
        refits: Mapping[Job, RefitResult],
        progress: Progress,
        slots: Slots | None = None,
    ) -> None:
        self.spec = spec
        self.samples = samples
        self.train = train
        self.test = test
        self.refits = refits
        self._progress = progress
        self._slots = slots if spec.device == "cpu" else None
        self._substitution: Substitution | None = None

    @contextmanager
    def begun(self) -> Iterator[Utility]:
        """With a core that is idle, the classifiers that need no more than the samples begin."""
        table = self.spec.suite.document["downstream"].get("tstr")
        if table is None:
            yield self
            return
        given = self.train, self.samples, self.test
        with self._kept_apart() as folder:
            self._substitution = Substitution(
                self.spec, table, given, Path(folder), self._words, self._progress, self._slots
            )
            try:
                yield self
            finally:
                self._substitution.stop()

    def score(self) -> dict[str, MetricValue]:
        """Every downstream metric that the suite asks for: a value or a typed reason."""
        found = {} if self._substitution is None else self._substitution.score()
        asked = tables.read(self.spec.suite.document)
        if asked is not None:
            try:
                found |= self._protocols(asked)
            except MetricError as error:
                reason = str(error)
                found |= {id_: unmeasured(id_, error.status, reason) for id_ in asked.metrics}
        return found

    def _protocols(self, asked: Protocols) -> dict[str, MetricValue]:
        reason = why_not_refitted(self.spec)
        if reason is not None:
            return {id_: unmeasured(id_, "not_applicable", reason) for id_ in asked.metrics}
        problems = [f"{job.what}: {r.problem}" for job, r in self.refits.items() if r.problem]
        if problems:
            return {id_: unmeasured(id_, "failed", problems[0]) for id_ in asked.metrics}
        path = self.spec.cache / "utility" / f"{self._key(asked)}.json"
        if not self.spec.fresh and trusted_files.has(path):
            try:
                return {id_: metric_value(body) for id_, body in read_json(path).items()}
            except (StoreError, TypeError, ValueError, AttributeError):
                path.unlink(missing_ok=True)
        with self._kept_apart() as folder:
            found = self._measure(asked, self._trained_ahead(asked, Path(folder)))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {id_: value.to_json() for id_, value in found.items()})
        trusted_files.add(path)
        return found

    def _trained_ahead(self, asked: Protocols, kept: Path) -> Path | None:
        """`kept`, with the weights of all classifiers that `_measure` tests; None where no core is
        idle: then it trains them itself."""
        works = [partial(self._train, asked, job, kept) for job in self.refits]
        return kept if self._ahead(works) else None

    def _ahead(self, works: Sequence[Callable[[], object]]) -> bool:
        """Train classifiers side by side; False, and nothing, where no core is idle."""
        if self._slots is None:
            return False
        return train_ahead(works, self._slots, self.spec.folder / LOG, self._progress)

    def _kept_apart(self) -> tempfile.TemporaryDirectory[str]:
        """A folder for the weights of classifiers of this attempt alone."""
        return tempfile.TemporaryDirectory(dir=self.spec.folder, prefix=".classifiers-")

    def _train(self, asked: Protocols, job: Job, kept: Path) -> None:
        """Train what `_measure` will test of a job, and leave the weights in `kept`."""
        y = np.asarray(self.test.y)
        few = np.unique(y, return_index=True)[1]  # a row of each class: tested is later, on all
        test = Split(self.test.x[few], y[few])
        replicate = self._replicate(asked, job, kept)
        if job.protocol == "imbalance" and asked.imbalance:
            ImbalanceResults(asked.imbalance, test).add(replicate, lambda what: None)
        else:
            AugmentationResults(asked, test).add(
                replicate, lambda what: None, lambda n, arm, classifier: None
            )

    def _replicate(self, asked: Protocols, job: Job, kept: Path | None) -> Replicate:
        recipe = self._recipe(asked, job.seed(self.spec.suite.task_hash))
        classical = changes(asked.classical, self.spec.suite.space, self._words)
        confidence = asked.augmentation.confidence
        return Replicate.load(
            self.refits[job].folder, recipe, classical, self.spec.cache, confidence, kept
        )

    def _measure(self, asked: Protocols, kept: Path | None) -> dict[str, MetricValue]:
        a = asked.augmentation
        tested = self._tested(a.test_rows)
        curve = AugmentationResults(asked, tested)
        rare = ImbalanceResults(asked.imbalance, tested) if asked.imbalance else None
        attacked = None
        if asked.robustness:
            attacked = RobustnessResults(asked.robustness, a.headline_ratio, self.test, self._seed)
        seconds = dict.fromkeys(asked.metrics, 0.0)

        def keep(n: int, arm: Arm, classifier: Classifier) -> None:
            if attacked is not None:
                start = time.perf_counter()
                attacked.add(n, arm, classifier, self._progress)
                seconds["robust_accuracy"] += time.perf_counter() - start

        for job in self.refits:
            start = time.perf_counter()
            replicate = self._replicate(asked, job, kept)
            if job.protocol == "imbalance" and rare is not None:
                rare.add(replicate, self._progress)
                seconds["imbalance_recall"] += time.perf_counter() - start
            else:
                curve.add(replicate, self._progress, keep)
                seconds["augmentation_gain"] += time.perf_counter() - start
        labels = self._labels
        text = self._recipe(asked, 0).text
        values = {"augmentation_gain": curve.value(text, labels)}
        if rare is not None:
            values["imbalance_recall"] = rare.value(text, a.budget, labels)
        if attacked is not None:
            values["robust_accuracy"] = attacked.value(text, a.budget, labels)
            seconds["augmentation_gain"] -= seconds["robust_accuracy"]
        fit_s = sum(r.seconds for r in self.refits.values())
        seconds["augmentation_gain"] += fit_s
        return {id_: replace(value, seconds=seconds[id_]) for id_, value in values.items()}

    def _tested(self, n: int) -> Split:
        """`n` test rows, the same for every generator; all of them for 0 or too many."""
        x, y = self.test.x, np.asarray(self.test.y)
        if not 0 < n < len(x):
            return self.test
        rows = stratified(y, self.spec.suite.space.classes, n, self._seed)
        return Split(x[rows], y[rows])

    def _recipe(self, asked: Protocols, seed: int) -> Recipe:
        a = asked.augmentation
        return Recipe(
            self.spec.suite.space, a.steps, a.batch_size, seed, self.spec.device, self._words,
            a.judge,
        )  # fmt: skip

    @cached_property
    def _words(self) -> Vocabulary | None:
        return vocabulary_of(self.spec.suite.dataset)

    @property
    def _labels(self) -> str:
        own = self.spec.generator.description.labels != "none"
        return "generator" if own else "classifier"

    @property
    def _seed(self) -> int:
        return Job("robustness", 0, 0, 1).seed(self.spec.suite.task_hash)

    def _key(self, asked: Protocols) -> str:
        """Of all that decides the values of the protocols."""
        body = {
            "refits": [r.folder.name for r in self.refits.values()],
            "downstream": {
                name: self.spec.suite.document["downstream"].get(name) for name in tables.TABLES
            },
            "task": self.spec.suite.task_hash,
            "classifier": self._recipe(asked, 0).classifier,
            "labels": self._labels,
            "intervals": METHOD,
            "device": self.spec.device,
            "threads": self.spec.threads,
            "torch": torch.__version__,
            "metrics": asked.metrics,
        }
        return digest(body).removeprefix("sha256:")
