"""Train on synthetic, test on real (TSTR), beside TRTR and TRTS.

The classifier never sees a test row, and both trained arms have the same number of rows, optimiser
steps and initial weights. The real arm is the same for every generator of a suite, so it is cached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.data import Split
from genbench.downstream.classifier import Classifier, predict
from genbench.downstream.judges import check_space
from genbench.downstream.recipe import Recipe, correct
from genbench.errors import MetricError
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.metrics import Estimate, MetricValue, trainings_mean, wilson_share
from genbench.seeds import derive_seed

Array = NDArray[Any]


@dataclass(frozen=True)
class Arms:
    """The classifiers of a protocol, of real rows and of generated ones: their rows and recipes.

    Parameters
    ----------
    train
        Real rows; the real arm trains on a random `n` of them.
    fake_x, fake_y
        Generated rows and their labels. Without labels the real arm's classifier gives them.
    n
        Rows that each arm trains on; fewer if there are fewer generated or real rows.
    steps, batch_size, seed
        See `genbench.downstream.classifier.Lesson`.
    replicates
        Trainings of each arm, each pair with its own initial weights, order and real rows.
    cache, kept
        Folders for the real arm's classifiers, which every generator of a suite shares, and for
        those of these rows alone; None where they are trained when they are asked for.
    words, judge
        See `genbench.downstream.recipe.Recipe`.

    Raises
    ------
    MetricError
        ``not_applicable`` if no judge reads the suite's rows; ``undefined`` without rows.
    """

    train: Split
    fake_x: Array
    fake_y: Array | None
    space: Space
    n: int
    steps: int
    batch_size: int
    seed: int
    replicates: int = 1
    device: str = "cpu"
    cache: Path | None = None
    kept: Path | None = None
    words: Vocabulary | None = None
    judge: str = ""

    def __post_init__(self) -> None:
        check_space(self.space)
        if self.train.y is None:
            raise MetricError("TSTR needs labels of the real rows", status="not_applicable")
        if self.rows == 0:
            raise MetricError("TSTR needs generated rows and there are none")

    @property
    def rows(self) -> int:
        """The number of rows that each classifier is trained on."""
        return min(self.n, len(self.fake_x), len(self.train.x))

    @cached_property
    def synthetic_rows(self) -> tuple[Array, Array | None]:
        """The generated rows that are trained on, and their labels if they came with some."""
        chosen = _subset(len(self.fake_x), self.rows, derive_seed(self.seed, "synthetic rows"))
        return self.fake_x[chosen], None if self.fake_y is None else self.fake_y[chosen]

    def real(self, replicate: int) -> Classifier:
        """The classifier of this replicate that saw real rows."""
        recipe = self.recipe(replicate)
        rows = _subset(len(self.train.x), self.rows, derive_seed(recipe.seed, "real rows"))
        return recipe.fit(self.train.x[rows], np.asarray(self.train.y)[rows], cache=self.cache)

    def synthetic(self, replicate: int, real: Classifier | None = None) -> Classifier:
        """The classifier that saw generated rows; `real` labels those that have no labels."""
        x, y = self.synthetic_rows
        if y is None:
            y = predict(real or self.real(replicate), x).argmax(1)
        return self.recipe(replicate).fit(x, y, cache=self.kept)

    def recipe(self, replicate: int) -> Recipe:
        """The recipe of both classifiers; the first replicate's seed is that of a single one."""
        seed = derive_seed(self.seed, f"replicate {replicate}") if replicate else self.seed
        return Recipe(
            self.space, self.steps, self.batch_size, seed, self.device, self.words, self.judge
        )

    def judged_by(self, judge: str) -> Arms:
        """The same arms, of another judge."""
        return replace(self, judge=judge)

    def trainings(self) -> list[Callable[[], Classifier]]:
        """Every training that depends on no other; done before, it is only looked up.

        That of rows whose labels a real classifier gives comes after that one.
        """
        arms = [self.real] if self.fake_y is None else [self.real, self.synthetic]
        return [partial(arm, turn) for arm in arms for turn in range(self.replicates)]


