"""Class imbalance: do synthetic rows of the rare classes restore their recall?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.split import Split
from genbench.downstream.arms import Replicate, Rows
from genbench.downstream.classifier import Classifier
from genbench.downstream.gains import paired, verdicts
from genbench.downstream.protocols import Imbalance
from genbench.downstream.recipe import correct
from genbench.downstream.subsets import missing
from genbench.metrics.uncertainty import t_mean
from genbench.records import MetricValue

AS_IS, OVERSAMPLED, WEIGHTED, FILLED = "as it is", "oversampled", "class weights", "filled"


@dataclass
class Rare:
    """Recall of the cut classes and balanced accuracy by arm, one per replicate."""

    table: Imbalance
    test: Split
    recall: dict[str, list[float]] = field(default_factory=dict)
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
        self, replicate: Replicate, name: str, lacking: dict[int, int], fill: Rows
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
        rare = [recalls[c] for c in self.table.classes if c in recalls]
        self.recall.setdefault(name, []).append(float(np.mean(rare)))
        self.balanced.setdefault(name, []).append(float(np.mean(list(recalls.values()))))

    def value(self, recipe: str, budget: int, labels: str) -> MetricValue:
        """The cut classes' recall after filling up, 0 to 1; the other arms in `details`."""
        t = self.table
        rows = int(np.isin(np.asarray(self.test.y), t.classes).sum())
        estimate = t_mean(self.recall[FILLED], "t-over-replicates", low=0.0, high=1.0)
        others = (AS_IS, OVERSAMPLED, WEIGHTED)
        gains = [paired(self.recall[FILLED], self.recall[name], rows) for name in others]
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
                    name: {"recall": self.recall[name], "balanced": self.balanced[name]}
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


def _repeated(real: Rows, lacking: dict[int, int]) -> Rows:
    """Rows of the rare classes again and again, until nothing is lacking."""
    parts: list[NDArray[Any]] = []
    for c, count in lacking.items():
        rows = np.flatnonzero(real.y == c)
        parts.append(np.resize(rows, count) if len(rows) else rows)
    chosen = np.concatenate(parts)
    return Rows(real.x[chosen], real.y[chosen])


def _recalls(right: NDArray[np.bool_], y: NDArray[np.int64]) -> dict[int, float]:
    return {int(c): float(right[y == c].mean()) for c in np.unique(y)}
