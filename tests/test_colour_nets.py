"""The networks for colour images: which spaces get them, and which shapes they take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from genbench.baselines.colour import is_colour
from genbench.baselines.ddpm import DDPM, DDPMParams
from genbench.baselines.dna import DNA, DNAParams
from genbench.baselines.flow_matching import FlowMatching, FlowMatchingParams
from genbench.baselines.spectrum import Spectrum, cosines
from genbench.baselines.unet import UNet, patch_of
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


def test_a_position_is_about_a_sixteenth_of_the_side() -> None:
    found = [patch_of(side) for side in (8, 15, 16, 28, 32, 33, 64, 128)]
    assert found == [1, 1, 2, 2, 2, 4, 4, 8]


@pytest.mark.parametrize("levels", [2, 256])
def test_three_channels_alone_are_colour(levels: int) -> None:
    of = {c: Space("image", (c, 8, 8), levels=levels) for c in (1, 2, 3, 4)}
    assert [c for c, space in of.items() if is_colour(space)] == [3]
    assert not is_colour(Space("points", (3,)))


def test_only_colour_images_get_them() -> None:
    sizes = {}
    for channels in (1, 3):
        space = Space("image", (channels, 8, 8), levels=256)
        for units in (8, 16):
            generator = DNA(DNAParams(colour_width=units), space, CPU)
            sizes[channels, units] = sum(p.numel() for p in generator.net.parameters())
    assert sizes[1, 8] == sizes[1, 16]
    assert sizes[3, 8] < sizes[3, 16]


@pytest.fixture
def smooth() -> Any:
    """Gaussian images whose pixels and colours go together, of mean 0 and deviation 1."""
    waves = cosines(8)
    falling = 1 / (1 + torch.arange(8.0)).view(8, 1) / (1 + torch.arange(8.0))
    hues = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [0.2, 0.2, -0.4]])
    rng = torch.Generator().manual_seed(0)
    drawn = torch.randn(1000, 3, 8, 8, generator=rng) * falling
    images = torch.einsum("kc,nkhw->nchw", hues, waves.T @ drawn @ waves)
    return images / images.std()


def covariances(x: Tensor) -> Tensor:
    """Of all scalars with all."""
    return x.flatten(1).T.cov(correction=0)


def test_a_spectrum_turns_images_and_nothing_is_lost(smooth: Tensor) -> None:
    spectrum = Spectrum((3, 8, 8))
    spectrum.calibrate(smooth)
    apart = spectrum.apart(smooth)
    torch.testing.assert_close(spectrum.together(apart), smooth)
    torch.testing.assert_close(apart.square().sum(), smooth.square().sum())
    correlations = apart.flatten(1).T.corrcoef().fill_diagonal_(0)
    assert float(correlations.abs().max()) < 0.2, "six deviations of chance"
    torch.testing.assert_close(spectrum.power, apart.square().mean(0).clamp_min(1e-4))


@pytest.mark.parametrize("made", ["dna", "ddpm", "flow-matching"])
def test_before_its_training_each_draws_gaussian_images_as_smooth_as_real_ones(
    made: str, smooth: Tensor
) -> None:
    """Whose networks correct nothing yet: what is left of them is exact for Gaussian images."""
    space = Space("image", (3, 8, 8), levels=256)
    generator: Any
    if made == "dna":
        generator = DNA(DNAParams(colour_width=4, spread=1.0), space, CPU)
    elif made == "ddpm":
        generator = DDPM(DDPMParams(colour_width=4, steps=40), space, CPU)
    else:
        generator = FlowMatching(FlowMatchingParams(colour_width=4, steps=10), space, CPU)
    generator.net.calibrate(smooth * 9 + 128)
    generator.net.body.out.bias.zero_()
    found = (generator.sample(1000, seed=0).float() - 128) / 9
    expected = covariances(smooth)
    error = (covariances(found) - expected).norm() / expected.norm()
    assert float(error) < 0.25
