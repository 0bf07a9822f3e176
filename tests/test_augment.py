"""Training with augmentation: what a discriminator sees, and how rows are served."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from genbench.baselines.adversarial_augmentation import DiffAugment, cut_out, recoloured, shifted
from genbench.baselines.dcgan import DCGAN, DCGANParams
from genbench.baselines.gan import GAN, Params
from genbench.baselines.wgan_gp import WGANGP, WGANGPParams
from genbench.downstream import RandomAffine
from genbench.errors import UsageError
from genbench.generator import GeneratorSpec, Space
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.finding import GeneratorRef, description_of
from genbench.plugins.parameters import by_field
from genbench.plugins.serving import Serving, balanced_order, for_suite
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData
from genbench.results import Record
from genbench.running.cells import cell_key
from genbench.tasks import Affine
from genbench.tasks.suite import Suite, load_suite
from tests.conftest import HERE, TINY, Command
from tests.without_a_card import graphs

CPU = torch.device("cpu")
GREY = Space("image", (1, 8, 8), levels=17, classes=3)
IMAGES = HERE / "tiny-images.toml"


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# Differentiable augmentation.


def test_a_shift_moves_whole_pixels_and_fills_with_mid_grey() -> None:
    x = torch.rand(200, 2, 8, 16, generator=rng()) + 1  # no pixel is 0
    moved, seen = shifted(x, rng(1)), set()
    for before, after in zip(x, moved, strict=True):
        filled = (after == 0).all(0)
        rows, columns = (~filled.all(1)).nonzero(), (~filled.all(0)).nonzero()
        top, left = int(rows.min()), int(columns.min())
        height, width = len(rows), len(columns)
        down = top or height - 8
        right = left or width - 16
        seen.add((down, right))
        kept = before[:, max(0, -down) : 8 - max(0, down), max(0, -right) : 16 - max(0, right)]
        assert torch.equal(after[:, top : top + height, left : left + width], kept)
    assert {d for d, _ in seen} == {-1, 0, 1}, "an eighth of the rows"
    assert {r for _, r in seen} == {-2, -1, 0, 1, 2}, "an eighth of the columns"


def test_a_cut_is_a_square_of_half_the_side_at_any_place() -> None:
    ones = torch.ones(500, 1, 8, 8)
    holes = cut_out(ones, rng()) == 0
    sizes = {(int(h.any(1).sum()), int(h.any(0).sum())) for h in holes[:, 0]}
    assert max(sizes) == (4, 4)
    assert (2, 2) in sizes, "partly outside of the image"
    assert all(int(h.sum()) == h.any(1).sum() * h.any(0).sum() for h in holes[:, 0])
    assert holes.any(0).all(), "every pixel is cut out now and then"


def test_colours_change_alike_over_an_image_and_only_where_there_are_three() -> None:
    x = torch.rand(300, 3, 4, 4, generator=rng()) * 2 - 1
    changed = recoloured(x, rng(1))
    shift = (changed - x).mean((1, 2, 3))
    assert -0.5 <= shift.min() < -0.4 < 0.4 < shift.max() <= 0.5, "brightness"
    contrast = spread(changed.mean(1)) / spread(x.mean(1))
    assert 0.5 <= contrast.min() < 0.6 < 1.4 < contrast.max() <= 1.5
    colour = spread(changed - changed.mean(1, True)) / spread(x - x.mean(1, True)) / contrast
    assert 0 <= colour.min() < 0.1 < 1.9 < colour.max() <= 2.01, "saturation"
    assert DiffAugment("diff", Space("image", (3, 4, 4), levels=256))._colour
    assert not DiffAugment("diff", GREY)._colour


def spread(x: Tensor) -> Tensor:
    return x.flatten(1).std(1)


def test_gradients_flow_through_to_the_pixels_that_are_shown() -> None:
    x = torch.rand(5, 3, 8, 8, generator=rng(), dtype=torch.float64, requires_grad=True)
    augment = DiffAugment("diff", Space("image", (3, 8, 8), levels=256))
    assert torch.autograd.gradcheck(lambda t: augment(t, rng(3)), (x,))
    (slope,) = torch.autograd.grad(cut_out(shifted(x, rng(3)), rng(4)).sum(), x)
    assert set(slope.unique().tolist()) == {0, 1}, "each is shown once or not at all"


def test_off_it_changes_nothing_and_draws_nothing() -> None:
    x, random = torch.rand(3, 1, 8, 8), rng()
    before = random.get_state()
    assert DiffAugment("none", GREY)(x, random) is x
    assert torch.equal(random.get_state(), before)


@pytest.mark.parametrize("cls", [GAN, WGANGP])
def test_points_have_no_such_augmentation(cls: Any) -> None:
    with pytest.raises(UsageError, match="augment=diff changes images, this is points"):
        cls(cls.spec.params(augment="diff"), Space("points", (2,)), CPU)


SMALL: tuple[tuple[Any, Any], ...] = (
    (GAN, Params(latent=4, mapping=8, generator_width=4, discriminator_width=4, head=8)),
    (DCGAN, DCGANParams(latent=4, width=4, batch_size=16)),
    (WGANGP, WGANGPParams(latent=4, width=4, batch_size=16, critic_steps=1)),
)


def fitted(cls: Any, params: Any, device: torch.device = CPU) -> Any:
    gan, budget = cls(params, GREY, device), Budget(96)
    x = torch.randint(0, 17, (48, 1, 8, 8), generator=rng()).byte()
    data = MemoryTrainData(x, torch.arange(48) % 3, GREY, device, budget)
    gan.fit(data, HarnessRun(0, device, budget))
    return gan


@pytest.mark.parametrize(("cls", "params"), SMALL, ids=lambda v: getattr(v, "__name__", ""))
def test_every_gan_trains_with_it(cls: Any, params: Any) -> None:
    plain, augmented = fitted(cls, params), fitted(cls, replace(params, augment="diff"))
    again = fitted(cls, replace(params, augment="diff"))
    weights = [torch.cat([v.flatten().double() for v in g.state_dict().values()])
               for g in (plain, augmented, again)]  # fmt: skip
    assert weights[1].isfinite().all()
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])


@pytest.mark.parametrize(("cls", "params"), SMALL[1:], ids=lambda v: getattr(v, "__name__", ""))
def test_steps_with_it_are_captured(
    cls: Any, params: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On ``meta``, where a value that is asked for or a copy to the host fails."""
    card = graphs(monkeypatch, "meta")
    fitted(cls, replace(params, augment="diff"), torch.device("meta"))
    assert capsys.readouterr().err == ""
    assert "capture" in card.asked


