"""Texts: vocabularies, files that hold them, the shipped suites of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genbench import kinds
from genbench.data import language, load_split, verify_files, vocabulary_of
from genbench.data.snips import utterances
from genbench.errors import ContractError, DataError, UsageError
from genbench.features.extractors import list_extractors, load_extractor
from genbench.features.wordcnn import WordRecipe, train_words
from genbench.formats import Vocabulary, parse_texts, train_byte_pairs
from genbench.generator import Space
from genbench.metrics.values import MetricValue
from genbench.running.cellspec import CellSpec
from genbench.running.scoring import Scorer
from genbench.tasks.suite import load_suite
from tests.conftest import ROOT
from tests.test_plan import choice

REAL = Path(os.environ.get("GENBENCH_SHARED_DATA", ROOT.parent / "shared" / "data")) / "snips"
WORDS = ["the cat sat", "the cat ran", "a cat sat on the mat", "the mat", "cats sat", "a mat"]
LETTERS = st.text(st.sampled_from("abcd éß"), max_size=12)


def where(row: int) -> str:
    return f"text {row}"


@given(st.lists(LETTERS, min_size=1, max_size=5))
def test_texts_come_back_as_they_were(texts: list[str]) -> None:
    for make in (Vocabulary.of_characters, Vocabulary.of_words):
        words = make([*map(make(()).clean, texts), "abcd"])
        clean = [words.clean(text) for text in texts]
        x = words.encode(clean, 12, where)
        assert words.decode(x.x) == clean
        assert x.unknown == 0
        assert words.characters(x.x).tolist() == [len(text) for text in clean]
        space = Space("sequence", (12,), levels=len(words.tokens), pad=0)
        assert space.violation(torch.from_numpy(x.x), len(x.x)) is None


def test_byte_pairs_are_cut_as_their_trainer_cuts_them() -> None:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    words = train_byte_pairs(WORDS, 30)
    theirs = Tokenizer(models.BPE(
        {token: i for i, token in enumerate(words.tokens)}, list(words.merges), unk_token="\ufffd"
    ))  # fmt: skip
    theirs.pre_tokenizer = pre_tokenizers.Split(Regex(" ?[^ ]+| +"), "isolated")
    assert words.merges
    for text in (*WORDS, "that cat on a mat", "catmatsat", "zzz the"):
        ids = words.encode([text], 40, where).x[0]
        assert ids[ids > 0].tolist() == theirs.encode(text).ids
    assert words.several_spellings
    again = Vocabulary.from_json(words.to_json(), "it")
    assert again == words


@pytest.mark.parametrize(
    ("texts", "size", "message"),
    [
        ([chr(0x4E00 + i) for i in range(200)], 150, "have 200 different characters, which leave"),
        (["a", "b"], 64, "no two characters stand together in the texts: take --tokens char"),
    ],
)
def test_texts_that_have_no_pairs_are_named(texts: list[str], size: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        train_byte_pairs(texts, size)


def test_what_a_vocabulary_lacks_is_counted() -> None:
    words = Vocabulary.of_characters(["abc"])
    found = words.encode(["abz", "zz"], 4, where)
    assert found.unknown == 3
    assert words.decode(found.x) == ["ab\ufffd", "\ufffd\ufffd"]
    with pytest.raises(DataError, match="text 1 has 5 tokens, the suite's space holds 4"):
        words.encode(["abc", "abcab"], 4, where)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no", "is no vocabulary"),
        (b"[]", "is no vocabulary"),
        ({"unit": "letters", "tokens": ["", "\ufffd", "a"]}, "unit is 'letters'"),
        ({"unit": "characters", "tokens": ["a", "b", "c"]}, "are not padding and unknown"),
        ({"unit": "characters", "tokens": ["", "\ufffd", "a", "a"]}, "stands in it twice"),
        ({"unit": "words", "tokens": ["", "\ufffd", "a"], "merges": [["a", "b"]]}, "merges do not"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_named(body: Any, message: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(DataError, match=message):
        Vocabulary.from_json(content, "words.json")


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"Ana\n\nBo\n", "a.txt", "a.txt, line 2 is empty: remove it"),
        (b"Ana\nRen\xe9\n", "a.txt", "line 2 is not UTF-8 .byte 0xe9.: save it as UTF-8"),
        ("Ana\nBo\n".encode("utf-16"), "a.txt", "is UTF-16: save it as UTF-8"),
        (b"", "a.txt", "is empty"),
        (b"Ana\x00\n", "a.txt", r"line 1 holds the control character U\+0000"),
        (b'{"text": "a\\ud800"}\n', "a.jsonl", r"line 1 holds U\+D800, half of a surrogate"),
        (b'{"text": ""}\n', "a.jsonl", "line 1 has an empty text"),
        (b'{"txt": "a"}\n', "a.jsonl", "write .*label"),
        (b"[1\n", "a.jsonl", "line 1 is not JSON"),
        (b'{"text": "a", "label": [1]}\n', "a.jsonl", "has the label"),
        (b'{"text": "a", "label": "b"}\n{"text": "c"}\n', "a.jsonl", "line 2 has no label, line 1"),
        (b"Ana\tf\tm\n", "a.tsv", "line 1 has 3 cells"),
        (b"Ana\n", "a.csv", "is no .txt, .tsv, .jsonl"),
        ("Ana\nBo\n".encode("utf-32"), "a.txt", "is UTF-32: .* iconv -f UTF-32 -t UTF-8"),
        ("Ana\nBo\n".encode("utf-16-le"), "a.txt", "is UTF-16LE: .* iconv -f UTF-16LE"),
        ("Ana\nBo\n".encode("utf-16-be"), "a.txt", "is UTF-16BE: save it as UTF-8"),
        ("Ana\n\ufeffBo\n".encode(), "a.txt", r"line 2 holds U\+FEFF, the mark at the beginning"),
        (b"Ana\rBo\nEve\n", "a.txt", r"line 1 holds a carriage return, .* tr '\\r' '\\n'"),
        (b"Ana\rBo\rEve", "a.txt", "line 1 holds a carriage return, as old Macs end lines"),
        (b"text\tlabel\nAna\tf\nBo\tm\n", "a.tsv", "line 1 is 'label' over labels, a heading"),
        (b'"say ""hi"""\tf\nBo\tm\n', "a.tsv", "line 1 is quoted as in a CSV: write it without"),
        (b'"Ana"\t"f"\n"Bo"\t"m"\n', "a.tsv", "line 1 is quoted as in a CSV"),
        (b"Ana\tf\0\n", "a.tsv", r"line 1: the label holds the control character U\+0000"),
        (b'{"text": "a", "label": "b\\ud800"}\n', "a.jsonl", r"line 1: the label holds U\+D800"),
        (b'{"text": "a", "label": " "}\n', "a.jsonl", "line 1: the label is empty: give every"),
        (b"Ana\t" + b"7" * 5000, "a.tsv", "line 1: the label has 5,000 characters: give classes"),
    ],
)
def test_what_is_wrong_with_a_file_of_texts_is_said(
    content: bytes, name: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        parse_texts(content, name)


def test_files_of_texts_are_read_alike() -> None:
    plain = parse_texts(b"\xef\xbb\xbfAna\r\nBo Li\r\n", "a.txt")
    assert (plain.texts, plain.labels) == (["Ana", "Bo Li"], None)
    tabbed = parse_texts(b"Ana\tf\nBo Li\tm\n", "a.TSV")
    lines = parse_texts(b'{"text":"Ana","label":"f"}\n{"text":"Bo Li","label":"m"}\n', "a.jsonl")
    assert tabbed == lines
    assert lines.labels == ["f", "m"]
    assert parse_texts(b'{"text":"a","label":3}', "a.jsonl").labels == ["3"]
    assert parse_texts(b'{"text":"a","label":" b "}', "a.jsonl").labels == ["b"]
    assert (
        parse_texts(b'"Hi," she said, "you"\tlabel\nBo\tlabel\n', "a.tsv").labels == ["label"] * 2
    )
    assert parse_texts(b'{"text":""}\n{"text":"a"}', "a.jsonl", empty=True).texts == ["", "a"]


def test_a_text_ends_at_its_first_padding() -> None:
    space = Space("sequence", (4,), levels=5, pad=0)
    rows = torch.tensor([[1, 2, 0, 0], [1, 0, 2, 0], [0, 0, 0, 1], [1, 2, 3, 4]])
    problem = space.violation(rows, 4)
    assert problem is not None
    assert "goes on after the end in 2 of 4 texts (first: row 1): fill all after" in problem
    assert space.violation(rows[[0, 3]], 2) is None
    assert Space("sequence", (4,), levels=5).violation(rows, 4) is None


def test_the_end_is_an_event_where_it_is_written() -> None:
    space = Space("sequence", (4,), levels=5, pad=0)
    rows = np.array([[1, 2, 0, 0], [0, 0, 0, 0], [1, 2, 3, 4]])
    kind = kinds.of("sequence")
    assert kind.events(space, rows).tolist() == [3, 1, 4]
    assert kind.parts(space, rows) == pytest.approx(8 / 3)
    # Tokens of two, three and ... characters: those of the texts, and the two ends.
    assert kind.parts(space, rows, np.array([5, 0, 9])) == pytest.approx((6 + 1 + 9) / 3)


def texts_of(name: str, split: str, **more: Any) -> tuple[list[str], Any]:
    suite = load_suite(name)
    dataset: Mapping[str, Any] = {**suite.dataset, **more}
    rows = load_split(dataset, suite.space, split)
    words = vocabulary_of(dataset)
    assert words is not None
    assert len(words.tokens) == suite.space.levels
    return words.decode(rows.x), rows.y


def test_no_name_is_in_two_splits_and_those_of_both_classes_are_kept() -> None:
    splits = {name: texts_of("names", name) for name in ("train", "valid", "test")}
    sets = [set(texts) for texts, _ in splits.values()]
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]
    assert sum(len(texts) for texts, _ in splits.values()) == 8841
    both = sum(len(texts) - len(set(texts)) for texts, _ in splits.values())
    assert both == 419
    assert len(splits["test"][0]) == pytest.approx(884, rel=0.1)
    assert set(splits["test"][1]) == {0, 1}
    assert splits["train"][0].count("Adrian") == 2 or "Adrian" not in splits["train"][0]


