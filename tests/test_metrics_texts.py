"""Metrics of texts: laws, intervals, and what cannot be measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.errors import MetricError
from genbench.metrics import evaluate, nearest_texts, ngram_distance
from genbench.metrics.bleu import bleu_scores, self_bleu_scores
from genbench.metrics.likelihood import perplexity
from genbench.metrics.ngrams import distinct_share
from tests.oracles.texts import edits

TEXT = st.text(st.sampled_from("abc "), min_size=1, max_size=9)
TEXTS = st.lists(TEXT, min_size=2, max_size=6)
IDS = ("ngram_js", "bleu", "self_bleu", "distinct_n", "unique", "novel", "exact_copies",
       "near_copies")  # fmt: skip


def sentences(n: int, rng: np.random.Generator) -> list[str]:
    """Texts of three words of a small vocabulary, some of them equal."""
    words = ["ox", "bee", "crow", "zebra", "eel", "falcon", "gnu", "heron"]
    return [" ".join(rng.choice(words, 3, p=np.arange(1, 9) / 36)) for _ in range(n)]


def measured(real: Any, fake: Any, train: Any, *ids: str, **more: Any) -> Any:
    given = {"real_texts": real, "fake_texts": fake, "train_texts": train}
    return evaluate(None, None, ids, **given, **more)


@given(TEXTS, TEXTS)
def test_a_distance_is_symmetric_and_0_for_the_same_texts(one: list[str], other: list[str]) -> None:
    for n in (1, 2):
        there, back = ngram_distance(one, other, n=n), ngram_distance(other, one, n=n)
        assert there == pytest.approx(back, abs=1e-7)
        assert 0 <= there <= 1
        assert ngram_distance(one, one[::-1], n=n) == pytest.approx(0, abs=1e-7)


@given(TEXTS, TEXTS)
def test_more_references_never_lower_the_hits(real: list[str], fake: list[str]) -> None:
    """All texts are of one length here, so that brevity plays no part."""
    padded = [[text.ljust(9, "d") for text in texts] for texts in (real, fake)]
    few, many = bleu_scores(padded[0][:1], padded[1]), bleu_scores(*padded)
    assert (many >= few - 1e-12).all()
    assert (bleu_scores(padded[1], padded[1]) > 0.999).all()


def test_words_and_characters_are_different_parts() -> None:
    real, fake = ["ab cd ef gh"], ["cd ab gh ef"]
    assert ngram_distance(real, fake, n=1, of="words") == pytest.approx(0, abs=1e-9)
    assert ngram_distance(real, fake, n=3, of="words") == pytest.approx(1)
    assert ngram_distance(real, fake, n=3, of="characters") < 1
    assert distinct_share(["a b a b"], n=2, of="words") == pytest.approx(2 / 3)
    with pytest.raises(MetricError, match="of is 'letters': use characters or words"):
        ngram_distance(real, fake, n=1, of="letters")  # type: ignore[arg-type]


@given(TEXTS, TEXTS)
def test_the_nearest_text_is_the_first_of_the_nearest(texts: list[str], others: list[str]) -> None:
    found = nearest_texts(texts, others)
    for text, index, distance in zip(texts, found.index, found.distance, strict=True):
        every = [edits(text, other) / max(len(text), len(other)) for other in others]
        assert distance == pytest.approx(min(every), abs=1e-6)
        assert every[index] == pytest.approx(min(every), abs=1e-6)


@pytest.mark.parametrize("metric", ["ngram_js", "distinct_n", "unique", "bleu"])
def test_the_error_told_is_that_of_fresh_texts(metric: str) -> None:
    rng = np.random.default_rng(3)
    real = sentences(200, rng)
    draws = [measured(real, sentences(120, rng), real, metric)[metric] for _ in range(30)]
    spread = np.std([found.value for found in draws], ddof=1)
    told = np.mean([found.std_error for found in draws])
    assert 0.6 < told / spread < 2.2, (told, spread)


def test_self_bleu_is_made_in_blocks_whose_spread_is_its_error() -> None:
    rng = np.random.default_rng(4)
    fake = sentences(130, rng)
    asked = {"self_bleu": {"block": 40}}
    found = measured(fake, fake, fake, "self_bleu", parameters=asked)["self_bleu"]
    assert found.interval.method == "block-error"
    assert "|block=40|" in found.signature
    whole = measured(fake, fake, fake, "self_bleu")["self_bleu"]
    assert whole.interval is None
    assert "|block=130|" in whole.signature, "fewer texts than a block: that is told"
    assert whole.value == pytest.approx(self_bleu_scores(fake).mean())
    assert whole.value > found.value, "more references are more hits"


def test_every_metric_of_texts_says_what_it_lacks() -> None:
    for id_, found in evaluate(np.ones((9, 2)), np.ones((9, 2)), IDS).items():
        assert found.status == "not_applicable", id_
        assert "as texts" in str(found.reason)
    rows = np.random.default_rng(0).normal(size=(9, 2))
    short = evaluate(rows, rows, ["unique"], real_texts=["a"] * 9, fake_texts=["a"] * 8)["unique"]
    assert short.status == "failed"
    assert short.reason == "8 texts for 9 rows: give those of the same rows"
    empty = measured(["", ""], ["", ""], ["a"], "distinct_n")["distinct_n"]
    assert empty.status == "undefined"
    assert "no run of 2 characters" in str(empty.reason)


def test_copies_stand_beside_what_is_normal() -> None:
    train = ["hello there", "good morning", "see you soon"]
    real = ["hello there!", "what a day"]
    fake = ["hello there", "hello there", "good mornings", "something else"]
    found = measured(real, fake, train, "novel", "exact_copies", "near_copies")
    assert found["exact_copies"].value == 0.5
    assert found["exact_copies"].details == {"rows": 2, "heldout": 0.0}
    assert found["novel"].value == pytest.approx(2 / 3)
    assert found["near_copies"].value == 0.75
    assert found["near_copies"].details["heldout"] == 0.5


def test_perplexity_has_the_interval_of_its_logarithm() -> None:
    rng = np.random.default_rng(5)
    events = rng.integers(4, 20, 400)
    log_prob = -events * np.log(8.0) * rng.normal(1, 0.2, 400)
    found = perplexity(log_prob, events)
    assert found.interval is not None
    assert found.interval.low < 8 < found.interval.high
    assert found.value == pytest.approx(8, rel=0.1)
