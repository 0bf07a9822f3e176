"""Colour: densities and decoders of their own, exact, drawn as scored, and under the contract."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from genbench.adapters.exportfile import ExportHeader
from genbench.baselines.colour_levels import BlockLevels, MixedLogistics
from genbench.baselines.flow_colour import ColourDensity, Step
from genbench.baselines.realnvp_networks import Density
from genbench.export.writing import sampler_of, write_sampler
from genbench.generator import Space
from genbench.plugins import finding as plugins
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData, Stopped
from tests.without_a_card import OneDevice, fake_cuda, graphs

CPU = torch.device("cpu")
TINY = Space("image", (3, 8, 8), levels=256, classes=3)
NAMES = ("flow", "realnvp", "vae", "autoencoder", "pixelcnn", "vqvae", "kde")
OWN = ("flow", "realnvp", "vae", "autoencoder", "pixelcnn", "vqvae")  # trained in steps
SHORTER: dict[str, dict[str, int]] = {
    "flow": {"colour_steps": 2, "colour_width": 8},
    "realnvp": {"colour_layers": 4, "colour_inner_layers": 2, "width": 8, "inner_width": 8},
    "vae": {"colour_width": 8},
}


def make(name: str, space: Space = TINY, device: torch.device = CPU) -> Any:
    cls = plugins.load(plugins.find(name))
    return cls(cls.spec.params(**SHORTER.get(name, {})), space, device)


def rows(space: Space, n: int = 96) -> tuple[Tensor, Tensor | None]:
    """Slopes of light, brightest in the channel that the class says."""
    rng, y = torch.Generator().manual_seed(0), torch.arange(n) % max(1, space.classes)
    channels, height, columns = space.shape
    slope = torch.linspace(0, 0.6, columns).expand(n, channels, height, columns).clone()
    slope += 0.3 * torch.rand(n, 1, 1, 1, generator=rng)
    slope[torch.arange(n), y % channels] += 0.1
    x = (slope * (space.levels - 1)).round().to(torch.uint8)
    return x, y if space.classes else None


def labels(space: Space, n: int, device: torch.device = CPU) -> Tensor | None:
    return (torch.arange(n) % space.classes).to(device) if space.classes else None


def fit(generator: Any, examples: int = 160, **options: Any) -> None:
    budget, space, device = Budget(examples), generator.space, generator.device
    x, y = rows(space)
    stop = options.get("stop", lambda: False)
    data = MemoryTrainData(x, y, space, device, budget, stop=stop)
    generator.fit(data, HarnessRun(1, device, budget, **options))


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    found = {name: make(name) for name in NAMES}
    for generator in found.values():
        fit(generator)
    return found


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_samples_are_of_the_space_and_of_the_seed(self, fitted: Any, name: str) -> None:
        one, same, other = (
            fitted[name].sample(9, seed=s, labels=labels(TINY, 9)) for s in (3, 3, 4)
        )
        assert TINY.violation(one, 9) is None
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_its_state_makes_the_same_generator(self, fitted: Any, name: str) -> None:
        again, args = make(name), {"seed": 5, "labels": labels(TINY, 8)}
        again.load_state_dict({k: v.clone() for k, v in fitted[name].state_dict().items()})
        assert torch.equal(fitted[name].sample(8, **args), again.sample(8, **args))
        if again.spec.likelihood is not None:
            x, _ = rows(TINY, 8)
            score = fitted[name].log_prob(x, **args)
            assert torch.isfinite(score).all()
            # Not the same bytes: products of so small matrices depend on where in memory they lie.
            assert_allclose(score, again.log_prob(x, **args), rtol=1e-5)

    def test_an_interrupted_fit_ends_the_same(self, fitted: Any, name: str, tmp_path: Path) -> None:
        if name not in OWN:
            pytest.skip("its fit is one look at all rows")
        file, calls = tmp_path / "checkpoint.safetensors", iter(range(100))
        with pytest.raises(Stopped):
            fit(make(name), checkpoint_file=file, stop=lambda: next(calls) > 0)
        resumed = make(name)
        fit(resumed, resume_file=file)
        state = fitted[name].state_dict()
        assert all(torch.equal(v, state[k]) for k, v in resumed.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "space",
    [Space("image", (3, 6, 6), levels=17), Space("image", (3, 12, 8), levels=4, classes=2)],
    ids=["halved once, no classes", "oblong"],
)
def test_other_sizes_levels_and_classes(name: str, space: Space) -> None:
    generator = make(name, space)
    fit(generator, 64)
    args = {"seed": 0, "labels": labels(space, 4)}
    assert space.violation(generator.sample(4, **args), 4) is None
    if generator.spec.likelihood is not None:
        assert torch.isfinite(generator.log_prob(rows(space, 4)[0], **args)).all()
    if hasattr(generator, "reconstruct"):
        assert space.violation(generator.reconstruct(rows(space, 4)[0]), 4) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flow", "realnvp", "vae", "vqvae", "autoencoder"])
def test_a_side_of_64_pixels(name: str) -> None:
    space = Space("image", (3, 64, 64), levels=256, classes=2)
    generator, y = make(name, space), torch.tensor([0, 1])
    fit(generator, 64)
    x = generator.sample(2, seed=0, labels=y)
    assert space.violation(x, 2) is None
    if generator.spec.likelihood is not None:
        assert torch.isfinite(generator.log_prob(x, seed=0, labels=y)).all()


@pytest.mark.parametrize("name", ["flow", "vae"])
def test_sides_that_are_odd(name: str) -> None:
    space = Space("image", (3, 5, 7), levels=5)
    generator = make(name, space)
    fit(generator, 64)
    assert space.violation(generator.sample(4, seed=0), 4) is None


def shaken(net: Any, by: float) -> Any:
    """In float64, with weights far from those of the start."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(by * torch.randn(p.shape, generator=rng))
    return net.double()