needs_snips = pytest.mark.skipif(not REAL.is_dir(), reason="no published SNIPS files here")


@pytest.mark.slow
@needs_snips
def test_snips_is_read_as_published_and_no_test_row_is_in_training() -> None:
    train, _ = texts_of("snips", "train", folder=str(REAL))
    valid, _ = texts_of("snips", "valid", folder=str(REAL))
    test, y = texts_of("snips", "test", folder=str(REAL))
    assert len(train) + len(valid) == 13_784
    assert len(test) == 689
    assert not set(test) & {*train, *valid}
    assert not set(train) & set(valid)
    assert np.bincount(y).min() > 90
    assert all(text == " ".join(text.lower().split()) for text in test)
    # The one file that is Latin-1: read as anything else, letters would be lost.
    assert any("ã" in text for text in [*train, *valid])
    assert not any("Ã" in text or "\ufffd" in text for text in train)


@pytest.mark.slow
@needs_snips
def test_the_vocabulary_of_snips_is_that_of_its_train_split(tmp_path: Path) -> None:
    from genbench.data import share_of
    from genbench.suites.make_texts import BYTE_PAIRS

    dataset = {**load_suite("snips").dataset, "folder": str(REAL)}
    shipped = vocabulary_of(dataset)
    assert shipped is not None
    texts, _ = utterances(dataset, shipped, "train")
    train = [texts[i] for i in share_of(dataset, "train", texts)]
    assert train_byte_pairs(train, BYTE_PAIRS, lower=True) == shipped