def train_on_synthetic(arms: Arms, test: Split) -> dict[str, MetricValue]:
    """``tstr_accuracy``, ``trtr_accuracy`` and ``trts_accuracy``: shares classified correctly.

    TSTR and TRTR of the test rows, by classifiers trained on generated and on real rows; TRTS of
    the generated rows by the second, with the labels that they came with.

    Returns
    -------
    dict
        From 0 to 1, the mean over the replicates; their intervals are Wilson's over the rows tested
        for one replicate and hold the spread between trainings for more. In `details` the accuracy
        per class and per training, and for TSTR the gap ``trtr - tstr``, paired by row and
        training, with its interval. Higher is better for TSTR and TRTS; TRTR, the ceiling, has no
        direction. TRTS is ``not_applicable`` where the real arm gave the labels.

    Raises
    ------
    MetricError
        ``not_applicable`` if the test rows have no labels.
    """
    if test.y is None:
        raise MetricError("TSTR needs labels of the real rows", status="not_applicable")
    (x, y), rows, classes = arms.synthetic_rows, arms.rows, arms.space.classes
    real_arm, synthetic_arm = (_Tested(rows, "test", test.y) for _ in range(2))
    reverse = _Tested(rows, "generated", y)
    for replicate in range(arms.replicates):
        with real_arm.timed():
            real = arms.real(replicate)
            real_arm.right.append(correct(real, test.x, real_arm.labels))
        with synthetic_arm.timed():
            synthetic = arms.synthetic(replicate, real)
            synthetic_arm.right.append(correct(synthetic, test.x, synthetic_arm.labels))
        if y is not None:
            with reverse.timed():
                reverse.right.append(correct(real, x, y))
    text = arms.recipe(0).text
    text = text if arms.replicates == 1 else f"{text}|replicates={arms.replicates}"
    trtr = replace(real_arm.value("trtr_accuracy", text, classes), higher_is_better=None)
    tstr = synthetic_arm.value("tstr_accuracy", text, classes)
    if y is None:
        tstr = replace(tstr, signature=f"{tstr.signature}|labels=classifier")
        trts = _own_judge(reverse.signature("trts_accuracy", text))
    else:
        trts = reverse.value("trts_accuracy", text, classes)
    details = {
        **tstr.details,
        "trtr": trtr.value,
        **_gap(np.array(real_arm.right), np.array(synthetic_arm.right)),
        "labels": "classifier trained on the real rows" if y is None else "the generator's",
    }
    return {"tstr_accuracy": replace(tstr, details=details), "trtr_accuracy": trtr,
            "trts_accuracy": trts}  # fmt: skip


def beside(
    found: Mapping[str, MetricValue], others: Mapping[str, Mapping[str, MetricValue]]
) -> dict[str, MetricValue]:
    """One judge's values, with what `others`, by name, say of the same rows in their `details`."""
    return {
        id_: replace(
            value,
            details={**value.details, "other_judges": [
                {"judge": judge, **_told(values[id_])} for judge, values in others.items()
            ]},
            seconds=_total([value, *(values[id_] for values in others.values())]),
        )
        for id_, value in found.items()
    }  # fmt: skip


def _told(value: MetricValue) -> dict[str, Any]:
    """What stands of another judge's value: itself, and the gap of TSTR."""
    body = value.to_json()
    kept = {key: body[key] for key in ("status", "value", "interval", "signature") if key in body}
    return kept | {key: gap for key, gap in value.details.items() if key.startswith("gap")}


def _total(values: Sequence[MetricValue]) -> float:
    return sum(value.seconds or 0.0 for value in values)


class _Tested:
    """Right answers of the classifiers of one arm by row, and the time that they took."""

    def __init__(self, n: int, on: str, labels: Array | None) -> None:
        self.n = n
        self.on = on
        self.labels = np.zeros(n, np.int64) if labels is None else np.asarray(labels)
        self.right: list[NDArray[np.bool_]] = []
        self.seconds = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        start = perf_counter()
        yield
        self.seconds += perf_counter() - start

    def signature(self, metric: str, text: str) -> str:
        return f"{metric}|{text}|n={self.n}|reference={self.on}:{len(self.labels)}"

    def value(self, metric: str, text: str, classes: int) -> MetricValue:
        """The share of right answers with its interval, per class and per training."""
        right = np.array(self.right)
        share = _share(right)
        by_class = [
            float(right[:, self.labels == c].mean()) if (self.labels == c).any() else None
            for c in range(classes)
        ]
        details: dict[str, Any] = {"by_class": by_class, f"n_{self.on}": len(self.labels)}
        if len(right) > 1:
            details["trainings"] = [float(one.mean()) for one in right]
        return MetricValue(
            status="ok",
            value=share.value,
            interval=share.interval,
            std_error=share.std_error,
            unit="accuracy",
            higher_is_better=True,
            signature=self.signature(metric, text),
            n=self.n,
            seconds=self.seconds,
            details=details,
        )


def _share(right: NDArray[np.bool_]) -> Estimate:
    """The share of right answers ``(trainings, rows)`` with its interval."""
    if len(right) == 1 or right.all() or not right.any():  # at 0 and 1 no spread is seen
        return wilson_share(int(right[0].sum()), right.shape[1])
    return trainings_mean(right.astype(np.float64))


def _gap(real: NDArray[np.bool_], synthetic: NDArray[np.bool_]) -> dict[str, Any]:
    """The accuracy lost by training on synthetic rows: paired by training and by row tested."""
    lost = real.astype(np.float64) - synthetic
    if len(lost) == 1:  # the spread between trainings is not known: no interval would hold it
        return {"gap": float(lost.mean())}
    gap = trainings_mean(lost, low=-1.0)
    assert gap.interval is not None
    return {"gap": gap.value, "gap_low": gap.interval.low, "gap_high": gap.interval.high}


def _own_judge(signature: str) -> MetricValue:
    reason = "the labels come from the very classifier that would judge them"
    return MetricValue("not_applicable", unit="accuracy", higher_is_better=True,
                       signature=signature, reason=reason)  # fmt: skip


def _subset(total: int, n: int, seed: int) -> NDArray[np.int64]:
    """`n` of `total` rows, without replacement."""
    order = torch.randperm(total, generator=torch.Generator().manual_seed(seed))
    rows: NDArray[np.int64] = order[:n].numpy()
    return rows
