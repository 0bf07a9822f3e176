"""N-grams of texts: how generated texts' frequencies differ from real ones', how many there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genbench.errors import MetricError
from genbench.metrics.checks import require_at_least
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.uncertainty import Blocks, Estimate, block_jackknife

Part = Literal["characters", "words"]
LONGEST = 4
TOLD = (2, 3, 4)  # single tokens tell nothing that a unigram model does not know
START, END = "\x02", "\x03"  # no text holds control characters

Float64s = NDArray[np.float64]


def parts_of(text: str, of: str) -> list[str]:
    """The characters of a text, or its words, parted by white space.

    `MetricError` if `of` is something else.
    """
    if of not in get_args(Part):
        raise MetricError(f"of is {of!r}: use {' or '.join(get_args(Part))}", status="failed")
    return list(text) if of == "characters" else text.split()


def ngrams(parts: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of `n` neighbouring parts, in their order."""
    return [tuple(parts[i : i + n]) for i in range(len(parts) - n + 1)]


def ngram_distance(
    real: Sequence[str], fake: Sequence[str], *, n: int, of: Part = "characters"
) -> float:
    """Jensen-Shannon distance of the frequencies of n-grams in real and in generated texts.

    ``sqrt((KL(p | m) + KL(q | m)) / 2)`` with ``m = (p + q) / 2`` and logarithms to base 2. Longer
    n-grams than single ones are counted with a mark before and after each text.

    Parameters
    ----------
    real, fake
        Texts.
    n
        Parts in an n-gram, at least 1.
    of
        Whether these are ``characters`` or ``words``.

    Returns
    -------
    float
        From 0, equal frequencies, to 1, no n-gram in common. Lower is better.

    Raises
    ------
    MetricError
        If one of the sets has no n-gram at all.

    Notes
    -----
    Biased up by the number of texts: rare n-grams of one sample are missing in another. Read it
    beside held-out texts' of about as many. Naive form: ``tests.oracles.texts:ngram_js``.

    References
    ----------
    Lin 1991, Divergence measures based on the Shannon entropy, doi:10.1109/18.61115.
    """
    require_at_least("n", n, 1)
    counted = _counted(real, fake, n, of, None)
    return float(_distances(counted.real, counted.fake[None])[0])


@dataclass(frozen=True, slots=True)
class _Counted:
    """Occurrences of every n-gram: in real texts ``(k,)``, in generated ones ``(k,)``, and in each
    block of these ``(blocks, k)``.
    """

    real: Float64s
    fake: Float64s
    by_block: Float64s


def _counted(
    real: Sequence[str], fake: Sequence[str], n: int, of: str, blocks: Blocks | None
) -> _Counted:
    ids: dict[tuple[str, ...], int] = {}

    def numbered(text: str) -> list[int]:
        parts = parts_of(text, of)
        marked = parts if n == 1 else [START, *parts, END]
        return [ids.setdefault(gram, len(ids)) for gram in ngrams(marked, n)]

    of_real = [i for text in real for i in numbered(text)]
    rows = [numbered(text) for text in fake]
    of_block = np.zeros(len(rows), np.int64) if blocks is None else blocks.of_row
    by_block = np.zeros((int(of_block.max(initial=0)) + 1, len(ids)))
    for block in range(len(by_block)):
        inside = [i for row in np.flatnonzero(of_block == block) for i in rows[row]]
        by_block[block] = np.bincount(np.array(inside, np.int64), minlength=len(ids))
    counts = np.bincount(np.array(of_real, np.int64), minlength=len(ids)).astype(np.float64)
    found = _Counted(counts, by_block.sum(0), by_block)
    if not counts.any() or not found.fake.any():
        raise MetricError(f"there is no run of {n} {of} in the texts: choose shorter ones")
    return found


def _distances(real: Float64s, fake: Float64s) -> Float64s:
    """The distance of counts ``(k,)`` to each row of counts ``(m, k)``; NaN for a row of none."""
    p = real / real.sum()
    with np.errstate(invalid="ignore"):
        q = fake / fake.sum(axis=1, keepdims=True)
    middle = (p + q) / 2

    def kl(one: Float64s) -> Float64s:
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(one > 0, one * np.log2(one / middle), 0.0)
        return np.asarray(terms.sum(axis=1))

    divergence = (kl(np.broadcast_to(p, q.shape)) + kl(q)) / 2
    return np.asarray(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def measure_ngrams(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The mean of `ngram_distance` over runs of 2, 3 and 4: the maker of ``ngram_js``."""
    real, fake = inputs.texts
    values, left_out = {}, []
    for n in range(1, LONGEST + 1):
        counted = _counted(real, fake, n, parameters["of"], inputs.blocks)
        values[n] = float(_distances(counted.real, counted.fake[None])[0])
        if n in TOLD and inputs.blocks is not None:
            left_out.append(_distances(counted.real, counted.fake - counted.by_block))
    value = float(np.mean([values[n] for n in TOLD]))
    details = {"by_n": {str(n): found for n, found in values.items()}}
    if not left_out or not np.isfinite(left_out).all():
        return Measurement(Estimate(value), details)
    without = np.mean(left_out, axis=0)
    return Measurement(block_jackknife(value, without, low=0.0, high=1.0), details)


def distinct_share(texts: Sequence[str], *, n: int = 2, of: Part = "characters") -> float:
    """The share of the n-grams of some texts that are different from each other.

    From nearly 0, the same again and again, to 1. It falls with the number of texts: compare equal
    numbers. `MetricError` if there is no n-gram. Naive form: ``tests.oracles.texts:distinct_n``.
    Li et al. 2016, arXiv:1510.03055.
    """
    require_at_least("n", n, 1)
    counted = _of_each(texts, n, of)
    return len(set().union(*counted)) / sum(found.total() for found in counted)


def _of_each(texts: Sequence[str], n: int, of: str) -> list[Counter[tuple[str, ...]]]:
    counted = [Counter(ngrams(parts_of(text, of), n)) for text in texts]
    if not any(counted):
        raise MetricError(f"there is no run of {n} {of} in the texts: choose shorter ones")
    return counted


def measure_distinct(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """`distinct_share` of the generated texts: the maker of ``distinct_n``."""
    fake, (n, of) = inputs.texts[1], (parameters["n"], parameters["of"])
    value = distinct_share(fake, n=n, of=of)
    if inputs.blocks is None:
        return Measurement(Estimate(value))
    counted, of_row = _of_each(fake, n, of), inputs.blocks.of_row
    whole: Counter[tuple[str, ...]] = Counter()
    for one in counted:
        whole.update(one)
    left_out = []
    for block in range(inputs.blocks.count):
        gone: Counter[tuple[str, ...]] = Counter()
        for row in np.flatnonzero(of_row == block):
            gone.update(counted[row])
        lost = sum(whole[gram] == times for gram, times in gone.items())
        left_out.append((len(whole) - lost) / max(1, whole.total() - gone.total()))
    least = 1 / whole.total()  # one n-gram more or less that is new
    return Measurement(block_jackknife(value, np.array(left_out), low=0.0, high=1.0, least=least))
