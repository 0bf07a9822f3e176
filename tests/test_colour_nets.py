"""The networks for colour images: which spaces get them, and which shapes they take."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from genbench.baselines.dna import DNA, DNAParams
from genbench.baselines.gan import GAN, Params
from genbench.baselines.gan_colour import ColourDiscriminator, ColourGenerator
from genbench.baselines.unet import UNet, is_colour, patch_of
from genbench.generator import Space

CPU = torch.device("cpu")
SHAPES = [(3, 8, 8), (3, 9, 13), (3, 28, 20), (3, 32, 32), (3, 64, 64)]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_u_net_answers_for_each_scalar_of_any_shape(shape: tuple[int, int, int]) -> None:
    net, x = UNet(shape, width=4, condition=5, outputs=2), torch.randn(2, *shape)
    with torch.no_grad():
        for weights in net.parameters():
            weights.normal_(0, 0.1)
        out = net(x, torch.randn(2, 5))
    assert out.shape == (2, 6, *shape[1:])
    assert bool((out.flatten(2).std(2) > 0).all()), "a channel is one number everywhere"


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_nets_of_the_gan_make_and_judge_any_shape(
    shape: tuple[int, int, int], classes: int
) -> None:
    space = Space("image", shape, levels=256, classes=classes)
    y = torch.tensor([0, 2]) if classes else None
    images = ColourGenerator(space, 6, 8, 4)(torch.randn(2, 6), y)
    assert images.shape == (2, *shape)
    assert float(images.detach().abs().max()) <= 1
    judge = ColourDiscriminator(space, 4, 8)
    assert judge.judge(judge.features(images), y).shape == (2,)


def test_a_position_is_about_a_sixteenth_of_the_side() -> None:
    found = [patch_of(side) for side in (8, 15, 16, 28, 32, 33, 64, 128)]
    assert found == [1, 1, 2, 2, 2, 4, 4, 8]


@pytest.mark.parametrize("levels", [2, 256])
def test_three_channels_alone_are_colour(levels: int) -> None:
    of = {c: Space("image", (c, 8, 8), levels=levels) for c in (1, 2, 3, 4)}
    assert [c for c, space in of.items() if is_colour(space)] == [3]
    assert not is_colour(Space("points", (3,)))


@pytest.mark.parametrize(
    ("cls", "params", "width"),
    [(GAN, Params, "colour_generator_width"), (DNA, DNAParams, "colour_width")],
)
def test_only_colour_images_get_them(cls: Any, params: Any, width: str) -> None:
    sizes = {}
    for channels in (1, 3):
        space = Space("image", (channels, 8, 8), levels=256)
        for units in (8, 16):
            generator = cls(params(**{width: units}), space, CPU)
            net = generator.half.generator() if cls is GAN else generator.net
            sizes[channels, units] = sum(p.numel() for p in net.parameters())
    assert sizes[1, 8] == sizes[1, 16]
    assert sizes[3, 8] < sizes[3, 16]


@pytest.mark.parametrize(("spread", "expected"), [(1.0, 1.0), (0.0, 0.866)])
def test_dna_walks_back_to_the_distribution_whose_reconstruction_it_knows(
    spread: float, expected: float
) -> None:
    """Before its training a network reconstructs white noise of deviation 1, and says how surely.

    Then the chain with draws is exact; with means alone it loses deviation at every level.
    """
    dna = DNA(DNAParams(colour_width=8, spread=spread), Space("image", (3, 8, 8), levels=256), CPU)
    dna.net.body.out.bias.zero_()
    found = dna._walk_back(200, None)
    assert float(found.std()) == pytest.approx(expected, abs=0.01)
    assert abs(float(found.mean())) < 0.02
