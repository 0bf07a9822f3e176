r"""BLEU of generated texts: against real ones, and against each other.

Of a text with n-gram counts :math:`c` and the largest counts :math:`r` in any reference, precision
:math:`p_n = \sum \min(c, r) / \sum c`; a precision of nothing counts as :math:`0.1 / \sum c`
(method 1 of Chen & Cherry 2014). The value is their geometric mean over n = 1 to 4, times
:math:`e^{1 - r / l}` for a text of length l below that of the reference nearest in length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import MetricError
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.ngrams import Part, ngrams, parts_of
from genbench.metrics.uncertainty import block_mean, normal_mean

LONGEST = 4
EPSILON = 0.1

Gram = tuple[str, ...]
Float64s = NDArray[np.float64]


@dataclass(slots=True)
class _References:
    """The largest counts of n-grams in any reference, and the lengths that there are.

    `owner` is the reference with the largest count of an n-gram, `second` the next largest: what
    there is without that reference.
    """

    largest: dict[Gram, int] = field(default_factory=dict)
    second: dict[Gram, int] = field(default_factory=dict)
    owner: dict[Gram, int] = field(default_factory=dict)
    lengths: Counter[int] = field(default_factory=Counter)

    @classmethod
    def of(cls, texts: Sequence[Sequence[str]]) -> _References:
        found = cls()
        for number, parts in enumerate(texts):
            found.lengths[len(parts)] += 1
            for n in range(1, LONGEST + 1):
                for gram, count in Counter(ngrams(parts, n)).items():
                    found._take(gram, count, number)
        return found

    def _take(self, gram: Gram, count: int, number: int) -> None:
        if count > self.largest.get(gram, 0):
            self.second[gram] = self.largest.get(gram, 0)
            self.largest[gram], self.owner[gram] = count, number
        else:
            self.second[gram] = max(count, self.second.get(gram, 0))

    def bound(self, gram: Gram, without: int | None) -> int:
        """The largest count in any reference but one."""
        if without is not None and self.owner.get(gram) == without:
            return self.second[gram]
        return self.largest.get(gram, 0)

    def nearest_length(self, length: int, *, leave_out: bool) -> int:
        """The reference length nearest to `length`, the shorter of two; without one of its own."""
        gone = int(leave_out)
        lengths = (r for r, count in self.lengths.items() if count > (gone if r == length else 0))
        return min(lengths, key=lambda r: (abs(r - length), r))


def _score(parts: Sequence[str], references: _References, without: int | None = None) -> float:
    """BLEU of one text, from 0 to 1; `without` is its own number among the references."""
    logs = 0.0
    for n in range(1, LONGEST + 1):
        counts = Counter(ngrams(parts, n))
        hits = sum(min(c, references.bound(gram, without)) for gram, c in counts.items())
        if n == 1 and hits == 0:
            return 0.0
        logs += math.log((hits or EPSILON) / max(1, counts.total())) / LONGEST
    nearest = references.nearest_length(len(parts), leave_out=without is not None)
    return math.exp(logs + min(0.0, 1 - nearest / len(parts)))


def bleu_scores(real: Sequence[str], fake: Sequence[str], *, of: Part = "characters") -> Float64s:
    """BLEU-4 of each generated text with all real ones as references, float64 ``(n,)``.

    From 0 to 1, higher is nearer to some real text; blind to variety: one good text again and again
    scores as that text does. It rises with the number of references. Naive form:
    ``tests.oracles.texts:bleu``.

    References
    ----------
    Papineni et al. 2002, doi:10.3115/1073083.1073135; smoothing: Chen & Cherry 2014,
    doi:10.3115/v1/W14-3346.
    """
    references = _References.of([parts_of(text, of) for text in real])
    return np.array([_score(parts_of(text, of), references) for text in fake])


def self_bleu_scores(texts: Sequence[str], *, of: Part = "characters") -> Float64s:
    """BLEU-4 of each text with all the others as references, float64 ``(n,)``.

    From 0 to 1; 1 where all are alike. `MetricError` for fewer than two texts. Naive form:
    ``tests.oracles.texts:self_bleu``.

    References
    ----------
    Zhu et al. 2018, Texygen, arXiv:1802.01886.
    """
    if len(texts) < 2:
        raise MetricError(f"{len(texts)} texts: at least 2 are needed to compare them")
    parts = [parts_of(text, of) for text in texts]
    references = _References.of(parts)
    return np.array([_score(one, references, number) for number, one in enumerate(parts)])


def measure_bleu(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The mean of `bleu_scores` over generated texts: the maker of ``bleu``."""
    real, fake = inputs.texts
    values = bleu_scores(real, fake, of=parameters["of"])
    return Measurement(inputs.maybe(normal_mean(values)))


def measure_self_bleu(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The mean of `self_bleu_scores` over disjoint blocks of texts: the maker of ``self_bleu``."""
    fake, size = inputs.texts[1], min(int(parameters["block"]), inputs.n_fake)
    order = np.random.default_rng(inputs.seed).permutation(len(fake))
    blocks = [order[i : i + size] for i in range(0, len(fake) - size + 1, size)]
    means = [self_bleu_scores([fake[i] for i in b], of=parameters["of"]).mean() for b in blocks]
    used = {} if size == parameters["block"] else {"block": size}
    return Measurement(inputs.maybe(block_mean(np.array(means))), {}, used)
