"""The scores of a look inside: what the codes of real rows keep of them.

Runs in the worker, which alone knows the labels. Imports torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench.data import Split
from genbench.downstream import stratified
from genbench.errors import GenbenchError, MetricError
from genbench.features import Features
from genbench.metrics import (
    METRICS,
    Estimate,
    MetricValue,
    evaluate,
    linear_probe,
    reconstruction_error,
    signature,
    trainings_mean,
    wilson_share,
)
from genbench.results import digest
from genbench.running.cellspec import CellSpec
from genbench.running.codesplan import CodesPlan, why_not_looked_into
from genbench.seeds import derive_seed
from genbench.system import load_arrays, save_arrays, trusted_files

Array = npt.NDArray[Any]
Told = dict[str, npt.NDArray[np.bool_]]  # by number of labels: (trainings, tested rows)

ALL = "all"
NEEDS = {
    "reconstruction_mse": "rebuilt",
    "reconstruction_fid": "rebuilt",
    "probe_accuracy": "test",  # which comes after those of the training rows
}
LACKS = {
    "rebuilt": "{} neither reconstructs rows nor encodes and decodes them",
    "test": "{} does not encode rows",
}


class CodeScores:
    """The metrics of codes of one cell.

    Parameters
    ----------
    found
        Arrays as `genbench.running.encoding.Look` tells them.
    problem
        Why some are missing although they were wanted.
    features
        The function from rows to features of a feature space, and its name for signatures.
    """

    def __init__(
        self,
        spec: CellSpec,
        plan: CodesPlan,
        found: Mapping[str, Array],
        problem: str | None,
        splits: tuple[Split, Split],
        features: Callable[[str], tuple[Callable[[Array], Features], str]],
    ) -> None:
        self._spec, self._asked = spec, plan.asked
        self._found, self._problem, self._features = found, problem, features
        self._train, self._reference = plan.of_train(splits[0]), plan.of_reference(splits[1])

    def score(self) -> dict[str, MetricValue]:
        """Every metric of codes that the suite asks for: a value or a typed reason."""
        return {id_: self._value(id_) for id_ in self._asked.metrics}

    def _value(self, id_: str) -> MetricValue:
        start = time.perf_counter()
        name = self._spec.generator.name
        if (why := why_not_looked_into(self._spec)) is not None:
            return self._without(id_, "not_applicable", why)
        if NEEDS[id_] not in self._found and self._problem is not None:
            return self._without(id_, "failed", self._problem)
        if NEEDS[id_] not in self._found:
            return self._without(id_, "not_applicable", LACKS[NEEDS[id_]].format(name))
        if id_ == "probe_accuracy" and self._train.y is None:
            return self._without(id_, "not_applicable", "the suite has no classes")
        make = {
            "reconstruction_mse": self._error,
            "reconstruction_fid": self._distance,
            "probe_accuracy": self._probe,
        }[id_]
        try:
            value = make()
        except MetricError as error:
            return self._without(id_, error.status, str(error))
        except (GenbenchError, MemoryError) as error:
            return self._without(id_, "failed", str(error))
        return replace(value, seconds=time.perf_counter() - start)

    def _error(self) -> MetricValue:
        """In the range of grey levels, or as the data are."""
        top = max(1, self._spec.suite.space.levels - 1)
        real, rebuilt = (_flat(x) / top for x in (self._reference.x, self._found["rebuilt"]))
        return self._measured("reconstruction_mse", reconstruction_error(real, rebuilt), {})

    def _distance(self) -> MetricValue:
        """The Frechet distance in the suite's features."""
        extract, identity = self._features(self._spec.suite.extractor)
        real, rebuilt = (extract(x).features for x in (self._reference.x, self._found["rebuilt"]))
        seed = derive_seed(self._spec.seed, "codes", "fid")
        value = evaluate(real, rebuilt, ["fid"], seed=seed)["fid"]
        if value.value is None:
            raise MetricError(value.reason or "no value and no reason", status=value.status)
        estimate = Estimate(value.value, value.std_error, value.interval)
        return self._measured("reconstruction_fid", estimate, {"extractor": identity})

    def _probe(self) -> MetricValue:
        """Of codes, and of raw pixels beside it; with few labels too."""
        y, tested = np.asarray(self._train.y), np.asarray(self._reference.y)
        told = self._told(self._found["train"], self._found["test"])
        pixels = self._pixels
        estimate = wilson_share(int(told[ALL].sum()), len(tested))
        few = []
        for name in told.keys() - {ALL}:
            mean = trainings_mean(told[name].astype(np.float64))
            assert mean.interval is not None
            few.append({
                "labels": int(name), "accuracy": mean.value, "low": mean.interval.low,
                "high": mean.interval.high, "pixels": float(pixels[name].mean()),
            })  # fmt: skip
        few.sort(key=lambda one: one["labels"])
        value = self._measured("probe_accuracy", estimate, {}, n_real=len(y))
        more = {"labels": len(y), "pixels": float(pixels[ALL].mean()), "few_labels": few}
        return replace(value, details={**value.details, **more})

    @cached_property
    def _pixels(self) -> Told:
        """The probe of raw rows: the same for every generator, so it is kept in the cache."""
        a = self._asked
        body = {"task": self._spec.suite.task_hash, "reference": self._reference_name,
                "rows": a.rows, "labels": a.labels, "subsets": a.subsets,
                "implementation": METRICS["probe_accuracy"].implementation}  # fmt: skip
        path = self._spec.cache / "probes" / f"{digest(body).removeprefix('sha256:')}.npz"
        if trusted_files.has(path):
            try:
                return load_arrays(path)
            except GenbenchError:
                path.unlink(missing_ok=True)
        told = self._told(_flat(self._train.x), _flat(self._reference.x))
        save_arrays(path, told)
        trusted_files.add(path)
        return told

    def _told(self, codes: Array, tested: Array) -> Told:
        """Which rows the probe tells, trained on all labels, and on few of them."""
        y, of_tested = np.asarray(self._train.y), np.asarray(self._reference.y)
        sets = (codes, y, tested, of_tested)
        return {ALL: linear_probe(*sets)} | {
            str(n): linear_probe(*sets, subsets=self._subsets(y, n))
            for n in self._asked.labels
            if n < len(y)
        }

    def _subsets(self, y: npt.NDArray[np.int64], n: int) -> list[npt.NDArray[np.int64]]:
        """The rows that keep their labels: the same ones for every generator."""
        classes, count = self._spec.suite.space.classes, self._asked.subsets
        seeds = (derive_seed(0, "codes", "labels", n, subset) for subset in range(count))
        return [stratified(y, classes, n, seed) for seed in seeds]

    def _measured(
        self, id_: str, estimate: Estimate, context: dict[str, str], n_real: int | None = None
    ) -> MetricValue:
        info, n = METRICS[id_], len(self._reference.x)
        context = {"reference": self._reference_name, **context}
        return MetricValue(
            status="ok",
            value=estimate.value,
            interval=estimate.interval,
            std_error=estimate.std_error,
            unit=info.unit,
            higher_is_better=info.higher_is_better,
            signature=signature(id_, {}, n, n if n_real is None else n_real, context),
            n=n,
            details={"latent_size": self._found["test"].shape[1]} if "test" in self._found else {},
        )

    def _without(self, id_: str, status: Any, reason: str) -> MetricValue:
        info = METRICS[id_]
        return MetricValue(
            status=status,
            reason=reason,
            unit=info.unit,
            higher_is_better=info.higher_is_better,
            signature=f"{id_}|reference={self._reference_name}",
        )

    @property
    def _reference_name(self) -> str:
        return str(self._spec.suite.document["protocol"]["reference"])


def _flat(x: Array) -> npt.NDArray[np.float64]:
    return x.reshape(len(x), -1).astype(np.float64)
