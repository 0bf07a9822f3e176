"""Metrics of texts, the slow way; BLEU by nltk."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np


def _runs(text: str, n: int) -> list[str]:
    marked = text if n == 1 else f"\x02{text}\x03"
    return [marked[i : i + n] for i in range(len(marked) - n + 1)]


def ngram_js(real_texts: Any, fake_texts: Any) -> float:
    """The mean over runs of 2, 3 and 4 characters of scipy's distance of their frequencies."""
    from scipy.spatial.distance import jensenshannon

    found = []
    for n in (2, 3, 4):
        p, q = (
            Counter(run for text in texts for run in _runs(text, n))
            for texts in (real_texts, fake_texts)
        )
        every = sorted(p | q)
        found.append(jensenshannon([p[g] for g in every], [q[g] for g in every], base=2))
    return float(np.mean(found))


def _bleu(references: list[str], text: str) -> float:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction().method1
    return float(sentence_bleu(list(map(list, references)), list(text), smoothing_function=smooth))


def bleu(real_texts: Any, fake_texts: Any) -> float:
    """The mean of nltk's BLEU-4 of each text with all real ones as references."""
    return float(np.mean([_bleu(real_texts, text) for text in fake_texts]))


def self_bleu(fake_texts: Any) -> float:
    """The mean of nltk's BLEU-4 of each text with all others as references."""
    others = (fake_texts[:i] + fake_texts[i + 1 :] for i in range(len(fake_texts)))
    return float(np.mean([_bleu(o, t) for o, t in zip(others, fake_texts, strict=True)]))


def distinct_n(fake_texts: Any) -> float:
    """Different pairs of neighbouring characters over all of them."""
    pairs = [text[i : i + 2] for text in fake_texts for i in range(len(text) - 1)]
    return len(set(pairs)) / len(pairs)


def unique(fake_texts: Any) -> float:
    """Different texts over all."""
    return len(set(fake_texts)) / len(fake_texts)


def novel(fake_texts: Any, train_texts: Any) -> float:
    """Of the different texts, the share that train lacks."""
    different = sorted(set(fake_texts))
    return sum(text not in train_texts for text in different) / len(different)


def exact_copies(fake_texts: Any, train_texts: Any) -> float:
    """The share of texts that stand in train."""
    return sum(text in train_texts for text in fake_texts) / len(fake_texts)


def near_copies(fake_texts: Any, train_texts: Any, within: float = 0.1) -> float:
    """The share of texts within so many edits a character of a training text."""

    def near(text: str) -> bool:
        return any(edits(text, t) <= within * max(len(text), len(t), 1) for t in train_texts)

    return sum(map(near, fake_texts)) / len(fake_texts)


def edits(one: str, other: str) -> int:
    """Levenshtein's distance, by the table that defines it."""
    above = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        line = [i]
        for j, b in enumerate(other, start=1):
            line.append(min(above[j] + 1, line[j - 1] + 1, above[j - 1] + (a != b)))
        above = line
    return above[-1]


def perplexity(log_prob: Any, events: Any) -> float:
    """The exponent of the mean nats of an event."""
    return math.exp(-math.fsum(log_prob) / math.fsum(events))
