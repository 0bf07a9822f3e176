"""Robust accuracy: the augmentation's classifiers under attack, with and without synthetic rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.data import Split
from genbench.downstream.attacks import fgsm, pgd
from genbench.downstream.augmentation import ADDED, REAL, Arm
from genbench.downstream.classifier import Classifier
from genbench.downstream.gains import METHOD, paired, verdicts
from genbench.downstream.networks import Network
from genbench.metrics import MetricValue, trainings_mean
from genbench.seeds import derive_seed
from genbench.tasks import Robustness

CHUNK = 500
Array = NDArray[np.float64]


@dataclass
class RobustnessResults:
    """Right answers by row: for each arm and attack, one array per replicate.

    Parameters
    ----------
    ratio
        Synthetic rows per real row of the arm that is compared with real rows alone.
    """

    table: Robustness
    ratio: int
    test: Split
    seed: int
    found: dict[str, dict[str, list[Array]]] = field(default_factory=dict)

    def add(
        self, n: int, arm: Arm, classifier: Classifier, progress: Callable[[str], None]
    ) -> None:
        """Attack a classifier of the augmentation, if it is one of the two compared."""
        if n != self.table.n or arm not in ((REAL, 0), (ADDED, self.ratio)):
            return
        assert isinstance(classifier, Network), "suites whose rows have no other are refused"
        progress(f"robustness, {arm[0]}")
        arms = self.found.setdefault(arm[0], {})
        for attack, right in self._right(classifier).items():
            arms.setdefault(attack, []).append(right)

    def _right(self, classifier: Network) -> dict[str, Array]:
        t, device = self.table, classifier.device
        # Rows in an order of the seed's: the test rows may be sorted.
        order = np.random.default_rng(self.seed).permutation(len(self.test.x))[: t.rows]
        right: dict[str, list[Array]] = {"clean": [], "fgsm": [], "pgd": []}
        for start in range(0, len(order), CHUNK):
            rows = order[start : start + CHUNK]
            x = torch.from_numpy(self.test.x[rows]).to(device)
            y = torch.from_numpy(np.asarray(self.test.y)[rows]).to(device)
            attacked = {
                "clean": x.float(),
                "fgsm": fgsm(classifier, x, y, t.epsilon),
                "pgd": pgd(
                    classifier, x, y, t.epsilon, steps=t.steps, seed=derive_seed(self.seed, start)
                ),
            }
            for name, images in attacked.items():
                with torch.inference_mode():
                    named = classifier.net(images).argmax(1) == y
                right[name].append(named.cpu().numpy().astype(np.float64))
        return {name: np.concatenate(parts) for name, parts in right.items()}

    def value(self, recipe: str, budget: int, labels: str) -> MetricValue:
        """Accuracy under PGD with synthetic rows added, 0 to 1; all others in `details`."""
        t = self.table
        rows = min(t.rows, len(self.test.x))
        estimate = trainings_mean(np.stack(self.found[ADDED]["pgd"]), METHOD)
        gain = paired(self.found[ADDED]["pgd"], self.found[REAL]["pgd"])
        return MetricValue(
            status="ok",
            value=estimate.value,
            interval=estimate.interval,
            std_error=estimate.std_error,
            unit="accuracy",
            higher_is_better=True,
            signature=(
                f"robust_accuracy|{recipe}|n={t.n}|ratio={self.ratio}|attack=pgd-{t.steps}"
                f"|epsilon={t.epsilon:g}|budget={budget}|reference=test:{rows}|labels={labels}"
            ),
            n=t.n,
            details={
                "epsilon": t.epsilon,
                "steps": t.steps,
                "rows": rows,
                "arms": {arm: _accuracies(attacks) for arm, attacks in self.found.items()},
                "gain": {**gain.to_json(), "verdict": verdicts([gain])[0]},
            },
        )


def _accuracies(attacks: dict[str, list[Array]]) -> dict[str, list[float]]:
    return {name: [float(one.mean()) for one in right] for name, right in attacks.items()}
