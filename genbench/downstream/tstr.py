"""Train on synthetic, test on real (TSTR), beside TRTR and TRTS.

The classifier never sees a test row, and both trained arms have the same number of rows, optimiser
steps and initial weights. The real arm is the same for every generator of a suite, so it is cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.data import Split
from genbench.downstream.classifier import check_space, predict
from genbench.downstream.recipe import Recipe, correct
from genbench.errors import MetricError
from genbench.generator import Space
from genbench.metrics import Estimate, MetricValue, trainings_mean, wilson_share
from genbench.seeds import derive_seed

Array = NDArray[Any]


def train_on_synthetic(
    train: Split,
    test: Split,
    fake_x: Array,
    fake_y: Array | None,
    space: Space,
    *,
    n: int,
    steps: int,
    batch_size: int,
    seed: int,
    replicates: int = 1,
    device: str = "cpu",
    cache: Path | None = None,
) -> dict[str, MetricValue]:
    """``tstr_accuracy``, ``trtr_accuracy`` and ``trts_accuracy``: shares classified correctly.

    TSTR and TRTR of the test rows, by classifiers trained on generated and on real rows; TRTS of
    the generated rows by the second, with the labels that they came with.

    Parameters
    ----------
    train, test
        Real rows; the real arm trains on a random `n` of `train`, both arms are tested on `test`.
    fake_x, fake_y
        Generated rows and their labels. Without labels the real arm's classifier gives them.
    n
        Rows that each arm trains on; fewer if there are fewer generated or real rows.
    steps, batch_size, seed
        See `genbench.downstream.classifier.train_classifier`.
    replicates
        Trainings of each arm, each pair with its own initial weights, order and real rows.
    cache
        A folder for the real arm's classifier, or None.

    Returns
    -------
    dict
        From 0 to 1, the mean over the replicates; their intervals are Wilson's over the rows tested
        for one replicate and hold the spread between trainings for more. In `details` the accuracy
        per class and per training, and for TSTR the gap ``trtr - tstr``, paired by row and
        training, with its interval. Higher is better for TSTR and TRTS; TRTR, the ceiling, has no
        direction. TRTS is ``not_applicable`` where the real arm gave the labels.

    Raises
    ------
    MetricError
        ``not_applicable`` if the suite has no labelled images; ``undefined`` without rows.
    """
    check_space(space)
    if train.y is None or test.y is None:
        raise MetricError("TSTR needs labels of the real rows", status="not_applicable")
    rows = min(n, len(fake_x), len(train.x))
    if rows == 0:
        raise MetricError("TSTR needs generated rows and there are none")
    chosen = _subset(len(fake_x), rows, derive_seed(seed, "synthetic rows"))
    x = fake_x[chosen]
    y = None if fake_y is None else fake_y[chosen]
    real_arm, synthetic_arm = (_Tested(rows, "test", test.y) for _ in range(2))
    reverse = _Tested(rows, "generated", y)
    for replicate in range(replicates):
        # The first one's seeds are those of a single training.
        own = derive_seed(seed, f"replicate {replicate}") if replicate else seed
        recipe = Recipe(space, steps, batch_size, own, device)
        subset = _subset(len(train.x), rows, derive_seed(own, "real rows"))
        with real_arm.timed():
            real = recipe.fit(train.x[subset], train.y[subset], cache=cache)
            real_arm.right.append(correct(real, test.x, real_arm.labels))
        with synthetic_arm.timed():
            synthetic = recipe.fit(x, predict(real, x).argmax(1) if y is None else y)
            synthetic_arm.right.append(correct(synthetic, test.x, synthetic_arm.labels))
        if y is not None:
            with reverse.timed():
                reverse.right.append(correct(real, x, y))
    text = recipe.text if replicates == 1 else f"{recipe.text}|replicates={replicates}"
    trtr = replace(real_arm.value("trtr_accuracy", text, space.classes), higher_is_better=None)
    tstr = synthetic_arm.value("tstr_accuracy", text, space.classes)
    if y is None:
        tstr = replace(tstr, signature=f"{tstr.signature}|labels=classifier")
        trts = _own_judge(reverse.signature("trts_accuracy", text))
    else:
        trts = reverse.value("trts_accuracy", text, space.classes)
    details = {
        **tstr.details,
        "trtr": trtr.value,
        **_gap(np.array(real_arm.right), np.array(synthetic_arm.right)),
        "labels": "classifier trained on the real rows" if y is None else "the generator's",
    }
    return {"tstr_accuracy": replace(tstr, details=details), "trtr_accuracy": trtr,
            "trts_accuracy": trts}  # fmt: skip


class _Tested:
    """Right answers of the classifiers of one arm by row, and the time that they took."""

    def __init__(self, n: int, on: str, labels: Array | None) -> None:
        self.n = n
        self.on = on
        self.labels = np.zeros(n, np.int64) if labels is None else np.asarray(labels)
        self.right: list[NDArray[np.bool_]] = []
        self.seconds = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds += perf_counter() - start

    def signature(self, metric: str, text: str) -> str:
        return f"{metric}|{text}|n={self.n}|reference={self.on}:{len(self.labels)}"

    def value(self, metric: str, text: str, classes: int) -> MetricValue:
        """The share of right answers with its interval, per class and per training."""
        right = np.array(self.right)
        share = _share(right)
        by_class = [
            float(right[:, self.labels == c].mean()) if (self.labels == c).any() else None
            for c in range(classes)
        ]
        details: dict[str, Any] = {"by_class": by_class, f"n_{self.on}": len(self.labels)}
        if len(right) > 1:
            details["trainings"] = [float(one.mean()) for one in right]
        return MetricValue(
            status="ok",
            value=share.value,
            interval=share.interval,
            std_error=share.std_error,
            unit="accuracy",
            higher_is_better=True,
            signature=self.signature(metric, text),
            n=self.n,
            seconds=self.seconds,
            details=details,
        )


def _share(right: NDArray[np.bool_]) -> Estimate:
    """The share of right answers ``(trainings, rows)`` with its interval."""
    if len(right) == 1 or right.all() or not right.any():  # at 0 and 1 no spread is seen
        return wilson_share(int(right[0].sum()), right.shape[1])
    return trainings_mean(right.astype(np.float64))


def _gap(real: NDArray[np.bool_], synthetic: NDArray[np.bool_]) -> dict[str, Any]:
    """The accuracy lost by training on synthetic rows: paired by training and by row tested."""
    lost = real.astype(np.float64) - synthetic
    if len(lost) == 1:  # the spread between trainings is not known: no interval would hold it
        return {"gap": float(lost.mean())}
    gap = trainings_mean(lost, low=-1.0)
    assert gap.interval is not None
    return {"gap": gap.value, "gap_low": gap.interval.low, "gap_high": gap.interval.high}


def _own_judge(signature: str) -> MetricValue:
    reason = "the labels come from the very classifier that would judge them"
    return MetricValue("not_applicable", unit="accuracy", higher_is_better=True,
                       signature=signature, reason=reason)  # fmt: skip


def _subset(total: int, n: int, seed: int) -> NDArray[np.int64]:
    """`n` of `total` rows, without replacement."""
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    rows: NDArray[np.int64] = order[:n].numpy()
    return rows
