"""`pixelcnn` and `vqvae`: probabilities by enumeration, samples as scored, gradients as written."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from genbench.baselines.flow_inverse import Inverse
from genbench.baselines.grey_levels import GreyLevels
from genbench.baselines.pixelcnn import PixelCNN, PixelCNNParams
from genbench.baselines.vqvae import VQVAE, VQVAEParams
from genbench.baselines.vqvae_networks import KEPT, Codebook
from genbench.errors import UsageError
from genbench.generator import Space
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData
from tests.without_a_card import graphs

CPU = torch.device("cpu")
TINY = Space("image", (1, 2, 2), levels=3, classes=2)
COLOUR = Space("image", (3, 5, 3), levels=17, classes=3)
PIXELS = PixelCNNParams(dim=16, depth=1, heads=2, units=4, mixture=4, batch_size=16)
CODES = VQVAEParams(
    width=8, wide=8, codes=4, size=3, mixture=4, dim=16, depth=1, heads=2, units=8, batch_size=16
)
EVERY = torch.cartesian_prod(*[torch.arange(3)] * 4).to(torch.uint8).view(81, 1, 2, 2)


def made(cls: Any, params: Any, space: Space) -> Any:
    """With weights far from where they start."""
    generator, rng = cls(params, space, CPU), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in generator.net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.3)
    generator.load_state_dict(generator.state_dict())
    return generator


def classes(n: int, c: int) -> Tensor:
    return torch.full((n,), c)


def frequencies(generator: Any, c: int, n: int = 20_000) -> Tensor:
    """Of every tiny image among samples of a class."""
    x = generator.sample(n, seed=3, labels=classes(n, c)).flatten(1).long()
    return torch.bincount(x @ torch.tensor([27, 9, 3, 1]), minlength=81) / n


def assert_frequent(found: Tensor, probability: Tensor, n: int = 20_000) -> None:
    """By a chi-squared test; images that are expected fewer than 5 times count as one."""
    rare = probability * n < 5
    seen, expected = (n * torch.cat([p[~rare], p[rare].sum()[None]]) for p in (found, probability))
    statistic = ((seen - expected).square() / expected.clamp_min(1)).sum().item()
    assert statistic < len(seen) + 4.5 * (2 * len(seen)) ** 0.5


@pytest.mark.parametrize("c", [0, 1])
def test_pixelcnns_probabilities_sum_to_one_and_its_samples_follow_them(c: int) -> None:
    generator = made(PixelCNN, PIXELS, TINY)
    probability = generator.log_prob(EVERY, seed=0, labels=classes(81, c)).double().exp()
    assert_allclose(probability.sum(), 1, rtol=1e-5)
    assert_frequent(frequencies(generator, c), probability)


def test_colours_sum_to_one_too() -> None:
    space = Space("image", (2, 1, 2), levels=3)
    generator = made(PixelCNN, PIXELS, space)
    probability = generator.log_prob(EVERY.view(81, 2, 1, 2), seed=0).double().exp()
    assert_allclose(probability.sum(), 1, rtol=1e-5)
    x = generator.sample(20_000, seed=3).flatten(1).long() @ torch.tensor([27, 9, 3, 1])
    assert_frequent(torch.bincount(x, minlength=81) / 20_000, probability)


def test_a_pixel_sees_only_the_class_and_the_pixels_before_it() -> None:
    """In the order rows, columns, channels; and all of those."""
    net, rng = made(PixelCNN, PIXELS, COLOUR).net.net, torch.Generator().manual_seed(0)
    v = torch.rand(20, 5, 9, generator=rng)  # of many images: a unit of few sees not all of them
    for place in range(45):
        moved = v.flatten(1).clone()
        moved[:, place] = (moved[:, place] + 0.5) % 1
        with torch.no_grad():
            logits = [net(x.view(20, 5, 9), torch.zeros(20).long()) for x in (v, moved)]
        changed = ((logits[0] - logits[1]).abs().amax((0, 3)).flatten() > 1e-6).tolist()
        assert not any(changed[: place + 1])
        assert all(changed[place + 1 :])


def test_what_is_drawn_pixel_by_pixel_is_what_the_whole_image_says() -> None:
    pixels, y = made(PixelCNN, PIXELS, COLOUR).net, torch.arange(30) % 3
    z = torch.rand(30, 5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        x = Inverse(pixels, 30)(z, y)
        level = x.permute(0, 2, 3, 1).flatten(2).long()
        expected = pixels.levels.draw(z, pixels.net(level / 16, y), pixels.levels.ladder())
    assert (x.dtype, x.shape) == (torch.uint8, (30, 3, 5, 3))
    assert float((level == expected).double().mean()) > 0.999  # sums round differently


def test_pixelcnn_draws_by_one_graph_as_it_does_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    y = torch.arange(9) % 3
    plain = made(PixelCNN, PIXELS, COLOUR)
    expected = [plain.sample(9, seed=seed, labels=y) for seed in (1, 2)]
    card = graphs(monkeypatch)
    captured = PixelCNN(PIXELS, COLOUR, CPU)
    captured.load_state_dict(plain.state_dict())
    found = [captured.sample(9, seed=seed, labels=y) for seed in (1, 2)]
    same = [float((a == b).double().mean()) for a, b in zip(expected, found, strict=True)]
    assert min(same) > 0.99  # one pixel that rounds otherwise changes those after it
    assert card.asked == [*["eager"] * 3, "capture", *["replay"] * (2 * 45 - 3)]
    assert capsys.readouterr().err == ""


def test_levels_are_drawn_by_the_inverse_of_the_mixtures_cdf() -> None:
    levels, rng = GreyLevels(17, 5), torch.Generator().manual_seed(0)
    with torch.no_grad():
        levels.table.add_(torch.randn(5, 17, generator=rng) * 0.1)
        logits = torch.randn(5, generator=rng)
        z = (torch.arange(100_000).double() + 0.5) / 100_000
        drawn = levels.draw(z, logits.expand(len(z), 5), levels.ladder())
        log_prob = levels.log_prob(logits.expand(17, 5), torch.arange(17))
        mean = levels.mean(logits)
    assert_allclose(log_prob.exp().sum(), 1, rtol=1e-6)
    assert_allclose(torch.bincount(drawn, minlength=17) / 100_000, log_prob.exp(), atol=1e-4)
    assert_allclose(mean, (log_prob.exp() * torch.arange(17)).sum(), rtol=1e-5)


@torch.no_grad()
def by_code(generator: Any, c: int) -> tuple[Tensor, Tensor]:
    """log p(code | class), (4,), and log p(image | code), (4, 81), of tiny images."""
    coder, prior = generator.net.coder, generator.net.prior
    codes = torch.arange(4)[:, None]
    logits = coder.decode(coder.book.vectors()[codes])  # (4, 2, 2, 1, mixture)
    each = [coder.log_prob(EVERY, one.expand(81, *one.shape)) for one in logits]
    return prior.log_prob(codes, classes(4, c)).double(), torch.stack(each).double()


@pytest.mark.parametrize("c", [0, 1])
def test_vqvaes_bound_is_the_part_of_the_likelihood_that_one_code_has(c: int) -> None:
    generator = made(VQVAE, CODES, TINY)
    coder = generator.net.coder
    with torch.no_grad():
        coder.book.begin(coder.encode(EVERY).flatten(0, 1), torch.Generator().manual_seed(0))
    prior, image = by_code(generator, c)
    joint = prior[:, None] + image
    exact = joint.logsumexp(0)
    assert_allclose(prior.exp().sum(), 1, rtol=1e-5)
    assert_allclose(exact.exp().sum(), 1, rtol=1e-5)
    bound = generator.log_prob(EVERY, seed=0, labels=classes(81, c)).double()
    code = coder.book.nearest(coder.encode(EVERY))[:, 0]
    assert len(set(code.tolist())) > 1
    assert_allclose(bound, joint.gather(0, code[None])[0], rtol=1e-5)
    assert bool((bound <= exact + 1e-6).all())
    assert_frequent(frequencies(generator, c), exact.exp())


def test_codes_are_drawn_one_by_one_as_their_prior_scores_them() -> None:
    """Two places of four codes: the frequencies of all sixteen pairs."""
    generator = made(VQVAE, CODES, Space("image", (1, 2, 4), levels=3, classes=2))
    z = torch.rand(20_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    prior = generator.net.prior
    with torch.no_grad():
        drawn = prior.draw(z, classes(20_000, 1)) @ torch.tensor([4, 1])
        probability = prior.log_prob(pairs, classes(16, 1)).double().exp()
    assert_allclose(probability.sum(), 1, rtol=1e-5)
    assert_frequent(torch.bincount(drawn, minlength=16) / 20_000, probability)


def test_the_encoder_gets_the_decoders_gradient_and_none_of_the_priors() -> None:
    network = made(VQVAE, CODES, TINY).net
    coder, e = network.coder, torch.randn(81, 1, 3, requires_grad=True)
    coder.encode = lambda x: e
    terms = network(EVERY, classes(81, 0))
    (straight,) = torch.autograd.grad(-terms.reconstruction.sum(), e, retain_graph=True)
    vectors = coder.book.vectors()[terms.code].requires_grad_()
    (direct,) = torch.autograd.grad(-coder.log_prob(EVERY, coder.decode(vectors)).sum(), vectors)
    assert_allclose(straight, direct, rtol=1e-4, atol=1e-6)
    assert float(straight.abs().max()) > 1e-3
    parts = [*coder.parameters(), e]
    unused = torch.autograd.grad(terms.prior.sum(), parts, allow_unused=True, retain_graph=True)
    assert set(unused) == {None}
    (pull,) = torch.autograd.grad(terms.distance.sum(), e)
    assert_allclose(pull, 2 * (e - vectors).detach(), rtol=1e-5)


def test_codes_are_moving_means_of_their_encodings_and_dead_ones_move_to_some() -> None:
    book, rng = Codebook(3, 2), torch.Generator().manual_seed(0)
    book.total.copy_(torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 99.0]]))
    e = torch.cat([torch.randn(40, 2, generator=rng), torch.randn(20, 2, generator=rng) + 10])
    code = book.nearest(e)
    assert code.tolist() == torch.cdist(e, book.vectors()).argmin(1).tolist()
    assert set(code.tolist()) == {0, 1}
    for _ in range(300):
        book.move(e, code, rng)
    vectors = book.vectors()
    for c in (0, 1):
        weight = KEPT**300 / (KEPT**300 + (1 - KEPT**300) * float((code == c).sum()))
        start = torch.tensor([10.0 * c, 0.0])
        expected = weight * start + (1 - weight) * e[code == c].mean(0)
        assert_allclose(vectors[c], expected, rtol=1e-4, atol=1e-4)
    assert float(torch.cdist(vectors[2:], e).min()) < 1e-4
    assert 1 < float(book.perplexity()) <= 3


@pytest.mark.parametrize("shape", [(3, 5, 3), (1, 17, 18), (1, 28, 28)])
def test_vqvae_encodes_and_reconstructs_images_of_any_size(shape: tuple[int, ...]) -> None:
    space = Space("image", shape, levels=17, classes=3)
    generator = made(VQVAE, CODES, space)
    x = torch.randint(0, 17, (4, *shape), generator=torch.Generator().manual_seed(0)).byte()
    codes = generator.encode(x)
    assert (codes.dtype, codes.shape) == (torch.float32, (4, generator.latent_size))
    vectors = generator.net.coder.book.vectors()
    assert float(torch.cdist(codes.view(-1, 3), vectors).amin(1).max()) < 1e-3
    assert space.violation(generator.reconstruct(x), 4) is None
    assert space.violation(generator.sample(4, seed=0, labels=classes(4, 0)), 4) is None


@pytest.mark.parametrize(("cls", "params"), [(PixelCNN, PIXELS), (VQVAE, CODES)])
def test_labels_are_asked_for(cls: Any, params: Any) -> None:
    with pytest.raises(UsageError, match="has 2 classes and was given no labels: pass labels"):
        cls(params, TINY, CPU).sample(3, seed=0)


QUICK = VQVAEParams(
    width=8, wide=16, codes=2, size=4, dim=32, depth=1, heads=2, batch_size=16, learning_rate=5e-3
)


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "params"), [(PixelCNN, PIXELS), (VQVAE, QUICK)])
def test_halves_are_learned(cls: Any, params: Any) -> None:
    """Colour images of a bright half: the left one of class 0, the right one of class 1."""
    space = Space("image", (3, 8, 8), levels=256, classes=2)
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 2
    x = torch.randint(0, 60, (400, 3, 8, 8), generator=rng)
    x[y == 0, :, :, :4] += 180
    x[y == 1, :, :, 4:] += 180
    x, budget, generator = x.byte(), Budget(4000), cls(params, space, CPU)
    generator.fit(MemoryTrainData(x[:200], y[:200], space, CPU, budget), HarnessRun(0, CPU, budget))
    asked = torch.arange(100) % 2
    samples = generator.sample(100, seed=0, labels=asked).float().mean((1, 2))  # (n, columns)
    right = samples[:, 4:].mean(1) > samples[:, :4].mean(1)
    assert float((right == asked.bool()).float().mean()) > 0.95
    bits = -generator.log_prob(x[200:], seed=0, labels=y[200:]).mean() / (192 * math.log(2))
    assert math.log2(60) < bits < 6.3  # of 60 levels, all as likely
    if cls is VQVAE:
        error = (generator.reconstruct(x[200:]).float() - x[200:].float()).square().mean().sqrt()
        assert error < 25  # the noise's is 17; that of halves that are not told apart 90