def test_snips_that_is_not_there_says_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="genbench data fetch snips"):
        texts_of("snips", "test")


def test_the_language_draws_the_same_bytes_everywhere() -> None:
    suite = load_suite("oracle-lm")
    (check,) = verify_files(suite.dataset)
    assert check.ok, check.problem
    (wrong,) = verify_files({**suite.dataset, "content_sha256": "0" * 64})
    assert "numbers of this machine are not those of others" in wrong.problem


def test_the_language_has_the_entropy_that_it_says() -> None:
    x = language.sample(2000, seed=5)
    log_prob = language.log_prob(x) / language.LENGTH
    assert abs(-log_prob.mean() - language.ENTROPY) < 4 * log_prob.std() / 2000**0.5
    entropy = load_suite("oracle-lm").document["suite"]["description"]
    assert f"{language.ENTROPY:.3f} nats" in entropy
    assert language.log_prob(np.zeros((1, 20), np.int64)) == -np.inf


def test_the_probability_of_a_text_is_what_torch_says() -> None:
    """The same network by torch's LSTM cell, whose gates come in another order."""
    source, units = language.source(), language.UNITS
    cell = torch.nn.LSTMCell(units, units, dtype=torch.float64)
    order = [0, 1, 3, 2]

    def gates(x: Any) -> Any:
        parts = np.split(x, 4, axis=-1)
        return torch.from_numpy(np.concatenate([parts[i] for i in order], -1))

    x = language.sample(8, seed=9)
    expected = np.zeros(8)
    with torch.no_grad():
        cell.weight_ih.zero_(), cell.bias_ih.zero_(), cell.bias_hh.zero_()
        cell.weight_hh.copy_(gates(source.recurrent).T)
        state = (torch.zeros(8, units, dtype=torch.float64),) * 2
        before = np.full(8, language.TOKENS)
        for place in range(language.LENGTH):
            steps = []
            for row in range(8):
                cell.bias_ih.copy_(gates(source.inputs[before[row]]))
                one = tuple(part[row : row + 1] for part in state)
                steps.append(cell(torch.zeros(1, units, dtype=torch.float64), one))
            state = tuple(torch.cat([step[i] for step in steps]) for i in range(2))
            logits = state[0].numpy() @ source.output + source.output_bias
            before = x[:, place] - language.FIRST
            found = torch.log_softmax(torch.from_numpy(logits), 1).numpy()
            expected += found[np.arange(8), before]
    np.testing.assert_allclose(language.log_prob(x), expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"n": 5}, "write { n = ROWS, seed = NUMBER }"),
        ({"n": 5, "seed": 2}, "two splits have seed 2"),
    ],
)
def test_a_split_of_the_language_that_cannot_be_is_refused(
    split: dict[str, int], message: str
) -> None:
    suite = load_suite("oracle-lm")
    splits = {**suite.dataset["split"], "train": split}
    with pytest.raises(UsageError, match=message):
        load_split({**suite.dataset, "split": splits}, suite.space, "train")


