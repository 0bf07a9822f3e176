"""Mean and covariance of rows in float64, with and without blocks, and the Frechet distance."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg.lapack import dpstrf

from genbench.metrics.checks import Float64s, Rows, require_moderate
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import Blocks

_CHUNK = 4096
EXACT_UP_TO = 256  # dimensions up to which leaving out a block means another eigenproblem


@dataclass(frozen=True, slots=True)
class Moments:
    """A Gaussian fitted to `n` rows: `mean` ``(d,)``, `covariance` ``(d, d)`` (ddof=1), float64."""

    n: int
    mean: Float64s
    covariance: Float64s


def moments(rows: Rows) -> Moments:
    """Mean and covariance of at least two rows, in float64 whatever the input."""
    require_moderate(rows)
    mean = rows.mean(axis=0, dtype=np.float64)
    return Moments(len(rows), mean, _scatter(rows, mean) / (len(rows) - 1))


def _scatter(rows: Rows, centre: Float64s) -> Float64s:
    """Sum of outer products of centred rows; BLAS computes ``a.T @ a`` as one triangle."""
    total = np.zeros((rows.shape[1], rows.shape[1]))
    for start in range(0, len(rows), _CHUNK):
        centred = rows[start : start + _CHUNK] - centre
        total += centred.T @ centred
    return total


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
    lower, pivots, rank, _ = dpstrf(covariance, lower=1)
    result = np.empty((len(covariance), rank))
    result[pivots - 1] = np.tril(lower)[:, :rank]
    return result


def trace_of_root(left: Float64s, covariance: Float64s) -> float:
    """``tr (L^T C L)^1/2``; eigenvalues that rounding made negative count as 0."""
    if left.shape[1] == 0:
        return 0.0
    eigenvalues = np.linalg.eigvalsh(_sandwich(left, covariance))
    return float(np.sqrt(eigenvalues.clip(min=0)).sum())


def _sandwich(left: Float64s, covariance: Float64s) -> Float64s:
    product: Float64s = left.T @ (covariance @ left)
    return product


def _combine(a: Moments, b: Moments, root: float) -> float:
    shift = a.mean - b.mean
    trace = float(np.trace(a.covariance) + np.trace(b.covariance))
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
    parts = [fake[blocks.order[a:b]] - whole.mean for a, b in pairwise(blocks.edges)]
    if fake.shape[1] > EXACT_UP_TO:
        return _first_order(real, whole, left, parts)
    scatter = whole.covariance * (whole.n - 1)

    def without(part: Float64s) -> float:
        rest = _without(whole, scatter, part)
        return _combine(real, rest, trace_of_root(left, rest.covariance))

    return Distances(distance(real, whole), np.array(side_by_side(without, parts)))


def _without(whole: Moments, scatter: Float64s, part: Float64s) -> Moments:
    """The moments once `part` (rows centred on the whole's mean) is gone."""
    n, total = whole.n - len(part), part.sum(axis=0)
    rest = scatter - part.T @ part - np.outer(total, total) / n
    return Moments(n, whole.mean - total / n, rest / (n - 1))


def _first_order(real: Moments, whole: Moments, left: Float64s, parts: list[Float64s]) -> Distances:
    """Distances, also without each part; mean and traces exact, the trace of the root linearised.

    ``d tr (L^T C L)^1/2 = tr(W dC) / 2`` with ``W = U U^T``, ``U = L V diag(l)^-1/4``.
    """
    eigenvalues, vectors = np.linalg.eigh(_sandwich(left, whole.covariance))
    root = float(np.sqrt(eigenvalues.clip(min=0)).sum())
    kept = eigenvalues > 1e-12 * max(eigenvalues[-1], 1e-300)
    u = (left @ vectors[:, kept]) * eigenvalues[kept] ** -0.25
    energy = np.array([_energy(part @ u) for part in parts])  # tr(W S_b)
    values = []
    for part, own in zip(parts, energy, strict=True):
        n, total = whole.n - len(part), part.sum(axis=0)
        rest_energy = energy.sum() - own - _energy(total @ u) / n
        change = rest_energy / (n - 1) - energy.sum() / (whole.n - 1)
        shift = real.mean - whole.mean + total / n
        squares = np.trace(whole.covariance) * (whole.n - 1) - _energy(part)
        trace = np.trace(real.covariance) + (squares - _energy(total) / n) / (n - 1)
        values.append(float(shift @ shift) + float(trace) - 2 * (root + change / 2))
    return Distances(_combine(real, whole, root), np.array(values))


def _energy(x: Float64s) -> float:
    return float(np.vdot(x, x))
