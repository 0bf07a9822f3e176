"""Downstream metrics of digits whose answers are known: what the selftest asks of them.

The generated rows are real ones (scikit-learn's digits, which need no download), rightly or wrongly
labelled, so that no generator takes part.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from genbench.data import Split
from genbench.downstream import (
    Arms,
    AugmentationResults,
    ImbalanceResults,
    LabelledRows,
    Recipe,
    Replicate,
    RobustnessResults,
    cut,
    train_on_synthetic,
)
from genbench.generator import Space
from genbench.metrics import MetricValue
from genbench.tasks import Augmentation, Imbalance, Protocols, Robustness

CLASSES, TRAIN, SEED = 10, 1000, 20260101
SPACE = Space("image", (1, 8, 8), 17, CLASSES)
RARE, SMALL, RATIO, STEPS, BATCH = 3, 100, 4, 120, 64

Values = dict[str, MetricValue]


class KnownDigits:
    """Real digits, and the downstream protocols on them."""

    def __init__(self) -> None:
        self._transfers: dict[int, Values] = {}
        self._lessons: dict[str, tuple[MetricValue, list[Any]]] = {}

    @cached_property
    def _digits(self) -> tuple[Split, Split]:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        images, labels = x.reshape(-1, 1, 8, 8).astype(np.uint8), y.astype(np.int64)
        return Split(images[:TRAIN], labels[:TRAIN]), Split(images[TRAIN:], labels[TRAIN:])

    def transfer(self, turn: int) -> Values:
        """TSTR, TRTR and TRTS where the generated rows are real, labels moved on by `turn`."""
        if turn not in self._transfers:
            train, test = self._digits
            arms = Arms(train, train.x, self._turned(train.y, turn), SPACE, n=TRAIN, steps=STEPS,
                        batch_size=BATCH, seed=SEED)  # fmt: skip
            self._transfers[turn] = train_on_synthetic(arms, test)
        return self._transfers[turn]

    def augmented(self, kind: str) -> MetricValue:
        """The gain of few real rows from `kind`: themselves ``again``, ``fresh`` or ``wrong``."""
        return self._taught(kind)[0]

    def _taught(self, kind: str) -> tuple[MetricValue, list[Any]]:
        """The gain, and every classifier with its rows and arm."""
        if kind not in self._lessons:
            curve, kept = AugmentationResults(self._protocols(), self._digits[1]), []
            for replicate in self._replicates(kind):
                curve.add(replicate, _silent, lambda *one: kept.append(one))
            self._lessons[kind] = curve.value("selftest", "generator"), kept
        return self._lessons[kind]

    def filled(self, turn: int) -> MetricValue:
        """Recall of a rare class that is filled up with real rows of the class `turn` further."""
        train, test = self._digits
        y = np.asarray(train.y)
        rare = ImbalanceResults(Imbalance(TRAIN, (RARE,), 0.02, 2), test)
        like = y == (RARE + turn) % CLASSES
        synthetic = LabelledRows(train.x[like], np.full(int(like.sum()), RARE))
        for seed in (1, 2):
            kept = cut(y, (RARE,), 0.02, seed)
            real = LabelledRows(train.x[kept], y[kept])
            replicate = Replicate(real, synthetic, self._recipe(seed), None, None, None)
            rare.add(replicate, _silent)
        return rare.value("selftest", 0, "generator")

    def attacked(self, epsilon: float) -> MetricValue:
        """Accuracy under PGD of classifiers that fresh real rows were added to."""
        found = RobustnessResults(Robustness(SMALL, epsilon, 300, 5), RATIO, self._digits[1], SEED)
        for n, arm, classifier in self._taught("fresh")[1]:
            found.add(n, arm, classifier, _silent)
        return found.value("selftest", 0, "generator")

    @staticmethod
    def _protocols() -> Protocols:
        table = Augmentation((SMALL,), (RATIO,), 2, STEPS, BATCH, 0, SMALL, RATIO)
        return Protocols(table, None, None, None)

    def _replicates(self, kind: str) -> list[Replicate]:
        train, _ = self._digits
        y = np.asarray(train.y)
        made = []
        for seed in (1, 2):
            order = np.random.default_rng((SEED, seed)).permutation(TRAIN)
            few, others = order[:SMALL], order[SMALL : SMALL * (RATIO + 1)]
            rows = np.tile(few, RATIO) if kind == "again" else others
            real = LabelledRows(train.x[few], y[few])
            synthetic = LabelledRows(train.x[rows], self._turned(y[rows], int(kind == "wrong")))
            made.append(Replicate(real, synthetic, self._recipe(seed), None, None, None))
        return made

    @staticmethod
    def _recipe(seed: int) -> Recipe:
        return Recipe(SPACE, STEPS, BATCH, seed)

    @staticmethod
    def _turned(y: Any, turn: int) -> Any:
        return (np.asarray(y) + turn) % CLASSES


def _silent(*_: Any) -> None:
    """Progress that nobody follows."""
