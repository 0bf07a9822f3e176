"""The rows that a cell is scored by, and their features: each made once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench.data import Split, load_split, vocabulary_of
from genbench.errors import GenbenchError
from genbench.features import Extractor, Features, load_extractor
from genbench.metrics import random_rows
from genbench.running.cellspec import CellSpec
from genbench.system import load_arrays, save_arrays, trusted_files

Array = npt.NDArray[Any]

TRAIN_SCALE = "identity-standardised"
SOUND = "waveform"  # rows as they are


class CellRows:
    """The splits of a cell's data, its samples ``(n, *shape)``, and the features of both.

    Features of real rows lie in the results' cache, which all cells share; those of the samples
    are kept as long as this is, and those of other generated rows are not kept.
    """

    def __init__(self, spec: CellSpec, samples: Array) -> None:
        self.spec = spec
        self.space = spec.suite.space
        self.samples = samples
        self._reference = str(spec.suite.document["protocol"]["reference"])
        self._splits: dict[str, Split] = {}
        self._made: dict[str, Features] = {}  # features of the samples, by extractor
        self._fleeting: list[Array] = []  # other rows that no other cell will ask for

    def split(self, name: str) -> Split:
        """A split of the data, read once."""
        if name not in self._splits:
            self._splits[name] = load_split(self.spec.suite.dataset, self.space, name)
        return self._splits[name]

    def generated(self, x: Array) -> Array:
        """Other rows of the generator's: their features are needed once, and not kept."""
        self._fleeting.append(x)
        return x

    def some_features(self, space: str, x: Array, most: int, seed: int) -> Any:
        """Features ``(at most most, d)`` in a feature space, of rows of `x` that `seed` draws.

        They are taken from those of all rows where all are wanted, or are made anyway.
        """
        extract, _ = self.features_in(space)
        rows = random_rows(len(x), most, seed)
        if len(rows) == len(x) or x is self.samples or x is self.split(self._reference).x:
            features = extract(x).features
            return features[rows]
        return extract(x[rows]).features

    def features_in(self, space: str) -> tuple[Callable[[Array], Features], str]:
        """The function from rows to features of a feature space, and its name for signatures.

        Features lie on the cell's device, where the metrics are made of them.
        """
        extract, name = self._extraction(space)
        return lambda x: extract(x).on(self.spec.device), name

    def _extraction(self, space: str) -> tuple[Callable[[Array], Features], str]:
        if space == "pixels":
            top = max(1, self.space.levels - 1)
            return lambda x: Features(_flat(x) / np.float32(top), None), "pixels"
        if space == SOUND:
            return lambda x: Features(_flat(x), None), SOUND
        if space == TRAIN_SCALE:
            train = self.split("train").x.astype(np.float64)
            # A column without spread is divided by 1; its rounded deviation need not be 0.
            sd = np.where(train.min(0) == train.max(0), 1.0, train.std(0, ddof=1))
            mean = train.mean(0)

            def standardise(x: Array) -> Features:
                return Features(((x - mean) / sd).astype(np.float32), None)

            return standardise, space
        suite = self.spec.suite
        words = vocabulary_of(suite.dataset)
        extractor = load_extractor(space, self.space, suite.extractors, words)
        return lambda x: self._cached(extractor, x), extractor.identity

    def _cached(self, extractor: Extractor, x: Array) -> Features:
        """Features from the cache, which is keyed by the rows' content and the network's hash."""
        if not extractor.sha256:
            return extractor.extract(x)
        if x is self.samples:
            return self._features_of_samples(extractor)
        key = hashlib.sha256(extractor.identity.encode() + extractor.sha256.encode())
        key.update(str((x.shape, x.dtype)).encode())
        key.update(np.ascontiguousarray(x).data)
        path = self.spec.cache / "features" / f"{key.hexdigest()}.npz"
        if trusted_files.has(path):
            try:
                stored = load_arrays(path)
                return Features(stored["features"], stored.get("probabilities"))
            except (GenbenchError, KeyError):
                path.unlink(missing_ok=True)
        found = extractor.extract(x, device=self.spec.device)
        if all(x is not rows for rows in self._fleeting):
            kept = found.on("cpu")
            arrays: dict[str, Any] = {
                "features": kept.features, "probabilities": kept.probabilities
            }  # fmt: skip
            save_arrays(path, {name: a for name, a in arrays.items() if a is not None})
            trusted_files.add(path)
        return found

    def _features_of_samples(self, extractor: Extractor) -> Features:
        """Features of the cell's samples: several metrics ask for them, and no other cell does."""
        if extractor.identity not in self._made:
            found = extractor.extract(self.samples, device=self.spec.device)
            self._made[extractor.identity] = found
        return self._made[extractor.identity]


def _flat(x: Array) -> npt.NDArray[np.float32]:
    return x.reshape(len(x), -1).astype(np.float32)
