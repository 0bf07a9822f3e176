"""Baselines of sounds from inside: levels, cuts, caches, shifts, and what is learned of tones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genbench.baselines.autoregressive import Autoregressive, AutoregressiveParams
from genbench.baselines.autoregressive_net import LEVELS, CausalNet, Writer, from_levels, to_levels
from genbench.baselines.vae import VAE, VAEParams
from genbench.baselines.wavegan_nets import SHIFT, shifted, steps_of
from genbench.generator import Space
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData

CPU = torch.device("cpu")
RATE, LENGTH = 8000, 1024
TONES = (600.0, 2000.0)  # Hz, of the two classes
SPACE = Space("waveform", (LENGTH,), classes=2, rate=RATE)


def shaken(net: CausalNet) -> CausalNet:
    """With weights that are no longer those of the start."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(0.3 * torch.randn(weight.shape, generator=rng))
    return net


def some_levels(n: int, length: int) -> Tensor:
    return torch.randint(0, LEVELS, (n, length), generator=torch.Generator().manual_seed(1))


def tones(n: int) -> tuple[Tensor, Tensor]:
    """One of two pitches, any phase, silent in the last quarter."""
    rng, y = torch.Generator().manual_seed(0), torch.arange(n) % 2
    phase, t = 6.3 * torch.rand(n, 1, generator=rng), torch.arange(LENGTH)
    angle = 2 * torch.pi * torch.tensor(TONES)[y][:, None] * t / RATE + phase
    return 0.3 * torch.sin(angle) * (t < 3 * LENGTH // 4), y


def test_levels_are_given_back_and_one_is_silence() -> None:
    every = torch.arange(LEVELS)
    x = from_levels(every)
    assert torch.equal(to_levels(x), every)
    assert x[LEVELS // 2] == 0
    assert x[0] == pytest.approx(-1)
    assert x[-1] == pytest.approx(1)
    quiet, loud = x[LEVELS // 2 + 1] - x[LEVELS // 2], x[-1] - x[-2]
    assert loud > 100 * quiet, "quiet samples have finer levels"


def test_probabilities_of_all_sounds_of_two_samples_sum_to_one() -> None:
    space = Space("waveform", (2,), rate=RATE)
    params = AutoregressiveParams(layers=2, width=8, head=8)
    model = Autoregressive(params, space, CPU)
    shaken(model.net)
    every = from_levels(torch.cartesian_prod(torch.arange(LEVELS), torch.arange(LEVELS)))
    assert float(model.log_prob(every, seed=0).exp().sum()) == pytest.approx(1, abs=1e-4)


def test_a_sound_is_written_by_the_distribution_that_scores_it() -> None:
    net = shaken(CausalNet(layers=4, width=8, head=8, classes=3))
    level, y = some_levels(5, 40), torch.arange(5) % 3
    start = net.start(5, CPU)
    with torch.no_grad():
        at_once = net(torch.cat([start, level], 1)[:, :-1], y)
        writer = Writer(net, y)
        one_by_one = [writer.step(start[:, -1])]
        one_by_one += [writer.step(level[:, t]) for t in range(39)]
    torch.testing.assert_close(torch.stack(one_by_one, 1), at_once)


def test_a_cut_is_scored_as_within_the_whole_sound() -> None:
    space = Space("waveform", (200,), rate=RATE)
    model = Autoregressive(AutoregressiveParams(layers=4, width=8, head=8, cut=50), space, CPU)
    shaken(model.net)
    level = some_levels(6, 200)
    rng = torch.Generator().manual_seed(2)
    known, cut = model._cuts(level, rng)
    assert cut.shape == (6, 50)
    y = torch.zeros(6, dtype=torch.int64)
    with torch.no_grad():
        of_cuts = model.net(known, y)
        whole = model.net(torch.cat([model.net.start(6, CPU), level], 1)[:, :-1], y)
    for row in range(6):
        places = level[row].unfold(0, 50, 1).eq(cut[row]).all(1).nonzero().flatten()
        first = int(places[0])
        torch.testing.assert_close(of_cuts[row], whole[row, first : first + 50])


def test_cuts_are_of_what_sounds() -> None:
    model = Autoregressive(AutoregressiveParams(cut=100), Space("waveform", (4000,)), CPU)
    level = torch.full((64, 4000), LEVELS // 2)
    level[:, :500] = some_levels(64, 500)
    _, cut = model._cuts(level, torch.Generator().manual_seed(0))
    sounding = (cut != LEVELS // 2).float().mean(1)
    assert float(sounding.min()) > 0.4, "half of a cut at least"


def test_maps_are_shifted_each_by_its_own_way_and_mirrored() -> None:
    x = torch.arange(12.0).expand(200, 3, 12)
    moved = shifted(x, torch.Generator().manual_seed(0))
    middle = moved[:, :, SHIFT:-SHIFT] - x[:, :, SHIFT:-SHIFT]
    assert set(middle.flatten().tolist()) == set(range(-SHIFT, SHIFT + 1))
    assert torch.equal(middle, middle[:, :1, :1].expand_as(middle)), "a row moves as a whole"
    first = moved[middle[:, 0, 0] == -2, 0]
    assert torch.equal(first[0, :4], torch.tensor([2.0, 1.0, 0.0, 1.0]))


def test_maps_are_short_at_first_whatever_the_length() -> None:
    assert [steps_of(length) for length in (40, 300, 1024, 8192, 16384)] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_tones_of_vae_have_the_pitch_of_their_class() -> None:
    x, y = tones(400)
    model, budget = VAE(VAEParams(sound_width=8, sound_latent=8), SPACE, CPU), Budget(4000)
    model.fit(MemoryTrainData(x, y, SPACE, CPU, budget), HarnessRun(0, CPU, budget))
    asked = torch.arange(40) % 2
    made = model.sample(40, seed=0, labels=asked)
    power = torch.fft.rfft(made[:, : LENGTH // 2]).abs().square()
    place = [round(f * LENGTH / 2 / RATE) for f in TONES]
    bands = torch.stack([power[:, at - 3 : at + 4].sum(1) for at in place], 1)
    assert float((bands.argmax(1) == asked).float().mean()) > 0.9
