"""The scores of a course of training: FID, recall and classes hit of each state that was sampled.

Fewer rows than a cell's samples have enter each, so that they compare with one another and with the
floor that stands beside them, not with the cell's metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genbench.errors import GenbenchError, MetricError
from genbench.features import Features
from genbench.metrics import HIT_SHARE, classes_hit, evaluate, random_rows
from genbench.results import CONTROLS
from genbench.running.scoring import Scorer
from genbench.running.wire import Array
from genbench.seeds import derive_seed

MEASURED = ("fid", "recall")
CLASSES = "classes_hit"


def score_course(
    scorer: Scorer, drawn: Mapping[int, Mapping[str, Array]], before: Mapping[str, Any]
) -> dict[str, Any]:
    """The record's ``course``: a point for each state that was sampled, and the floor.

    Parameters
    ----------
    drawn
        The rows of each state by examples served.
    before
        What the attempt knows of the course already: why points of it, or all, are missing.
    """
    lost = dict(before.get("lost", {}))
    if not drawn:
        reason = next(iter(lost.values()), None)
        return {**before, **({"reason": reason} if reason else {})}
    try:
        return {**_CourseScores(scorer).of(drawn), **({"lost": lost} if lost else {})}
    except (GenbenchError, MemoryError) as error:
        return {"status": "failed", "reason": str(error), "lost": lost}


@dataclass(frozen=True, slots=True)
class _Space:
    """A feature space: its metrics, the function from rows to features, those of real rows."""

    ids: tuple[str, ...]
    extract: Callable[[Array], Features]
    real: Features
    name: str


class _CourseScores:
    """Scores sets of rows alike, against the suite's reference."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        suite = scorer.spec.suite
        self._reference = str(suite.document["protocol"]["reference"])
        self._parameters = {r.id: r.parameters for r in suite.metrics if r.id in MEASURED}
        self._classes = suite.space.classes
        self._spaces = self._found()
        self.signatures: dict[str, str] = {}

    def of(self, drawn: Mapping[int, Mapping[str, Array]]) -> dict[str, Any]:
        """The whole account."""
        n = min(len(rows["x"]) for rows in drawn.values())
        rows = {at: self._scorer.generated(drawn[at]["x"]) for at in drawn}
        points = [{"examples": at, **self._scores(x)} for at, x in rows.items()]
        floor = self._scores(self._heldout(n))
        about = {"status": "ok", "rows": n, "reference": self._reference}
        classes = {"classes": self._classes} if CLASSES in floor else {}
        return {**about, **classes, "signatures": self.signatures, "points": points, "floor": floor}

    def _found(self) -> list[_Space]:
        """The feature spaces of the metrics, each with the features of the reference."""
        spaces: dict[str, tuple[Callable[[Array], Features], list[str]]] = {}
        for id_ in MEASURED:
            extract, name = self._scorer.features_of(id_)
            spaces.setdefault(name, (extract, []))[1].append(id_)
        real = self._scorer.split(self._reference).x
        return [_Space(tuple(ids), f, f(real), name) for name, (f, ids) in spaces.items()]

    def _heldout(self, n: int) -> Array:
        """As many real rows that no generator saw: the floor is theirs, at the same n."""
        x = self._scorer.split(CONTROLS["heldout"]).x
        return np.asarray(x[random_rows(len(x), n, derive_seed(0, "course", "floor"))])

    def _scores(self, x: Array) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for space in self._spaces:
            fake = space.extract(x)
            values = evaluate(
                space.real.features,
                fake.features,
                space.ids,
                parameters=self._parameters,
                seed=derive_seed(self._scorer.spec.seed, "course", "metrics"),
                intervals=False,
            )
            context = f"extractor={space.name}|reference={self._reference}"
            for id_, value in values.items():
                found[id_] = value.value
                self.signatures.setdefault(id_, f"{value.signature}|{context}")
                if value.value is None:
                    found.setdefault("reasons", {})[id_] = value.reason
            if "fid" in space.ids:
                found.update(self._hit(space, fake, context))
        return found

    def _hit(self, space: _Space, fake: Features, context: str) -> dict[str, Any]:
        """The number of classes hit and the numbers of those missed, where it is a classifier."""
        real = space.real.probabilities
        if not self._classes or real is None or fake.probabilities is None:
            return {}
        if real.shape[1] != self._classes:
            raise MetricError(f"{space.name} tells {real.shape[1]} classes, not {self._classes}")
        hit = classes_hit(real, fake.probabilities)
        self.signatures.setdefault(CLASSES, f"{CLASSES}|share={HIT_SHARE}|{context}")
        return {CLASSES: int(hit.sum()), "missed": [int(c) for c in np.flatnonzero(~hit)]}
