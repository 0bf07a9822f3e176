"""The parts of the downstream protocols: subsets, transforms, attacks, gains, tables."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special, stats
from torchvision.transforms.v2 import functional as tv

from genbench.downstream.attacks import fgsm, pgd
from genbench.downstream.classical import RandomAffine, affine
from genbench.downstream.gains import paired, verdicts
from genbench.downstream.judges import train_classifier
from genbench.downstream.subsets import cut, missing, stratified
from genbench.errors import MetricError, UsageError
from genbench.running import utility
from genbench.running.cellspec import CellSpec
from genbench.running.utility import Utility
from genbench.tasks import Affine
from genbench.tasks.protocols import read
from genbench.tasks.suite import load_suite
from tests.conftest import HERE
from tests.test_downstream import SPACE, TEST, TRAIN
from tests.test_plan import choice

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports from a name that SciPy 2 will not have
    import foolbox

IMAGES = HERE / "tiny-images.toml"
Y = np.random.default_rng(0).choice(4, 1000, p=[0.5, 0.3, 0.15, 0.05])


def test_a_stratified_subset_keeps_the_proportions_and_repeats_no_row():
    rows = stratified(Y, 4, 200, seed=3)
    assert len(set(rows.tolist())) == 200
    share = np.bincount(Y, minlength=4) / len(Y) * 200
    assert np.abs(np.bincount(Y[rows], minlength=4) - share).max() < 1
    assert_array_equal(rows, stratified(Y, 4, 200, seed=3))
    assert set(rows) != set(stratified(Y, 4, 200, seed=4))


def test_a_small_subset_has_every_class():
    assert set(Y[stratified(Y, 4, 5, seed=0)]) == {0, 1, 2, 3}


def test_more_rows_than_there_are_is_an_error_that_says_so():
    with pytest.raises(MetricError, match="1001 real rows are asked for and there are 1000"):
        stratified(Y, 4, 1001, seed=0)


def test_cutting_leaves_the_other_classes_whole():
    rows = cut(Y, (1, 3), 0.1, seed=0)
    before, after = np.bincount(Y), np.bincount(Y[rows])
    assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert_array_equal(after[[1, 3]], np.round(before[[1, 3]] * 0.1))
    assert missing(Y[rows], (1, 3)) == {
        c: round((before[0] + before[2]) / 2) - after[c] for c in (1, 3)
    }


def test_at_least_one_row_of_a_cut_class_stays():
    assert (Y[cut(Y, (3,), 0.0, seed=0)] == 3).sum() == 1


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 30)], ids=str)
@pytest.mark.parametrize(
    ("angle", "scale", "shift"),
    [(17.0, 1.0, (0.0, 0.0)), (0.0, 1.2, (0.0, 0.0)), (0.0, 1.0, (3.0, -2.0)),
     (-25.0, 0.85, (2.0, 1.5))],
)  # fmt: skip
def test_affine_equals_torchvisions(shape, angle, scale, shift):
    torch.manual_seed(0)
    image = tv.gaussian_blur(torch.rand(2, *shape), [5, 5]) * 255
    ours = affine(
        image,
        torch.full((2,), math.radians(angle)),
        torch.full((2,), scale),
        torch.tensor([[2 * shift[0] / shape[2]] * 2, [2 * shift[1] / shape[1]] * 2]),
        torch.ones(2),
    )
    theirs = tv.affine(image, angle, list(shift), scale, [0.0, 0.0], tv.InterpolationMode.BILINEAR)
    assert_allclose(ours, theirs, atol=1e-2)


def test_mirror_is_a_horizontal_flip():
    image = torch.rand(1, 1, 9, 9)
    one, nothing = torch.ones(1), torch.zeros(1)
    flipped = affine(image, nothing, one, torch.zeros(2, 1), -one)
    assert_allclose(flipped, image.flip(3), atol=1e-5)


def test_random_affine_draws_anew_for_every_image_and_stays_in_its_bounds():
    torch.manual_seed(0)
    point = torch.zeros(500, 1, 21, 21)
    point[:, :, 10, 10] = 1
    moved = RandomAffine(Affine(shift=0.1, rotation=0, scale=0, flip=False))(point)
    mass = moved.sum((1, 2, 3))
    assert_allclose(mass, 1, atol=1e-4)
    centre = (moved.sum((1, 2)) * torch.arange(21.0)).sum(1) - 10
    assert centre.abs().max() <= 2.1 + 1e-4
    assert centre.std() == pytest.approx(2.1 / math.sqrt(3), rel=0.1)


CLASSIFIER = train_classifier(TRAIN.x, TRAIN.y, SPACE, steps=60, batch_size=32, seed=0)
X, LABELS = torch.from_numpy(TEST.x[:200]), torch.from_numpy(TEST.y[:200])


class _Unit(torch.nn.Module):
    """The classifier as it reads images in [0, 1]."""

    def forward(self, x):
        return CLASSIFIER.net(x * (SPACE.levels - 1))


def accuracy(x):
    return float((CLASSIFIER.net(x.float()).argmax(1) == LABELS).float().mean())


def test_fgsm_equals_foolbox():
    model = foolbox.PyTorchModel(_Unit().eval(), bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    _, theirs, _ = attack(model, X / 16, LABELS, epsilons=0.1)
    assert_allclose(fgsm(CLASSIFIER, X, LABELS, 0.1) / 16, theirs, atol=1e-5)


def test_pgd_is_as_strong_as_foolbox_and_stays_in_bounds():
    ours = pgd(CLASSIFIER, X, LABELS, 0.1, steps=10, seed=0)
    assert (ours - X).abs().max() <= 1.6 + 1e-5
    assert ours.min() >= 0
    assert ours.max() <= 16
    model = foolbox.PyTorchModel(_Unit().eval(), bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=10)
    _, _, broken = attack(model, X / 16, LABELS, epsilons=0.1)
    assert accuracy(ours) == pytest.approx(1 - float(broken.float().mean()), abs=0.04)
    assert accuracy(ours) <= accuracy(fgsm(CLASSIFIER, X, LABELS, 0.1)) < accuracy(X)


def test_an_attack_of_no_size_changes_nothing():
    assert_allclose(fgsm(CLASSIFIER, X, LABELS, 0), X.float())
    assert_allclose(pgd(CLASSIFIER, X, LABELS, 0, steps=2, seed=0), X.float())


def level(*accuracies):
    """Replicates with these accuracies in which no row differs from another."""
    return np.tile(np.array(accuracies)[:, None], (1, 1000))


def test_a_gain_is_the_paired_t_test_where_no_row_is_harder_than_another():
    a, b = [0.81, 0.83, 0.80, 0.86], [0.78, 0.79, 0.80, 0.80]
    found = paired(level(*a), level(*b))
    theirs = stats.ttest_rel(a, b)
    assert_allclose(found.p_value, theirs.pvalue)
    assert_allclose((found.low, found.high), theirs.confidence_interval(0.95))


def test_replicates_that_agree_on_every_row_have_the_error_of_the_rows():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 500)) < [[0.7], [0.6]]
    found = paired([a] * 4, [b] * 4)
    theirs = stats.ttest_rel(a.astype(float), b.astype(float))
    assert_allclose(found.std_error, theirs.confidence_interval(0.68).high - found.mean, rtol=0.01)
    assert_allclose(found.p_value, theirs.pvalue, rtol=0.02)


def simulated(rng, rows, replicates=10):
    """Right answers of two arms: rows hard or easy, rows that gain or lose, luck of replicates."""
    hard, gain = rng.normal(1.5, 1.5, rows), rng.normal(0.2, 1.0, rows)
    luck = rng.normal(0, 0.05, (2, replicates, 1))
    chance = special.expit(np.stack([hard + gain, hard])[:, None] + luck)
    return (rng.random(chance.shape) < chance).astype(float)


def test_a_gain_holds_that_of_other_replicates_on_other_rows():
    """The spread over replicates alone held it in 87 of 100 such cases."""
    rng = np.random.default_rng(0)
    target = np.mean([a.mean() - b.mean() for a, b in (simulated(rng, 100_000) for _ in range(5))])
    found = [paired(*simulated(rng, 400)) for _ in range(400)]
    held = np.mean([one.low <= target <= one.high for one in found])
    assert 0.92 <= held <= 0.98


def test_equal_differences_prove_nothing_below_the_rounding():
    assert paired(level(0.5, 0.6), level(0.5, 0.6)).p_value == 1
    one_row = paired(level(0.501, 0.601), level(0.5, 0.6))
    assert one_row.p_value > 0.1
    assert one_row.low < 0 < one_row.high
    assert paired(level(0.7, 0.8), level(0.5, 0.6)).p_value < 0.01


def test_verdicts_are_corrected_for_several_ratios():
    """One of two p-values near 0.04 is no longer evidence once both are judged."""
    weak = paired(level(0.60, 0.62, 0.615, 0.66, 0.59), level(0.58, 0.598, 0.60, 0.62, 0.588))
    assert 0.025 < weak.p_value < 0.05
    assert verdicts([weak]) == ["helps"]
    assert verdicts([weak, weak]) == ["no evidence", "no evidence"]
    worse = paired(level(0.1, 0.11, 0.1), level(0.6, 0.61, 0.62))
    assert verdicts([worse, weak]) == ["hurts", "helps"]


def test_two_replicates_are_no_evidence():
    clear = paired(level(0.9, 0.91), level(0.5, 0.51))
    assert clear.low > 0
    assert verdicts([clear]) == ["no evidence"]


def test_the_tables_become_protocols():
    found = read(load_suite(str(IMAGES)).document)
    assert found.metrics == ("augmentation_gain", "imbalance_recall", "robust_accuracy")
    assert found.augmentation.n == (40, 80)
    assert found.classical.rotation == 10
    assert not found.classical.flip
    assert read(load_suite("8gaussians").document) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n = [40, 80]", "n = [80, 40]", "list ascending whole numbers from 10 up"),
        ("n = [40, 80]", "n = [5, 80]", "from 10 up"),
        ("ratios = [1, 2]", "ratios = []", "ratios of [downstream.augmentation] is []"),
        ("headline_n = 80", "headline_n = 90", "headline_n is 90: use one of [40, 80]"),
        ("headline_ratio = 2", "headline_ratio = 3", "use one of [1, 2]"),
        ("replicates = 3", "replicates = 1", "replicates of [downstream.augmentation] is 1"),
        ("n = 200\nsteps = 40", "n = 0\nsteps = 40", "n of [downstream.tstr] is 0"),
        ("steps = 40\nbatch_size = 32", "steps = 40\nbatch_size = 1", "it must be at least 2"),
        ("n = 200\n", "n = 200\nreplicates = 0\n", "replicates of [downstream.tstr] is 0"),
        ("confidence = 0.99", "confidence = 1.5", "it must be from 0 to 1"),
        ("test_rows = 250", "test_rows = -1", "test_rows of [downstream.augmentation] is -1"),
        ("rotation = 10", "rotatoin = 10", "did you mean 'rotation'"),
        ("classes = [8, 9]", "classes = [8, 10]", "name some, not all, of 0..9"),
        ("keep = 0.1", "keep = 3", "keep of [downstream.imbalance] is 3"),
        ("n = 80\nepsilon", "n = 50\nepsilon", "n of [downstream.robustness] is 50"),
        ("epsilon = 0.1", 'epsilon = "much"', "expected a number"),
        ("classes = 10", "classes = 0", "texts or sounds with class labels"),
    ],
)
def test_a_table_out_of_range_is_refused(tmp_path: Path, old: str, new: str, message: str):
    text = IMAGES.read_text()
    assert old in text
    file = tmp_path / "wrong.toml"
    file.write_text(text.replace(old, new))
    with pytest.raises(UsageError, match=re.escape(message)):
        load_suite(str(file))


def test_robustness_without_augmentation_is_refused(tmp_path: Path):
    text = IMAGES.read_text()
    start, end = text.index("[downstream.augmentation]"), text.index("[downstream.classical]")
    file = tmp_path / "wrong.toml"
    file.write_text(text[:start] + text[end:])
    with pytest.raises(UsageError, match=r"stands without \[downstream.augmentation\]"):
        load_suite(str(file))


def test_stored_values_with_intervals_of_another_method_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    suite = load_suite(str(IMAGES))
    spec = CellSpec(tmp_path, tmp_path, "key", suite, choice(), 0)
    asked = read(suite.document)
    assert asked is not None
    key = Utility(spec, {}, TRAIN, TEST, {}, lambda what: None)._key
    now = key(asked)
    monkeypatch.setattr(utility, "METHOD", "another")
    assert key(asked) != now
