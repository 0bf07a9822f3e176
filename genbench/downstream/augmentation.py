"""The augmentation curve: what synthetic rows add to few real ones, replicate by replicate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data import Split
from genbench.downstream.arms import Replicate
from genbench.downstream.classifier import Classifier
from genbench.downstream.gains import METHOD, Gain, paired, verdicts
from genbench.downstream.recipe import correct
from genbench.metrics import Interval, MetricValue
from genbench.tasks import Protocols

REAL, CLASSICAL, ADDED = "real", "real+classical", "real+synthetic"
BOTH, ALONE = "real+synthetic+classical", "synthetic"

Array = NDArray[np.float64]
Arm = tuple[str, int]  # name and synthetic rows per real row
Keep = Callable[[int, Arm, Classifier], None]


@dataclass
class AugmentationResults:
    """Right answers by test row: for each number of real rows and arm, one array per replicate."""

    protocols: Protocols
    test: Split
    right: dict[int, dict[Arm, list[Array]]] = field(default_factory=dict)
    rejected: list[float] = field(default_factory=list)
    short: int = 0

    def add(self, replicate: Replicate, progress: Callable[[str], None], keep: Keep) -> None:
        """Train and test all arms of one replicate; `keep` sees every classifier."""
        n = len(replicate.real)
        arms = self.right.setdefault(n, {})
        if replicate.rejected is not None:
            self.rejected.append(replicate.rejected)
        for arm in self._arms(replicate):
            progress(f"augmentation, n = {n}, {arm[0]}" + (f" x {arm[1]}" if arm[1] else ""))
            classifier = self._fit(replicate, arm)
            right = correct(classifier, self.test.x, np.asarray(self.test.y))
            arms.setdefault(arm, []).append(right.astype(np.float64))
            keep(n, arm, classifier)

    def _arms(self, replicate: Replicate) -> list[Arm]:
        a = self.protocols.augmentation
        arms: list[Arm] = [(REAL, 0), *((ADDED, ratio) for ratio in a.ratios)]
        if replicate.classical is not None:
            arms += [(CLASSICAL, 0), (BOTH, a.headline_ratio)]
        return [*arms, (ALONE, a.ratios[-1])]

    def _fit(self, replicate: Replicate, arm: Arm) -> Classifier:
        name, ratio = arm
        added = replicate.synthetic.head(ratio * len(replicate.real))
        self.short += ratio * len(replicate.real) - len(added)
        if name == ALONE and len(added):
            return replicate.fit(added)
        rows = replicate.real + added if len(added) else replicate.real
        transformed = name in (CLASSICAL, BOTH)
        return replicate.fit(rows, shared=not len(added), transformed=transformed)

    def value(self, recipe: str, labels: str) -> MetricValue:
        """The gain at the headline point, all others in `details`. Points of accuracy, 0 to 100."""
        a = self.protocols.augmentation
        points = [point for n in a.n for point in self._points(n)]
        gain = next(
            p["gain"]
            for p in points
            if (p["n"], p["arm"], p["ratio"]) == (a.headline_n, ADDED, a.headline_ratio)
        )
        signature = (
            f"augmentation_gain|{recipe}|n={a.headline_n}|ratio={a.headline_ratio}|n_list={a.n}"
            f"|ratios={a.ratios}|replicates={a.replicates}|budget={a.budget}"
            f"|classical={_text(self.protocols.classical)}|reference=test:{len(self.test.x)}"
        )
        if labels == "classifier":
            signature += f"|labels=classifier>={a.confidence:g}"
        return MetricValue(
            status="ok",
            value=100 * gain["mean"],
            interval=Interval(100 * gain["low"], 100 * gain["high"], 0.95, METHOD),
            std_error=100 * gain["std_error"],
            unit="accuracy points",
            higher_is_better=True,
            signature=signature,
            n=a.headline_n,
            details={
                "points": points,
                "headline": {"n": a.headline_n, "ratio": a.headline_ratio},
                "replicates": a.replicates,
                "labels": labels,
                "rejected": sum(self.rejected) / len(self.rejected) if self.rejected else None,
                "rows_short": self.short,
            },
        )

    def _points(self, n: int) -> list[dict[str, Any]]:
        arms = self.right[n]
        others = [arm for arm in arms if arm != (REAL, 0)]
        gains = {arm: paired(arms[arm], arms[REAL, 0]) for arm in others}
        family = [arm for arm in others if arm[0] == ADDED]
        said = dict(zip(family, verdicts([gains[arm] for arm in family]), strict=True))
        said |= {arm: verdicts([gains[arm]])[0] for arm in others if arm not in said}
        classical = arms.get((CLASSICAL, 0))
        points = [_point(n, (REAL, 0), arms[REAL, 0])]
        for arm in others:
            point = _point(n, arm, arms[arm], gains[arm], said[arm])
            if classical is not None and arm[0] in (ADDED, BOTH):
                point["over_classical"] = paired(arms[arm], classical).to_json()
            points.append(point)
        return points


def _point(
    n: int, arm: Arm, right: Sequence[Array], gain: Gain | None = None, verdict: str = ""
) -> dict[str, Any]:
    accuracies = [float(one.mean()) for one in right]
    mean = sum(accuracies) / len(accuracies)
    body: dict[str, Any] = {"n": n, "arm": arm[0], "ratio": arm[1], "accuracy": mean,
                            "accuracies": accuracies}  # fmt: skip
    if gain is not None:
        body |= {"gain": gain.to_json(), "verdict": verdict}
    return body


def _text(classical: Any) -> str:
    if classical is None:
        return "none"
    return ",".join(f"{k}:{getattr(classical, k):g}" for k in classical.__slots__)
