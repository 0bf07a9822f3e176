"""The feature space of a new suite: a classifier trained on the spot, or points to one scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from genbench import kinds
from genbench.data import load_split
from genbench.errors import UsageError
from genbench.features import STANDARDISED, moments_digest
from genbench.generator import Space

if TYPE_CHECKING:
    from genbench.features import Hyperparameters, LogMelRecipe

SHORTEST_SOUND = 2048  # samples that a log-mel network needs
STEPS = 2000  # about as many as the shipped extractors take on data of this size
BATCH = 64
MOST_EPOCHS = 20  # of few rows: more would teach it the rows themselves
MOST_OF_SOUNDS = 30  # which are delayed, louder and softer each time


@dataclass(frozen=True, slots=True)
class OwnExtractor:
    """A trained classifier: its ``[[extractors]]`` entry, and the content of its file."""

    table: dict[str, Any]
    data: bytes


def standardised_table(train: NDArray[np.float32]) -> dict[str, Any]:
    """The ``[[extractors]]`` entry that gives points the training rows' scale, columns apart.

    A column's centre is its mean, its spread the standard deviation; a column without spread is
    divided by 1. Of whole numbers the median and the nearest power of two are taken: the result is
    exact in float32, so that distances which tie still do, as those of discrete rows must.
    """
    x = train.astype(np.float64)
    constant = x.min(0) == x.max(0)
    spread = np.where(constant, 1.0, x.std(0, ddof=1))
    whole = (x == np.rint(x)).all(0)
    spread = np.where(whole, 2.0 ** np.rint(np.log2(spread)), spread)
    middle = np.sort(x, axis=0)[len(x) // 2]
    centre = np.where(constant | whole, middle, x.mean(0))
    table = {"centre": centre.tolist(), "spread": spread.tolist()}
    return {
        "name": STANDARDISED,
        "version": "1",
        "sha256": moments_digest(table),
        "trained_on": f"the {len(train):,} rows of the suite's train split",
        **table,
    }


def train_for(
    suite: str, dataset: Mapping[str, Any], space: Space, say: Callable[[str], None]
) -> OwnExtractor:
    """Train a classifier on the train split; its accuracy is taken on the test split.

    `UsageError` if there are no labelled images or sounds to train on.
    """
    kind = kinds.of(space.kind)
    if not (kind.pictures or kind.sounds) or space.classes < 2:
        raise UsageError(
            "there are no labelled images or sounds to train an extractor on: put the files into "
            "one folder per class, or choose another with --extractor"
        )
    from genbench.features import ExtractorPlan, accuracy, train_on

    train = load_split(dataset, space, "train")
    most = MOST_OF_SOUNDS if kind.sounds else MOST_EPOCHS
    epochs = max(2, min(most, STEPS * BATCH // len(train.x)))
    name = f"{suite}-cnn"
    plan = ExtractorPlan(
        suite=suite,
        version="1",
        recipe=_recipe(space, epochs),
        trained_on=f"the {len(train.x)} rows of the suite's train split",
        licence="",
    )
    found = train_on(
        name,
        train,
        space,
        plan,
        lambda epoch, loss: say(f"{name}: epoch {epoch} of {epochs}, loss {loss:.3f}"),
    )
    share = accuracy(found.extractor, load_split(dataset, space, "test"))
    say(f"{name}: {share:.1%} of the test split right")
    info = found.info
    table = {
        "name": name,
        "version": info.version,
        "path": info.file,
        "sha256": info.sha256,
        "channels": list(info.channels),
        **({"network": info.network} if kind.sounds else {}),
        "accuracy": round(share, 4),
        "trained_on": info.trained_on,
    }
    return OwnExtractor(table, found.data)


def _recipe(space: Space, epochs: int) -> Hyperparameters | LogMelRecipe:
    """The training of a classifier of pictures, or of sounds."""
    from genbench.features import Hyperparameters, LogMelRecipe

    if not kinds.of(space.kind).sounds:
        return Hyperparameters(epochs=epochs, batch_size=BATCH, rate=3e-3)
    if space.shape[0] < SHORTEST_SOUND:
        raise UsageError(
            f"sounds of {space.shape[0]:,} samples are too short for the spectrogram of an "
            f"extractor: --length {SHORTEST_SOUND} pads them with silence"
        )
    return LogMelRecipe(space.rate, epochs, batch_size=BATCH)
