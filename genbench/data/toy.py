r"""Two-dimensional densities with known entropy: `8gaussians`, `checkerboard`, `moons`.

- ``8gaussians``: :math:`(4 e^{i k \pi / 4} + 0.5 \epsilon) / 1.414`, k uniform in 0..7.
- ``checkerboard``: :math:`x_1 \sim U(-2, 2)`, :math:`x_2 = U(0, 1) - 2 B + \lfloor x_1 \rfloor
  \bmod 2` with B a fair coin, both times 2: uniform on eight squares of area 4.
- ``moons``: an independent angle :math:`t \sim U(0, \pi)` on one of the arcs
  :math:`(\cos t, \sin t)`, :math:`(1 - \cos t, 0.5 - \sin t)`, plus noise of standard deviation
  0.1, times 2, plus (-1, -0.2).

A name is not a protocol: other projects' densities of the same names have other entropies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data.files import FileCheck
from genbench.data.rows import drawn_rows
from genbench.data.split import Split
from genbench.errors import UsageError, did_you_mean
from genbench.generator import Space
from genbench.seeds import derive_seed

Points = NDArray[np.float64]

GAUSSIAN_SCALE = 1.414
GAUSSIAN_STD = 0.5 / GAUSSIAN_SCALE
MOON_STD = 0.2
MOON_SHIFT = (-1.0, -0.2)
QUADRATURE_NODES = 64

# Differential entropies in nats: the least expected NLL that any density model can reach.
ENTROPIES = {"8gaussians": 2.8319, "checkerboard": math.log(32.0), "moons": 2.3939}


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """Draw a split ``{ n = 50000, seed = 1 }``, float32 ``(n, 2)``, of the density named."""
    n, seed = drawn_rows(dataset, split)
    return Split(sample(dataset["name"], n, seed=seed), None)


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """Nothing to check: the rows are drawn, not stored."""
    _known(dataset["name"])
    return []


def sample(name: str, n: int, *, seed: int) -> NDArray[np.float32]:
    """`n` independent points of the density `name`, float32 ``(n, 2)``; same seed, same points.

    `UsageError` if there is no such density.
    """
    _known(name)
    # RandomState's stream is frozen across NumPy releases; Generator's is not.
    random = np.random.RandomState(derive_seed(seed, name) % 2**32)
    if name == "8gaussians":
        noise = GAUSSIAN_STD * random.standard_normal((n, 2))
        return (_centres()[random.randint(8, size=n)] + noise).astype(np.float32)
    if name == "checkerboard":
        return _checkerboard(n, random)
    arc = random.randint(2, size=n)
    points = _arcs(random.uniform(0, math.pi, n))[arc, np.arange(n)]
    return (points + MOON_STD * random.standard_normal((n, 2))).astype(np.float32)


def _checkerboard(n: int, random: np.random.RandomState) -> NDArray[np.float32]:
    # Multiples of 2**-23 are exact in float32 at this size, so no point is rounded off its square.
    first, second = random.randint(1 << 23, size=(2, n)) / float(1 << 23)
    x1 = 4.0 * first - 2.0
    x2 = second - 2.0 * random.randint(2, size=n) + np.floor(x1) % 2
    return (2.0 * np.stack([x1, x2], axis=1)).astype(np.float32)


def log_density(name: str, x: NDArray[Any]) -> Points:
    """Log-density in nats of each row of `x`, float64 ``(n,)``; -inf outside the support.

    Exact for ``8gaussians`` and ``checkerboard``; for ``moons`` the integral over the angle is
    taken by Gauss-Legendre quadrature, to better than 1e-10 where there is data.

    Raises
    ------
    UsageError
        If there is no such density.
    """
    _known(name)
    points = np.asarray(x, dtype=np.float64)
    if name == "8gaussians":
        return _mixture(points, _centres(), np.full(8, 1 / 8), GAUSSIAN_STD)
    if name == "checkerboard":
        column, row = np.floor(points / 2).T
        inside = (np.abs(column + 0.5) < 2) & (np.abs(row + 0.5) < 2) & ((column + row) % 2 == 0)
        return np.where(inside, -ENTROPIES[name], -np.inf)
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE_NODES)
    arcs = _arcs((nodes + 1) * (math.pi / 2)).reshape(-1, 2)
    return _mixture(points, arcs, np.tile(weights, 2) / 4, MOON_STD)


def truth(dataset: Mapping[str, Any], x: NDArray[Any]) -> Points:
    """The log-density of rows under what the data were drawn from, nats, ``(n,)``."""
    return log_density(dataset["name"], x)


def entropy(name: str) -> float:
    """Differential entropy in nats: the expected NLL of the true density, which no model beats."""
    _known(name)
    return ENTROPIES[name]


def _known(name: str) -> None:
    if name not in ENTROPIES:
        raise UsageError(f"there is no toy density {name!r}: {did_you_mean(name, ENTROPIES)}")


def _centres() -> Points:
    angle = np.arange(8) * (math.pi / 4)
    return 4.0 / GAUSSIAN_SCALE * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _arcs(angle: Points) -> Points:
    """Points of the two noiseless moons at these angles, ``(2, n, 2)``, in final coordinates."""
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    arcs: Points = 2 * np.stack([upper, lower]) + np.array(MOON_SHIFT)
    return arcs


def _mixture(points: Points, centres: Points, weights: Points, std: float) -> Points:
    """Log-density of a mixture of isotropic Gaussians, a few thousand rows at a time."""
    constant = np.log(weights) - math.log(2 * math.pi * std**2)
    parts = []
    for start in range(0, len(points), 4096):
        difference = points[start : start + 4096, None] - centres  # (rows, centres, 2)
        exponent = constant - (difference**2).sum(-1) / (2 * std**2)
        top = exponent.max(axis=1)
        parts.append(top + np.log(np.exp(exponent - top[:, None]).sum(axis=1)))
    return np.concatenate(parts) if parts else np.empty(0)