SMALL = Space("image", (3, 4, 4), levels=256, classes=2)


def glow() -> ColourDensity:
    torch.manual_seed(0)
    net: ColourDensity = shaken(ColourDensity(SMALL, (2, 2), (6, 6)), 0.1)
    return net


def nvp() -> Density:
    torch.manual_seed(0)
    net: Density = shaken(Density(SMALL, (4, 4), (6, 6)), 0.1)
    return net


def by_parts(net: ColourDensity | Density, flat: Tensor) -> list[Tensor]:
    """A row of noise as the parts that a flow takes."""
    shapes = net.noise_shapes if isinstance(net, ColourDensity) else net.shapes()
    parts = flat.split([math.prod(shape) for shape in shapes])
    return [part.view(1, *shape) for part, shape in zip(parts, shapes, strict=True)]


@pytest.mark.parametrize("make_net", [glow, nvp])
def test_a_flows_density_is_that_of_what_its_inverse_makes_of_noise(make_net: Any) -> None:
    """By autograd's determinant of the inverse; that also shows that both undo each other."""
    with torch.random.fork_rng():
        net = make_net()
    rng, y = torch.Generator().manual_seed(1), torch.ones(1, dtype=torch.int64)
    e = torch.randn(SMALL.dims, generator=rng, dtype=torch.float64)

    def inverse(flat: Tensor) -> Tensor:
        image: Tensor = net.inverse(by_parts(net, flat), y)
        return image.flatten()

    jacobian = torch.autograd.functional.jacobian(inverse, e)  # type: ignore[no-untyped-call]
    noise = -0.5 * (e.square() + math.log(2 * math.pi)).sum()
    expected = noise - torch.linalg.slogdet(jacobian).logabsdet
    u = inverse(e).view(1, *SMALL.shape)
    found = net.log_prob(u, y) if isinstance(net, ColourDensity) else net(u, y)
    assert_allclose(found.detach(), expected[None], rtol=1e-9)