# How rows are served.


def served(serving: Serving, *, start: int = 0, budget: int = 60, size: int = 7) -> Any:
    """All that is served of 20 images, of which class 2 has two."""
    y = torch.tensor([0] * 12 + [1] * 6 + [2] * 2)
    x = torch.randint(0, 17, (20, 1, 8, 8), generator=rng()).byte()
    data = MemoryTrainData(x, y, GREY, CPU, Budget(budget, start), serving=serving)
    parts = list(data.batches(size, seed=5, start=start))
    assert torch.equal(data.x, x), "what is read raw is as it is"
    return torch.cat([b.x for b in parts]), torch.cat([b.y for b in parts])


def test_balanced_batches_hold_every_class_as_often() -> None:
    y = torch.tensor([0] * 70 + [1] * 25 + [4] * 5)
    order = balanced_order(y, rng())
    assert len(order) == 102  # 34 rounds of 3
    rounds = y[order].view(-1, 3)
    assert (rounds.sort(1).values == torch.tensor([0, 1, 4])).all()
    assert len(rounds.unique(dim=0)) == 6, "in all orders"
    counts = torch.bincount(order, minlength=100)
    assert counts[:70].max() == 1
    assert set(counts[70:95].tolist()) == {1, 2}
    assert set(counts[95:].tolist()) == {6, 7}


BALANCED = Serving(balanced=True)
MOVED = Serving(Affine(shift=0.2, rotation=20))


@pytest.mark.parametrize("serving", [Serving(), BALANCED, MOVED, Serving(MOVED.transforms, True)])
def test_a_fit_that_is_continued_is_served_what_a_whole_one_is(serving: Serving) -> None:
    x, y = served(serving)
    epoch = 21 if serving.balanced else 20
    for stop in (7, epoch, epoch + 7):
        later = served(serving, start=stop)
        assert torch.equal(x[stop:], later[0])
        assert torch.equal(y[stop:], later[1])


def test_transformed_images_are_the_suites_own_transforms_of_the_rows() -> None:
    plain, labels = served(Serving())
    moved, same = served(MOVED)
    assert torch.equal(labels, same)
    assert moved.dtype == torch.uint8
    assert 0.1 < float((moved != plain).float().mean()) < 1
    assert MOVED.transforms is not None
    affine, draws = RandomAffine(MOVED.transforms), rng(1)
    first = affine(plain.float(), draws)
    assert not torch.equal(first, affine(plain.float(), draws)), "another draw each time"
    assert torch.equal(first, affine(plain.float(), rng(1)))


def test_rows_without_labels_cannot_be_balanced() -> None:
    data = MemoryTrainData(torch.zeros(4, 2), None, Space("points", (2,)), CPU, Budget(4),
                           serving=BALANCED)  # fmt: skip
    with pytest.raises(UsageError, match="balance needs class labels"):
        list(data.batches(2, seed=0))


# Asked for by a parameter, or by a suite.


