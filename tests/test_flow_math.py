"""The flow's mathematics: exact log-determinant, invertible, normalised, sampled as scored."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from genbench.baselines.flow import Flow, FlowParams
from genbench.baselines.flow_inverse import Inverse
from genbench.baselines.flow_maps import Plateaus
from genbench.baselines.flow_networks import Density
from genbench.errors import UsageError
from genbench.generator import Space
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData, Stopped

CPU = torch.device("cpu")
SMALL = FlowParams(dim=16, depth=1, heads=2, units=4, plateaus=5, soft_steps=2, batch_size=32)
IMAGE = Space("image", (2, 3, 2), levels=17, classes=3)
POINTS = Space("points", (2,))


def shaken(space: Space, dtype: torch.dtype = torch.float64) -> Flow:
    """A flow whose weights are far from their initial symmetry."""
    flow = Flow(SMALL, space, CPU)
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in flow.net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.3)
    flow.net.to(dtype)
    return flow


def data(space: Space, n: int) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    u = torch.rand((n, *space.shape), generator=rng, dtype=torch.float64)
    return (
        u * space.levels if space.kind == "image" else u * 1.2 - 0.1
    )  # the range is [0, 1] until fitted


@pytest.mark.parametrize("space", [IMAGE, POINTS], ids=lambda s: s.kind)
def test_log_determinant_is_that_of_the_jacobian(space: Space) -> None:
    flow, y = shaken(space), torch.tensor([2])
    y = y if space.classes else torch.tensor([0])
    u = data(space, 1)
    jacobian = torch.autograd.functional.jacobian(lambda t: flow.net(t, y)[0].flatten(), u)
    expected = torch.linalg.slogdet(jacobian.reshape(space.dims, space.dims)).logabsdet
    _, log_det = flow.net(u, y)
    torch.testing.assert_close(log_det[0], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("space", [IMAGE, POINTS], ids=lambda s: s.kind)
def test_inverse_undoes_the_flow(space: Space) -> None:
    flow, u = shaken(space), data(space, 8)
    y = torch.arange(8) % max(1, space.classes)
    with torch.no_grad():
        z, _ = flow.net(u, y)
        assert 0 < z.min() < z.max() < 1
        back = Inverse(flow.net, len(z))(z, y).reshape(u.shape)
    torch.testing.assert_close(back, u, rtol=0, atol=2e-4)


@pytest.mark.parametrize("bounded", [True, False])
def test_maps_rise_from_0_to_1_and_their_slope_is_the_density(bounded: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    maps = Plateaus(6, bounded, 1e-3).double()
    with torch.no_grad():
        for parameter in maps.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.5)
    v = torch.linspace(*((0, 1) if bounded else (-40, 41)), 400_001, dtype=torch.float64)
    logits = torch.randn(6, generator=rng, dtype=torch.float64)
    cdf = maps.cdf(v) @ logits.softmax(0)
    density = maps.log_density(v, logits.expand(len(v), 6)).exp()
    torch.testing.assert_close(cdf[[0, -1]], torch.tensor([0.0, 1.0]).double(), rtol=0, atol=1e-9)
    assert bool((cdf.diff() >= -1e-12).all())
    integral = torch.trapezoid(density, v)
    torch.testing.assert_close(integral, torch.ones_like(integral), rtol=0, atol=1e-6)
    cumulated = torch.cumulative_trapezoid(density, v)
    torch.testing.assert_close(cumulated, cdf[1:] - cdf[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("bounded", [True, False])
def test_hand_written_gradient_is_autograds(bounded: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    maps = Plateaus(4, bounded, 1e-2).double()
    v = torch.rand((3, 2), generator=rng, dtype=torch.float64)
    logits = torch.randn((3, 2, 4), generator=rng, dtype=torch.float64, requires_grad=True)

    def log_density(weights: Tensor, *shape: Tensor) -> Tensor:
        result = torch.func.functional_call(
            maps, dict(zip(names, shape, strict=True)), (v, weights)
        )
        assert isinstance(result, Tensor)
        return result

    names = [name for name, _ in maps.named_parameters()]
    maps.forward = maps.log_density  # type: ignore[assignment]
    shape = [p.detach().clone().requires_grad_() for p in maps.parameters()]
    assert torch.autograd.gradcheck(log_density, (logits, *shape))


def test_a_scalar_sees_only_the_class_and_what_comes_before_it() -> None:
    flow, y = shaken(IMAGE), torch.tensor([1])
    u = data(IMAGE, 1)
    jacobian = torch.autograd.functional.jacobian(
        lambda v: flow.net.net(v, y)[0].sum(-1).flatten(), flow.net.to_rows(u)
    ).reshape(IMAGE.dims, IMAGE.dims)
    assert bool((jacobian.triu() == 0).all())
    assert bool((jacobian.tril(-1).abs().sum(1)[1:] > 0).all())


def test_density_of_tiny_images_sums_to_one_over_their_cells() -> None:
    space = Space("image", (1, 1, 2), levels=4)
    flow = shaken(space)
    fine = (torch.arange(400, dtype=torch.float64) + 0.5) / 100
    grid = torch.cartesian_prod(fine, fine).reshape(-1, 1, 1, 2)
    with torch.no_grad():
        mass = flow.net.log_prob(grid, torch.zeros(len(grid), dtype=torch.int64)).exp() / 1e4
    assert mass.sum().item() == pytest.approx(1.0, abs=2e-3)


def test_samples_have_the_frequencies_that_log_prob_gives() -> None:
    space = Space("image", (1, 1, 2), levels=3)
    flow = shaken(space, torch.float32)
    cells = torch.cartesian_prod(torch.arange(3), torch.arange(3)).to(torch.uint8)
    rows = cells.repeat(1000, 1).reshape(-1, 1, 1, 2)
    p = flow.log_prob(rows, seed=0, draws=4).exp().view(1000, 9).mean(0)
    x = flow.sample(20_000, seed=3).reshape(-1, 2).long()
    observed = torch.bincount(x[:, 0] * 3 + x[:, 1], minlength=9)
    expected = p * 20_000
    assert expected.sum().item() == pytest.approx(20_000, rel=0.02)
    assert ((observed - expected) ** 2 / expected).sum().item() < 32  # chi2(8): p = 1e-4


def test_density_of_points_integrates_to_one_and_samples_follow_it() -> None:
    flow = shaken(POINTS, torch.float32)
    with torch.no_grad():
        flow.net.range.fill_(6.0)
        flow.net.low.fill_(-3.0)
    axis = torch.linspace(-12, 12, 301)
    grid = torch.cartesian_prod(axis, axis)
    p = flow.log_prob(grid, seed=0).exp() * (24 / 300) ** 2
    assert p.sum().item() == pytest.approx(1.0, abs=0.02)
    x = flow.sample(20_000, seed=1)
    for d in range(2):
        expected = (p * grid[:, d]).sum().item()
        error = x[:, d].std().item() / math.sqrt(len(x))
        assert x[:, d].mean().item() == pytest.approx(expected, abs=5 * error + 0.01)


def test_points_are_scored_once_whatever_the_draws_and_images_as_often_as_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes = []
    density = Density.log_prob

    def counted(self: Density, u: Tensor, y: Tensor) -> Tensor:
        passes.append(len(u))
        return density(self, u, y)

    monkeypatch.setattr(Density, "log_prob", counted)
    points, images = shaken(POINTS, torch.float32), shaken(IMAGE, torch.float32)
    x = data(POINTS, 9).float()
    assert torch.equal(points.log_prob(x, seed=0, draws=64), points.log_prob(x, seed=5))
    assert passes == [9, 9]
    y = torch.zeros(9, dtype=torch.int64)
    images.log_prob(data(IMAGE, 9).to(torch.uint8), seed=0, labels=y, draws=5)
    assert len(passes) == 2 + 5


def test_uniform_maps_score_log2_levels_bits() -> None:
    space = Space("image", (1, 4, 4), levels=256)
    flow = Flow(FlowParams(plateaus=1), space, CPU)
    with torch.no_grad():
        flow.net.maps.log_width.fill_(3.0)  # one plateau, far wider than the range
    x = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator())
    bits = -flow.log_prob(x, seed=0) / (16 * math.log(2))
    torch.testing.assert_close(bits, torch.full((5,), 8.0), rtol=0, atol=1e-3)


def fitted(space: Space, x: Tensor, y: Tensor | None, seed: int, budget: int) -> Flow:
    flow, budgeted = Flow(SMALL, space, x.device), Budget(budget)
    run = HarnessRun(seed, x.device, budgeted)
    flow.fit(MemoryTrainData(x, y, space, x.device, budgeted), run)
    return flow


def test_same_seed_same_bytes_other_seed_other_weights_global_state_kept() -> None:
    x = (data(IMAGE, 70).floor()).to(torch.uint8)
    y = torch.arange(70) % 3
    before = torch.get_rng_state()
    one, two, other = (fitted(IMAGE, x, y, seed, 200) for seed in (0, 0, 1))
    samples = [f.sample(4, seed=0, labels=y[:4]) for f in (one, two, other)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(v, two.state_dict()[k]) for k, v in one.state_dict().items())
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])


@pytest.mark.parametrize("space", [IMAGE, POINTS], ids=lambda s: s.kind)
def test_an_interrupted_fit_resumes_bit_for_bit(space: Space, tmp_path: Path) -> None:
    x = data(space, 70).to(torch.uint8 if space.kind == "image" else torch.float32)
    y = torch.arange(70) % 3 if space.classes else None
    whole, file, budget = fitted(space, x, y, 0, 200), tmp_path / "checkpoint", Budget(200)

    def stop() -> bool:
        return budget.served >= 100

    run = HarnessRun(0, CPU, budget, checkpoint_file=file, stop=stop)
    with pytest.raises(Stopped):
        Flow(SMALL, space, CPU).fit(MemoryTrainData(x, y, space, CPU, budget), run)
    rest, resumed = Budget(200), Flow(SMALL, space, CPU)
    resumed.fit(MemoryTrainData(x, y, space, CPU, rest), HarnessRun(0, CPU, rest, resume_file=file))
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())


@pytest.mark.parametrize("space", [IMAGE, POINTS], ids=lambda s: s.kind)
def test_every_step_follows_the_device(space: Space) -> None:
    x = data(space, 50).to("meta")
    x = x.to(torch.uint8 if space.kind == "image" else torch.float32)
    y = torch.zeros(50, dtype=torch.int64, device="meta") if space.classes else None
    flow = fitted(space, x, y, 0, 60)
    assert flow.sample(50, seed=0, labels=y).device.type == "meta"
    assert flow.log_prob(x, seed=0, labels=y, draws=2).shape == (50,)


def test_missing_labels_are_refused() -> None:
    with pytest.raises(UsageError, match="3 classes"):
        Flow(SMALL, IMAGE, CPU).sample(2, seed=0)
