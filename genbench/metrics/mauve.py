r"""MAUVE: the area under the curve of divergences between real and generated rows.

Both sets are quantised together into k buckets. Of their histograms P and Q and of mixtures
:math:`R_w = w P + (1 - w) Q` the points :math:`(e^{-c KL(Q | R_w)}, e^{-c KL(P | R_w)})` make a
curve from (1, 0) to (0, 1), as precision and recall do: what is wrong in Q lowers one, what is
missing in it the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from threadpoolctl import threadpool_limits

from genbench.errors import MetricError
from genbench.metrics.arrays import to_host
from genbench.metrics.checks import Rows, as_pair, require_at_least
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.uncertainty import Blocks, Estimate, block_jackknife
from genbench.seeds import derive_seed

LEAST_ROWS = 20
SCALE = 5.0  # c
POINTS = 25  # of the curve, besides its ends
DRAWS = 5  # quantisations whose mean is told
_ROWS_A_BUCKET, _MOST_BUCKETS = 10, 500
_ROUNDS = 100  # of k-means, at most
_EDGE = 1e-6  # first and last w: at 0 and 1 the curve has its ends

Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mauve:
    """The result of `mauve_score`.

    Parameters
    ----------
    area
        MAUVE, over the draws.
    frontier_integral
        See `frontier_integral`, over the same draws.
    smoothed
        The area with half a row more in every bucket of both sets (Krichevsky and Trofimov), which
        leans less on empty ones.
    buckets
        How many there were.
    """

    area: float
    frontier_integral: float
    smoothed: float
    buckets: int


def divergence_curve(real: Any, fake: Any, *, scale: float = SCALE) -> Float64s:
    """The curve between two histograms, float64 ``(27, 2)``, from (1, 0) to (0, 1).

    Parameters
    ----------
    real, fake
        Shares ``(k,)`` of rows in each bucket, of sum 1.
    scale
        The constant c.
    """
    p, q = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    w = np.linspace(_EDGE, 1 - _EDGE, POINTS)[:, None]
    mixed = w * p + (1 - w) * q
    divergences = np.stack([rel_entr(side, mixed).sum(1) for side in (q, p)], 1)
    return np.concatenate([[[1.0, 0.0]], np.exp(-scale * divergences), [[0.0, 1.0]]])


def mauve_area(real: Any, fake: Any, *, scale: float = SCALE) -> float:
    """The area under `divergence_curve`: 1 for equal histograms, towards 0 without overlap."""
    x, y = divergence_curve(real, fake, scale=scale).T
    # Cut to the range: rounding leaves it by the last digit.
    return float(np.clip(0.5 * np.sum((x[:-1] - x[1:]) * (y[:-1] + y[1:])), 0, 1))


def frontier_integral(real: Any, fake: Any) -> float:
    r"""The frontier integral of two histograms ``(k,)``: 0 for equal ones, 1 without overlap.

    :math:`2 \int_0^1 w KL(P | R_w) + (1 - w) KL(Q | R_w)\,dw`, in closed form: over buckets, the
    arithmetic mean of both shares less :math:`p q \ln(p / q) / (p - q)`.

    References
    ----------
    Liu et al. 2021, Divergence Frontiers for Generative Models, arXiv:2106.07898.
    """
    p, q = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    gap, both = p - q, (p > 0) & (q > 0)
    apart = both & (np.abs(gap) > 1e-8 * (p + q))  # nearer ones share nothing but rounding
    terms = np.where(both & ~apart, 0.0, (p + q) / 2)
    terms[apart] -= (p * q)[apart] * np.log(p[apart] / q[apart]) / gap[apart]
    return float(np.clip(terms.sum(), 0, 1))


def mauve_score(
    real: Any, fake: Any, *, buckets: int | None = None, scale: float = SCALE, seed: int
) -> Mauve:
    """MAUVE of two sets of features, with what goes with it.

    Parameters
    ----------
    real, fake
        Rows ``(n, d)`` and ``(m, d)``, at least 20 each.
    buckets
        k; without it a tenth of the smaller set's rows, from 2 to 500.
    scale
        The constant c; 5 is the authors'.
    seed
        Of the quantisations: k-means of both sets together, as they are given (neither scaled nor
        projected), started by k-means++, at most 100 rounds; five of them, whose mean is told.

    Returns
    -------
    Mauve
        `area` in (0, 1]; higher is better.

    Raises
    ------
    MetricError
        On NaN or infinity, wrong rank, different dimensions, fewer than 20 rows, or more buckets
        than rows.

    Notes
    -----
    Biased downwards, the more the fewer rows a bucket holds: compare values of one n, and read them
    beside held-out rows'. The authors' program scales rows to length 1 and projects them first, and
    keeps the best of five quantisations: on the same histograms the numbers are the same. By
    scikit-learn on the CPU wherever the rows are; cost: 5 times (n + m) k d times some ten rounds.
    Properties, as a quantisation has no naive form: ``tests.oracles.mauve:holds``.

    References
    ----------
    Pillutla et al. 2021, MAUVE, arXiv:2102.01454; Pillutla et al. 2023, arXiv:2212.14578.
    """
    return _told(_quantised(real, fake, buckets, seed), scale)


@dataclass(frozen=True, slots=True)
class _Quantised:
    """The bucket of each real and each generated row, and how many buckets there are."""

    real: Int64s
    fake: Int64s
    buckets: int

    def histograms(self, kept: Any = slice(None), more: float = 0.0) -> tuple[Float64s, Float64s]:
        """Shares of both sets in each bucket; of those generated rows that are kept.

        With so many rows `more` in each.
        """
        counts = [
            np.bincount(rows, minlength=self.buckets) + more
            for rows in (self.real, self.fake[kept])
        ]
        return counts[0] / counts[0].sum(), counts[1] / counts[1].sum()


def _quantised(real: Any, fake: Any, buckets: int | None, seed: int) -> list[_Quantised]:
    """The draws: each a k-means of its own on both sets."""
    from sklearn.cluster import KMeans

    sides = [to_host(rows) for rows in as_pair(real, fake, at_least=LEAST_ROWS)]
    smaller = min(map(len, sides))
    if buckets is None:
        buckets = min(_MOST_BUCKETS, max(2, smaller // _ROWS_A_BUCKET))
    require_at_least("buckets", buckets, 2)
    if buckets > smaller:
        raise MetricError(
            f"buckets is {buckets} for {smaller} rows of the smaller set: ask for fewer",
            status="undefined",
        )
    rows, found = np.concatenate(sides), []
    n_real = len(sides[0])
    # That several rows are equal, and buckets so empty, is the generator's doing. One thread: sums
    # in another order would move rows.
    with threadpool_limits(1), warnings.catch_warnings(action="ignore"):
        for draw in range(DRAWS):
            state = derive_seed(seed, f"mauve {draw}") % 2**32
            means = KMeans(buckets, n_init=1, max_iter=_ROUNDS, random_state=state)
            of_row = means.fit_predict(rows).astype(np.int64)
            found.append(_Quantised(of_row[:n_real], of_row[n_real:], buckets))
    return found


def _told(draws: list[_Quantised], scale: float) -> Mauve:
    """The means over the draws."""
    plain = [draw.histograms() for draw in draws]
    smoothed = [draw.histograms(more=0.5) for draw in draws]
    return Mauve(
        area=float(np.mean([mauve_area(*one, scale=scale) for one in plain])),
        frontier_integral=float(np.mean([frontier_integral(*one) for one in plain])),
        smoothed=float(np.mean([mauve_area(*one, scale=scale) for one in smoothed])),
        buckets=draws[0].buckets,
    )


def measure_mauve(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`mauve_score` with its interval: the maker of ``mauve``."""
    scale = parameters["scale"]
    real, fake = inputs.pair
    draws = _quantised(real, fake, parameters["buckets"], inputs.seed)
    found = _told(draws, scale)
    details = {"frontier_integral": found.frontier_integral, "smoothed": found.smoothed}
    used = {"buckets": found.buckets}
    if inputs.blocks is None:
        return Measurement(Estimate(found.area), details, used)
    estimate = _estimate(draws, inputs.blocks, found.area, scale)

    def again(rows: Rows) -> float:
        return mauve_score(real, rows, buckets=found.buckets, scale=scale, seed=inputs.seed).area

    return Measurement(inputs.floored(estimate, again, low=0.0), details, used)


def _estimate(draws: list[_Quantised], blocks: Blocks, value: float, scale: float) -> Estimate:
    """The mean over the draws, its error by blocks of generated rows and by the draws' spread.

    Buckets stay what they are when a block goes: made anew they would move for their own reasons.
    """
    of_row = blocks.of_row
    areas = np.array([
        [mauve_area(*draw.histograms(of_row != block), scale=scale) for draw in draws]
        for block in range(blocks.count)
    ])  # fmt: skip
    whole = np.array([mauve_area(*draw.histograms(), scale=scale) for draw in draws])
    spread = float(whole.var(ddof=1)) / len(draws)
    return block_jackknife(value, areas.mean(axis=1), low=0.0, high=1.0, extra_variance=spread)
