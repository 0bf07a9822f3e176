"""The integral of a density of points over the region of the data: at most 1 is possible.

Stratified Monte Carlo: one random point in each cell of a grid over the data and half as much again
on every side, which is unbiased and cannot be told from other points by their places.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from genbench.plugins import GeneratorDriver
from genbench.seeds import derive_seed

MASS = "mass"
MOST_DIMS = 2
REPLICATES = 4  # their spread is the error of their mean
# A bound is the mean of noisy logarithms; the exponential of one of them is larger in expectation
# than that of the mean, and can be larger than the density.
DRAWS_OF_A_BOUND = 16
_CELLS = {1: 2_000, 2: 72}  # per dimension
_CHUNK = 2_000
_SLACK, _ERRORS = 0.05, 6.0

Rows = npt.NDArray[np.float64]


def masses(
    subject: GeneratorDriver, rows: npt.NDArray[Any], shares: Rows | None, seed: int
) -> npt.NDArray[np.float64]:
    """The mass around `rows` by each of `REPLICATES` independent grids.

    Parameters
    ----------
    rows
        Points ``(n, d)``, d at most `MOST_DIMS`.
    shares
        The classes' probabilities, for a generator whose log_prob takes labels.
    """
    low, high = np.quantile(rows.astype(np.float64), [0.001, 0.999], axis=0)
    margin = np.maximum(high - low, 1e-3) / 2
    low, high = low - margin, high + margin
    found = []
    for replicate in range(REPLICATES):
        rng = np.random.default_rng(derive_seed(seed, MASS, replicate))
        points, volume = _points(low, high, rng)
        labels = None if shares is None else rng.choice(len(shares), len(points), p=shares)
        found.append(volume * _density(subject, points, labels, seed).sum())
    return np.array(found)


def impossible(found: npt.NDArray[np.float64]) -> str | None:
    """The reason that these masses are none of a density; None if they may be."""
    total = float(found.mean())
    error = float(found.std(ddof=1)) / math.sqrt(len(found))
    if total <= 1 + _SLACK + _ERRORS * error:
        return None
    return (
        f"its density integrates to {total:.4g} over the data's surroundings, where at most 1 is "
        "possible: look for a missing log-determinant or normaliser in log_prob"
    )


def _points(low: Rows, high: Rows, rng: np.random.Generator) -> tuple[Rows, float]:
    """One random point in each cell, and the volume of a cell."""
    cells = _CELLS[len(low)]
    width = (high - low) / cells
    axes = np.meshgrid(*[np.arange(cells)] * len(low), indexing="ij")
    corner = np.stack([axis.ravel() for axis in axes], axis=1)
    return low + width * (corner + rng.random(corner.shape)), float(width.prod())


def _density(
    subject: GeneratorDriver, points: Rows, labels: npt.NDArray[np.int64] | None, seed: int
) -> Rows:
    parts = []
    draws = DRAWS_OF_A_BOUND if subject.choice.description.likelihood == "lower-bound" else 1
    for start in range(0, len(points), _CHUNK):
        x = torch.from_numpy(points[start : start + _CHUNK].astype(np.float32)).to(subject.device)
        y = None
        if labels is not None:
            y = torch.from_numpy(labels[start : start + _CHUNK]).to(subject.device)
        total = np.zeros(len(x))
        for draw in range(draws):
            seeds = (start,) if draw == 0 else (start, draw)
            with torch.no_grad():
                value = subject.generator.log_prob(
                    x, seed=derive_seed(seed, MASS, *seeds), labels=y, draws=1
                )
            total += value.detach().double().cpu().numpy()
        parts.append(total / draws)
    found: Rows = np.exp(np.concatenate(parts))
    return found
