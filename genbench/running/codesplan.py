"""The rows that a look inside is about, and whether there is anything to look into. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genbench.data import Split
from genbench.running.cellspec import CellSpec
from genbench.seeds import derive_seed
from genbench.tasks import CodesAsked, codes_asked

PAIRS = 10  # of reference rows in the pictures, one of each class
STEPS = 10  # from one end of an interpolation or a traversal to the other


@dataclass(frozen=True)
class CodesPlan:
    """The rows whose codes are wanted: indices into the training and the reference split."""

    asked: CodesAsked
    train: npt.NDArray[np.int64]
    reference: npt.NDArray[np.int64]

    def of_train(self, split: Split) -> Split:
        """Those rows of the training split."""
        return _rows(split, self.train)

    def of_reference(self, split: Split) -> Split:
        """Those rows of the reference split."""
        return _rows(split, self.reference)


def _rows(split: Split, rows: npt.NDArray[np.int64]) -> Split:
    return Split(split.x[rows], None if split.y is None else split.y[rows])


def codes_wanted(spec: CellSpec) -> CodesAsked | None:
    """What the suite asks of codes, if this order is to answer it."""
    asked = codes_asked(spec.suite.document)
    return asked if asked is not None and asked.metrics and "codes" in spec.parts else None


def why_not_looked_into(spec: CellSpec) -> str | None:
    """The reason that nobody can look into this generator; None if somebody can."""
    if spec.generator.is_control:
        return f"{spec.generator.name} is a control: it has no codes"
    if spec.generator.is_external:
        return "samples made elsewhere: there is no generator to look into"
    if spec.generator.ref.inline:
        return "a class of the caller's process is not looked into: put it into a file of its own"
    return None


def plan_codes(asked: CodesAsked, train: Split, reference: Split) -> CodesPlan:
    """Rows at random, the same for every generator."""
    drawn = (
        np.random.default_rng(derive_seed(0, "codes", name)).permutation(len(split.x))[: asked.rows]
        for name, split in (("train", train), ("reference", reference))
    )
    return CodesPlan(asked, *drawn)


def pictured(y: npt.NDArray[np.int64] | None, n: int) -> npt.NDArray[np.int64]:
    """Two of `n` rows for each picture, ``(pairs, 2)``: of one class, the first of each class."""
    if y is None:
        return np.arange(min(2 * PAIRS, n - n % 2)).reshape(-1, 2)
    found = [np.flatnonzero(y == label)[:2] for label in np.unique(y)]
    pairs = [pair for pair in found if len(pair) == 2][:PAIRS]
    return np.array(pairs, np.int64).reshape(-1, 2)
