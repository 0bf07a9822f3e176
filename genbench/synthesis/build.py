"""From a stored generator to the rows of a data set: rounds of drawing until every quota is met."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.data import proportional
from genbench.errors import UsageError
from genbench.plugins import permuted_labels
from genbench.seeds import derive_seed
from genbench.synthesis.filters import Filters
from genbench.synthesis.sampling import StoredGenerator

Array = NDArray[Any]
Counts = NDArray[np.int64]
MAX_DRAWN = 50  # rows drawn per row asked for, before giving up
SPARE = 1.1


@dataclass(frozen=True, slots=True)
class Request:
    """The data set that is asked for: `n` rows, if wanted in `balance`, the same number of every
    class; `splits` are shares by name that sum to 1, each with the classes in the same proportions.
    """

    n: int
    balance: bool
    splits: dict[str, float]
    seed: int


@dataclass(frozen=True, slots=True)
class Built:
    """The rows by split, ``(x, y or None)``, and the digest of all of them."""

    splits: dict[str, tuple[Array, NDArray[np.int64] | None]]
    sha256: str


def build(
    source: StoredGenerator,
    train_y: NDArray[np.int64] | None,
    request: Request,
    filters: Filters,
    progress: Callable[[int, int], None],
) -> Built:
    """Draw and filter until there are enough rows of every class, then split.

    `UsageError` if `MAX_DRAWN` times the rows asked for were drawn and too few stayed.
    """
    classes = source.space.classes
    quota = _quota(source, train_y, request)
    kept = _Kept(np.zeros_like(quota))
    attempt = 0
    while (lacking := quota - kept.counts).sum() > 0:
        if filters.drawn >= MAX_DRAWN * request.n:
            counts = ", ".join(f"{k}: {v:,}" for k, v in filters.removed.items() if v)
            raise UsageError(
                f"only {kept.counts.sum():,} of {request.n:,} rows passed after drawing "
                f"{filters.drawn:,} ({counts or 'classes never drawn'}): lower --filter, leave "
                "--balance out, or use another generator"
            )
        pass_rate = max(0.05, kept.counts.sum() / filters.drawn if filters.drawn else 1.0)
        want = np.ceil(lacking * SPARE / pass_rate).astype(np.int64)
        seed = derive_seed(request.seed, "synthesize", attempt)
        given = len(quota) > 1 and source.choice.description.labels == "given"
        labels = permuted_labels(want, seed) if given else None
        drawn = source.sample(int(want.sum()), seed, labels)
        kept.add(*filters.apply(drawn["x"], drawn.get("y")), quota, classes)
        progress(int(kept.counts.sum()), request.n)
        attempt += 1
    return _split(kept, request, classes)


class _Kept:
    """Rows that stay, up to the quota of each class (or of all, where classes do not matter)."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.x: list[Array] = []
        self.y: list[NDArray[np.int64]] = []

    def add(self, x: Array, y: NDArray[np.int64] | None, quota: Counts, classes: int) -> None:
        group = np.zeros(len(x), np.int64) if y is None or len(quota) == 1 else y
        stays = np.zeros(len(x), bool)
        for c in range(len(quota)):
            rows = np.flatnonzero(group == c)[: quota[c] - self.counts[c]]
            stays[rows] = True
            self.counts[c] += len(rows)
        self.x.append(x[stays])
        if y is not None:
            self.y.append(y[stays])


def _quota(source: StoredGenerator, train_y: NDArray[np.int64] | None, request: Request) -> Counts:
    """Rows of each class; a single number where classes are left as they come."""
    classes = source.space.classes
    if request.balance:
        even = np.full(classes, request.n // classes, np.int64)
        even[: request.n % classes] += 1
        return even
    if classes and train_y is not None and source.choice.description.labels == "given":
        return proportional(train_y, classes, request.n)
    return np.array([request.n], np.int64)


def _split(kept: _Kept, request: Request, classes: int) -> Built:
    x = np.concatenate(kept.x)
    y = np.concatenate(kept.y) if kept.y else None
    order = np.random.default_rng(derive_seed(request.seed, "split")).permutation(len(x))
    x, y = x[order], None if y is None else y[order]
    group = np.zeros(len(x), np.int64) if y is None else y
    names = list(request.splits)
    part = np.zeros(len(x), np.int64)
    for c in np.unique(group):
        rows = np.flatnonzero(group == c)
        ends = np.round(np.cumsum([request.splits[n] for n in names]) * len(rows)).astype(int)
        part[rows] = np.searchsorted(ends, np.arange(len(rows)), side="right").clip(
            max=len(names) - 1
        )
    key = hashlib.sha256()
    found = {}
    for i, name in enumerate(names):
        rows = np.flatnonzero(part == i)
        found[name] = (x[rows], None if y is None else y[rows])
        for array in found[name]:
            if array is not None:
                key.update(f"{name}{array.shape}{array.dtype}".encode())
                key.update(np.ascontiguousarray(array).data)
    return Built(found, key.hexdigest())
