"""``genbench synthesize`` as a function: train or reuse, draw, filter, write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench import kinds
from genbench.data import Split, load_split, sources, vocabulary_of
from genbench.downstream import Recipe, predict
from genbench.errors import UsageError
from genbench.features import list_extractors, load_extractor
from genbench.formats import Vocabulary, in_16_bits
from genbench.plugins import GeneratorChoice
from genbench.results import CACHE, Store, Stored
from genbench.running import Access
from genbench.synthesis.build import Built, Request, build
from genbench.synthesis.card import Provenance
from genbench.synthesis.evidence import describe, nearest_point
from genbench.synthesis.filters import (
    Distance,
    Filters,
    near_threshold,
    pixel_distance,
    sound_distance,
    text_distance,
)
from genbench.synthesis.sampling import StoredGenerator
from genbench.synthesis.write import write
from genbench.system import MARK, confinement, one_torch_thread
from genbench.tasks import Suite

Array = NDArray[Any]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the filters.

    `confidence` is the least probability that the suite's classifier, trained on real train rows,
    gives a row's label; None to leave labels unchecked. With `near_copies` rows nearer to a
    training row than held-out rows are dropped. In the `sandbox` the process that draws is
    confined, where the system can.
    """

    confidence: float | None
    near_copies: bool
    device: str = "cpu"
    sandbox: bool = True


@one_torch_thread()
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

    It is drawn with as many threads as it was trained with, and filtered with one: the same rows
    pass on any number of cores.

    Raises
    ------
    UsageError
        As `require_buildable`; if the generator gives no labels to balance by, the cell has no
        stored state, or too few rows pass.
    """
    require_buildable(suite, request, options)
    if request.balance and options.confidence is None and choice.description.labels == "none":
        raise UsageError(
            f"{choice.name} makes no labels to balance by: add --filter confidence=0.9, whose "
            "classifier gives them, or leave --balance out"
        )
    source = _stored_generator(suite, choice, stored, options, store.root)
    train = load_split(suite.dataset, suite.space, "train")
    words = vocabulary_of(suite.dataset)
    distance = _distance(suite, words)
    sounds = kinds.of(suite.space.kind).synthesised_as == "sounds"
    filters = Filters(train.x, distance=distance, kept=in_16_bits if sounds else None)
    if options.near_copies:
        progress("distances of held-out rows", 0, 1)
        heldout = load_split(suite.dataset, suite.space, "valid").x
        filters.near = near_threshold(distance(heldout, train.x))
    classifier = ""
    if options.confidence is not None:
        classifier, filters.classify = _judge(suite, store, train, options, source.device, words)
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
        classifier=classifier,
        evidence=_evidence(stored, request.n),
        sha256=built.sha256,
        arrays_sha256="",
        arrays_bytes=0,
    )
    return write(out, built, provenance, lambda a, b: progress("writing", a, b), words)


def require_buildable(suite: Suite, request: Request, options: Options) -> None:
    """Refuse, before anything is trained, what this suite cannot give.

    Raises
    ------
    UsageError
        If it holds neither images nor sounds nor texts with a vocabulary, or lacks the labels, the
        validation rows or the classifier that the options need.
    """
    lacks = None
    form = kinds.of(suite.space.kind).synthesised_as
    spelt = form != "texts" or vocabulary_of(suite.dataset) is not None
    if form is None or not spelt:
        what = "synthesize builds data sets of images, of sounds and of texts"
        lacks = f"holds {suite.space.kind}: {what}"
    elif request.balance and not suite.space.classes:
        lacks = "has no class labels: leave --balance out"
    elif options.near_copies and "valid" not in suite.document["dataset"]["split"]:
        lacks = "has no valid split to measure distances of: leave --drop-near-copies out"
    elif options.confidence is not None and not (_has_recipe(suite) or _names_classes(suite)):
        lacks = "has no classifier ([downstream.tstr]): leave --filter out"
    if lacks is not None:
        raise UsageError(f"suite {suite.name!r} {lacks}")


def _stored_generator(
    suite: Suite, choice: GeneratorChoice, stored: Stored, options: Options, results: Path
) -> StoredGenerator:
    state = stored.artifact("state")
    if state is None:
        raise UsageError(
            f"the weights of {choice.name} are not in {stored.folder}: run it again with --fresh"
        )
    threads = int(stored.record.environment.get("threads", 1))
    file = choice.ref.file
    access = Access(
        results,
        (*Store(results).hidden(), *sources(suite.dataset)),
        (Path(file).parent,) if file else (),
        options.sandbox,
    )
    return StoredGenerator(
        choice, suite.space, state, suite.sample_chunk, options.device, threads, access
    )


def _distance(suite: Suite, words: Vocabulary | None) -> Distance:
    """How far rows are from training rows, by what the suite's rows are."""
    if words is not None:
        return text_distance(words)
    sounds = kinds.of(suite.space.kind).synthesised_as == "sounds"
    return sound_distance if sounds else pixel_distance


def _has_recipe(suite: Suite) -> bool:
    return "tstr" in suite.document.get("downstream", {})


def _names_classes(suite: Suite) -> bool:
    """Whether the suite's extractor is a classifier trained on its train split."""
    if any("accuracy" in t for t in suite.extractors if t["name"] == suite.extractor):
        return True
    info = list_extractors().get(suite.extractor)
    return info is not None and info.accuracy is not None and info.mismatch(suite.space) is None


def _judge(
    suite: Suite, store: Store, train: Split, options: Options, device: str,
    words: Vocabulary | None,
) -> tuple[str, Callable[[Array], NDArray[np.float32]]]:  # fmt: skip
    """What confirms labels, in words, and its class probabilities ``(n, classes)`` of rows.

    The classifier of the suite's downstream part, else the one that its features are of.
    """
    if not _has_recipe(suite):
        extractor = load_extractor(suite.extractor, suite.space, suite.extractors)

        def named(x: Array) -> NDArray[np.float32]:
            return np.asarray(extractor.extract(x).probabilities)

        return f"{extractor.identity}, trained on real train rows,", named
    # A classifier that an unconfined generator may have put there is not trusted.
    cache = store.root / CACHE
    confined = confinement.name(options.sandbox) != "none" and (cache / MARK).is_file()
    recipe = _label_recipe(suite, device, words)
    judge = recipe.fit(train.x, np.asarray(train.y), cache=cache if confined else None)
    return f"{recipe.classifier} trained on real train rows", lambda x: predict(judge, x)


def _label_recipe(suite: Suite, device: str, words: Vocabulary | None) -> Recipe:
    table = suite.document["downstream"]["tstr"]
    judge = next(iter(table.get("judges", ())), "")
    steps, size = int(table["steps"]), int(table["batch_size"])
    return Recipe(suite.space, steps, size, 0, device, words, judge)


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
