"""Authenticity: which generated rows are nearer to a training row than its own neighbour is?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genbench.metrics.arrays import count, namespace
from genbench.metrics.checks import as_sets
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.search import nearest_rows
from genbench.metrics.uncertainty import Estimate, wilson_share


def authenticity(train: Any, fake: Any) -> float:
    """Share of generated rows that are not nearer to a training row than its own neighbour is.

    A generated row g with nearest training row x_i is authentic if
    ``min_{j != i} |x_i - x_j| < |g - x_i|``.

    Parameters
    ----------
    train
        Rows that the generator was trained on, ``(n_train, d)``, at least 2.
    fake
        Generated rows, ``(m, d)``.

    Returns
    -------
    float
        In [0, 1]: 0 when every row is a copy. Neither 1 nor 1/2 is expected of fresh samples: the
        null value depends on the dimension and on n_train, so read it beside held-out rows'.

    Raises
    ------
    MetricError
        On NaN or infinity, wrong rank, different dimensions, or fewer than 2 training rows.

    Notes
    -----
    A generator that scatters rows far from all data scores 1. Distances decide in float64, so an
    exact copy is never authentic. Cost: 2 n_train m products of d at most, in float32. Naive form:
    ``tests.oracles.copying:authenticity``.

    References
    ----------
    Alaa et al. 2022, How faithful is your synthetic data?, arXiv:2102.08921 (in the form above).
    """
    return authenticity_estimate(train, fake).value


def authenticity_estimate(train: Any, fake: Any) -> Estimate:
    """`authenticity` with Wilson's interval."""
    train, fake = as_sets(train=(train, 2), fake=(fake, 1))
    nearest = nearest_rows(fake, train)
    # Only training rows that are somebody's nearest need their own neighbour.
    owner, which = namespace(train).unique_inverse(nearest.index)
    own = nearest_rows(train[owner], train, exclude=owner).distance
    return wilson_share(count(own[which] < nearest.distance), len(fake))


def measure_authenticity(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`authenticity` with Wilson's interval: the maker of ``authenticity``."""
    return Measurement(inputs.maybe(authenticity_estimate(inputs.train, inputs.pair[1])))
