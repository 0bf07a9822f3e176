"""TSTR and TRTR: real rows score alike, noise gives chance, the cache changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from genbench.data.split import Split
from genbench.downstream.classical import RandomAffine
from genbench.downstream.classifier import predict
from genbench.downstream.judges import train_classifier
from genbench.downstream.tstr import Arms, train_on_synthetic
from genbench.errors import MetricError
from genbench.generator import Space
from genbench.metrics import MetricValue
from genbench.tasks import Affine
from tests.without_a_card import graphs

SPACE = Space("image", (1, 8, 8), levels=17, classes=3)
RECIPE = {"n": 300, "steps": 40, "batch_size": 32, "seed": 0}


def blobs(n: int, seed: int) -> Split:
    """Three classes that differ by which third of the image is bright, under heavy noise."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 3, n)
    x = random.integers(0, 12, (n, 1, 8, 8))
    for c in range(3):
        x[y == c, :, :, 3 * c : 3 * c + 2] += 5
    return Split(x.astype(np.uint8), y)


TRAIN, TEST = blobs(600, 1), blobs(500, 2)


def transferred(
    train: Split, test: Split, x: Any, y: Any, space: Space, **recipe: Any
) -> dict[str, MetricValue]:
    return train_on_synthetic(Arms(train, x, y, space, **recipe), test)


def test_fresh_real_rows_score_like_real_rows():
    fake = blobs(400, 3)
    found = transferred(TRAIN, TEST, fake.x, fake.y, SPACE, **RECIPE)
    tstr, trtr = found["tstr_accuracy"], found["trtr_accuracy"]
    assert trtr.value > 0.9
    assert tstr.interval.low <= trtr.value <= tstr.interval.high
    assert_allclose(tstr.details["gap"], trtr.value - tstr.value)
    assert (tstr.n, tstr.unit, tstr.higher_is_better) == (300, "accuracy", True)
    assert tstr.signature == (
        "tstr_accuracy|classifier=two-conv/1|steps=40|batch=32|n=300|reference=test:500"
    )


def test_trainings_done_ahead_are_the_ones_that_are_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fake = blobs(400, 3)
    recipe = {**RECIPE, "steps": 8, "replicates": 2}
    alone = transferred(TRAIN, TEST, fake.x, fake.y, SPACE, **recipe)
    places = {"cache": tmp_path / "shared", "kept": tmp_path / "own"}
    ahead = Arms(TRAIN, fake.x, fake.y, SPACE, **recipe, **places)
    assert len(ahead.trainings()) == 4
    assert len(Arms(TRAIN, fake.x, None, SPACE, **recipe).trainings()) == 2
    for training in ahead.trainings():
        training()
    for place in places.values():
        assert len([*place.rglob("*.safetensors")]) == 2
    monkeypatch.setattr("genbench.downstream.recipe.train_classifier", None)  # nothing is trained
    assert values(train_on_synthetic(ahead, TEST)) == values(alone)


def values(found: dict[str, MetricValue]) -> list[Any]:
    return [(name, v.value, v.interval, v.signature, v.details) for name, v in found.items()]


def test_several_trainings_are_averaged_and_their_spread_is_in_the_intervals():
    fake = blobs(400, 3)
    short = {**RECIPE, "steps": 8}
    one = transferred(TRAIN, TEST, fake.x, fake.y, SPACE, **short)
    found = transferred(TRAIN, TEST, fake.x, fake.y, SPACE, **short, replicates=4)
    for name, value in found.items():
        trainings = value.details["trainings"]
        assert trainings[0] == one[name].value
        assert len(set(trainings)) > 1, "each has its own weights and order"
        assert_allclose(value.value, np.mean(trainings))
        assert "|replicates=4|" in value.signature
        assert value.interval.method == "trainings"
        assert value.std_error > np.std(trainings, ddof=1) / 2
    tstr = found["tstr_accuracy"].details
    pairs = zip(found["trtr_accuracy"].details["trainings"], tstr["trainings"], strict=True)
    assert_allclose(tstr["gap"], np.mean([real - fake for real, fake in pairs]))
    assert tstr["gap_low"] < 0 < tstr["gap_high"], "fresh real rows cost nothing"
    assert "gap_low" not in one["tstr_accuracy"].details
    assert_allclose(
        np.bincount(TEST.y, minlength=3) / len(TEST.y) @ tstr["by_class"],
        found["tstr_accuracy"].value,
    )


