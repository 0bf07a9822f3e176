"""The classifier two-sample test: can a small classifier tell real rows from generated ones?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits

from genbench.metrics.checks import Float64s, Rows, as_pair
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import Estimate, satterthwaite, student, wilson_share
from genbench.metrics.values import Interval
from genbench.seeds import derive_seed

LEVEL = 0.95
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
        Which of the two inner validation chose.
    """

    accuracy: float
    correct: int
    n_test: int
    null: Interval
    p_value: float
    classifier: Literal["logistic", "network"]


@dataclass(frozen=True, slots=True)
class _Split:
    """Rows and labels (1 for generated) of two parts, z-scored by the first."""

    x: Float64s
    y: NDArray[np.int64]
    held_x: Float64s
    held_y: NDArray[np.int64]


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
    Symmetric in distribution, not draw by draw. Cost: training two small classifiers on n rows.
    Properties, as a trained classifier has no naive form: ``tests.oracles.two_sample:holds``.

    References
    ----------
    Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests, arXiv:1610.06545.
    """
    with _quiet():
        return _test(as_pair(real, fake, at_least=LEAST_ROWS), seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Ignore scikit-learn's warning that it stopped before convergence, which is by design.

    Filters belong to the process: threads that each set and restore them undo one another's, so
    this goes round all of them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _test(rows: tuple[Rows, Rows], seed: int) -> TwoSample:
    rng = np.random.default_rng(derive_seed(seed, "two-sample"))
    n = min(map(len, rows))
    chosen = [side[rng.permutation(len(side))[:n]] for side in rows]
    train, test = [side[: n // 2] for side in chosen], [side[n // 2 :] for side in chosen]
    inner = n // 2 - max(1, round(_INNER * (n // 2)))
    choice = _split([side[:inner] for side in train], [side[inner:] for side in train])
    state = int(rng.integers(2**31))
    # One BLAS thread: the matrices are small, and results do not depend on the machine's cores.
    with threadpool_limits(1):
        scores = {name: _correct(name, choice, state) for name in ("logistic", "network")}
        name = "network" if scores["network"] > scores["logistic"] else "logistic"
        final = _split(train, test)
        correct = _correct(name, final, state)
    n_test = len(final.held_y)
    accuracy, null_sd = correct / n_test, math.sqrt(1 / (4 * n_test))
    half = float(ndtri((1 + LEVEL) / 2)) * null_sd
    return TwoSample(
        accuracy=accuracy,
        correct=correct,
        n_test=n_test,
        null=Interval(0.5 - half, 0.5 + half, LEVEL, "normal"),
        p_value=float(ndtr((0.5 - accuracy) / null_sd)),
        classifier="network" if name == "network" else "logistic",
    )


def two_sample_estimate(
    real: Any, fake: Any, found: TwoSample, *, seed: int
) -> tuple[Estimate, list[float]]:
    """The interval of `found`'s accuracy, and the accuracies of `SPLITS` splits, its own first.

    Which rows train, which are tested, which classifier is chosen and how it starts move the
    accuracy: the spread over splits shows all of it but what they share, the generated rows. A
    split tests half of those, so the error of all of them is a quarter of its error at most (the
    other half of the tested rows is real, and fixed): that is added.

    Notes
    -----
    After `Nadeau and Bengio 2003 <https://doi.org/10.1023/A:1024068626366>`_, who show that the
    spread over splits alone is too small. Costs four times the test itself.
    """
    seeds = [derive_seed(seed, f"split {split}") for split in range(1, SPLITS)]
    rows = as_pair(real, fake, at_least=LEAST_ROWS)
    with _quiet():
        others = side_by_side(lambda s: _test(rows, s).accuracy, seeds)
    accuracies = [found.accuracy, *others]
    tested = found.accuracy * (1 - found.accuracy) / found.n_test
    between = float(np.var(accuracies, ddof=1))
    if between == 0:  # at 1 all splits agree, and no spread is seen
        return wilson_share(found.correct, found.n_test), accuracies
    error, df = satterthwaite((between, SPLITS - 1), (tested / 4, math.inf))
    return student(found.accuracy, error, df, "splits", low=0.0, high=1.0), accuracies


def _split(first: list[Rows], second: list[Rows]) -> _Split:
    x, held = (np.concatenate(part).astype(np.float64) for part in (first, second))
    scale = max(float(np.abs(x).max()), float(np.abs(held).max())) or 1.0
    x, held = x / scale, held / scale  # squares of large values would overflow
    mean, sd = x.mean(axis=0), x.std(axis=0)
    # A constant feature tells nothing while it is constant; its sd is rounding at best.
    sd[sd <= 1e-12 * np.abs(x).max(axis=0)] = 1.0
    labels = [np.repeat([0, 1], [len(part[0]), len(part[1])]) for part in (first, second)]
    return _Split((x - mean) / sd, labels[0], (held - mean) / sd, labels[1])


def _correct(name: str, split: _Split, state: int) -> int:
    """Held-out rows that the named classifier gets right."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    if name == "logistic":
        model: Any = LogisticRegression(max_iter=200)
    else:
        model = MLPClassifier(
            (_HIDDEN,),
            alpha=1e-3,
            learning_rate_init=3e-3,
            max_iter=_EPOCHS,
            early_stopping=len(split.y) >= 100,
            n_iter_no_change=_PATIENCE,
            random_state=state,
        )
    model.fit(split.x, split.y)
    return int(np.count_nonzero(model.predict(split.held_x) == split.held_y))


def measure_two_sample(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`classifier_two_sample` with its interval: the maker of ``c2st``."""
    found = classifier_two_sample(*inputs.pair, seed=inputs.seed)
    details = {
        "null_low": found.null.low,
        "null_high": found.null.high,
        "p_value": found.p_value,
        "classifier": found.classifier,
        "n_test": found.n_test,
    }
    if not inputs.intervals:
        return Measurement(Estimate(found.accuracy), details)
    estimate, accuracies = two_sample_estimate(*inputs.pair, found, seed=inputs.seed)
    return Measurement(estimate, {**details, "splits": accuracies})
