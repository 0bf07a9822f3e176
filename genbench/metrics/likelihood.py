"""Likelihoods as people compare them: bits per dimension, nats, and the interval of their mean."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from genbench.metrics.checks import as_values, require_at_least
from genbench.metrics.uncertainty import Estimate, normal_mean


def bits_per_dim(log_prob: Any, dims: int) -> float:
    """Mean negative log-likelihood in bits per dimension: ``-mean(log_prob) / (dims ln 2)``.

    Parameters
    ----------
    log_prob
        Log-probability of each example in nats, ``(n,)`` or a single number.
    dims
        Scalars in one example, such as 784 for MNIST.

    Returns
    -------
    float
        Lower is better. For 8-bit data at least 0, and exactly 8 for uniform pixels under the
        uniform model; a density over x / 256 in [0, 1] instead of the 8-bit data scores 8 less.

    Raises
    ------
    MetricError
        On NaN or infinity (an example of probability 0), no examples, or ``dims < 1``.

    Notes
    -----
    Comparable only between models of the same discrete data; a lower bound on the likelihood (an
    ELBO, a dequantised density) gives an upper bound on this number. Naive form:
    ``tests.oracles.likelihood:nll``.

    References
    ----------
    Theis et al. 2016, A note on the evaluation of generative models, arXiv:1511.01844.
    """
    return nll_bits_per_dim(log_prob, dims).value


def nll_bits_per_dim(log_prob: Any, dims: int) -> Estimate:
    """`bits_per_dim` with the standard error and normal interval of its mean over examples."""
    require_at_least("dims", dims, 1)
    return normal_mean(-_terms(log_prob) / (dims * math.log(2)))


def nll_nats(log_prob: Any) -> Estimate:
    """Mean negative log-likelihood in nats per example, with its standard error and interval.

    For points: ``-mean(log_prob)``. Lower is better; the entropy of the data's distribution is
    its floor, and a density may make it negative.
    """
    return normal_mean(-_terms(log_prob))


def perplexity(log_prob: Any, events: Any) -> Estimate:
    """The perplexity of texts, ``exp(-sum(log_prob) / sum(events))``, with its interval.

    Parameters
    ----------
    log_prob
        Log-probability of each text in nats, ``(n,)``.
    events
        The draws that made each text, ``(n,)``: its tokens, and its end where it is written.

    Returns
    -------
    Estimate
        At least 1, lower is better. The interval is that of the mean in nats of an event, as a
        ratio of sums over fixed texts, in exponents.

    Notes
    -----
    Naive form: ``tests.oracles.texts:perplexity``. Jelinek et al. 1977, doi:10.1121/1.2016299.
    """
    counted = as_values("events", events)
    nats = normal_mean(-_terms(log_prob) / float(counted.mean()))
    value = math.exp(nats.value)
    if nats.interval is None or nats.std_error is None:
        return Estimate(value, no_interval=nats.no_interval)
    ends = replace(
        nats.interval, low=math.exp(nats.interval.low), high=math.exp(nats.interval.high)
    )
    return Estimate(value, value * nats.std_error, ends)


def _terms(log_prob: Any) -> Any:
    single = getattr(log_prob, "ndim", None) == 0 or isinstance(log_prob, int | float)
    return as_values("log_prob", [float(log_prob)] if single else log_prob)
