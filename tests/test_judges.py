"""Each kind of data has its judges and its classical transforms."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from genbench.data import Split
from genbench.downstream.changes import changes
from genbench.downstream.classifier import Classifier, predict
from genbench.downstream.edits import RandomEdits
from genbench.downstream.judges import judge_of, train_classifier
from genbench.downstream.recipe import Recipe
from genbench.downstream.sound_changes import (
    RandomSound,
    delayed,
    without_band,
    without_stretch,
)
from genbench.downstream.tstr import Arms, beside, train_on_synthetic
from genbench.errors import MetricError, UsageError
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.tasks import Edits, SoundChanges
from genbench.tasks.suite import load_suite, shipped

ABC = "abcdefgh "
CHARACTERS = Vocabulary.of_characters([ABC])
TEXTS = Space("sequence", (24,), levels=len(CHARACTERS.tokens), classes=2, pad=0)
SOUNDS = Space("waveform", (2048,), classes=3, rate=8000)
LESSON: dict[str, Any] = {"steps": 40, "batch_size": 32, "seed": 0}


def ids(texts: list[str], words: Vocabulary = CHARACTERS, length: int = 24) -> Any:
    return words.encode(texts, length, str).x


def ordered(n: int, seed: int) -> Split:
    """Texts of the same letters in both classes: a `b` after the `a` or before it."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    parts = [["ab" if c == 0 else "ba", *"cdefgh"] for c in y]
    return Split(ids(["".join(rng.permutation(part)) for part in parts]), y)


