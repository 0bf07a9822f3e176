"""Is what log_prob returns a density, a probability, or a bound of one? Add it up and see."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genbench.generator import Space
from genbench.plugins import Stopped, checked_log_prob
from genbench.testing.subject import NotChecked, Subject, require
from genbench.testing.tiny import tiny_rows

DENSITY_TOLERANCE = 0.02
PROBABILITY_TOLERANCE = 1e-3
SMALL = Space("image", (1, 2, 2), levels=4)
CHUNK = 4096
# Of a random bound, the mean over this many seeds is exponentiated: by Jensen's inequality that
# is no more than the probability in expectation.
BOUND_SEEDS = 16
PROBABILITY_SEEDS = 64
_CELLS = {1: (2_000, 4_000, 8_000, 16_000), 2: (128, 192, 288, 432)}
_BOUND_CELLS = {1: (1_000, 1_500), 2: (96, 144)}


def density(subject: Subject) -> None:
    """Integrate over a grid that the samples span, refined until the sum stands still."""
    likelihood = subject.require_likelihood()
    d = subject.space.dims
    if d not in _CELLS:
        raise NotChecked(f"points of {d} dimensions are too many for a grid: at most 2")
    low, high = _box(subject)
    bound = likelihood == "lower-bound"
    total = math.nan
    for cells in (_BOUND_CELLS if bound else _CELLS)[d]:
        before, total = total, _integral(subject, low, high, cells, BOUND_SEEDS if bound else 1)
        if abs(total - before) < DENSITY_TOLERANCE / 4:
            break
    else:
        if not bound:
            raise NotChecked(f"the finest grid does not resolve it: {before:.4f}, {total:.4f}")
    wanted = "at most 1" if bound else "1"
    off = total - 1 if bound else abs(total - 1)
    require(
        off <= DENSITY_TOLERANCE,
        f"its density integrates to {total:.4f}, expected {wanted} within {DENSITY_TOLERANCE:g}: "
        "look for a missing log-determinant or normaliser",
    )


def probability(subject: Subject) -> None:
    """Sum over all images of 2 x 2 pixels and 4 levels, after a fit on some of them."""
    likelihood = subject.require_likelihood()
    states = torch.cartesian_prod(*[torch.arange(4)] * 4).to(torch.uint8).view(256, 1, 2, 2)
    rows = states[torch.arange(200) % 17 * 15]
    small = Subject(subject.ref, subject.description, SMALL, subject.folder, subject.here)
    try:
        generator = small.make()
        small.fit(generator, rows=rows)
    except Stopped:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise NotChecked(f"it does not take images of shape (1, 2, 2): {reason}") from error
    exact = likelihood == "exact"
    total = float(np.exp(_mean(generator, states, 1 if exact else PROBABILITY_SEEDS)).sum())
    off = abs(total - 1) if exact else total - 1
    wanted = "1" if exact else "at most 1"
    require(
        off <= PROBABILITY_TOLERANCE,
        f"{likelihood} probabilities of all images sum to {total:.4f}, expected {wanted} within "
        f"{PROBABILITY_TOLERANCE:g}: log_prob must be of the quantised image, in nats",
    )


def _box(subject: Subject) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """A box that holds all rows and nearly all samples, with half as much again on every side."""
    points = torch.cat([subject.sample(4_000).x, tiny_rows(subject.space)]).double().numpy()
    low, high = np.quantile(points, [0.001, 0.999], axis=0)
    margin = np.maximum(high - low, 1e-3) / 2
    return low - margin, high + margin


def _integral(
    subject: Subject, low: npt.NDArray[Any], high: npt.NDArray[Any], cells: int, seeds: int
) -> float:
    """The midpoint rule."""
    width = (high - low) / cells
    axes = [torch.from_numpy(a + w * (np.arange(cells) + 0.5)) for a, w in zip(low, width)]  # noqa: B905
    grid = torch.cartesian_prod(*axes).float().view(-1, len(axes))
    value = _mean(subject.fitted().generator, grid, seeds)
    return float(np.exp(value + np.log(width).sum()).sum())


def _mean(generator: Any, x: Tensor, seeds: int) -> npt.NDArray[np.float64]:
    """log_prob of every row, averaged over seeds."""
    total = np.zeros(len(x))
    for seed in range(seeds):
        parts = [checked_log_prob(generator, part, seed=seed) for part in torch.split(x, CHUNK)]
        total += np.concatenate(parts)
    mean: npt.NDArray[np.float64] = total / seeds
    return mean
