"""The classifier two-sample test: can a small classifier tell real rows from generated ones?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from genbench.metrics.arrays import to_host
from genbench.metrics.checks import Rows, as_pair
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import (
    LEVEL,
    Estimate,
    quantile,
    satterthwaite,
    student,
    wilson_share,
)
from genbench.metrics.values import Interval
from genbench.seeds import derive_seed

LEAST_ROWS = 20
_INNER = 0.2  # share of the training half that decides between the classifiers
_HIDDEN, _EPOCHS = 64, 40
SPLITS = 5
_PATIENCE = 10  # epochs without progress; with 5 every twentieth training ended at chance


@dataclass(frozen=True, slots=True)
class TwoSample:
    """The result of `classifier_two_sample`.

    Parameters
    ----------
    accuracy
        Held-out accuracy; 0.5 means indistinguishable, 1 separable.
    correct, n_test
        The count behind it, for Wilson's interval.
    null
        Where 95 % of accuracies lie when both sets have one distribution.
    p_value
        One-sided, under that null.
    classifier
        ``"logistic"`` or ``"network"``: the one that inner validation chose.
    """

    accuracy: float
    correct: int
    n_test: int
    null: Interval
    p_value: float
    classifier: str


def classifier_two_sample(real: Any, fake: Any, *, seed: int) -> TwoSample:
    """Held-out accuracy of a classifier trained to separate real from generated rows.

    Both sets are cut to the smaller size without replacement; half of each trains, half tests.
    Logistic regression and a network with one hidden layer of 64 see z-scored features; the one
    that is better on a fifth of the training half is trained on all of it.

    Parameters
    ----------
    real, fake
        Rows ``(n, d)`` and ``(m, d)``, at least 20 each.
    seed
        Decides splits and initial weights: same seed, same value.

    Returns
    -------
    TwoSample
        Accuracy in [0, 1]; 0.5 is best, and values below it are chance. Under equal distributions
        it follows ``N(1/2, 1 / (4 n_test))``.

    Raises
    ------
    MetricError
        On NaN or infinity, wrong rank, different dimensions, or fewer than 20 rows.

    Notes
    -----
    A lower bound on what a better classifier could do: 0.5 does not prove equality. It depends on
    n through the size of the training half. Rows sorted by class are fine (they are permuted).
    Symmetric in distribution, not draw by draw. Cost: training two small classifiers on n rows, by
    scikit-learn on the CPU wherever the rows are. Properties, as a trained classifier has no naive
    form: ``tests.oracles.two_sample:holds``.

    References
    ----------
    Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests, arXiv:1610.06545.
    """
    return two_sample_splits(real, fake, 1, seed=seed)[0]


def two_sample_splits(real: Any, fake: Any, splits: int, *, seed: int) -> list[TwoSample]:
    """`classifier_two_sample`, and again with other splits of the rows and initial weights."""
    seeds = [derive_seed(seed, f"split {split}") if split else seed for split in range(splits)]
    rows = [to_host(side) for side in as_pair(real, fake, at_least=LEAST_ROWS)]
    # That scikit-learn stops before convergence is by design. Filters belong to the process:
    # threads that each set and restore them undo one another's, so this goes round all of them.
    with warnings.catch_warnings(action="ignore"):
        return side_by_side(lambda own: _test(rows, own), seeds)


def _test(rows: list[Rows], seed: int) -> TwoSample:
    rng = np.random.default_rng(derive_seed(seed, "two-sample"))
    n = min(map(len, rows))
    chosen = [side[rng.permutation(len(side))[:n]] for side in rows]
    train, test = [side[: n // 2] for side in chosen], [side[n // 2 :] for side in chosen]
    inner = n // 2 - max(1, round(_INNER * (n // 2)))
    parts = [side[:inner] for side in train], [side[inner:] for side in train]
    state = int(rng.integers(2**31))
    # One BLAS thread: the matrices are small, and results do not depend on the machine's cores.
    with threadpool_limits(1):
        scores = _correct(("logistic", "network"), *parts, state)
        name = max(scores, key=scores.__getitem__)
        correct = _correct((name,), train, test, state)[name]
    n_test = sum(map(len, test))
    accuracy, null_sd = correct / n_test, math.sqrt(1 / (4 * n_test))
    half = quantile(math.inf) * null_sd
    null = Interval(0.5 - half, 0.5 + half, LEVEL, "normal")
    p_value = float(ndtr((0.5 - accuracy) / null_sd))
    return TwoSample(accuracy, correct, n_test, null, p_value, name)


def two_sample_estimate(splits: list[TwoSample]) -> Estimate:
    """The first split's accuracy, with its interval where there are several.

    Which rows train, which are tested, which classifier is chosen and how it starts move the
    accuracy: the spread over splits shows all of it but what they share, the generated rows. A
    split tests half of those, so the error of all of them is a quarter of its error at most (the
    other half of the tested rows is real, and fixed): that is added.

    Notes
    -----
    After `Nadeau and Bengio 2003 <https://doi.org/10.1023/A:1024068626366>`_, who show that the
    spread over splits alone is too small.
    """
    found = splits[0]
    if len(splits) == 1:
        return Estimate(found.accuracy)
    tested = found.accuracy * (1 - found.accuracy) / found.n_test
    between = float(np.var([one.accuracy for one in splits], ddof=1))
    if between == 0:  # at 1 all splits agree, and no spread is seen
        return wilson_share(found.correct, found.n_test)
    error, df = satterthwaite((between, len(splits) - 1), (tested / 4, math.inf))
    return student(found.accuracy, error, df, "splits", low=0.0, high=1.0)


def _correct(
    names: tuple[str, ...], first: list[Rows], second: list[Rows], state: int
) -> dict[str, int]:
    """Rows of the second part, z-scored by the first, that each classifier trained on it tells."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    x, held = (np.concatenate(part).astype(np.float64) for part in (first, second))
    scale = max(float(np.abs(x).max()), float(np.abs(held).max())) or 1.0
    x, held = x / scale, held / scale  # squares of large values would overflow
    mean, sd = x.mean(axis=0), x.std(axis=0)
    # A constant feature tells nothing while it is constant; its sd is rounding at best.
    sd[sd <= 1e-12 * np.abs(x).max(axis=0)] = 1.0
    x, held = (x - mean) / sd, (held - mean) / sd
    y, held_y = (np.repeat([0, 1], [len(part[0]), len(part[1])]) for part in (first, second))
    network = MLPClassifier(
        (_HIDDEN,),
        alpha=1e-3,
        learning_rate_init=3e-3,
        max_iter=_EPOCHS,
        early_stopping=len(y) >= 100,
        n_iter_no_change=_PATIENCE,
        random_state=state,
    )
    models = {"logistic": LogisticRegression(max_iter=200), "network": network}
    answers = {name: models[name].fit(x, y).predict(held) for name in names}
    return {name: int(np.count_nonzero(told == held_y)) for name, told in answers.items()}


def measure_two_sample(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`classifier_two_sample` with its interval: the maker of ``c2st``."""
    count = SPLITS if inputs.intervals else 1
    splits = two_sample_splits(*inputs.pair, count, seed=inputs.seed)
    found = splits[0]
    details: dict[str, Any] = {"null_low": found.null.low, "null_high": found.null.high}
    details |= {name: getattr(found, name) for name in ("p_value", "classifier", "n_test")}
    if inputs.intervals:
        details["splits"] = [one.accuracy for one in splits]
    return Measurement(two_sample_estimate(splits), details)
