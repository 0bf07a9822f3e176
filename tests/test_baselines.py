"""Every baseline obeys the contract: images, points, texts, sounds; any device."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genbench.generator import Space
from genbench.plugins import finding as plugins
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData, Stopped
from tests.without_a_card import OneDevice, fake_cuda, graphs

TRAINED = (
    "gan", "vae", "flow", "dna", "dcgan", "wgan-gp", "realnvp", "ddpm", "flow-matching",
    "autoencoder", "pixelcnn", "vqvae", "lstm", "transformer", "autoregressive", "wavegan",
)  # fmt: skip
BASELINES = (*TRAINED, "kde", "ngram")
DENSITIES = (
    "vae", "flow", "realnvp", "kde", "pixelcnn", "vqvae", "lstm", "transformer", "ngram",
    "autoregressive",
)  # fmt: skip
SPACES = {
    "image": Space("image", (1, 8, 8), levels=17, classes=3),
    "colour": Space("image", (3, 8, 8), levels=256, classes=3),
    "points": Space("points", (2,)),
    "sequence": Space("sequence", (6,), levels=5, classes=3, pad=0),
    "waveform": Space("waveform", (540,), classes=3, rate=8000),
}
SHORTER = {  # the same, sooner
    "realnvp": {"layers": 2, "inner_layers": 2, "points_layers": 3},
    "autoregressive": {"layers": 3, "width": 8, "cut": 64},
}
KINDS = {
    **dict.fromkeys(("dcgan", "wgan-gp", "ddpm", "flow-matching"), ("image", "colour", "points")),
    "dcgan": ("image", "colour"),
    **dict.fromkeys(("pixelcnn", "vqvae"), ("image",)),
    **dict.fromkeys(("lstm", "transformer", "ngram"), ("sequence",)),
    **dict.fromkeys(("gan", "dna"), tuple(SPACES)),
    "vae": ("image", "points", "sequence", "waveform"),
    **dict.fromkeys(("autoregressive", "wavegan"), ("waveform",)),
}  # images and points, if not said
CASES = [
    (name, kind)
    for name in BASELINES
    for kind in SPACES
    if kind in KINDS.get(name, ("image", "points"))
]
UNCAPTURED = ("kde", "wgan-gp", "ngram")
CAPTURED = [c for c in CASES if c[0] not in UNCAPTURED and c[1] != "waveform"]
CPU = torch.device("cpu")
BUDGET, FEW = 400, 232


def rows(space: Space, n: int = 200) -> tuple[Tensor, Tensor | None]:
    """Toy rows: blobs whose place is their class; two clusters of points; short texts, 4 rarely.

    And tones whose pitch is their class, which end in silence.
    """
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(n) % max(1, space.classes)
    if space.kind == "points":
        centre = (torch.arange(n) % 2 * 4 - 2)[:, None]
        return (centre + 0.3 * torch.randn(n, 2, generator=rng)).float(), None
    if space.kind == "sequence":
        longer = torch.rand(n, 6, generator=rng).lt(0.8).long().cumprod(1)
        return longer * (1 + torch.rand(n, 6, generator=rng).mul(3.1 - y[:, None]).long()), y
    if space.kind == "waveform":
        phase = 6.3 * torch.rand(n, 1, generator=rng)
        t = torch.arange(space.dims)
        return 0.5 * torch.sin((0.2 + 0.5 * y[:, None]) * t + phase) * (t < 400), y
    grid = torch.arange(8)
    middle = 2 + 2 * y + torch.rand(n, generator=rng)
    blob = torch.exp(-0.3 * (grid[None, :] - middle[:, None]) ** 2)
    x = (16 * blob[:, None, :, None] * blob[:, None, None, :]).round()
    return x.to(torch.uint8).repeat(1, space.shape[0], 1, 1), y


def make(name: str, space: Space, device: torch.device = CPU, **params: Any) -> Any:
    cls = plugins.load(plugins.find(name))
    return cls(cls.spec.params(**SHORTER.get(name, {}) | params), space, device)


def small(name: str, space: Space, device: torch.device) -> Any:
    """One with small batches: `FEW` examples are six whole ones, a rest, and another whole one."""
    names = [f.name for f in fields(plugins.load(plugins.find(name)).spec.params)]
    whole = {"text_pretraining": 0.0} if "text_pretraining" in names else {}  # one kind of step
    sizes = {n: 32 for n in names if n.endswith("batch_size")}
    return make(name, space, device, **sizes, **whole)


def has_likelihood(generator: Any, kind: str) -> bool:
    spec = generator.spec
    kinds = spec.likelihood_kinds or spec.kinds
    return spec.likelihood is not None and SPACES[kind].kind in kinds


def fit(
    generator: Any,
    space: Space,
    device: torch.device = CPU,
    seed: int = 1,
    examples: int = BUDGET,
    **options: Any,
) -> MemoryTrainData:
    budget = Budget(examples)
    stop = options.get("stop", lambda: False)
    x, y = rows(space)
    data = MemoryTrainData(x, y, space, device, budget, stop=stop)
    generator.fit(data, HarnessRun(seed, device, budget, **options))
    return data


def labels(space: Space, n: int, device: torch.device = CPU) -> Tensor | None:
    return (torch.arange(n) % space.classes).to(device) if space.classes else None


@pytest.fixture(scope="module")
def fitted() -> dict[tuple[str, str], Any]:
    """Each baseline fitted once on each kind."""
    found = {}
    for name, kind in CASES:
        generator = make(name, SPACES[kind])
        before = torch.get_rng_state()
        data = fit(generator, SPACES[kind])
        found[name, kind] = (generator, data, torch.equal(before, torch.get_rng_state()))
    return found


@pytest.mark.parametrize(("name", "kind"), CASES)
class TestContract:
    def test_fit_uses_the_whole_budget_and_leaves_global_state(
        self, fitted: Any, name: str, kind: str
    ) -> None:
        _, data, untouched = fitted[name, kind]
        assert data._budget.served == (BUDGET if name in TRAINED else 0)
        assert data.raw_access == (name not in TRAINED)
        assert untouched, "the global random state was changed"

    @pytest.mark.parametrize("n", [1, 7, 64])
    def test_samples_are_of_the_space(self, fitted: Any, name: str, kind: str, n: int) -> None:
        space = SPACES[kind]
        x = fitted[name, kind][0].sample(n, seed=3, labels=labels(space, n))
        assert space.violation(x, n) is None

    def test_the_seed_decides_the_samples(self, fitted: Any, name: str, kind: str) -> None:
        generator, space = fitted[name, kind][0], SPACES[kind]
        before = torch.get_rng_state()
        one, same, other = (
            generator.sample(16, seed=s, labels=labels(space, 16)) for s in (3, 3, 4)
        )
        assert torch.equal(one, same), "sampling must not change the generator"
        assert not torch.equal(one, other)
        assert torch.equal(before, torch.get_rng_state())

    def test_its_state_makes_the_same_generator(self, fitted: Any, name: str, kind: str) -> None:
        generator, space = fitted[name, kind][0], SPACES[kind]
        state = {k: v.clone() for k, v in generator.state_dict().items()}
        assert all(isinstance(v, Tensor) for v in state.values())
        again = make(name, space)
        again.load_state_dict(state)
        args = {"seed": 5, "labels": labels(space, 8)}
        assert torch.equal(generator.sample(8, **args), again.sample(8, **args))
        if has_likelihood(generator, kind):
            x, _ = rows(space, 8)
            assert torch.equal(generator.log_prob(x, **args), again.log_prob(x, **args))

    def test_an_interrupted_fit_ends_the_same(
        self, fitted: Any, name: str, kind: str, tmp_path: Path
    ) -> None:
        if name not in TRAINED:
            pytest.skip("its fit is one look at all rows")
        space = SPACES[kind]
        calls = iter(range(10_000))
        file = tmp_path / "checkpoint.safetensors"
        cut = make(name, space)
        with pytest.raises(Stopped):
            fit(cut, space, checkpoint_file=file, stop=lambda: next(calls) > 0)
        assert file.is_file(), "it never offered a checkpoint"
        resumed = make(name, space)
        fit(resumed, space, resume_file=file)
        args = {"seed": 5, "labels": labels(space, 8)}
        assert torch.equal(resumed.sample(8, **args), fitted[name, kind][0].sample(8, **args))

    def test_every_tensor_follows_the_device(self, name: str, kind: str) -> None:
        if name == "ngram":
            pytest.skip("how long its tables are depends on the rows")
        if kind == "waveform" and name in ("gan", "vae", "dna"):
            pytest.skip("a sound of a spectrogram needs numbers")
        meta, space = torch.device("meta"), SPACES[kind]
        generator = make(name, space, meta)
        fit(generator, space, meta, examples=130)  # whole batches and a part of one
        x = generator.sample(4, seed=0, labels=labels(space, 4, meta))
        assert x.device.type == "meta"
        assert space.violation(x, 4) is None
        if has_likelihood(generator, kind):
            real = rows(space, 4)[0].to(meta)
            value = generator.log_prob(real, seed=0, labels=labels(space, 4, meta), draws=2)
            assert (value.device.type, tuple(value.shape)) == ("meta", (4,))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), CAPTURED)
class TestCapture:
    """Without a card: see `tests.without_a_card`."""

    def test_its_whole_step_is_captured(
        self,
        name: str,
        kind: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """On ``meta``, where a value that is asked for or a copy to the host fails."""
        meta, space = torch.device("meta"), SPACES[kind]
        card = graphs(monkeypatch, "meta")
        fit(small(name, space, meta), space, meta, examples=FEW)
        assert capsys.readouterr().err == ""
        assert card.asked[3:] == ["capture", *["replay"] * 4]
        drawing = name not in ("autoencoder", "pixelcnn")  # which draw nothing in a step
        assert len(card.generators) == drawing

    def test_nothing_of_it_is_made_elsewhere(
        self,
        name: str,
        kind: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Under tensors that say they are on CUDA."""
        if kind == "sequence" and name != "transformer":
            pytest.skip("recurrent networks on CUDA are cuDNN's, which asks for a real card")
        cuda, space = torch.device("cuda"), SPACES[kind]
        with fake_cuda(monkeypatch) as card:
            generator = small(name, space, cuda)
            fit(generator, space, cuda, examples=FEW)
            captures = card.asked.count("capture")
            y, x = labels(space, 4, cuda), rows(space, 4)[0].to(cuda)
            with OneDevice():
                assert generator.sample(4, seed=0, labels=y).device.type == "cuda"
                if has_likelihood(generator, kind):
                    generator.log_prob(x, seed=0, labels=y)
        assert capsys.readouterr().err == ""
        assert captures == 1

    def test_interrupted_and_captured_anew_it_ends_the_same(
        self, name: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        space, file, calls = SPACES[kind], tmp_path / "checkpoint.safetensors", iter(range(10_000))
        at_once = 8 if kind == "sequence" else 1  # texts are served in eight batches together
        graphs(monkeypatch)
        whole, cut, resumed = (small(name, space, CPU) for _ in range(3))
        fit(whole, space, examples=at_once * FEW)
        with pytest.raises(Stopped):
            fit(
                cut, space, examples=at_once * FEW, checkpoint_file=file,
                stop=lambda: next(calls) > 7,
            )  # fmt: skip
        fit(resumed, space, examples=at_once * FEW, resume_file=file)
        args = {"seed": 5, "labels": labels(space, 8)}
        assert torch.equal(resumed.sample(8, **args), whole.sample(8, **args))


@pytest.mark.parametrize(
    ("name", "kind"), [c for c in CASES if c[0] in DENSITIES and c != ("vae", "waveform")]
)
def test_log_prob_is_finite_and_more_draws_tighten_it(fitted: Any, name: str, kind: str) -> None:
    generator, space = fitted[name, kind][0], SPACES[kind]
    x, y = rows(space, 100)
    one, many = (generator.log_prob(x, seed=1, labels=y, draws=k) for k in (1, 16))
    assert torch.isfinite(one).all()
    assert torch.isfinite(many).all()
    if generator.spec.likelihood == "lower-bound" or kind == "image":
        assert many.mean() >= one.mean() - 0.05


@pytest.mark.parametrize("name", [n for n in DENSITIES if (n, "image") in CASES])
def test_four_level_images_have_probabilities_that_sum_to_at_most_one(name: str) -> None:
    space = Space("image", (1, 2, 2), levels=4)
    states = torch.cartesian_prod(*[torch.arange(4)] * 4).to(torch.uint8).view(256, 1, 2, 2)
    generator = make(name, space)
    budget = Budget(BUDGET)
    few = states[torch.arange(200) % 17]
    generator.fit(MemoryTrainData(few, None, space, CPU, budget), HarnessRun(0, CPU, budget))
    bounds = torch.stack([generator.log_prob(states, seed=s, draws=1) for s in range(64)])
    total = float(bounds.double().mean(0).exp().sum())
    # A bound that has barely been trained is loose; above 1 it would be no probability.
    assert 0 < total <= 1.005, total


@pytest.mark.parametrize("name", BASELINES)
def test_conditional_samples_follow_their_labels_on_easy_data(fitted: Any, name: str) -> None:
    kind = KINDS.get(name, ("image",))[0]
    generator, space = fitted[name, kind][0], SPACES[kind]
    short = generator.sample(60, seed=0, labels=torch.zeros(60, dtype=torch.int64))
    other = generator.sample(60, seed=0, labels=torch.full((60,), 2))
    assert not torch.equal(short, other), "the label changes nothing"
    assert space.violation(short, 60) is None