def test_a_step_of_the_glow_is_undone_and_its_determinant_is_autograds() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        step = shaken(Step(6, 4, 2), 0.3)
    rng, y = torch.Generator().manual_seed(1), torch.ones(1, dtype=torch.int64)
    x = torch.randn(1, 6, 3, 3, generator=rng, dtype=torch.float64)
    jacobian: Any = torch.autograd.functional.jacobian(lambda t: step(t, y)[0].flatten(), x)  # type: ignore[no-untyped-call]
    moved, log_det = (v.detach() for v in step(x, y))
    assert_allclose(log_det, torch.linalg.slogdet(jacobian.view(54, 54)).logabsdet[None], rtol=1e-9)
    assert_allclose(step.inverse(moved, y).detach(), x, atol=1e-10)


@pytest.mark.parametrize("name", ["flow", "realnvp"])
def test_a_flow_scores_its_own_samples_as_the_density_that_drew_them(
    fitted: Any, name: str
) -> None:
    """Floored and dequantised anew, where a density changes little within a level."""
    net, y = fitted[name].net, torch.zeros(400, dtype=torch.int64)
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        if isinstance(net, ColourDensity):
            u = net.draw(y, rng)
            drew = net.log_prob(u, y)
        else:
            u = net.inverse([torch.randn(400, *s, generator=rng) for s in net.shapes()], y)
            drew = net(u, y)
    inside = ((u >= 0) & (u < 256)).flatten(1).all(1)
    scored = fitted[name].log_prob(u[inside].floor().to(torch.uint8), seed=0, labels=y[inside])
    off = (scored - drew[inside]) / (TINY.dims * math.log(2))
    assert abs(float(off.mean())) < 0.01


def blocks(levels: int, size: int, places: int) -> tuple[BlockLevels, Tensor]:
    rng, found = torch.Generator().manual_seed(0), BlockLevels(levels, size)
    parameters = torch.randn(found.outputs, places, generator=rng, dtype=torch.float64)
    parameters[:size] *= 0.5
    return found, parameters


def test_a_blocks_conditionals_over_levels_sum_to_one() -> None:
    """Of each scalar, whatever those before it are; so does the whole block then."""
    found, parameters = blocks(256, 3, 7)
    rng = torch.Generator().manual_seed(1)
    for place in range(3):
        before = torch.randint(256, (3, 1, 7), generator=rng).expand(3, 256, 7).clone()
        before[place] = torch.arange(256)[:, None]
        log_prob = found.log_prob(parameters[:, None].expand(-1, 256, 7), before.double())
        assert_allclose(log_prob[place].exp().sum(0), torch.ones(7), rtol=1e-10)
    found, parameters = blocks(4, 3, 1)
    every = torch.cartesian_prod(*[torch.arange(4)] * 3).T.double()
    total = found.log_prob(parameters.expand(-1, 64), every).sum(0).exp().sum()
    assert float(total) == pytest.approx(1, abs=1e-10)


def test_a_block_is_drawn_as_it_is_scored() -> None:
    found, parameters = blocks(4, 3, 1)
    rng, n = torch.Generator().manual_seed(1), 40_000
    chance = torch.rand(3, n, generator=rng, dtype=torch.float64)
    drawn = found.draw(parameters.expand(-1, n), chance).long()
    observed = torch.bincount(drawn[0] * 16 + drawn[1] * 4 + drawn[2], minlength=64)
    every = torch.cartesian_prod(*[torch.arange(4)] * 3).T.double()
    expected = n * found.log_prob(parameters.expand(-1, 64), every).sum(0).exp()
    kept = expected > 5
    chi2 = ((observed - expected)[kept].square() / expected[kept]).sum()
    assert float(chi2) < 63 + 4 * math.sqrt(2 * 63)


def test_a_later_scalar_of_a_block_follows_an_earlier_one() -> None:
    """The mean of blue moves with red by the slope between them, and red's by nothing."""
    found, parameters = blocks(256, 3, 1)
    level = torch.full((3, 2), 128.0, dtype=torch.float64)
    level[0, 1] = 160
    before, after = found.log_prob(parameters.expand(-1, 2), level)[2]
    assert float((before - after).abs()) > 0.01
    other = level.flip(0)  # blue moved, red as it was
    red = found.log_prob(parameters.expand(-1, 2), other)[0]
    assert float(red[0]) == float(red[1])