@dataclass(frozen=True)
class Plain:
    """A generator's parameters."""

    rate: float = 0.1


@dataclass(frozen=True)
class Own:
    """Parameters of a generator that has an `augment` of its own."""

    augment: Literal["none", "diff"] = "none"


def choice(params: type, **given: str) -> GeneratorChoice:
    spec = GeneratorSpec("mine", "1", "gan", ("image", "points"), "none", None, params)
    cls = type("Mine", (), {"spec": spec})
    ref = GeneratorRef("mine", "Mine", "a test", inline=True)
    description = description_of(cls, ref)
    passed = description.parse(given)
    return GeneratorChoice(ref, description, description.complete(passed), passed)


def on(path: Path, params: type, **given: str) -> GeneratorChoice:
    return for_suite(choice(params, **given), load_suite(str(path)))


def test_the_harness_serves_every_generator_as_it_is_asked_to() -> None:
    found = on(IMAGES, Plain, augment="classical", balance="true")
    assert found.params_passed == {"augment": "classical", "balance": True}
    serving = Serving.of(found.params, Plain)
    assert serving == Serving(Affine(shift=0.1, rotation=10), True)
    assert by_field(Plain, found.params) == {"rate": 0.1}, "the generator is none the wiser"
    assert Serving.of(choice(Plain).params, Plain) == Serving()


def test_other_transforms_are_another_cell_and_none_are_the_cell_of_before() -> None:
    suite = load_suite(str(IMAGES))
    document = json.loads(json.dumps(suite.document))
    document["downstream"]["classical"]["rotation"] = 15
    other = Suite(document, suite.profile, suite.root)
    assert other.task_hash == suite.task_hash
    wanted = choice(Plain, augment="classical")
    keys = [cell_key(suite, for_suite(wanted, s), 0) for s in (suite, other)]
    assert keys[0] != keys[1]
    assert for_suite(choice(Plain), suite).params == {"rate": 0.1}
    assert for_suite(choice(Plain, augment="none"), suite).params == {"rate": 0.1}


def test_a_parameter_of_the_generators_own_is_left_to_it() -> None:
    found = on(IMAGES, Own, augment="diff")
    assert by_field(Own, found.params) == {"augment": "diff"}
    with pytest.raises(UsageError, match="mine:augment='classical' is not none or diff"):
        choice(Own, augment="classical")
    with pytest.raises(UsageError, match="mine:augment='diff' is not none or classical"):
        choice(Plain, augment="diff")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"augment": "classical"},
            "classical transforms of images, which suite 'tiny' has not",
        ),
        ({"balance": "true"}, "needs class labels, which suite 'tiny' has not"),
    ],
)
def test_what_a_suite_cannot_give_is_told_before_anything_runs(
    given: Mapping[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        on(TINY, Plain, **given)


def suite_with(tmp_path: Path, table: str) -> Path:
    (tmp_path / "own.toml").write_text(IMAGES.read_text() + f"\n[training]\n{table}\n")
    return tmp_path / "own.toml"


def test_a_suite_turns_it_on_for_all_each_in_its_way(tmp_path: Path) -> None:
    path = suite_with(tmp_path, "augment = true\nbalance = true")
    assert load_suite(str(path)).task_hash != load_suite(str(IMAGES)).task_hash
    plain, gan = on(path, Plain), on(path, Own)
    assert Serving.of(plain.params, Plain) == Serving(Affine(shift=0.1, rotation=10), True)
    assert gan.params == {"augment": "diff", "balance": True}
    assert on(path, Plain, augment="none", balance="false").params == {"rate": 0.1}


@pytest.mark.parametrize("table", ['augment = "diff"', "mirror = true", "balance = 1"])
def test_what_is_wrong_in_the_table_is_told(tmp_path: Path, table: str) -> None:
    with pytest.raises(UsageError, match=r"own\.toml, line \d+: .*\[training\]"):
        load_suite(str(suite_with(tmp_path, table)))


@pytest.mark.slow
def test_a_run_with_it_is_a_row_of_its_own(run_genbench: Command, tmp_path: Path) -> None:
    """Refits of the downstream protocols are served in the same way."""
    row = "vae:augment=classical,balance=true,batch_size=16"
    done = run_genbench("run", "--suite", IMAGES, "-g", row, "--no-report", "--no-controls")
    assert done.code == 0, done.err
    (file,) = tmp_path.glob("results/*/vae~*/seed-0/*/record.json")
    record = Record.from_json(json.loads(file.read_text()))
    assert record.label == "vae:augment=classical,balance=True,batch_size=16"
    stated = record.cell["generator"]["params"]
    assert Affine(**json.loads(stated["transforms"])) == Affine(shift=0.1, rotation=10)
    assert record.metrics["augmentation_gain"].status == "ok"
    assert record.examples_served == 1000
