"""The arms of one replicate: classifiers that share rows, initial weights and steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.downstream.classifier import Classifier, Transform, predict
from genbench.downstream.recipe import Recipe
from genbench.system import load_arrays

Array = NDArray[Any]
ROWS = "rows.npz"  # x, y, and the labels asked for, where the generator takes labels
SYNTHETIC = "synthetic.npz"


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Rows ``(n, *shape)`` and their labels ``(n,)``."""

    x: Array
    y: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)

    def head(self, n: int) -> LabelledRows:
        """The first `n`."""
        return LabelledRows(self.x[:n], self.y[:n])

    def of(self, classes: dict[int, int]) -> LabelledRows:
        """The first rows of each class, as many as `classes` says or as there are."""
        rows = [np.flatnonzero(self.y == c)[:count] for c, count in classes.items()]
        chosen = np.sort(np.concatenate(rows))
        return LabelledRows(self.x[chosen], self.y[chosen])

    def __add__(self, other: LabelledRows) -> LabelledRows:
        return LabelledRows(np.concatenate([self.x, other.x]), np.concatenate([self.y, other.y]))


@dataclass(frozen=True)
class Replicate:
    """Real and synthetic rows of one refit, and what all its classifiers share.

    Parameters
    ----------
    rejected
        Share of the drawn rows that the label classifier was not sure of; None where the
        generator's own labels are used.
    cache, kept
        Folders of classifiers: of those that hold no synthetic row, and of this cell's own.
    """

    real: LabelledRows
    synthetic: LabelledRows
    recipe: Recipe
    classical: Transform | None
    cache: Path | None
    rejected: float | None
    kept: Path | None = None

    @classmethod
    def load(
        cls,
        folder: Path,
        recipe: Recipe,
        classical: Transform | None,
        cache: Path | None,
        confidence: float,
        kept: Path | None = None,
    ) -> Replicate:
        """Read a refit's rows from `folder`; unlabelled ones get labels from the real arm."""
        arrays, drawn = load_arrays(folder / ROWS), load_arrays(folder / SYNTHETIC)
        real = LabelledRows(arrays["x"], arrays["y"])
        if "y" in drawn:
            return cls(
                real, LabelledRows(drawn["x"], drawn["y"]), recipe, classical, cache, None, kept
            )
        judge = recipe.fit(real.x, real.y, cache=cache)
        probabilities = predict(judge, drawn["x"])
        sure = probabilities.max(1) >= confidence
        labels = probabilities.argmax(1).astype(np.int64)
        synthetic = LabelledRows(drawn["x"][sure], labels[sure])
        return cls(real, synthetic, recipe, classical, cache, float(1 - sure.mean()), kept)

    def fit(
        self, rows: LabelledRows, *, shared: bool = False, transformed: bool = False
    ) -> Classifier:
        """A classifier on these rows; `shared` ones hold no synthetic row and are cached."""
        transform = self.classical if transformed else None
        cache = self.cache if shared else self.kept
        return self.recipe.fit(rows.x, rows.y, transform=transform, cache=cache)
