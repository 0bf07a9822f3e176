"""The Vendi score: how many distinct modes a set of rows amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from genbench.errors import MetricError
from genbench.metrics.arrays import in_float64, like, namespace, to_host
from genbench.metrics.checks import as_rows
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import Estimate, below


def vendi_score(features: Any) -> float:
    """Effective number of modes among the rows, by cosine similarity.

    ``exp(-sum_i l_i ln l_i)`` with l the eigenvalues of ``K / n``, ``K_ij = x_i . x_j / (|x_i|
    |x_j|)``. K / n has the non-zero eigenvalues of the smaller ``X^T X / n`` of unit rows X.

    Parameters
    ----------
    features
        Rows ``(n, d)``, none of them zero.

    Returns
    -------
    float
        In ``[1, min(n, d)]``: 1 when all rows point one way, k when they form k equal orthogonal
        groups. Higher is more diverse; it knows nothing of the real data, and noise scores high.

    Raises
    ------
    MetricError
        On NaN or infinity, wrong rank, no rows, or a row of zeros, whose direction is undefined.

    Notes
    -----
    Biased downwards at small n. Features that are never negative (after a ReLU) share a
    direction, so their scores are low: compare with the real rows' score. Cost: n d min(n, d).
    Naive form: ``tests.oracles.vendi:vendi``.

    References
    ----------
    Friedman & Dieng 2023, The Vendi score, arXiv:2210.02410.
    """
    rows = in_float64(as_rows("features", features))
    xp = namespace(rows)
    largest = xp.max(xp.abs(rows), axis=1, keepdims=True)
    zero = to_host(largest[:, 0] == 0)
    if zero.any():
        raise MetricError(
            f"features are all zero in {int(zero.sum())} of {len(rows)} rows (first: row "
            f"{int(zero.argmax())}): the cosine with a zero vector is undefined"
        )
    unit = rows / largest  # squares of very large or small values leave float64's range
    unit /= xp.linalg.vector_norm(unit, axis=1, keepdims=True)
    n, dimensions = unit.shape
    gram = unit.T @ unit if dimensions < n else unit @ unit.T
    shares = to_host(xp.linalg.eigvalsh(gram / n))
    shares = shares[shares > 0]  # rounding leaves tiny negatives; 0 ln 0 = 0
    shares /= shares.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def measure_vendi(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`vendi_score` with its interval, and the real rows' score beside it."""
    real, fake = inputs.pair
    value = vendi_score(fake)
    details = {"real": vendi_score(real)}
    if inputs.blocks is None:
        return Measurement(Estimate(value), details)
    block, blocks = like(fake, inputs.blocks.of_row), range(inputs.blocks.count)
    left_out = np.array(side_by_side(lambda b: vendi_score(fake[block != b]), blocks, on=fake))
    shape = tuple(fake.shape)
    most = float(min(shape))
    found = Estimate(value, no_interval=f"at {most:g}, the most that {shape} rows can have")
    if value < most:
        found = below(most, value, left_out)
    return Measurement(inputs.floored(found, vendi_score, low=1.0), details)
