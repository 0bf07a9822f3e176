"""Train on synthetic, test on real (TSTR), beside TRTR and TRTS.

The classifier never sees a test row, and both trained arms have the same number of rows, optimiser
steps and initial weights. The real arm is the same for every generator of a suite, so it is cached.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.data.split import Split
from genbench.downstream.classifier import Classifier, check_space, predict
from genbench.downstream.recipe import Recipe, correct
from genbench.errors import MetricError
from genbench.generator import Space
from genbench.metrics.uncertainty import wilson_share
from genbench.records import MetricValue
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
    cache
        A folder for the real arm's classifier, or None.

    Returns
    -------
    dict
        From 0 to 1, with Wilson intervals over the rows tested and per-class accuracies in
        `details`; the gap ``trtr - tstr`` too. Higher is better for TSTR and TRTS; TRTR, the
        ceiling, has no direction. TRTS is ``not_applicable`` where the real arm gave the labels.

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
    recipe = Recipe(space, steps, batch_size, seed, device)
    start = perf_counter()
    chosen = _subset(len(train.x), rows, derive_seed(seed, "real rows"))
    real = recipe.fit(train.x[chosen], train.y[chosen], cache=cache)
    test_y = np.asarray(test.y)
    trtr = _accuracy("trtr_accuracy", real, test.x, test_y, recipe, rows, "test")
    trtr = replace(trtr, seconds=perf_counter() - start)

    start = perf_counter()
    chosen = _subset(len(fake_x), rows, derive_seed(seed, "synthetic rows"))
    fake_x = fake_x[chosen]
    labels = predict(real, fake_x).argmax(1) if fake_y is None else fake_y[chosen]
    synthetic = recipe.fit(fake_x, labels)
    tstr = _accuracy("tstr_accuracy", synthetic, test.x, test_y, recipe, rows, "test")
    if fake_y is None:
        tstr = replace(tstr, signature=f"{tstr.signature}|labels=classifier")
    details = {
        **tstr.details,
        "trtr": trtr.value,
        "gap": (trtr.value or 0.0) - (tstr.value or 0.0),
        "labels": "classifier trained on the real rows" if fake_y is None else "the generator's",
    }
    tstr = replace(tstr, details=details, seconds=perf_counter() - start)

    start = perf_counter()
    trts = _accuracy("trts_accuracy", real, fake_x, labels, recipe, rows, "generated")
    trts = replace(trts, seconds=perf_counter() - start)
    if fake_y is None:
        reason = "the labels come from the very classifier that would judge them"
        trts = MetricValue("not_applicable", unit=trts.unit, higher_is_better=True,
                           signature=trts.signature, reason=reason)  # fmt: skip
    return {"tstr_accuracy": tstr, "trtr_accuracy": trtr, "trts_accuracy": trts}


def _accuracy(
    metric: str, classifier: Classifier, x: Array, y: Array, recipe: Recipe, n: int, on: str
) -> MetricValue:
    right = correct(classifier, x, y)
    share = wilson_share(int(right.sum()), len(right))
    by_class = [
        float(right[y == c].mean()) if (y == c).any() else None
        for c in range(classifier.space.classes)
    ]
    return MetricValue(
        status="ok",
        value=share.value,
        interval=share.interval,
        std_error=share.std_error,
        unit="accuracy",
        higher_is_better=None if metric == "trtr_accuracy" else True,
        signature=f"{metric}|{recipe.text}|n={n}|reference={on}:{len(right)}",
        n=n,
        details={"by_class": by_class, f"n_{on}": len(right)},
    )


def _subset(total: int, n: int, seed: int) -> NDArray[np.int64]:
    """`n` of `total` rows, without replacement."""
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    rows: NDArray[np.int64] = order[:n].numpy()
    return rows
