r"""A language with a known entropy: a fixed recurrent network writes it, token after token.

The protocol of SeqGAN (Yu et al. 2017, arXiv:1609.05473) with a source that can be learnt: an LSTM
of 32 units over 100 tokens and texts of 20 of them. Embeddings and a start vector are N(0, 1), all
weights and biases of the cell N(0, 0.3^2), those of the output N(0, 1.5^2). The probability of any
text under the source is exact. Each token has a character, so that a text can be shown.

The network is drawn by `RandomState`, whose stream is frozen across NumPy releases, and its weights
are rounded to float32, so that the last digit of another machine's mathematics moves none. A token
is drawn by where a uniform number falls in the cumulated probabilities: rows differ between
machines only if such a number comes within 1e-13 of an edge, 2 in a million for 100,000 rows.
`verify` tells if that ever happens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from genbench.data.files import FileCheck
from genbench.data.rows import drawn_rows
from genbench.data.split import Split
from genbench.errors import UsageError
from genbench.formats import PAD, Vocabulary
from genbench.generator import Space
from genbench.seeds import derive_seed

Floats = NDArray[np.float64]

TOKENS, UNITS, LENGTH = 100, 32, 20
CELL_SCALE, OUTPUT_SCALE = 0.3, 1.5
SEED = 56
FIRST = 2  # the id of the first token: padding and unknown come before
CHUNK = 1000  # rows at a time: their numbers stay in the cache of a core
CHECKED_ROWS = 1000

# Nats of a token, from 800,000 texts of the source; standard error 0.0004.
ENTROPY = 2.4014


@dataclass(frozen=True, slots=True)
class Source:
    """The weights of the network: `inputs` is what each token adds to the gates.

    ``inputs`` ``(TOKENS + 1, 4 UNITS)``, the last row the start's; ``recurrent`` ``(UNITS,
    4 UNITS)``; ``output`` ``(UNITS, TOKENS)`` and ``output_bias`` ``(TOKENS,)``. Gates in the order
    input, forget, output, candidate.
    """

    inputs: Floats
    recurrent: Floats
    output: Floats
    output_bias: Floats


@cache
def source(seed: int = SEED) -> Source:
    """The network that writes the language."""
    random = np.random.RandomState(seed)

    def drawn(scale: float, *shape: int) -> Floats:
        return (scale * random.standard_normal(shape)).astype(np.float32).astype(np.float64)

    embedding = drawn(1.0, TOKENS + 1, UNITS)
    into = drawn(CELL_SCALE, UNITS, 4 * UNITS)
    recurrent = drawn(CELL_SCALE, UNITS, 4 * UNITS)
    bias = drawn(CELL_SCALE, 4 * UNITS)
    output, output_bias = drawn(OUTPUT_SCALE, UNITS, TOKENS), drawn(OUTPUT_SCALE, TOKENS)
    return Source(embedding @ into + bias, recurrent, output, output_bias)


class _State:
    """The network on its way through `n` texts."""

    def __init__(self, n: int) -> None:
        self._source = source()
        self._hidden, self._cell = np.zeros((n, UNITS)), np.zeros((n, UNITS))
        self.token = np.full(n, TOKENS)  # the start

    def step(self) -> Floats:
        """The logits of the next token, ``(n, TOKENS)``."""
        given = self._source.inputs[self.token] + self._hidden @ self._source.recurrent
        take, keep, show = (
            1 / (1 + np.exp(-given[:, gate * UNITS : (gate + 1) * UNITS])) for gate in range(3)
        )
        self._cell = keep * self._cell + take * np.tanh(given[:, 3 * UNITS :])
        self._hidden = show * np.tanh(self._cell)
        logits = self._hidden @ self._source.output + self._source.output_bias
        return np.asarray(logits - logits.max(axis=1, keepdims=True))


def sample(n: int, *, seed: int) -> NDArray[np.int64]:
    """`n` independent texts of the source as token ids, int64 ``(n, LENGTH)``."""
    random = np.random.RandomState(derive_seed(seed, "language") % 2**32)
    uniform = random.uniform(size=(n, LENGTH))
    x = np.empty((n, LENGTH), np.int64)
    with threadpool_limits(1):
        for start in range(0, n, CHUNK):
            part = uniform[start : start + CHUNK]
            state = _State(len(part))
            for place in range(LENGTH):
                edges = np.exp(state.step()).cumsum(axis=1)
                at = part[:, place, None] * edges[:, -1:]
                state.token = np.minimum((edges <= at).sum(axis=1), TOKENS - 1)
                x[start : start + CHUNK, place] = state.token + FIRST
    return x


def log_prob(x: Any) -> Floats:
    """The log-probability of each text under the source, nats, float64 ``(n,)``.

    `x` is int64 ``(n, LENGTH)``; a text that ends early, or holds the unknown token, has
    probability 0.
    """
    rows = np.asarray(x, np.int64)
    possible = ((rows >= FIRST) & (rows < FIRST + TOKENS)).all(axis=1)
    found = np.full(len(rows), -np.inf)
    tokens = rows[possible] - FIRST
    total = np.zeros(len(tokens))
    with threadpool_limits(1):
        for start in range(0, len(tokens), CHUNK):
            part = tokens[start : start + CHUNK]
            state, each = _State(len(part)), np.arange(len(part))
            for place in range(LENGTH):
                logits = state.step()
                state.token = part[:, place]
                norm = np.log(np.exp(logits).sum(axis=1))
                total[start : start + CHUNK] += logits[each, state.token] - norm
    found[possible] = total
    return found


def vocabulary(dataset: Mapping[str, Any]) -> Vocabulary:
    """A character for each token: those of ASCII that can be seen, and six more."""
    seen = [chr(code) for code in (*range(0x21, 0x7F), *range(0xC0, 0xC6))]
    return Vocabulary.of_characters(seen)


def truth(dataset: Mapping[str, Any], x: NDArray[Any]) -> Floats:
    """The log-probability of rows under what the data were drawn from, nats, ``(n,)``."""
    return log_prob(x)


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """Draw a split ``{ n = 100000, seed = 1 }``, int64 ``(n, LENGTH)``."""
    if space.shape != (LENGTH,) or space.levels != FIRST + TOKENS or space.pad != PAD:
        raise UsageError(
            f"data set {dataset['name']!r} has a space of shape {space.shape}, {space.levels} "
            f"levels and pad {space.pad}: the language has ({LENGTH},), {FIRST + TOKENS}, {PAD}"
        )
    n, seed = drawn_rows(dataset, split)
    return Split(sample(n, seed=seed), None)


def verify(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """The first rows of seed 0 against the digest that the suite names."""
    drawn = sample(CHECKED_ROWS, seed=0).astype("<i8")
    found = hashlib.sha256(drawn.tobytes()).hexdigest()
    if found == dataset.get("content_sha256", found):
        return [FileCheck("drawn rows", drawn.nbytes, found, True)]
    problem = (
        f"the source draws rows of sha256 {found} here, expected {dataset['content_sha256']}: "
        "numbers of this machine are not those of others"
    )
    return [FileCheck("drawn rows", drawn.nbytes, found, False, problem)]
