"""Baselines for text: probabilities that sum to one, samples that follow them, counts by hand."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from genbench.baselines.gan import GAN, Params
from genbench.baselines.ngram import NGram, NGramParams
from genbench.baselines.texts import Texts, dropout_share
from genbench.baselines.vae import VAE, VAEParams
from genbench.errors import UsageError
from genbench.generator import Space
from genbench.plugins import finding as plugins
from genbench.plugins.training import Budget, HarnessRun, MemoryTrainData

CPU = torch.device("cpu")
SPACE = Space("sequence", (4,), levels=4, classes=2, pad=0)
TEXTS = Texts.of(SPACE)
EXACT = ("lstm", "transformer", "ngram")
SMALL = {
    "lstm": {"hidden": 24, "embedding": 12},
    "transformer": {"dim": 16, "depth": 2, "heads": 2},
    "vae": {"text_hidden": 24, "text_latent": 3},
    "gan": {"text_hidden": 24},
    "dna": {"text_width": 24},
}


def every_text() -> Tensor:
    """Each of the 121 texts of the space once."""
    return torch.unique(TEXTS.closed(torch.cartesian_prod(*[torch.arange(4)] * 4)), dim=0)


def made(name: str, space: Space = SPACE, **params: Any) -> Any:
    cls = plugins.load(plugins.find(name))
    return cls(cls.spec.params(**SMALL.get(name, {}) | params), space, CPU)


def fit(generator: Any, x: Tensor, y: Tensor | None, space: Space, examples: int) -> HarnessRun:
    budget = Budget(examples)
    run = HarnessRun(0, CPU, budget)
    generator.fit(MemoryTrainData(x, y, space, CPU, budget), run)
    return run


def some_texts(n: int = 80) -> tuple[Tensor, Tensor]:
    """Texts of any length; of class 1 they begin with a 3."""
    x = torch.randint(0, 4, (n, 4), generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % 2
    x[y == 1, 0] = 3
    return TEXTS.closed(x), y


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    x, y = some_texts()
    generators = {name: made(name) for name in EXACT}
    for generator in generators.values():
        fit(generator, x, y, SPACE, 640)
    return generators


@pytest.mark.parametrize("name", EXACT)
def test_the_probabilities_of_all_texts_sum_to_one(fitted: dict[str, Any], name: str) -> None:
    texts = every_text()
    for label in (0, 1):
        y = torch.full((len(texts),), label)
        total = float(fitted[name].log_prob(texts, seed=0, labels=y).double().exp().sum())
        assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", EXACT)
def test_samples_are_as_frequent_as_they_are_likely(fitted: dict[str, Any], name: str) -> None:
    n, texts = 20_000, every_text()
    y = torch.ones(n, dtype=torch.int64)
    drawn = fitted[name].sample(n, seed=1, labels=y)
    found = Counter(map(tuple, drawn.tolist()))
    expected = n * fitted[name].log_prob(texts, seed=0, labels=y[: len(texts)]).double().exp()
    often = expected > 5
    off = [(found[tuple(row)] - e) ** 2 / e for row, e in zip(texts[often].tolist(),
           expected[often].tolist(), strict=True)]  # fmt: skip
    degrees = len(off)
    assert degrees > 15
    assert sum(off) < degrees + 5 * math.sqrt(2 * degrees)  # chi-squared


def test_a_bound_on_the_probabilities_of_all_texts_sums_to_less_than_one() -> None:
    x, y = some_texts()
    model, texts = made("vae"), every_text()
    run = fit(model, x, y, SPACE, 2000)
    labels = torch.ones(len(texts), dtype=torch.int64)
    bounds = [model.log_prob(texts, seed=s, labels=labels).double() for s in range(16)]
    assert 0.2 < float(torch.stack(bounds).mean(0).exp().sum()) <= 1.005
    assert 0 <= run.curves["active_units"]["value"][-1] <= 3


def test_the_counts_are_those_of_kneser_and_ney_by_hand() -> None:
    """Bigrams of the texts ab, ab, b: their probabilities with the discounts that they have."""
    space = Space("sequence", (3,), levels=3, pad=0)
    a, b, end = 1, 2, 0
    x = torch.tensor([[a, b, 0], [a, b, 0], [b, 0, 0]])
    model = made("ngram", space, order=2)
    fit(model, x, None, space, 3)
    assert model.general is not None
    low, high = model.general.levels
    # Different tokens before: of a the start; of b the start and a; of the end b.
    once, twice, thrice = (float(d) for d in low.discounts)
    taken = once + twice + once
    unigram = {w: (c - d) / 4 + taken / 4 / 3 for w, c, d in
               ((a, 1, once), (b, 2, twice), (end, 1, once))}  # fmt: skip
    first = {a: 2, b: 1}  # at the start
    once, twice, thrice = (float(d) for d in high.discounts)
    start_a = (first[a] - twice) / 3 + (once + twice) / 3 * unigram[a]
    a_b = (2 - twice) / 2 + twice / 2 * unigram[b]
    b_end = (3 - thrice) / 3 + thrice / 3 * unigram[end]
    found = float(model.log_prob(x[:1], seed=0).exp())
    assert found == pytest.approx(start_a * a_b * b_end)


def test_counts_choose_the_order_that_the_texts_have() -> None:
    """Of texts in which the token before the last decides: pairs are not enough."""
    rng, space = torch.Generator().manual_seed(0), Space("sequence", (12,), levels=4)
    x = torch.randint(0, 4, (400, 12), generator=rng)
    for place in range(2, 12):
        x[:, place] = (x[:, place - 2] + (torch.rand(400, generator=rng) < 0.1)) % 4
    model = made("ngram", space)
    fit(model, x, None, space, 1)
    assert model.general is not None
    assert len(model.general.levels) == 3
    share = float(model.log_prob(x, seed=0).mean()) / (10 * math.log(4))
    assert share > -0.6


def test_a_class_without_rows_and_texts_never_seen_have_a_probability() -> None:
    x, y = some_texts()
    model = made("ngram", order=9)  # more than a text has tokens
    fit(model, x, torch.zeros_like(y), SPACE, 1)
    value = model.log_prob(every_text(), seed=0, labels=torch.ones(121, dtype=torch.int64))
    assert bool(torch.isfinite(value).all())
    assert model.sample(9, seed=0, labels=torch.ones(9, dtype=torch.int64)).shape == (9, 4)


@pytest.mark.parametrize("name", [*EXACT, "vae", "gan", "dna"])
def test_texts_of_one_length_need_no_pad_and_no_classes(name: str) -> None:
    space = Space("sequence", (5,), levels=3)
    x = torch.randint(0, 3, (50, 5), generator=torch.Generator().manual_seed(0))
    model = made(name, space)
    fit(model, x, None, space, 200)
    drawn = model.sample(30, seed=0)
    assert space.violation(drawn, 30) is None
    assert set(drawn.flatten().tolist()) == {0, 1, 2}
    if name in EXACT:
        all_texts = torch.cartesian_prod(*[torch.arange(3)] * 5)
        total = float(model.log_prob(all_texts, seed=0).double().exp().sum())
        assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", [*EXACT, "vae", "gan", "dna"])
def test_all_after_the_end_is_padding(name: str) -> None:
    x, y = some_texts()
    model = made(name)
    fit(model, x, y, SPACE, 160)
    drawn = model.sample(200, seed=0, labels=torch.arange(200) % 2)
    assert torch.equal(drawn, TEXTS.closed(drawn))
    assert len({len(row[row != 0]) for row in drawn}) > 2


def test_the_events_of_a_text_end_with_its_first_pad() -> None:
    rows = torch.tensor([[0, 0, 0, 0], [1, 2, 0, 0], [1, 2, 3, 1]])
    assert TEXTS.events(rows).sum(1).tolist() == [1, 3, 4]
    assert TEXTS.trimmed(rows[:2]).shape == (2, 3)


def test_batches_hold_texts_of_like_length_and_lose_none() -> None:
    x, y = some_texts()
    parts = TEXTS.batches(x, y, 10, torch.Generator().manual_seed(0))
    assert sum(len(part.x) for part in parts) == 80
    spans = sorted((int(TEXTS.events(p.x).sum(1).min()), p.x.shape[1]) for p in parts)
    assert all(low[1] <= high[0] + 1 for low, high in pairwise(spans))
    again = Counter((*row, 0, 0, 0)[:4] for p in parts for row in map(tuple, p.x.tolist()))
    assert again == Counter(map(tuple, x.tolist()))


def test_who_sees_rows_rarely_needs_no_dropout() -> None:
    assert dropout_share(0.4, 300_000, 100_000) == pytest.approx(0.06)
    assert dropout_share(0.4, 300_000, 7_000) == 0.4


@pytest.mark.parametrize("name", EXACT)
def test_other_kinds_are_declined_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} models sequences, not 'points'"):
        made(name, Space("points", (2,)))


def test_the_game_begins_after_the_likelihood() -> None:
    x, y = some_texts()
    model = GAN(Params(text_hidden=16, text_batch_size=40, text_pretraining=0.5), SPACE, CPU)
    curves = fit(model, x, y, SPACE, 800).curves
    taught, played = curves["nll_nats"]["examples"], curves["discriminator_loss"]["examples"]
    assert taught[-1] == played[-1] == 800
    assert taught[0] == 80
    assert played[0] > 400


def sentences(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Three words of 2 or 3 letters out of six, of two classes; tokens are letters."""
    rng = torch.Generator().manual_seed(seed)
    words = [[1, 2, 3], [4, 5], [6, 7, 8], [3, 1], [2, 9, 4], [8, 6]]
    rows, labels = [], []
    for _ in range(n):
        label = int(torch.randint(0, 2, (), generator=rng))
        chosen = 3 * label + torch.randint(0, 3, (3,), generator=rng)
        row = [letter for word in chosen.tolist() for letter in words[word]]
        rows.append(row + [0] * (10 - len(row)))
        labels.append(label)
    return torch.tensor(rows), torch.tensor(labels)


