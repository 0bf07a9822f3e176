"""What a generator's codes keep of examples: their error when given back, and their classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from genbench.errors import MetricError
from genbench.metrics.arrays import to_host
from genbench.metrics.checks import as_labels, as_pair, as_sets
from genbench.metrics.uncertainty import Estimate, normal_mean

L2 = 1.0  # half its product with the squared weights is added to the summed loss
_ROUNDS = 500  # of the optimiser, at most


def reconstruction_error(real: Any, rebuilt: Any) -> Estimate:
    """Mean squared difference between examples and what a generator gives back of them.

    ``mean_i mean_j (real_ij - rebuilt_ij)^2``: per scalar, so that sizes compare.

    Parameters
    ----------
    real, rebuilt
        Rows ``(n, d)``, row i of both of one example: images in grey levels over the brightest one
        (0 to 1), points as they are.

    Returns
    -------
    Estimate
        At least 0, lower is better, with the normal interval of its mean over examples.

    Raises
    ------
    MetricError
        If an input is broken, or they are not of as many rows.

    Notes
    -----
    0 is easily had by a code that is as long as the example: read it beside the code's length.
    Naive form: ``tests.oracles.codes:reconstruction_mse``.
    """
    real, rebuilt = (to_host(rows).astype(np.float64) for rows in as_pair(real, rebuilt))
    if len(real) != len(rebuilt):
        given = f"{len(rebuilt)} rows of {len(real)} were given back"
        raise MetricError(f"{given}: give all, in order", status="failed")
    return normal_mean(np.square(real - rebuilt).mean(axis=1))


def linear_probe(
    codes: Any,
    labels: Any,
    test_codes: Any,
    test_labels: Any,
    *,
    subsets: Sequence[NDArray[np.int64]] | None = None,
) -> NDArray[np.bool_]:
    """Whether a linear classifier, trained on codes of labelled rows, tells the classes of others.

    Multinomial logistic regression with an L2 penalty on codes that are centred and divided by
    their deviation over all of `codes`, labelled or not.

    Parameters
    ----------
    codes, test_codes
        Codes ``(n, d)`` to learn from and ``(m, d)`` to be tested on.
    labels, test_labels
        int ``(n,)`` and ``(m,)``.
    subsets
        Indices of the rows whose labels are known, one training each; None for a training on all.

    Returns
    -------
    ndarray
        bool ``(trainings, m)``: true where the class was told. Its mean is the accuracy, 0 to 1;
        higher is better, the share of the most frequent class is chance.

    Raises
    ------
    MetricError
        If an input is broken, or a subset holds a single class.

    Notes
    -----
    A lower bound on what codes hold: what is not linear in them is not seen. The optimum is unique,
    so there is no seed. Cost: O(n d classes) a round, some hundred rounds.

    References
    ----------
    Alain & Bengio 2017, Understanding intermediate layers using linear classifier probes,
    arXiv:1610.01644.
    """
    sets = as_sets(codes=(codes, 2), test_codes=(test_codes, 1))
    x, held = (to_host(rows).astype(np.float64) for rows in sets)
    y, held_y = as_labels("labels", labels, n=len(x)), as_labels("tested", test_labels, n=len(held))
    mean, spread = x.mean(axis=0), x.std(axis=0)
    # A number that never changes tells nothing; its deviation is rounding at best.
    spread[spread <= 1e-12 * np.abs(x).max(axis=0)] = 1.0
    x, held = (x - mean) / spread, (held - mean) / spread
    chosen = [np.arange(len(x))] if subsets is None else subsets
    if any(len(np.unique(y[rows])) < 2 for rows in chosen):
        raise MetricError("all rows are of one class: there is nothing to tell", status="undefined")
    return np.stack([_told(x[rows], y[rows], held) == held_y for rows in chosen])


def _told(x: Any, y: Any, held: Any) -> NDArray[np.int64]:
    """The classes of held rows by a classifier of others."""
    from sklearn.linear_model import LogisticRegression

    # One BLAS thread: results do not depend on the machine's cores. A probe that stops before it
    # has converged has stopped at the same place for every generator.
    with threadpool_limits(1), warnings.catch_warnings(action="ignore"):
        model = LogisticRegression(C=1 / L2, max_iter=_ROUNDS).fit(x, y)
        told: NDArray[np.int64] = model.predict(held)
    return told
