"""Rows made elsewhere, once they have been read and found to be of the suite's space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError
from genbench.formats import as_float32, lost_at
from genbench.generator import Space
from genbench.seeds import derive_seed
from genbench.tasks import Suite


@dataclass(frozen=True, slots=True)
class StagedRows:
    """The rows to score, of the suite's space, their labels int64 or None.

    `total` counts the rows that there were, `origin` is the file's or folder's name; `notes` are
    what their owner should know: files skipped or ignored, labels not found.
    """

    x: NDArray[Any]
    y: NDArray[np.int64] | None
    total: int
    origin: str
    notes: tuple[str, ...] = ()


def reading_order(total: int, suite: Suite) -> NDArray[np.intp]:
    """A permutation of `total` rows that the task alone decides; its beginning is the subset."""
    seed = derive_seed(0, "subset", suite.task_hash)
    return np.random.default_rng(seed).permutation(total)


def require_in_space(x: NDArray[Any], space: Space, what: str) -> None:
    """Raise `DataError` about `what` unless `x` is rows of the space."""
    import torch

    try:
        problem = space.violation(torch.from_numpy(np.ascontiguousarray(x)), len(x))
    except TypeError as error:
        problem = f"has a dtype that is no tensor's ({error})"
    if problem is not None:
        raise DataError(f"{what} {problem}")


def points_of(x: NDArray[Any], suite: Suite, where: str) -> tuple[NDArray[np.float32], str]:
    """Points in float32, in which suites hold them; what to tell if that rounds them away.

    `DataError` if rounding is near the spread that the suite's training rows have in a column.
    """
    moments = next((t for t in suite.extractors if "spread" in t), None)
    names = suite.document["dataset"].get("column_names", ())
    with np.errstate(over="ignore"):
        found = x.astype(np.float32)
    if moments is not None:
        problem = lost_at(x, moments["spread"], where, names)
        if problem is not None:
            raise DataError(problem)
        return found, ""
    # Without the real rows' spread a collapsed model cannot be told from a lost column.
    try:
        return as_float32(x, where, names), ""
    except DataError as error:
        return found, str(error)