def distance(one: Tensor, other: Tensor, n: int) -> float:
    """Jensen-Shannon distance, base 2, of the n-grams of rows without their padding."""

    def shares(rows: Tensor) -> Counter[tuple[int, ...]]:
        texts = [row[row != 0].tolist() for row in rows]
        grams = Counter(tuple(t[i : i + n]) for t in texts for i in range(len(t) - n + 1))
        total = sum(grams.values())
        return Counter({gram: count / total for gram, count in grams.items()})

    p, q = shares(one), shares(other)
    value = 0.0
    for gram in p | q:
        a, b = p[gram], q[gram]
        middle = (a + b) / 2
        value += sum(s * math.log2(s / middle) for s in (a, b) if s) / 2
    return math.sqrt(max(value, 0.0))


TRAINED: dict[str, dict[str, Any]] = {
    "ngram": {},
    "lstm": {"hidden": 32, "embedding": 16, "batch_size": 32},
    "transformer": {"dim": 32, "depth": 2, "heads": 2, "batch_size": 32},
    "vae": {"text_hidden": 48, "text_embedding": 16, "text_latent": 4, "text_batch_size": 32},
    "gan": {"text_hidden": 32, "text_embedding": 16, "text_batch_size": 32},
    "dna": {"text_width": 64, "text_levels": 16, "text_batch_size": 16},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_every_one_is_nearer_to_the_language_than_its_letters_at_random(name: str) -> None:
    space = Space("sequence", (10,), levels=10, classes=2, pad=0)
    (x, y), (test, _) = sentences(1000, 0), sentences(1000, 1)
    model = made(name, space, **TRAINED[name])
    fit(model, x, y, space, 16_000)
    drawn = model.sample(1000, seed=0, labels=y)
    letters = x[x != 0]
    pick = torch.randint(0, len(letters), x.shape, generator=torch.Generator().manual_seed(2))
    noise = letters[pick] * (x != 0)
    share = 0.95 if name == "dna" else 0.75  # it learns every order of the tokens: slower
    for n in (2, 3, 4):
        assert distance(test, drawn, n) < share * distance(test, noise, n), n


@pytest.mark.slow
def test_a_code_tells_what_the_text_was() -> None:
    """No collapse at a short budget: numbers of a short code are in use, and texts come back better
    by it.
    """
    space = Space("sequence", (10,), levels=10, classes=2, pad=0)
    x, y = sentences(1000, 0)
    params = VAEParams(text_hidden=48, text_embedding=16, text_latent=4, text_batch_size=32)
    model = VAE(params, space, CPU)
    run = fit(model, x, y, space, 20_000)
    assert run.curves["active_units"]["value"][-1] >= 1
    own = float((model.reconstruct(x) == x).float().mean())
    others = model.decode(model.encode(x).roll(1, 0), y)
    assert own > float((others == x).float().mean()) + 0.05


def test_wrong_settings_of_the_counts_are_refused() -> None:
    with pytest.raises(UsageError, match=r"ngram got own=1\.5"):
        NGram(NGramParams(own=1.5), SPACE, CPU)
