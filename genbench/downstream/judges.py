"""The judges by name, and the one that a suite's rows are given to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from genbench import kinds
from genbench.downstream.classifier import Array, Classifier, Judge, Lesson, Transform, tensor
from genbench.downstream.logmel_conv import LogMelConvNet
from genbench.downstream.networks import NetworkJudge
from genbench.downstream.text_conv import TextConvNet
from genbench.downstream.tfidf import LogisticJudge
from genbench.downstream.two_conv import TwoConvNet
from genbench.errors import MetricError
from genbench.formats import Vocabulary
from genbench.generator import Space

Maker = Callable[[Space, Vocabulary | None], Judge]


def _two_conv(space: Space, words: Vocabulary | None) -> Judge:
    return NetworkJudge("two-conv", "1", space, TwoConvNet)


def _logmel_conv(space: Space, words: Vocabulary | None) -> Judge:
    return NetworkJudge("logmel-conv", "1", space, LogMelConvNet)


def _text_conv(space: Space, words: Vocabulary | None) -> Judge:
    return NetworkJudge("text-conv", "1", space, TextConvNet)


def _tfidf_logistic(space: Space, words: Vocabulary | None) -> Judge:
    if words is None:
        raise MetricError(
            "the judge tfidf-logistic reads texts, and no vocabulary spells the suite's tokens: "
            "leave [downstream] out, or name the judge text-conv",
            status="not_applicable",
        )
    return LogisticJudge(space, words)


_MAKERS: Mapping[str, Maker] = MappingProxyType({
    "two-conv": _two_conv,
    "tfidf-logistic": _tfidf_logistic,
    "text-conv": _text_conv,
    "logmel-conv": _logmel_conv,
})  # fmt: skip


def judge_of(space: Space, words: Vocabulary | None = None, name: str = "") -> Judge:
    """The judge called `name`, by default the first of the kind's; `words` spell its tokens.

    Raises
    ------
    MetricError
        ``not_applicable`` if the space has no labels, or rows that no judge reads.
    """
    check_space(space)
    return _MAKERS[name or kinds.of(space.kind).judges[0]](space, words)


def check_space(space: Space) -> None:
    """Refuse what no judge reads."""
    kind = kinds.of(space.kind)
    if not kind.judges or not kind.classifiable(space):
        raise MetricError(
            "the classifiers of the downstream protocols read images of at least 8x8 pixels, "
            "texts, and sounds of at least 2,048 samples; the suite has "
            f"{space.kind} of shape {space.shape}: leave [downstream] out",
            status="not_applicable",
        )
    if space.classes < 2:
        raise MetricError(
            "the suite has no class labels to train a classifier on: leave [downstream] out",
            status="not_applicable",
        )


def train_classifier(
    x: Tensor | Array,
    y: Tensor | Array,
    space: Space,
    *,
    steps: int,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
    transform: Transform | None = None,
    class_weights: Sequence[float] | None = None,
    words: Vocabulary | None = None,
    judge: str = "",
) -> Classifier:
    """Train a judge's classifier on rows ``(n, *shape)`` of a space with int64 labels ``(n,)``.

    See `genbench.downstream.classifier.Lesson` for the other parameters, `judge_of` for `words`,
    `judge` and what is raised.
    """
    lesson = Lesson(steps, batch_size, seed, torch.device(device), transform, class_weights)
    return judge_of(space, words, judge).train(tensor(x), tensor(y), lesson)
