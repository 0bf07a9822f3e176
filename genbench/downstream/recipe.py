"""The training recipe of one classifier, and a cache for those that several generators share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.downstream.classifier import Classifier, Judge, Transform, predict
from genbench.downstream.judges import judge_of, train_classifier
from genbench.errors import StoreError
from genbench.formats import Vocabulary
from genbench.generator import Space
from genbench.seeds import derive_seed
from genbench.system import tensorfile, trusted_files

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides a classifier, given its rows: what the arms of a protocol share.

    `words` spell the tokens of texts; `judge` names the way of training, the kind's first if empty.
    """

    space: Space
    steps: int
    batch_size: int
    seed: int
    device: str = "cpu"
    words: Vocabulary | None = None
    judge: str = ""

    @property
    def classifier(self) -> str:
        """The judge's name and version."""
        return f"{self._judge.name}/{self._judge.version}"

    @property
    def text(self) -> str:
        """The classifier's part of a signature."""
        text = f"classifier={self.classifier}"
        stepwise = f"|steps={self.steps}|batch={self.batch_size}"
        return text + stepwise if self._judge.stepwise else text

    @property
    def _judge(self) -> Judge:
        return judge_of(self.space, self.words, self.judge)

    def fit(
        self,
        x: Array,
        y: Array,
        *,
        transform: Transform | None = None,
        class_weights: Sequence[float] | None = None,
        cache: Path | None = None,
    ) -> Classifier:
        """The judge's classifier trained on these rows; kept in `cache` if one is given."""
        path = None
        if cache is not None:
            key = self._key(x, y, transform, class_weights)
            path = cache / "downstream" / f"{key}.safetensors"
            if trusted_files.has(path):
                try:
                    return self._judge.load(tensorfile.load(path), torch.device(self.device))
                except (StoreError, RuntimeError):  # damaged: train again and write it anew
                    path.unlink(missing_ok=True)
        found = train_classifier(
            x,
            y,
            self.space,
            steps=self.steps,
            batch_size=self.batch_size,
            seed=derive_seed(self.seed, "downstream"),
            device=self.device,
            transform=transform,
            class_weights=class_weights,
            words=self.words,
            judge=self.judge,
        )
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            tensorfile.save(path, found.state())
            trusted_files.add(path)
        return found

    def _key(self, x: Array, y: Array, *more: Any) -> str:
        """Depends on all that decides the weights: rows by content, recipe, threads, torch."""
        context = (self.classifier, self, torch.get_num_threads(), torch.__version__, *more)
        key = hashlib.sha256("|".join(map(str, context)).encode())
        for array in (x, y):
            key.update(str((array.shape, array.dtype)).encode())
            key.update(np.ascontiguousarray(array).data)
        return key.hexdigest()


def correct(classifier: Classifier, x: Array, y: Array) -> NDArray[np.bool_]:
    """A mask of the rows that the classifier names rightly, bool ``(n,)``."""
    right: NDArray[np.bool_] = predict(classifier, x).argmax(1) == y
    return right
