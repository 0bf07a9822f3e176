"""The C_T test: are generated rows nearer to the training rows than they have a right to be?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from threadpoolctl import threadpool_limits

from genbench.errors import MetricError
from genbench.metrics.arrays import in_float64, like, namespace, to_host
from genbench.metrics.checks import Rows, as_sets
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.search import nearest_rows
from genbench.metrics.threads import side_by_side
from genbench.metrics.uncertainty import (
    Estimate,
    jackknife_variance,
    one_at_least,
    satterthwaite,
    student,
)
from genbench.seeds import derive_seed

CELLS = 3
DRAWS = 10  # of the k-means start
COMPONENTS = 64
SKIPPED_UP_TO = 20

Float64s = NDArray[np.float64]
Indices = NDArray[np.int64]


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
        ``c_t / sqrt(sum w^2)``: standard normal when generated rows are as near as held-out ones
        (its spread is a little below 1 where the k-means draws differ).
    std_error
        Error of `c_t` over fresh generated rows and other k-means draws, training and held-out rows
        fixed.
    df
        Degrees of freedom of `std_error`.
    cells
        The cells of the first k-means draw.
    skipped
        Cells of the first draw left out, for at most 20 generated rows or no held-out row.
    by_draw
        `c_t` of each k-means draw, ``(draws,)``.
    unsteady
        Why `std_error` does not tell the error: a cell about as full as the least that counts,
        which moves the number when fresh rows take it in or leave it out. Empty where none does.
    """

    c_t: float
    z: float
    std_error: float
    df: float
    cells: tuple[CopyingCell, ...]
    skipped: int
    by_draw: tuple[float, ...]
    unsteady: str


def data_copying(train: Any, test: Any, fake: Any, *, seed: int) -> DataCopying:
    """The C_T test: distances to the nearest training row, generated against held-out rows.

    In each of 3 k-means cells, z is the Mann-Whitney statistic of those distances,
    ``z = (U - n m / 2) / sqrt(n m (n + m + 1) / 12)`` with U the number of pairs in which the
    generated row is the farther one (ties half). ``C_T = sum w z`` with w the cells' shares of the
    held-out rows, over cells with more than 20 generated rows, scaled to sum to 1; the mean over
    10 draws of the k-means start.

    Parameters
    ----------
    train
        Rows that the generator was trained on, ``(n_train, d)``, at least 3.
    test
        Real rows nobody trained on, ``(n, d)``.
    fake
        Generated rows, ``(m, d)``.
    seed
        Decides the k-means starts.

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
    The paper draws its cells once; where training rows form no three clear groups, that one draw
    moves C_T by several of its units, hence the mean. ``z`` grows with the number of rows: it is
    evidence, not an amount. Blind to copies in some cells that fresh rows farther away make up
    for: show nearest training rows beside it. No tie correction, as in the paper, which makes exact
    copies look less extreme, not more. Cost: n_train (n + m) products of 64, and 10 runs of k-means
    on the training rows, by scikit-learn on the CPU wherever the rows are. Naive form, for clear
    cells: ``tests.oracles.copying:c_t``.

    References
    ----------
    Meehan et al. 2020, A non-parametric test to detect data-copying in generative models,
    arXiv:2004.05675.
    """
    train, test, fake = as_sets(train=(train, CELLS), test=(test, 1), fake=(fake, 1))
    train, test, fake = _principal(train, test, fake)
    far = [to_host(nearest_rows(rows, train).distance) for rows in (test, fake)]
    block, on_host = one_at_least(len(fake)).of_row, to_host(train)
    first = derive_seed(seed, "data-copying", "k-means")

    def cells(draw: int) -> _Cells:
        # The first draw's seed is that of a single one.
        own = derive_seed(first, f"draw {draw}") if draw else first
        centres = like(train, _centres(on_host, own % 2**32))
        cell_of = [to_host(nearest_rows(rows, centres).index) for rows in (test, fake)]
        return _Cells.of(cell_of, far, block)

    # Fewer distinct rows than cells make some cells equal, and scikit-learn says so.
    with warnings.catch_warnings(action="ignore"):
        return _over_draws(side_by_side(cells, range(DRAWS)))


def _over_draws(found: list[_Cells]) -> DataCopying:
    kept = [one for one in found if one.counted.any()]
    first = found[0]
    if not kept:
        sizes = zip(first.n_fake, first.n_test, strict=True)
        counts = ", ".join(f"{m} generated and {n} held-out" for m, n in sizes)
        raise MetricError(
            f"no cell has more than {SKIPPED_UP_TO} generated rows and a held-out one (cells: "
            f"{counts}): give more generated rows"
        )
    values = np.array([one.c_t for one in kept])
    left_out = np.mean([one.weights @ one.left_out for one in kept], axis=0)
    of_draws = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
    std_error, df = satterthwaite(
        (jackknife_variance(left_out), len(left_out) - 1), (of_draws, DRAWS - 1)
    )
    cells = zip(first.n_test, first.n_fake, first.weights, first.of_cell, strict=True)
    return DataCopying(
        c_t=float(values.mean()),
        z=float(np.mean([one.z for one in kept])),
        std_error=std_error,
        df=df,
        cells=tuple(
            CopyingCell(int(n), int(m), float(w), float(z) if counts else None)
            for (n, m, w, z), counts in zip(cells, first.counted, strict=True)
        ),
        skipped=int((~first.counted).sum()),
        by_draw=tuple(values.tolist()),
        unsteady=_unsteady(found, std_error),
    )


