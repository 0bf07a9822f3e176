r"""The judge of texts that is no network: logistic regression on weighted n-grams of characters.

A text between marks of its start and end is counted in n-grams of 1 to 4 characters, each hashed
into one of 8,192 buckets, weighted by :math:`(1 + \ln tf) (1 + \ln (1 + n) / (1 + df))` of the
rows that are trained on (Salton & Buckley 1988, doi:10.1016/0306-4573(88)90021-0) and scaled to
length 1. The optimum is found whatever the start: a seed decides nothing, steps neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from genbench.downstream.classifier import Lesson, Transform
from genbench.features import ngram_counts, weighed_counts
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.seeds import derive_seed

BUCKETS = 1 << 13
# Inverse weight of the squared coefficients. On snips (350 rows on) and names (100 on) 3 to 30 make
# the same accuracy within a point.
PENALTY = 10.0
COPIES = 8  # changed versions of each row, beside itself, where rows are transformed
PARTS = ("rarity", "weights", "intercepts")


@dataclass(frozen=True)
class Logistic:
    """Rarities ``(BUCKETS,)``, weights ``(classes, BUCKETS)``, intercepts ``(classes,)``."""

    words: Vocabulary
    rarity: NDArray[np.float64]
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    device: torch.device

    def probabilities(self, rows: Tensor) -> Tensor:
        """The softmax of its logits; made on the CPU."""
        counted = ngram_counts(self.words.decode(rows.cpu().numpy()), BUCKETS)
        seen = weighed_counts(counted, self.rarity)
        logits = seen @ self.weights.T + self.intercepts
        return torch.from_numpy(np.asarray(logits, np.float32)).softmax(1)

    def state(self) -> dict[str, Tensor]:
        """Its three arrays."""
        return {name: torch.from_numpy(getattr(self, name)) for name in PARTS}


@dataclass(frozen=True)
class LogisticJudge:
    """Trains by L-BFGS to the optimum."""

    space: Space
    words: Vocabulary
    name: str = "tfidf-logistic"
    version: str = "1"
    stepwise: bool = False

    def train(self, x: Tensor, y: Tensor, lesson: Lesson) -> Logistic:
        """See `genbench.downstream.classifier.Judge`.

        A class that no row has is never answered.
        """
        ids = x if lesson.transform is None else _with_copies(x, lesson.transform, lesson.seed)
        labels = y.repeat(len(ids) // len(x)).numpy()
        counted = ngram_counts(self.words.decode(ids.numpy()), BUCKETS)
        rarity = 1 + np.log((1 + len(labels)) / (1 + counted.getnnz(axis=0)))
        weights = np.zeros((self.space.classes, BUCKETS))
        intercepts = np.full(self.space.classes, -np.inf)
        present = np.unique(labels)
        intercepts[present] = 0
        if len(present) > 1:
            fitted = _fitted(weighed_counts(counted, rarity), labels, lesson.class_weights)
            of = present[1:] if len(present) == 2 else present  # of two classes the second's alone
            weights[of], intercepts[of] = fitted.coef_, fitted.intercept_
        return Logistic(self.words, rarity, weights, intercepts, lesson.device)

    def load(self, state: dict[str, Tensor], device: torch.device) -> Logistic:
        """See `genbench.downstream.classifier.Judge`."""
        shapes = ((BUCKETS,), (self.space.classes, BUCKETS), (self.space.classes,))
        if [tuple(state[p].shape) if p in state else None for p in PARTS] != [*shapes]:
            raise RuntimeError("the state is of no such classifier")
        rarity, weights, intercepts = (state[part].numpy() for part in PARTS)
        return Logistic(self.words, rarity, weights, intercepts, device)


def _with_copies(x: Tensor, transform: Transform, seed: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "classifier"))
        return torch.cat([x, *(transform(x) for _ in range(COPIES))])


def _fitted(seen: Any, labels: NDArray[Any], class_weights: Any) -> Any:
    from sklearn.linear_model import LogisticRegression

    weights = None if class_weights is None else np.asarray(class_weights)[labels]
    with threadpool_limits(1):  # sums in another order would give other weights
        return LogisticRegression(C=PENALTY, max_iter=1000).fit(seen, labels, weights)