def pitched(n: int, seed: int) -> Split:
    """Tones of three pitches, at any phase and level, in noise."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    at = np.arange(2048) / 8000 * 2 * np.pi * np.array([300, 600, 1200])[y][:, None]
    x = rng.uniform(0.1, 0.5, (n, 1)) * np.sin(at + rng.uniform(0, 7, (n, 1)))
    return Split((x + 0.02 * rng.standard_normal(x.shape)).astype(np.float32), y)


def taught(judge: str, rows: Split, **more: Any) -> Classifier:
    space = SOUNDS if judge == "logmel-conv" else TEXTS
    words = CHARACTERS if space is TEXTS else None
    return train_classifier(rows.x, rows.y, space, **{**LESSON, **more}, words=words, judge=judge)


@pytest.mark.parametrize(
    ("judge", "rows"),
    [("tfidf-logistic", ordered), ("text-conv", ordered), ("logmel-conv", pitched)],
)
def test_a_judge_learns_comes_back_from_its_state_and_leaves_randomness_alone(
    judge: str, rows: Any
) -> None:
    before = torch.get_rng_state()
    found = taught(judge, rows(150, 1))
    assert torch.equal(torch.get_rng_state(), before)
    test = rows(90, 2)
    answers = predict(found, test.x)
    assert (answers.argmax(1) == test.y).mean() > 0.95
    assert_allclose(answers.sum(1), 1, rtol=1e-5)
    space = SOUNDS if judge == "logmel-conv" else TEXTS
    again = judge_of(space, CHARACTERS, judge).load(found.state(), torch.device("cpu"))
    assert_array_equal(predict(again, test.x), answers)
    with pytest.raises(RuntimeError):
        judge_of(space, CHARACTERS, judge).load({}, torch.device("cpu"))


def test_the_logistic_judge_is_the_optimum_whatever_the_seed_and_the_steps() -> None:
    rows, test = ordered(80, 1), ordered(40, 2)
    one = predict(taught("tfidf-logistic", rows), test.x)
    two = predict(taught("tfidf-logistic", rows, seed=5, steps=1), test.x)
    assert_array_equal(one, two)
    recipe = Recipe(TEXTS, 40, 32, 0, words=CHARACTERS)
    assert recipe.text == "classifier=tfidf-logistic/1", "steps would say what decides nothing"
    assert Recipe(TEXTS, 40, 32, 0, judge="text-conv").text == (
        "classifier=text-conv/1|steps=40|batch=32"
    )


def test_the_logistic_judge_never_answers_a_class_that_it_has_not_seen() -> None:
    rows = ordered(40, 1)
    three = Space("sequence", (24,), levels=TEXTS.levels, classes=3, pad=0)
    options = {**LESSON, "words": CHARACTERS}
    found = predict(train_classifier(rows.x, rows.y, three, **options), rows.x)
    assert (found[:, 2] == 0).all()
    one = train_classifier(rows.x, np.ones(40, np.int64), three, **options)
    assert_array_equal(predict(one, rows.x), np.tile([0.0, 1.0, 0.0], (40, 1)))


def test_class_weights_move_the_logistic_judge() -> None:
    rows = ordered(60, 1)
    shares = [
        (predict(taught("tfidf-logistic", rows, class_weights=w), rows.x)[:, 0]).mean()
        for w in ([1.0, 1.0], [1.0, 9.0])
    ]
    assert shares[1] < shares[0]


def test_the_logistic_judge_learns_of_changed_copies_too() -> None:
    seen = []

    def change(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return x.flip(0)

    taught("tfidf-logistic", ordered(30, 1), transform=change)
    assert seen == [30] * 8


def test_texts_that_nothing_spells_are_read_by_the_network_alone() -> None:
    with pytest.raises(MetricError, match="no vocabulary spells the suite's tokens") as caught:
        judge_of(TEXTS)
    assert caught.value.status == "not_applicable"
    assert judge_of(TEXTS, name="text-conv").stepwise
    with pytest.raises(MetricError, match="no vocabulary spells"):
        changes(Edits(), TEXTS, None)


@pytest.mark.parametrize("space", [
    Space("waveform", (2047,), classes=3, rate=8000), Space("waveform", (4096,), classes=3),
])  # fmt: skip
def test_sounds_that_have_no_spectrogram_are_not_applicable(space: Space) -> None:
    with pytest.raises(MetricError, match="sounds of at least 2,048 samples") as caught:
        judge_of(space)
    assert caught.value.status == "not_applicable"


def test_another_judge_of_the_same_rows_stands_in_the_details() -> None:
    rows, test = ordered(60, 1), ordered(40, 2)
    fake = ordered(60, 3)
    arms = Arms(rows, fake.x, fake.y, TEXTS, n=60, words=CHARACTERS, **LESSON)
    first = train_on_synthetic(arms, test)
    second = train_on_synthetic(arms.judged_by("text-conv"), test)
    found = beside(first, {"text-conv": second})
    for id_, value in found.items():
        assert value.value == first[id_].value
        assert value.seconds == first[id_].seconds + second[id_].seconds
        (other,) = value.details["other_judges"]
        assert other["judge"] == "text-conv"
        assert other["value"] == second[id_].value
        assert "|classifier=text-conv/1|" in other["signature"]
        assert other["interval"]["low"] <= other["value"] <= other["interval"]["high"]


WORDS = Vocabulary.of_words(["to be or not to be that is"])
PAIRS = Vocabulary(
    "byte-pairs",
    ("", "\ufffd", *"abc ", " a", "ab", " ab"),
    ((" ", "a"), ("a", "b"), (" a", "b")),
)


def edited(table: Edits, words: Vocabulary, text: str, n: int = 60) -> list[str]:
    x = torch.from_numpy(ids([text] * n, words, 16))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        found = RandomEdits(table, words)(x)
    assert found.shape == x.shape
    texts = words.decode(found)
    assert_array_equal(found, ids(texts, words, 16), "it is cut as the vocabulary cuts it")
    return texts


@pytest.mark.parametrize(
    ("words", "text"),
    [(CHARACTERS, "abcdefgh"), (WORDS, "to be or not to be"), (PAIRS, "ab c abc a b")],
    ids=["characters", "words", "byte pairs"],
)
def test_an_edit_is_of_the_units_that_texts_are_made_of(words: Vocabulary, text: str) -> None:
    def units(edited: str) -> list[str]:
        return list(edited) if words.unit == "characters" else edited.split(" ")

    whole = Counter(units(text))
    dropped = edited(Edits(drop=0.3, swap=0, insert=0), words, text)
    assert all(Counter(units(one)) <= whole and one for one in dropped)
    assert min(map(len, dropped)) < len(text)
    swapped = edited(Edits(drop=0, swap=0.1, insert=0), words, text)
    assert all(Counter(units(one)) == whole for one in swapped)
    assert len(set(swapped)) > 3
    inserted = edited(Edits(drop=0, swap=0, insert=0.1), words, text)
    for one in inserted:
        (more,) = (Counter(units(one)) - whole).elements()
        assert more in whole
    assert set(edited(Edits(drop=0, swap=0, insert=0), words, text)) == {text}


def test_an_edited_text_is_cut_to_the_space() -> None:
    full = edited(Edits(drop=0, swap=0, insert=0.5), CHARACTERS, "abcdefghabcdefgh")
    assert {len(text) for text in full} == {16}


def loudness(x: torch.Tensor, hertz: int) -> torch.Tensor:
    """Power of a frequency of waveforms of a second at 8 kHz."""
    return torch.fft.rfft(x).abs().square()[:, hertz]


def test_changes_of_sounds_do_what_they_say() -> None:
    t = torch.arange(8000) / 8000
    x = sum(torch.sin(2 * torch.pi * f * t) for f in (300, 1000, 3000))[None].repeat(3, 1) / 4
    later = delayed(x, torch.tensor([[0], [10], [4000]]))
    for row, by in zip(later, (0, 10, 4000), strict=True):
        assert (row[:by] == 0).all()
        assert torch.equal(row[by:], x[0, : 8000 - by])
    places = torch.tensor([[0.0], [0.5], [1.0]])
    silent = (without_stretch(x, places, torch.full((3, 1), 0.25)) == 0).sum(1)
    assert_allclose(silent, 2000, atol=30)  # and where the tone itself is 0
    # 1,000 Hz is at 0.466 of the mel scale up to 4 kHz, 3,000 Hz at 0.874.
    quiet = without_band(x, torch.full((3, 1), 0.44), torch.full((3, 1), 0.1), 8000)
    assert_allclose(loudness(quiet, 1000), 0, atol=1e-3)
    for kept in (300, 3000):
        assert_allclose(loudness(quiet, kept), loudness(x, kept), rtol=1e-4)


def test_every_sound_is_changed_by_a_draw_of_its_own_within_bounds() -> None:
    x = torch.from_numpy(pitched(3, 0).x[:1]).repeat(40, 1)
    none = RandomSound(SoundChanges(0, 0, 0, 0, 0), 8000)(x)
    assert_allclose(none, x, atol=1e-6)
    louder = RandomSound(SoundChanges(0, 6, 0, 0, 0), 8000)(x)
    decibels = 10 * torch.log10(louder.square().mean(1) / x.square().mean(1))
    assert decibels.abs().max() <= 6.01
    assert decibels.std() > 2
    noisy = RandomSound(SoundChanges(0, 0, 20, 0, 0), 8000)(x) - x
    under = 10 * torch.log10(noisy.square().mean(1) / x.square().mean(1))
    assert -20.5 < under.max() < -19
    assert all((a != b).any() for a, b in pairwise(RandomSound(SoundChanges(), 8000)(x)))


def test_a_suite_asks_for_what_its_kind_has(tmp_path: Path) -> None:
    def refused(name: str, old: str, new: str) -> str:
        text = shipped()[name].read_text()
        assert old in text
        file = tmp_path / "own.toml"
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(UsageError) as caught:
            load_suite(str(file))
        return str(caught.value)

    attack = "[downstream.robustness]\nn = 100\nepsilon = 0.1\nrows = 9\nsteps = 2\n\n[controls]"
    for name, old, new, message in (
        ("names", '"text-conv"]', '"two-conv"]', "names 'two-conv': use tfidf-logistic or text-"),
        ("names", "drop = 0.1", "rotation = 3", "is no transform of kind 'sequence': use drop, sw"),
        ("names", "drop = 0.1", "drop = 0.9", "drop of [downstream.classical] is 0.9: it must"),
        ("names", "[controls]", attack, "is 'sequence': leave it out: it is for images"),
        ("tones", "gain = 6.0", "swap = 0.1", "kind 'waveform': use shift, gain, noise, hidden_t"),
        ("tones", "headline_n = 60", 'headline_n = 60\njudge = "x"', "names 'x': use logmel-conv"),
    ):
        assert re.search(re.escape(message), refused(name, old, new)), message
