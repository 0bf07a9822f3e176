"""``genbench synthesize`` as a function: train or reuse, draw, filter, write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genbench.cellspec import GeneratorChoice
from genbench.data import load_split
from genbench.downstream.classifier import NAME, VERSION, Classifier, predict
from genbench.downstream.recipe import Recipe
from genbench.errors import UsageError
from genbench.store import CACHE, Store, Stored
from genbench.suite import Suite
from genbench.synthesis.build import Built, Request, build
from genbench.synthesis.card import Provenance
from genbench.synthesis.draw import StoredGenerator
from genbench.synthesis.evidence import describe, nearest_point
from genbench.synthesis.filters import Filters, near_threshold
from genbench.synthesis.write import write

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How the rows are filtered.

    Parameters
    ----------
    confidence
        Least probability that the suite's classifier, trained on real train rows, gives a row's
        label; None to leave labels unchecked.
    near_copies
        Whether rows nearer to a training row than held-out rows are dropped.
    """

    confidence: float | None
    near_copies: bool
    device: str
    threads: int


def synthesize(
    suite: Suite,
    choice: GeneratorChoice,
    stored: Stored,
    store: Store,
    request: Request,
    options: Options,
    out: Path,
    progress: Progress,
) -> Provenance:
    """Build a data set of `request.n` rows from the generator whose cell is `stored`.

    Raises
    ------
    UsageError
        If the suite does not hold images, the cell has no stored state, or too few rows pass.
    """
    source = stored_generator(suite, choice, stored, options)
    train = load_split(suite.dataset, suite.space, "train")
    filters = Filters(train.x)
    if options.near_copies:
        progress("distances of held-out rows", 0, 1)
        filters.near = near_threshold(train.x, load_split(suite.dataset, suite.space, "valid").x)
    judge = None
    if options.confidence is not None:
        judge = _judge(suite, store, train, options)
        filters.classify = lambda x: predict(judge, x)
        filters.confidence = options.confidence
    built = build(source, train.y, request, filters, lambda a, b: progress("drawing", a, b))
    provenance = Provenance(
        suite=suite,
        record=stored.record,
        n=request.n,
        seed=request.seed,
        balance=request.balance,
        counts=_counts(built),
        drawn=filters.drawn,
        removed=filters.removed,
        near=filters.near,
        confidence=options.confidence,
        classifier=f"{NAME}/{VERSION} trained on real train rows",
        evidence=_evidence(stored, request.n),
        sha256=built.sha256,
        arrays_sha256="",
        arrays_bytes=0,
    )
    return write(out, built, provenance, lambda a, b: progress("writing", a, b))


def stored_generator(
    suite: Suite, choice: GeneratorChoice, stored: Stored, options: Options
) -> StoredGenerator:
    """The fitted generator of a cell.

    Raises
    ------
    UsageError
        If its state is not there, or the suite holds no images.
    """
    if suite.space.kind != "image":
        raise UsageError(
            f"suite {suite.name!r} holds {suite.space.kind}: synthesize builds image data sets"
        )
    state = stored.artifact("state")
    if state is None:
        raise UsageError(
            f"the weights of {choice.name} are not in {stored.folder}: run it again with --fresh"
        )
    return StoredGenerator(
        choice, suite.space, state, suite.sample_chunk, options.device, options.threads
    )


def _judge(suite: Suite, store: Store, train: Any, options: Options) -> Classifier:
    table = suite.document.get("downstream", {}).get("tstr")
    if table is None or train.y is None:
        raise UsageError(
            f"--filter confidence needs the suite's classifier and {suite.name!r} has no "
            "[downstream.tstr]: leave it out"
        )
    recipe = Recipe(
        suite.space, int(table["steps"]), int(table["batch_size"]), 0, options.device
    )  # fmt: skip
    return recipe.fit(train.x, train.y, cache=store.root / CACHE)


def _counts(built: Built) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for split, (x, y) in built.splits.items():
        if y is None:
            found[split] = {"-": len(x)}
        else:
            found[split] = {str(c): int((y == c).sum()) for c in np.unique(y)}
    return found


def _evidence(stored: Stored, n: int) -> str | None:
    try:
        return describe(nearest_point(stored.record, n)) + "."
    except UsageError:
        return None