def test_trainings_that_name_every_row_rightly_have_wilsons_interval():
    y = np.arange(500) % 3
    x = np.zeros((500, 1, 8, 8), np.uint8)
    for c in range(3):
        x[y == c, :, :, 3 * c : 3 * c + 2] = 16
    easy = Split(x, y)
    trtr = transferred(easy, easy, x, y, SPACE, **RECIPE, replicates=2)["trtr_accuracy"]
    assert trtr.details["trainings"] == [1.0, 1.0]
    assert (trtr.interval.method, trtr.interval.high) == ("wilson", 1.0)
    assert 0.99 < trtr.interval.low < 1


def test_the_gap_of_poor_rows_excludes_zero():
    fake = blobs(400, 3)
    y = np.where(np.arange(400) % 2, fake.y, (fake.y + 1) % 3)
    found = transferred(TRAIN, TEST, fake.x, y, SPACE, **RECIPE, replicates=3)
    assert found["tstr_accuracy"].details["gap_low"] > 0.05


def test_per_class_accuracies_average_to_the_accuracy():
    found = transferred(TRAIN, TEST, TRAIN.x, TRAIN.y, SPACE, **RECIPE)["tstr_accuracy"]
    weights = np.bincount(TEST.y, minlength=3) / len(TEST.y)
    assert_allclose(weights @ found.details["by_class"], found.value)


def test_noise_scores_chance():
    random = np.random.default_rng(0)
    x = random.integers(0, 17, (400, 1, 8, 8), dtype=np.uint8)
    found = transferred(TRAIN, TEST, x, random.integers(0, 3, 400), SPACE, **RECIPE)
    assert found["tstr_accuracy"].value < 0.6


def test_the_interval_is_wilsons():
    """Its ends are where the score test of a share at that value just rejects."""
    half_wrong = Split(TEST.x, np.where(np.arange(500) % 2, TEST.y, (TEST.y + 1) % 3))
    values = transferred(TRAIN, half_wrong, TRAIN.x, TRAIN.y, SPACE, **RECIPE)
    found = values["tstr_accuracy"]
    for end in (found.interval.low, found.interval.high):
        z = (found.value - end) / np.sqrt(end * (1 - end) / 500)
        assert_allclose(abs(z), 1.959964, rtol=1e-5)


def test_labels_that_are_wrong_cost_accuracy():
    fake = blobs(400, 3)
    wrong = transferred(TRAIN, TEST, fake.x, (fake.y + 1) % 3, SPACE, **RECIPE)
    assert wrong["tstr_accuracy"].value < 0.1


def test_unlabelled_samples_are_labelled_by_the_real_classifier_and_say_so():
    fake = blobs(400, 3)
    found = transferred(TRAIN, TEST, fake.x, None, SPACE, **RECIPE)["tstr_accuracy"]
    assert found.value > 0.9
    assert found.details["labels"] == "classifier trained on the real rows"
    assert found.signature.endswith("|labels=classifier")


def test_fewer_samples_than_asked_cut_both_arms():
    fake = blobs(100, 3)
    found = transferred(TRAIN, TEST, fake.x, fake.y, SPACE, **RECIPE)
    assert {value.n for value in found.values()} == {100}
    assert all("|n=100|" in value.signature for value in found.values())


def test_a_missing_class_is_seen_in_its_accuracy():
    fake = blobs(600, 3)
    keep = fake.y != 1
    found = transferred(TRAIN, TEST, fake.x[keep], fake.y[keep], SPACE, **RECIPE)
    per_class = found["tstr_accuracy"].details["by_class"]
    assert per_class[1] == 0
    assert min(per_class[0], per_class[2]) > 0.8


def test_the_cached_real_arm_gives_the_same_numbers(tmp_path: Path):
    fake = blobs(400, 3)
    plain, filling, cached = (
        transferred(TRAIN, TEST, fake.x, None, SPACE, **RECIPE, cache=cache)
        for cache in (None, tmp_path, tmp_path)
    )
    (file,) = (tmp_path / "downstream").iterdir()
    for name in plain:
        assert plain[name].value == filling[name].value == cached[name].value
    file.write_bytes(b"damaged")
    again = transferred(TRAIN, TEST, fake.x, None, SPACE, **RECIPE, cache=tmp_path)
    assert again["trtr_accuracy"].value == plain["trtr_accuracy"].value


def test_the_cache_knows_the_rows_apart(tmp_path: Path):
    shuffled = Split(TRAIN.x, np.roll(TRAIN.y, 1))
    for train in (TRAIN, shuffled):
        found = transferred(train, TEST, TEST.x, TEST.y, SPACE, **RECIPE, cache=tmp_path)
    assert found["trtr_accuracy"].value < 0.6
    assert len(list((tmp_path / "downstream").iterdir())) == 2


