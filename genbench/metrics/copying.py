"""Memorisation: are generated rows nearer to the training rows than they have a right to be?"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from genbench.errors import MetricError
from genbench.metrics.checks import Float64s, Rows, as_rows, require_same_dimension
from genbench.metrics.search import nearest_rows
from genbench.seeds import derive_seed

CELLS = 3
COMPONENTS = 64
SKIPPED_UP_TO = 20


@dataclass(frozen=True, slots=True)
class CopyingCell:
    """One k-means cell: rows of each set in it, its weight, and its Mann-Whitney z or None."""

    n_test: int
    n_fake: int
    weight: float
    z: float | None


@dataclass(frozen=True, slots=True)
class DataCopying:
    """The result of `data_copying`.

    Parameters
    ----------
    c_t
        The statistic; 0 is expected of fresh samples, far below 0 means copies, far above 0 rows
        that lie farther from the training rows than real ones do.
    z
        ``c_t / sqrt(sum w^2)``: standard normal when generated rows are as near as held-out ones.
    std_error
        Sampling error of `c_t` over fresh generated rows, training and held-out rows fixed.
    cells
        One entry per cell.
    skipped
        Cells left out, for having at most 20 generated rows or no held-out row.
    """

    c_t: float
    z: float
    std_error: float
    cells: tuple[CopyingCell, ...]
    skipped: int


@dataclass(frozen=True, slots=True)
class Authenticity:
    """Share of authentic rows, with the count behind it (for Wilson's interval)."""

    share: float
    authentic: int
    n: int


def data_copying(train: Any, test: Any, fake: Any, *, seed: int) -> DataCopying:
    """The C_T test: distances to the nearest training row, generated against held-out rows.

    In each of 3 k-means cells, z is the Mann-Whitney statistic of those distances,
    ``z = (U - n m / 2) / sqrt(n m (n + m + 1) / 12)`` with U the number of pairs in which the
    generated row is the farther one (ties half). ``C_T = sum w z`` with w the cells' shares of the
    held-out rows, over cells with more than 20 generated rows, scaled to sum to 1.

    Parameters
    ----------
    train
        Rows that the generator was trained on, ``(n_train, d)``, at least 3.
    test
        Real rows nobody trained on, ``(n, d)``.
    fake
        Generated rows, ``(m, d)``.
    seed
        Decides the k-means start.

    Returns
    -------
    DataCopying
        With `c_t` and `z`; far below 0 means copying, about 0 is best.

    Raises
    ------
    MetricError
        On NaN or infinity, wrong rank, different dimensions, too few rows, or when every cell has
        at most 20 generated rows.

    Notes
    -----
    With d > 64, all rows are projected on the training rows' first 64 principal components.
    ``z`` grows with the number of rows: it is evidence, not an amount. Blind to copies in some
    cells that fresh rows farther away make up for: show nearest training rows beside it. No
    tie correction, as in the paper, which makes exact copies look less extreme, not more. Cost:
    n_train (n + m) products of 64.

    References
    ----------
    Meehan et al. 2020, A non-parametric test to detect data-copying in generative models,
    arXiv:2004.05675.
    """
    train, test, fake = _same_space(train=(train, CELLS), test=(test, 1), fake=(fake, 1))
    train, test, fake = _principal(train, test, fake)
    centres = _centres(train, derive_seed(seed, "data-copying", "k-means") % 2**32)
    cell_of = [nearest_rows(rows, centres).index for rows in (test, fake)]
    distance = [nearest_rows(rows, train).distance for rows in (test, fake)]
    parts = [
        _Ranks.of(distance[0][cell_of[0] == cell], distance[1][cell_of[1] == cell])
        for cell in range(len(centres))
    ]
    kept = [p for p in parts if p.z is not None]
    total = sum(p.n_test for p in kept)
    if total == 0:
        counts = ", ".join(f"{p.n_fake} generated and {p.n_test} held-out" for p in parts)
        raise MetricError(
            f"no cell has more than {SKIPPED_UP_TO} generated rows and a held-out one (cells: "
            f"{counts}): give more generated rows"
        )
    weights = [p.n_test / total if p.z is not None else 0.0 for p in parts]
    c_t = math.fsum(w * p.z for w, p in zip(weights, parts, strict=True) if p.z is not None)
    variance = math.fsum((w * p.std_error) ** 2 for w, p in zip(weights, parts, strict=True))
    return DataCopying(
        c_t=c_t,
        z=c_t / math.sqrt(math.fsum(w * w for w in weights)),
        std_error=math.sqrt(variance),
        cells=tuple(
            CopyingCell(p.n_test, p.n_fake, w, p.z) for w, p in zip(weights, parts, strict=True)
        ),
        skipped=len(parts) - len(kept),
    )


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
    exact copy is never authentic. Cost: 2 n_train m products of d at most, in float32.

    References
    ----------
    Alaa et al. 2022, How faithful is your synthetic data?, arXiv:2102.08921 (in the form above).
    """
    return authentic_rows(train, fake).share


def authentic_rows(train: Any, fake: Any) -> Authenticity:
    """`authenticity` with the count behind it."""
    train, fake = _same_space(train=(train, 2), fake=(fake, 1))
    nearest = nearest_rows(fake, train)
    # Only training rows that are somebody's nearest need their own neighbour.
    owner, which = np.unique(nearest.index, return_inverse=True)
    own = nearest_rows(train[owner], train, exclude=owner).distance
    authentic = int(np.count_nonzero(own[which] < nearest.distance))
    return Authenticity(authentic / len(fake), authentic, len(fake))


def _same_space(**sets: tuple[Any, int]) -> tuple[Rows, ...]:
    rows = {name: as_rows(name, x, at_least=least) for name, (x, least) in sets.items()}
    (first, reference), *others = rows.items()
    for name, x in others:
        require_same_dimension(first, reference, name, x)
    return tuple(rows.values())


def _principal(train: Rows, *others: Rows) -> tuple[Rows, ...]:
    """All sets on the first principal components of `train`, or as they are if few-dimensional."""
    if train.shape[1] <= COMPONENTS:
        return train, *others
    scale = max(float(np.abs(x).max()) for x in (train, *others)) or 1.0
    sets = [x.astype(np.float64) / scale for x in (train, *others)]
    centre = sets[0].mean(axis=0)
    centred = sets[0] - centre
    vectors = np.linalg.eigh(centred.T @ centred)[1][:, -COMPONENTS:]
    return tuple((x - centre) @ vectors for x in sets)


def _centres(train: Rows, seed: int) -> Float64s:
    """Centres of the k-means cells; as many as there are distinct rows if those are fewer."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    scale = float(np.abs(train).max()) or 1.0
    # One thread: sums over several would differ in their last digits from run to run.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than cells
        means = KMeans(CELLS, n_init=1, random_state=seed).fit(train.astype(np.float64) / scale)
    return np.asarray(means.cluster_centers_ * scale, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Ranks:
    """Mann-Whitney z of generated against held-out distances in one cell, and its error."""

    n_test: int
    n_fake: int
    z: float | None
    std_error: float

    @classmethod
    def of(cls, test: Float64s, fake: Float64s) -> _Ranks:
        n, m = len(test), len(fake)
        if n == 0 or m <= SKIPPED_UP_TO:
            return cls(n, m, None, 0.0)
        farther = _wins(test, fake)
        null_sd = math.sqrt(n * m * (n + m + 1) / 12)
        z = (float(farther.sum()) - n * m / 2) / null_sd
        return cls(n, m, z, math.sqrt(m) * float(farther.std(ddof=1)) / null_sd)


def _wins(test: Float64s, fake: NDArray[np.float64]) -> Float64s:
    """For each generated row, the number of held-out rows nearer to the training set."""
    ordered = np.sort(test)
    below, upto = (np.searchsorted(ordered, fake, side=side) for side in ("left", "right"))
    return np.asarray((below + upto) / 2)
