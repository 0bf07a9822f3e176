"""`kde` is scikit-learn's kernel density; `realnvp` is the density of its own inverse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.neighbors import KernelDensity
from torch import Tensor

from genbench.baselines.kde import KDE, KDEParams
from genbench.baselines.realnvp import RealNVP, RealNVPParams
from genbench.baselines.realnvp_networks import Density
from genbench.errors import UsageError
from genbench.generator import Space
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData

CPU = torch.device("cpu")
PLANE = Space("points", (2,))
IMAGES = Space("image", (1, 4, 4), levels=17, classes=3)


def fitted(generator: Any, x: Tensor, y: Tensor | None = None, examples: int = 1) -> Any:
    budget = Budget(examples)
    data = MemoryTrainData(x, y, generator.space, CPU, budget)
    generator.fit(data, HarnessRun(0, CPU, budget))
    return generator


def clusters(n: int, seed: int = 0) -> Tensor:
    """Two clusters in the plane, of unlike scales along the axes."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, generator=rng) * 0.3
    return (x + (torch.arange(n) % 2 * 4 - 2)[:, None]) * torch.tensor([1.0, 50.0])


def of_scikit_learn(x: Tensor, at: Tensor, scale: Tensor, bandwidth: float) -> Any:
    kernels = KernelDensity(bandwidth=bandwidth).fit((x / scale).double().numpy())
    return kernels.score_samples((at / scale).double().numpy()) - float(scale.log().sum())


def test_kde_is_scikit_learns_on_rows_in_units_of_their_deviation() -> None:
    x, at = clusters(300), clusters(50, seed=1)
    kde = fitted(KDE(KDEParams(bandwidth=0.2), PLANE, CPU), x)
    scale = x.std(0, correction=0)
    assert_allclose(kde.log_prob(at, seed=0), of_scikit_learn(x, at, scale, 0.2), rtol=1e-3)


def test_kde_of_a_class_is_of_its_rows_alone_and_of_all_where_it_has_none() -> None:
    space, x = Space("points", (2,), classes=3), clusters(200)
    y = torch.arange(200) % 2  # no row is of class 2
    kde = fitted(KDE(KDEParams(bandwidth=0.5), space, CPU), x, y)
    scale, at = kde.state["scale"], clusters(20, seed=1)
    for c, rows in ((0, x[y == 0]), (1, x[y == 1]), (2, x)):
        asked = torch.full((20,), c)
        expected = of_scikit_learn(rows, at, scale, 0.5)
        assert_allclose(kde.log_prob(at, seed=0, labels=asked), expected, rtol=1e-3)
        first = kde.sample(20, seed=0, labels=asked)[:, 0]
        low, high = bool((first < 0).any()), bool((first > 0).any())
        assert (low, high) == ((True, False), (False, True), (True, True))[c]


def test_kde_takes_the_bandwidth_under_which_rows_left_out_are_likeliest() -> None:
    x = clusters(120)
    kde = fitted(KDE(KDEParams(left_out=120), PLANE, CPU), x)
    scale, chosen = kde.state["scale"], float(kde.state["bandwidth"])

    def left_out(h: float) -> float:
        others = [x[torch.arange(120) != i] for i in range(120)]
        parts = [of_scikit_learn(o, x[i : i + 1], scale, h) for i, o in enumerate(others)]
        return float(np.sum(parts))

    best = left_out(chosen)
    assert best > left_out(chosen / 1.2)
    assert best > left_out(chosen * 1.2)


def trained_looking(net: Density) -> Density:
    """In float64, with weights that move every scalar."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn(p.shape, generator=rng))
    return net.double()


@pytest.mark.parametrize("space", [IMAGES, Space("points", (3,)), Space("points", (1,), classes=2)])
def test_realnvps_density_is_that_of_what_its_inverse_makes_of_noise(space: Space) -> None:
    """By autograd's determinant of the inverse; that also shows that both undo each other."""
    layers = (3, 2) if space.kind == "image" else (4,)
    net = trained_looking(Density(space, layers, (4, 4)[: len(layers)]))
    rng, sizes = torch.Generator().manual_seed(1), [math.prod(s) for s in net.shapes()]
    e, y = torch.randn(space.dims, generator=rng, dtype=torch.float64), torch.zeros(1).long()

    def inverse(flat: Tensor) -> Tensor:
        parts = zip(flat.split(sizes), net.shapes(), strict=True)
        return net.inverse([part.view(1, *shape) for part, shape in parts], y).flatten()

    jacobian = torch.autograd.functional.jacobian(inverse, e)  # type: ignore[no-untyped-call]
    noise = -0.5 * (e.square() + math.log(2 * math.pi)).sum()
    expected = noise - torch.linalg.slogdet(jacobian).logabsdet
    found = net(inverse(e).view(1, *space.shape), y)
    assert_allclose(found.detach(), expected[None], rtol=1e-7)


def test_realnvp_takes_images_that_can_be_halved() -> None:
    RealNVP(RealNVPParams(), Space("image", (3, 8, 6), levels=4), CPU)
    with pytest.raises(UsageError, match=r"7 x 8 pixels is odd: choose even sides"):
        RealNVP(RealNVPParams(), Space("image", (1, 7, 8), levels=4), CPU)


@pytest.mark.parametrize("name", ["kde", "realnvp"])
def test_no_density_beats_the_entropy(name: str) -> None:
    """Of a Gaussian and of a uniform square, by more than three standard errors."""
    rng = torch.Generator().manual_seed(0)
    for draw, entropy in (
        (lambda n: torch.randn(n, 2, generator=rng), 1 + math.log(2 * math.pi)),
        (lambda n: 4 * torch.rand(n, 2, generator=rng), math.log(16)),
    ):
        x = draw(2000)
        model: Any = (
            fitted(KDE(KDEParams(left_out=100), PLANE, CPU), x)
            if name == "kde"
            else fitted(RealNVP(RealNVPParams(points_width=16), PLANE, CPU), x, examples=20_000)
        )
        nll = -model.log_prob(draw(2000), seed=0).double()
        assert nll.mean() > entropy - 3 * nll.std() / math.sqrt(2000)
        assert nll.mean() < entropy + 0.5
