"""Mean and covariance of rows in float64, with and without blocks, and the Frechet distance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg.lapack import dpstrf

from genbench.metrics.arrays import diagonal, like, namespace, on_host, to_host
from genbench.metrics.checks import Float64s, Rows, require_moderate
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import Blocks

_CHUNK = 4096
# Dimensions up to which leaving out a block means another eigenproblem. So small a one is solved
# on the host, wherever the rows are: a device would take longer.
EXACT_UP_TO = 256


@dataclass(frozen=True, slots=True)
class Moments:
    """A Gaussian fitted to `n` rows: `mean` ``(d,)``, `covariance` ``(d, d)`` (ddof=1), float64."""

    n: int
    mean: Float64s
    covariance: Float64s


def moments(rows: Rows) -> Moments:
    """Mean and covariance of at least two rows, in float64 whatever the input."""
    require_moderate(rows)
    mean = rows.mean(axis=0, dtype=namespace(rows).float64)
    return Moments(len(rows), _placed(mean), _placed(_scatter(rows, mean)) / (len(rows) - 1))


def _scatter(rows: Rows, centre: Float64s) -> Float64s:
    """Sum of outer products of centred rows; BLAS computes ``a.T @ a`` as one triangle."""
    total = 0
    for start in range(0, len(rows), _CHUNK):
        centred = rows[start : start + _CHUNK] - centre
        total = centred.T @ centred + total
    return total


def _placed(x: Float64s) -> Float64s:
    """Sums over rows, ``(d,)`` or ``(d, d)``, where eigenproblems of their size are solved."""
    return to_host(x) if x.shape[-1] <= EXACT_UP_TO else x


def distance(a: Moments, b: Moments) -> float:
    """Frechet distance of two Gaussians: ``|m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)``.

    With ``A = L L^T`` the last trace is the sum of square roots of the eigenvalues of the
    symmetric ``L^T B L``; a pivoted Cholesky factor makes that exact for singular A too, and the
    set of lower rank is the one factored.
    """
    if b.n < a.n:
        a, b = b, a
    return _combine(a, b, trace_of_root(factor(a.covariance), b.covariance))


def factor(covariance: Float64s) -> Float64s:
    """``L`` of shape ``(d, rank)`` with ``L L^T`` the covariance."""
    if not on_host(covariance):
        return _factor_on_device(covariance)
    lower, pivots, rank, _ = dpstrf(covariance, lower=1)
    result = np.empty((len(covariance), rank))
    result[pivots - 1] = np.tril(lower)[:, :rank]
    return result


def _factor_on_device(covariance: Float64s) -> Float64s:
    """Without pivoting, which is not to be had there; of eigenvectors where it is singular."""
    linalg = namespace(covariance).linalg
    least = len(covariance) * 2.0**-53 * float(diagonal(covariance).max())  # as LAPACK has it
    lower, failed = linalg.cholesky_ex(covariance)
    if not failed and float(diagonal(lower).min()) ** 2 > least:
        return lower
    values, vectors = linalg.eigh(covariance)
    kept = values > least
    return vectors[:, kept] * values[kept] ** 0.5


def trace_of_root(left: Float64s, covariance: Float64s) -> float:
    """``tr (L^T C L)^1/2``; eigenvalues that rounding made negative count as 0."""
    if left.shape[1] == 0:
        return 0.0
    return _sum_of_roots(namespace(left).linalg.eigvalsh(_sandwich(left, covariance)))


def _sum_of_roots(eigenvalues: Float64s) -> float:
    return float(namespace(eigenvalues).sqrt(eigenvalues.clip(min=0)).sum())


def _sandwich(left: Float64s, covariance: Float64s) -> Float64s:
    return left.T @ (covariance @ left)


def _combine(a: Moments, b: Moments, root: float) -> float:
    shift = a.mean - b.mean
    trace = float(diagonal(a.covariance).sum() + diagonal(b.covariance).sum())
    return max(0.0, float(shift @ shift) + trace - 2 * root)  # only rounding pushes it below


@dataclass(frozen=True, slots=True)
class Distances:
    """The distance with all generated rows, and without each block of them, ``(B,)``."""

    value: float
    left_out: Float64s


def distances_without_blocks(real: Moments, fake: Rows, blocks: Blocks) -> Distances:
    """The distance of `real` to `fake`, with all of its rows and without each block.

    Moments are taken down by a block at a time. Up to `EXACT_UP_TO` dimensions each trace of a
    root is computed anew; above, to first order: what it leaves out is nearly the same for all
    blocks, so that the spread, which is all a jackknife uses, keeps its value.
    """
    whole = moments(fake)
    left = factor(real.covariance)
    order, mean = like(fake, blocks.order), like(fake, whole.mean)
    parts = [fake[order[a:b]] - mean for a, b in pairwise(blocks.edges.tolist())]
    if fake.shape[1] > EXACT_UP_TO:
        return _first_order(real, whole, left, parts)
    scatter = whole.covariance * (whole.n - 1)

    def without(part: Float64s) -> float:
        rest = _without(whole, scatter, part)
        return _combine(real, rest, trace_of_root(left, rest.covariance))

    return Distances(distance(real, whole), np.array(side_by_side(without, parts)))


def _without(whole: Moments, scatter: Float64s, part: Float64s) -> Moments:
    """The moments once `part` (rows centred on the whole's mean) is gone."""
    n, total = whole.n - len(part), _placed(part.sum(axis=0))
    rest = scatter - _placed(part.T @ part) - total[:, None] * total / n
    return Moments(n, whole.mean - total / n, rest / (n - 1))


def _first_order(real: Moments, whole: Moments, left: Float64s, parts: list[Float64s]) -> Distances:
    """Distances, also without each part; mean and traces exact, the trace of the root linearised.

    ``d tr (L^T C L)^1/2 = tr(W dC) / 2`` with ``W = U U^T``, ``U = L V diag(l)^-1/4``.
    """
    eigenvalues, vectors = namespace(left).linalg.eigh(_sandwich(left, whole.covariance))
    root = _sum_of_roots(eigenvalues)
    kept = eigenvalues > 1e-12 * max(float(eigenvalues[-1]), 1e-300)
    u = (left @ vectors[:, kept]) * eigenvalues[kept] ** -0.25
    energy = np.array([_energy(part @ u) for part in parts])  # tr(W S_b)
    of_real, of_fake = (float(diagonal(m.covariance).sum()) for m in (real, whole))
    values = []
    for part, own in zip(parts, energy, strict=True):
        n, total = whole.n - len(part), part.sum(axis=0)
        rest_energy = energy.sum() - own - _energy(total @ u) / n
        change = rest_energy / (n - 1) - energy.sum() / (whole.n - 1)
        shift = real.mean - whole.mean + total / n
        squares = of_fake * (whole.n - 1) - _energy(part)
        trace = of_real + (squares - _energy(total) / n) / (n - 1)
        values.append(float(shift @ shift) + trace - 2 * (root + change / 2))
    return Distances(_combine(real, whole, root), np.array(values))


def _energy(x: Float64s) -> float:
    return float(x.reshape(-1) @ x.reshape(-1))