def test_the_vaes_sampler_draws_colours_as_sample_does(fitted: Any) -> None:
    model, y, rng = fitted["vae"], torch.arange(1500) % 3, torch.Generator().manual_seed(1)
    noise = torch.randn(len(y), model.noise_size, generator=rng)
    with torch.no_grad():
        one, other = model.sampler(noise, y), model.sample(len(y), seed=2, labels=y)
    assert TINY.violation(one, len(y)) is None
    for channel in range(3):
        first, second = (x[:, channel].float() for x in (one, other))
        error = first.mean((1, 2)).std() / math.sqrt(len(y))
        assert abs(float(first.mean() - second.mean())) < 6 * float(error)
        assert float(first.std()) == pytest.approx(float(second.std()), rel=0.05)


def test_a_vaes_code_gives_the_image_in_the_middle_back(fitted: Any) -> None:
    x, y = rows(TINY, 6)
    model = fitted["vae"]
    with torch.no_grad():
        codes = model.net.codes(x, y)
        assert codes.shape == (6, model.latent_size)
        decoded, found = model.decode(codes, y), model.net._latents(x, y, None)
        expected = model.net.blocks.mean(model.net._decode(found.fine, found.values[2]))
    assert int((decoded.int() - model.net._image(expected).int()).abs().max()) <= 1


@pytest.mark.parametrize("levels", [MixedLogistics(256, 4), MixedLogistics(5, 2)])
def test_a_mixture_of_logistics_sums_to_one_and_is_drawn_as_scored(levels: MixedLogistics) -> None:
    n, rng = levels.top + 1, torch.Generator().manual_seed(0)
    outputs = torch.randn(3, levels.outputs, generator=rng, dtype=torch.float64)
    with torch.no_grad():
        every = torch.arange(n)[:, None].expand(n, 3)
        share = levels.log_prob(outputs.expand(n, 3, -1), every).exp()
        assert_allclose(share.sum(0), torch.ones(3), rtol=1e-9)
        z = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000  # all of chance, evenly
        drawn = levels.draw(z[:, None].expand(-1, 3), outputs.expand(len(z), 3, -1), None).long()
    for scalar in range(3):
        observed = torch.bincount(drawn[:, scalar], minlength=n) / len(z)
        assert_allclose(observed, share[:, scalar], atol=3e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vae", "autoencoder"])
def test_a_colour_sampler_fits_both_formats(fitted: Any, name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    header = ExportHeader(
        "onnx", name, "1", {}, TINY, 0, True, "sampler", "tiny@1.0.0", "standard", "sha256:0", 4,
        "01ABC", 1, "0.1.0",
    )  # fmt: skip
    for format_, suffix in (("onnx", "onnx"), ("torchscript", "pt")):
        file = tmp_path / f"a.{suffix}"
        trial = write_sampler(sampler_of(fitted[name], TINY), replace(header, format=format_), file)
        assert trial.different <= 20, "of half a million; rounding"
        assert trial.largest <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
class TestCapture:
    """Without a card: see `tests.without_a_card`."""

    def test_its_whole_step_is_captured(
        self, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        meta = torch.device("meta")
        card = graphs(monkeypatch, "meta")
        fit(make(name, TINY, meta), 64 * 7)
        assert capsys.readouterr().err == ""
        assert card.asked.count("capture") == 1

    def test_nothing_of_it_is_made_elsewhere(
        self, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        cuda = torch.device("cuda")
        with fake_cuda(monkeypatch):
            generator = make(name, TINY, cuda)
            fit(generator, 64 * 5)
            y, x = labels(TINY, 4, cuda), rows(TINY, 4)[0].to(cuda)
            with OneDevice():
                assert generator.sample(4, seed=0, labels=y).device.type == "cuda"
                if generator.spec.likelihood is not None:
                    generator.log_prob(x, seed=0, labels=y)
        assert capsys.readouterr().err == ""
