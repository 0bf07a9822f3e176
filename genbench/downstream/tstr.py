"""Train on synthetic, test on real (TSTR), beside train on real, test on real (TRTR).

The classifier never sees a test row, and both arms have the same number of rows, optimiser steps
and initial weights. The real arm is the same for every generator of a suite, so it is cached.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench import tensorfile
from genbench.data.split import Split
from genbench.downstream.classifier import (
    NAME,
    VERSION,
    Classifier,
    check_space,
    load_classifier,
    predict,
    train_classifier,
)
from genbench.errors import MetricError, StoreError
from genbench.generator import Space
from genbench.metrics.uncertainty import wilson_share
from genbench.records import MetricValue
from genbench.seeds import derive_seed

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Training:
    """What both arms share: rows, optimiser steps, batch size, the seed of weights and order."""

    n: int
    steps: int
    batch_size: int
    seed: int
    device: str = "cpu"

    def signature(self, metric: str, n_test: int) -> str:
        """What exactly the accuracy is."""
        return (
            f"{metric}|classifier={NAME}/{VERSION}|steps={self.steps}|batch={self.batch_size}"
            f"|n={self.n}|reference=test:{n_test}"
        )

    def fit(self, x: Array, y: Array, space: Space) -> Classifier:
        """The fixed classifier trained on these rows."""
        return train_classifier(
            x,
            y,
            space,
            steps=self.steps,
            batch_size=self.batch_size,
            seed=derive_seed(self.seed, "downstream"),
            device=self.device,
        )


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
    """``tstr_accuracy`` and ``trtr_accuracy``: shares of test rows classified correctly, 0 to 1.

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
        Both with Wilson intervals over the test rows and per-class accuracies in `details`; the
        gap ``trtr - tstr`` too. Higher is better for TSTR; TRTR, the ceiling, has no direction.

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
    training = Training(rows, steps, batch_size, seed, device)
    start = perf_counter()
    real = _real_arm(train, space, training, cache)
    trtr = _accuracy("trtr_accuracy", real, test, training, perf_counter() - start)

    start = perf_counter()
    chosen = _subset(len(fake_x), rows, derive_seed(seed, "synthetic rows"))
    labels = predict(real, fake_x[chosen]).argmax(1) if fake_y is None else fake_y[chosen]
    synthetic = training.fit(fake_x[chosen], labels, space)
    tstr = _accuracy("tstr_accuracy", synthetic, test, training, perf_counter() - start)
    details = {
        **tstr.details,
        "trtr": trtr.value,
        "gap": (trtr.value or 0.0) - (tstr.value or 0.0),
        "labels": "classifier trained on the real rows" if fake_y is None else "the generator's",
    }
    if fake_y is None:
        tstr = replace(tstr, signature=f"{tstr.signature}|labels=classifier")
    return {"tstr_accuracy": replace(tstr, details=details), "trtr_accuracy": trtr}


def _accuracy(
    metric: str, classifier: Classifier, test: Split, training: Training, seconds: float
) -> MetricValue:
    start = perf_counter()
    truth = np.asarray(test.y)
    right = predict(classifier, test.x).argmax(1) == truth
    share = wilson_share(int(right.sum()), len(right))
    per_class = [
        float(right[truth == c].mean()) if (truth == c).any() else None
        for c in range(classifier.space.classes)
    ]
    return MetricValue(
        status="ok",
        value=share.value,
        interval=share.interval,
        std_error=share.std_error,
        unit="accuracy",
        higher_is_better=True if metric == "tstr_accuracy" else None,
        signature=training.signature(metric, len(right)),
        n=training.n,
        seconds=seconds + perf_counter() - start,
        details={"per_class": per_class, "n_test": len(right)},
    )


def _real_arm(train: Split, space: Space, training: Training, cache: Path | None) -> Classifier:
    """The classifier trained on `training.n` real rows, from the cache if it is there."""
    path = None if cache is None else cache / "downstream" / f"{_key(train, training)}.safetensors"
    if path is not None and path.is_file():
        try:
            return load_classifier(tensorfile.load(path), space, torch.device(training.device))
        except (StoreError, RuntimeError):  # damaged: train again and write it anew
            path.unlink(missing_ok=True)
    chosen = _subset(len(train.x), training.n, derive_seed(training.seed, "real rows"))
    classifier = training.fit(train.x[chosen], np.asarray(train.y)[chosen], space)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensorfile.save(path, classifier.net.state_dict())
    return classifier


def _key(train: Split, training: Training) -> str:
    """Depends on all that decides the classifier: rows by content, recipe, threads, torch."""
    text = f"{NAME}/{VERSION}|{training}|{torch.get_num_threads()}|{torch.__version__}"
    key = hashlib.sha256(text.encode())
    key.update(str((train.x.shape, train.x.dtype)).encode())
    key.update(np.ascontiguousarray(train.x).data)
    key.update(np.ascontiguousarray(train.y).data)
    return key.hexdigest()


def _subset(total: int, n: int, seed: int) -> NDArray[np.int64]:
    """`n` of `total` rows, without replacement."""
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    rows: NDArray[np.int64] = order[:n].numpy()
    return rows
