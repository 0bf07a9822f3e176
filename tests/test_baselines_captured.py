"""What a card captures of sampling gives what the CPU gives; a made-up card captures on the CPU."""

from __future__ import annotations

import pytest
import torch

from genbench.baselines.dna import DNA, DNAParams
from genbench.baselines.flow import Flow, FlowParams
from genbench.baselines.flow_inverse import Inverse
from genbench.generator import Space
from tests.without_a_card import graphs

CPU = torch.device("cpu")
IMAGE = Space("image", (2, 3, 2), levels=17, classes=3)
COLOUR = Space("image", (3, 5, 4), levels=256, classes=3)
POINTS = Space("points", (3,))
LABELS = torch.arange(9) % 3
SMALL = FlowParams(dim=16, depth=1, units=4, plateaus=5, soft_steps=2)


@torch.no_grad()
def shaken(generator: Flow | DNA) -> None:
    """Weights far from where they start."""
    rng = torch.Generator().manual_seed(5)
    for parameter in generator.net.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=rng) * 0.3)


@pytest.mark.parametrize("space", [IMAGE, POINTS], ids=lambda s: s.kind)
def test_flow_inverts_and_scores_by_one_graph_each_as_it_does_without(
    space: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flow, y = Flow(SMALL, space, CPU), LABELS if space.classes else torch.zeros_like(LABELS)
    shaken(flow)
    z = torch.rand(9, flow.net.rows, flow.net.width, generator=torch.Generator().manual_seed(1))
    u = Inverse(flow.net, 9)(z, y)
    with torch.no_grad():
        back = flow.net(u, y)[0]
    torch.testing.assert_close(back, z, rtol=0, atol=1e-3)
    x = u.clamp(0, 16).to(torch.uint8) if space.classes else u
    scores = flow.log_prob(x, seed=0, labels=y, draws=6)
    card = graphs(monkeypatch)
    inverse = Inverse(flow.net, 9)
    for _ in range(2):
        torch.testing.assert_close(inverse(z, y), u, rtol=1e-3, atol=1e-3)
    replays = 2 * flow.net.rows * flow.net.width - 3
    assert card.asked == [*["eager"] * 3, "capture", *["replay"] * replays]
    other = Flow(SMALL, space, CPU)
    other.load_state_dict(flow.state_dict())
    for _ in range(4):
        torch.testing.assert_close(other.log_prob(x, seed=0, labels=y, draws=6), scores)
    assert card.asked.count("capture") == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("space", [IMAGE, COLOUR, POINTS], ids=lambda s: f"{s.shape[0]}{s.kind}")
def test_dna_walks_back_by_one_graph_as_it_does_without(
    space: Space, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    y = LABELS if space.classes else None
    params = DNAParams(width=8, inner_width=8, colour_width=4, points_width=8)
    plain = DNA(params, space, CPU)
    shaken(plain)
    expected = [plain.sample(9, seed=seed, labels=y).float() for seed in (1, 2)]
    card = graphs(monkeypatch)
    captured = DNA(params, space, CPU)
    captured.load_state_dict(plain.state_dict())
    found = [captured.sample(9, seed=seed, labels=y).float() for seed in (1, 2, 1)]
    torch.testing.assert_close(found[:2], expected, rtol=1e-4, atol=1e-3)
    assert torch.equal(found[0], found[2]), "the seed decides, whether recorded or replayed"
    by_space = {IMAGE: params.levels, COLOUR: params.colour_levels, POINTS: params.points_levels}
    levels = by_space[space]
    assert card.asked == [*["eager"] * 3, "capture", *["replay"] * (3 * levels - 3)]
    assert card.generators == (captured.draws,)
    assert capsys.readouterr().err == ""