def test_training_is_reproducible_and_leaves_the_random_state():
    before = torch.get_rng_state()
    recipe = {"steps": 5, "batch_size": 16}
    first, again, other = (
        predict(train_classifier(TRAIN.x, TRAIN.y, SPACE, **recipe, seed=seed), TEST.x)
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3
    assert_allclose(first.sum(1), 1, rtol=1e-5)


def test_fewer_rows_than_a_batch_take_as_many_steps():
    few = train_classifier(TRAIN.x[:10], TRAIN.y[:10], SPACE, steps=60, batch_size=32, seed=0)
    assert_array_equal(predict(few, TRAIN.x[:10]).argmax(1), TRAIN.y[:10])


def test_images_of_sixteen_pixels_and_more_are_read_too():
    space = Space("image", (3, 20, 17), levels=256, classes=2)
    x = np.zeros((64, 3, 20, 17), np.uint8)
    x[::2] = 200
    y = np.arange(64) % 2
    found = predict(train_classifier(x, y, space, steps=10, batch_size=16, seed=0), x)
    assert_array_equal(found.argmax(1), y)


@pytest.mark.parametrize(
    "space",
    [
        Space("points", (2,)),
        Space("image", (1, 7, 9), levels=17, classes=3),
        Space("image", (1, 8, 8), levels=17),
    ],
    ids=["points", "too small", "no classes"],
)
def test_what_the_classifier_cannot_read_is_not_applicable(space):
    with pytest.raises(MetricError) as caught:
        transferred(TRAIN, TEST, TRAIN.x, TRAIN.y, space, **RECIPE)
    assert caught.value.status == "not_applicable"


def test_no_samples_are_undefined():
    with pytest.raises(MetricError, match="no"):
        transferred(TRAIN, TEST, TRAIN.x[:0], TRAIN.y[:0], SPACE, **RECIPE)


def test_trts_exposes_wrong_labels_of_good_rows():
    fake = blobs(400, 3)
    right = transferred(TRAIN, TEST, fake.x, fake.y, SPACE, **RECIPE)["trts_accuracy"]
    wrong = transferred(TRAIN, TEST, fake.x, (fake.y + 1) % 3, SPACE, **RECIPE)
    assert right.value > 0.9
    assert right.signature.endswith("|reference=generated:300")
    assert wrong["trts_accuracy"].value < 0.1


def test_trts_without_labels_is_not_applicable():
    found = transferred(TRAIN, TEST, blobs(400, 3).x, None, SPACE, **RECIPE)
    assert found["trts_accuracy"].status == "not_applicable"
    assert "the very classifier" in found["trts_accuracy"].reason


def test_a_class_weight_of_zero_unlearns_the_class():
    classifier = train_classifier(
        TRAIN.x, TRAIN.y, SPACE, steps=60, batch_size=32, seed=0, class_weights=[1, 1, 0]
    )
    assert (predict(classifier, TEST.x).argmax(1) == 2).mean() < 0.02


def test_a_transform_sees_every_batch():
    seen = []

    def blank(images):
        seen.append(len(images))
        return images.float() * 0

    classifier = train_classifier(
        TRAIN.x, TRAIN.y, SPACE, steps=7, batch_size=32, seed=0, transform=blank
    )
    assert seen == [32] * 7
    found = predict(classifier, np.zeros_like(TEST.x))
    assert_allclose(found, np.repeat(found[:1], len(found), 0), rtol=1e-5)


def test_the_size_of_a_batch_changes_no_prediction() -> None:
    x = np.random.default_rng(0).integers(0, 256, (300, 1, 28, 28), dtype=np.uint8)
    space = Space("image", (1, 28, 28), 256, 10)
    trained = train_classifier(x, np.arange(300) % 10, space, steps=3, batch_size=16, seed=0)
    whole = predict(trained, x, batch_size=300)
    assert_allclose(predict(trained, x, batch_size=7), whole, atol=1e-6)
    assert_allclose(predict(trained, x), whole, atol=1e-6)


@pytest.mark.parametrize("transform", [None, RandomAffine(Affine())])
def test_the_classifiers_whole_step_is_captured(transform, monkeypatch, capsys):
    """On ``meta``, where a value that is asked for or a copy to the host fails."""
    card = graphs(monkeypatch, "meta")
    x, y = torch.zeros(40, 1, 8, 8, dtype=torch.uint8), torch.zeros(40, dtype=torch.int64)
    options = {"steps": 6, "batch_size": 8, "seed": 0, "class_weights": [1.0, 2.0, 3.0]}
    train_classifier(x, y, SPACE, device="meta", transform=transform, **options)
    assert card.asked == ["eager"] * 3 + ["capture"] + ["replay"] * 3
    assert capsys.readouterr().err == ""
