"""Class imbalance: do synthetic rows of the rare classes restore their recall?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data import Split
from genbench.downstream.arms import LabelledRows, Replicate
from genbench.downstream.classifier import Classifier
from genbench.downstream.gains import METHOD, paired, verdicts
from genbench.downstream.recipe import correct
from genbench.downstream.subsets import missing
from genbench.metrics import MetricValue, trainings_mean
from genbench.tasks import Imbalance

AS_IS, OVERSAMPLED, WEIGHTED, FILLED = "as it is", "oversampled", "class weights", "filled"


@dataclass
class ImbalanceResults:
    """Scores of the cut classes' test rows and balanced accuracy by arm, one per replicate.

    A row of a class scores, if it is named rightly, the share that its class has in the mean over
    classes, in rows: so the mean over rows is the mean of the recalls.
    """

    table: Imbalance
    test: Split
    rare: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    balanced: dict[str, list[float]] = field(default_factory=dict)
    counts: list[dict[str, int]] = field(default_factory=list)
    rejected: list[float] = field(default_factory=list)

    def add(self, replicate: Replicate, progress: Callable[[str], None]) -> None:
        """Train and test all arms of one replicate."""
        if replicate.rejected is not None:
            self.rejected.append(replicate.rejected)
        lacking = missing(replicate.real.y, self.table.classes)
        fill = replicate.synthetic.of(lacking)
        cut = np.isin(replicate.real.y, self.table.classes)
        self.counts.append({"rare": int(cut.sum()), "lacking": sum(lacking.values()),
                            "filled": len(fill)})  # fmt: skip
        for name in (AS_IS, OVERSAMPLED, WEIGHTED, FILLED):
            progress(f"imbalance, {name}")
            self._test(name, self._fit(replicate, name, lacking, fill))

    def _fit(
        self, replicate: Replicate, name: str, lacking: dict[int, int], fill: LabelledRows
    ) -> Classifier:
        real = replicate.real
        if name == OVERSAMPLED:
            return replicate.fit(real + _repeated(real, lacking), shared=True)
        if name == WEIGHTED:
            counts = np.bincount(real.y, minlength=replicate.recipe.space.classes)
            weights = (counts.sum() / np.maximum(counts, 1) / len(counts)).astype(np.float32)
            return replicate.recipe.fit(
                real.x, real.y, class_weights=weights.tolist(), cache=replicate.cache
            )
        rows = real + fill if name == FILLED and len(fill) else real
        return replicate.fit(rows, shared=rows is real)

    def _test(self, name: str, classifier: Classifier) -> None:
        y = np.asarray(self.test.y)
        right = correct(classifier, self.test.x, y)
        recalls = _recalls(right, y)
        self.rare.setdefault(name, []).append(_scores(right, y, self.table.classes))
        self.balanced.setdefault(name, []).append(float(np.mean(list(recalls.values()))))

    def value(self, recipe: str, budget: int, labels: str) -> MetricValue:
        """The cut classes' recall after filling up, 0 to 1; the other arms in `details`."""
        t = self.table
        rows = int(np.isin(np.asarray(self.test.y), t.classes).sum())
        estimate = trainings_mean(np.stack(self.rare[FILLED]), METHOD)
        others = (AS_IS, OVERSAMPLED, WEIGHTED)
        gains = [paired(self.rare[FILLED], self.rare[name]) for name in others]
        return MetricValue(
            status="ok",
            value=estimate.value,
            interval=estimate.interval,
            std_error=estimate.std_error,
            unit="recall",
            higher_is_better=True,
            signature=(
                f"imbalance_recall|{recipe}|n={t.n}|classes={t.classes}|keep={t.keep:g}"
                f"|replicates={t.replicates}|budget={budget}|reference=test:{rows}|labels={labels}"
            ),
            n=t.n,
            details={
                "classes": list(t.classes),
                "keep": t.keep,
                "arms": {
                    name: {
                        "recall": [float(one.mean()) for one in self.rare[name]],
                        "balanced": self.balanced[name],
                    }
                    for name in (*others, FILLED)
                },
                "gains": {
                    name: {**gain.to_json(), "verdict": said}
                    for name, gain, said in zip(others, gains, verdicts(gains), strict=True)
                },
                "counts": self.counts,
                "rejected": sum(self.rejected) / len(self.rejected) if self.rejected else None,
            },
        )


def _repeated(real: LabelledRows, lacking: dict[int, int]) -> LabelledRows:
    """Rows of the rare classes again and again, until nothing is lacking."""
    parts: list[NDArray[Any]] = []
    for c, count in lacking.items():
        rows = np.flatnonzero(real.y == c)
        parts.append(np.resize(rows, count) if len(rows) else rows)
    chosen = np.concatenate(parts)
    return LabelledRows(real.x[chosen], real.y[chosen])


def _scores(
    right: NDArray[np.bool_], y: NDArray[np.int64], classes: tuple[int, ...]
) -> NDArray[np.float64]:
    rare = np.isin(y, classes)
    _, of_row, counts = np.unique(y[rare], return_inverse=True, return_counts=True)
    scores: NDArray[np.float64] = right[rare] * (len(of_row) / len(counts) / counts[of_row])
    return scores


def _recalls(right: NDArray[np.bool_], y: NDArray[np.int64]) -> dict[int, float]:
    return {int(c): float(right[y == c].mean()) for c in np.unique(y)}