def test_features_of_texts_see_what_texts_share() -> None:
    suite = load_suite("names")
    words = vocabulary_of(suite.dataset)
    assert words is not None
    extractor = load_extractor("names-tfidf", suite.space)
    x = words.encode(["Annabella", "Annabell", "Wolf", "Annabella"], 15, where).x
    found = np.asarray(extractor.extract(x).features)
    assert found.shape == (4, 64)
    near, far = (np.linalg.norm(found[0] - found[i]) for i in (1, 2))
    assert near < far / 2
    assert (found[0] == found[3]).all()


def test_a_classifier_of_texts_tells_the_classes_of_what_it_reads() -> None:
    suite = load_suite("names")
    words = vocabulary_of(suite.dataset)
    assert words is not None
    extractor = load_extractor("names-cnn", suite.space)
    x = words.encode(["Annabella", "Mariana", "Wolfgang", "Robert", ""], 15, where).x
    found = extractor.extract(x)
    features, probabilities = np.asarray(found.features), np.asarray(found.probabilities)
    assert features.shape == (5, 128)
    assert features.min() >= 0
    assert probabilities.argmax(1)[:4].tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    alone = np.asarray(extractor.extract(torch.from_numpy(x[:1])).features)
    np.testing.assert_allclose(alone[0], features[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(ContractError, match=r"expected int64 of shape .*: pass rows of the space"):
        extractor.extract(x.astype(np.float32))


def test_a_classifier_of_texts_learns_what_begins_them_and_draws_nothing_elsewhere() -> None:
    x = torch.randint(3, 9, (240, 6), generator=torch.Generator().manual_seed(0))
    y = torch.arange(240) % 2
    x[:, 0] = 2 + 3 * y  # and the same tokens stand anywhere
    before = torch.get_rng_state()
    net = train_words(x, y, 2, WordRecipe(channels=(9, 8, 8), epochs=12, dropout=0.1))
    assert torch.equal(torch.get_rng_state(), before)
    with torch.inference_mode():
        assert float((net(x).argmax(1) == y).float().mean()) > 0.95
    again = train_words(x, y, 2, WordRecipe(channels=(9, 8, 8), epochs=12, dropout=0.1))
    assert torch.equal(again.head.weight, net.head.weight)


@pytest.mark.parametrize("name", [n for n, i in list_extractors().items() if i.network == "tfidf"])
def test_shipped_features_hold_the_vocabulary_of_their_suite(name: str) -> None:
    suite = load_suite(name.removesuffix("-tfidf"))
    extractor: Any = load_extractor(name, suite.space)
    assert extractor.vocabulary == vocabulary_of(suite.dataset)


def test_a_perplexity_without_the_likelihood_it_is_made_of_is_refused(tmp_path: Path) -> None:
    text = (ROOT / "suites" / "names.toml").read_text().replace('id = "nll"\nrows = 1000\n', "")
    (tmp_path / "names.toml").write_text(text.replace("draws = 1\n", 'id = "emd"\n'))
    with pytest.raises(UsageError, match="metric 'perplexity' is made of 'nll': add that"):
        load_suite(str(tmp_path / "names.toml"))


def oracle_nll(folder: Path, suite_name: str, x: Any) -> MetricValue:
    suite = load_suite(suite_name)
    suite = replace(suite, document={**suite.document, "metrics": [{"id": "oracle_nll"}]})
    subject = replace(
        choice(), description=replace(choice().description, kinds=("sequence",), likelihood=None)
    )
    spec = CellSpec(folder, folder / "cache", "key", suite, subject, 0, parts=("metrics",))
    return Scorer(spec, {"x": x}, {}, None, {}, lambda what: None).score()["oracle_nll"]


def test_samples_are_held_against_the_source_that_is_known(tmp_path: Path) -> None:
    x = language.sample(400, seed=7)
    found = oracle_nll(tmp_path, "oracle-lm", x)
    assert found.value == pytest.approx(-language.log_prob(x).mean() / 20 / np.log(2))
    assert found.unit == "bits/character"
    assert found.n == 400
    x[0, 19] = 0
    ended = oracle_nll(tmp_path, "oracle-lm", x)
    assert ended.value == pytest.approx(-language.log_prob(x[1:]).mean() / 20 / np.log(2))
    assert ended.details["note"] == "1 generated rows, impossible in the source, are left out"
    x[:5, 19] = 0
    lost = oracle_nll(tmp_path, "oracle-lm", x)
    assert (lost.status, lost.value) == ("undefined", None)
    assert lost.reason == "5 of 400 generated rows are impossible in the source"
    names = load_split(load_suite("names").dataset, load_suite("names").space, "test").x
    assert oracle_nll(tmp_path, "names", names).status == "not_applicable"
