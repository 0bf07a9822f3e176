"""Copies among texts: generated ones that stand twice, or in the training rows, or nearly so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import MetricError
from genbench.metrics.inputs import Inputs, Measurement
from genbench.metrics.reference_copies import random_rows
from genbench.metrics.uncertainty import Estimate, block_jackknife, wilson_share

AT_ONCE = 128  # texts compared with all training texts at a time


@dataclass(frozen=True, slots=True)
class NearestTexts:
    """The nearest of other texts to each of some: its number, int64 ``(n,)``, and the edit distance
    to it over the length of the longer one, float32 ``(n,)``, 0 for a copy and 1 for nothing alike.
    """

    index: NDArray[np.int64]
    distance: NDArray[np.float32]


def nearest_texts(texts: Sequence[str], others: Sequence[str]) -> NearestTexts:
    """The nearest of `others` to each of `texts` by Levenshtein distance over the longer length.

    Of several at one distance the first counts. Cost: a comparison of every pair, by rapidfuzz.
    """
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    index = np.empty(len(texts), np.int64)
    distance = np.empty(len(texts), np.float32)
    for start in range(0, len(texts), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        far = cdist(
            texts[part], others, scorer=Levenshtein.normalized_distance, dtype=np.float32, workers=1
        )
        index[part] = far.argmin(axis=1)
        distance[part] = far.min(axis=1)
    return NearestTexts(index, distance)


def measure_unique(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The share of different texts among the generated ones: the maker of ``unique``.

    Naive form: ``tests.oracles.texts:unique``.
    """
    counts = Counter(fake := inputs.texts[1])
    value = len(counts) / len(fake)
    if inputs.blocks is None:
        return Measurement(Estimate(value))
    left_out, of_row = [], inputs.blocks.of_row
    for block in range(inputs.blocks.count):
        gone = Counter(fake[row] for row in np.flatnonzero(of_row == block).tolist())
        lost = sum(counts[text] == times for text, times in gone.items())
        left_out.append((len(counts) - lost) / (len(fake) - gone.total()))
    least = 1 / len(fake)  # one text more or less that stands twice
    return Measurement(block_jackknife(value, np.array(left_out), low=0.0, high=1.0, least=least))


def measure_novel(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The share of different generated texts that no training row is: the maker of ``novel``.

    Naive form: ``tests.oracles.texts:novel``.
    """
    known, made = set(inputs.train_texts), set(inputs.texts[1])
    estimate = wilson_share(len(made - known), len(made))
    return Measurement(inputs.maybe(estimate), {"different": len(made)})


def measure_exact(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The share of generated texts that are training rows: the maker of ``exact_copies``.

    Naive form: ``tests.oracles.texts:exact_copies``.
    """
    known = set(inputs.train_texts)
    real, fake = ([text in known for text in texts] for texts in inputs.texts)
    details = {"rows": sum(fake), "heldout": sum(real) / len(real)}
    return Measurement(inputs.maybe(wilson_share(sum(fake), len(fake))), details)


def measure_near(inputs: Inputs, parameters: Mapping[str, Any]) -> Measurement:
    """The share of generated texts near a training row: the maker of ``near_copies``.

    `details` hold the same share of real texts that nobody trained on: what is normal. Naive form:
    ``tests.oracles.texts:near_copies``.
    """
    within, rows = parameters["within"], parameters["rows"]
    if not 0 <= within < 1:
        raise MetricError(f"within is {within!r}: give a share of a text's length", status="failed")
    train = list(dict.fromkeys(inputs.train_texts))
    shares = []
    for texts in inputs.texts:
        chosen = [texts[i] for i in random_rows(len(texts), rows, inputs.seed)]
        near = nearest_texts(chosen, train).distance <= np.float32(within)
        shares.append(wilson_share(int(near.sum()), len(near)))
    real, fake = shares
    return Measurement(inputs.maybe(fake), {"heldout": real.value})