def _unsteady(found: list[_Cells], std_error: float) -> str:
    if np.mean([one.unsteadiness for one in found]) <= std_error / 2:
        return ""
    chances = np.concatenate([one.flip_chances for one in found])
    edge = np.concatenate([one.n_fake for one in found])[chances.argmax()]
    return (
        f"a k-means cell has {edge} generated rows, about the {SKIPPED_UP_TO} up to which a "
        "cell is left out: fresh rows could take it in or leave it out, and make another number"
    )


def _principal(train: Rows, *others: Rows) -> tuple[Rows, ...]:
    """All sets on the first principal components of `train`, or as they are if few-dimensional."""
    if train.shape[1] <= COMPONENTS:
        return train, *others
    xp = namespace(train)
    scale = max(float(xp.max(xp.abs(x))) for x in (train, *others)) or 1.0
    sets = [in_float64(x) / scale for x in (train, *others)]
    centre = sets[0].mean(axis=0)
    centred = sets[0] - centre
    vectors = xp.linalg.eigh(centred.T @ centred)[1][:, -COMPONENTS:]
    return tuple((x - centre) @ vectors for x in sets)


def _centres(train: Rows, seed: int) -> Float64s:
    """Centres of the k-means cells, ``(cells, d)``."""
    from sklearn.cluster import KMeans

    scale = float(np.abs(train).max()) or 1.0
    # One thread: sums over several would differ in their last digits from run to run.
    with threadpool_limits(1):
        means = KMeans(CELLS, n_init=1, random_state=seed).fit(train.astype(np.float64) / scale)
    return np.asarray(means.cluster_centers_ * scale, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of one k-means draw.

    `n_test` and `n_fake` rows are in each, ``(cells,)``; `of_cell` is its Mann-Whitney z, 0 where
    a set has no row there, and `left_out` that z without each block, ``(cells, blocks)``.
    """

    n_test: Indices
    n_fake: Indices
    of_cell: Float64s
    left_out: Float64s

    @classmethod
    def of(cls, cell_of: list[Indices], far: list[Float64s], block: Indices) -> _Cells:
        blocks = int(block.max()) + 1
        n_test, n_fake = (np.bincount(of, minlength=CELLS) for of in cell_of)
        found = cls(n_test, n_fake, np.zeros(CELLS), np.zeros((CELLS, blocks)))
        for cell in np.flatnonzero(n_test * n_fake):
            test, fake = (of == cell for of in cell_of)
            n, m, own = int(n_test[cell]), int(n_fake[cell]), block[fake]
            farther = _wins(far[0][test], far[1][fake])
            gone, lost = (np.bincount(own, w, minlength=blocks) for w in (None, farther))
            found.of_cell[cell] = _z(n, m, farther.sum())
            found.left_out[cell] = _z(n, np.maximum(m - gone, 1), farther.sum() - lost)
        return found

    @property
    def counted(self) -> NDArray[np.bool_]:
        """The cells that enter C_T."""
        return (self.n_test > 0) & (self.n_fake > SKIPPED_UP_TO)

    @property
    def weights(self) -> Float64s:
        """Shares of the held-out rows, 0 for cells left out."""
        return self._weights(self.counted)

    def _weights(self, counted: NDArray[np.bool_]) -> Float64s:
        rows = self.n_test * counted
        return np.asarray(rows / max(1, rows.sum()))

    @property
    def c_t(self) -> float:
        return float(self.weights @ self.of_cell)

    @property
    def z(self) -> float:
        return self.c_t / math.sqrt(float(np.square(self.weights).sum()))

    @property
    def flip_chances(self) -> Float64s:
        """The chance, about, that with fresh rows each enters where it does not, or the reverse."""
        gap = np.abs(self.n_fake - SKIPPED_UP_TO - 0.5)
        chances = ndtr(-gap / np.sqrt(np.maximum(self.n_fake, SKIPPED_UP_TO)))
        return np.where(self.n_test > 0, chances, 0.0)

    @property
    def unsteadiness(self) -> float:
        """Standard deviation that comes from cells about to enter or to leave."""
        total = 0.0
        for cell, chance in enumerate(self.flip_chances.tolist()):
            flipped = self.counted ^ (np.arange(len(self.n_test)) == cell)
            if flipped.any():
                change = float(self._weights(flipped) @ self.of_cell) - self.c_t
                total += chance * (1 - chance) * change**2
        return math.sqrt(total)


def _z(n: int, m: Any, u: Any) -> Any:
    """U of n held-out and m generated rows, standardised."""
    return (u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12)


def _wins(test: Float64s, fake: NDArray[np.float64]) -> Float64s:
    """For each generated row, the number of held-out rows nearer to the training set."""
    ordered = np.sort(test)
    below, upto = (np.searchsorted(ordered, fake, side=side) for side in ("left", "right"))
    return np.asarray((below + upto) / 2)


def measure_copying(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`data_copying` with the real rows held out: the maker of ``c_t``."""
    # The cells are part of what the number is: one seed for all, so that no luck of a k-means start
    # stands between two generators.
    found = data_copying(inputs.train, *inputs.pair, seed=0)
    details = {
        "z": found.z,
        "skipped_cells": found.skipped,
        "cell_z": [cell.z for cell in found.cells],
        "by_draw": list(found.by_draw),
    }
    estimate = student(found.c_t, found.std_error, found.df, "block-jackknife")
    if found.unsteady:
        estimate = Estimate(found.c_t, no_interval=found.unsteady)
    return Measurement(inputs.maybe(estimate), details)
