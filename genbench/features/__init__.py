"""Extractors: frozen, named, versioned, hashed networks that map samples to features.

Importing this package imports no torch; `list_extractors` reads a table that ships with the
weights, `load_extractor` builds the network and checks the weights against that table.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genbench.errors import UsageError, did_you_mean
from genbench.generator import Space

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Array = NDArray[Any]

__all__ = ["Extractor", "ExtractorInfo", "Features", "list_extractors", "load_extractor"]

IDENTITY = "identity"
INCEPTION = "inception-v3-compat"


@dataclass(frozen=True, slots=True)
class Features:
    """What an extractor makes of n samples.

    Parameters
    ----------
    features
        float32 ``(n, d)``.
    probabilities
        float32 ``(n, classes)`` whose rows sum to one, or None where it is no classifier.
    """

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class ExtractorInfo:
    """What is known about an extractor without loading it.

    Parameters
    ----------
    name, version
        Raise the version whenever the same samples would get other features.
    kind
        The kind of `Space` it reads.
    shape, levels, classes
        The space it was trained for; an empty shape means any.
    dims
        Number of features; 0 where that depends on the space.
    file, sha256
        The weights within ``genbench.suites/weights`` and the digest of that file; empty for none.
    accuracy
        Share of the official test rows classified correctly, if it is a classifier.
    trained_on
        Exactly which rows it has seen.
    licence
        Under which terms the weights may be used.
    channels
        Widths of the convolutions of a `genbench.features.network.ClassifierNet`; for Inception
        the numbers of image channels that it reads.
    """

    name: str
    version: str
    kind: str
    shape: tuple[int, ...] = ()
    levels: int = 0
    classes: int = 0
    dims: int = 0
    file: str = ""
    sha256: str = ""
    accuracy: float | None = None
    trained_on: str = ""
    licence: str = ""
    channels: tuple[int, ...] = ()

    @property
    def identity(self) -> str:
        """Name, version and the first eight digits of the weights' hash, for signatures."""
        digits = f":{self.sha256[:8]}" if self.sha256 else ""
        return f"{self.name}/{self.version}{digits}"

    def mismatch(self, space: Space) -> str | None:
        """Why this extractor cannot read samples of `space`, or None if it can."""
        if self.kind != space.kind:
            return f"reads {self.kind}, the suite has {space.kind}"
        if self.shape and self.shape != space.shape:
            return f"reads shape {self.shape}, the suite has {space.shape}"
        if self.levels and self.levels != space.levels:
            return f"reads {self.levels} levels, the suite has {space.levels}"
        if self.name == INCEPTION and space.shape[0] not in self.channels:
            return f"reads 1 or 3 channels, the suite has {space.shape[0]}"
        return None


class Extractor(Protocol):
    """A frozen map from samples to features and class probabilities."""

    name: str
    version: str
    sha256: str
    identity: str

    def extract(
        self,
        x: Tensor | Array,
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 1000,
    ) -> Features:
        """Features of samples `x` in float32; the batch size changes nothing but float noise."""


@cache
def _table() -> dict[str, ExtractorInfo]:
    text = (resources.files("genbench.suites") / "weights" / "extractors.json").read_text("utf-8")
    entries = {}
    for name, body in json.loads(text).items():
        body = {key: tuple(v) if isinstance(v, list) else v for key, v in body.items()}
        entries[name] = ExtractorInfo(name=name, **body)
    entries[IDENTITY] = ExtractorInfo(IDENTITY, "1", "points", licence="no weights")
    entries[INCEPTION] = ExtractorInfo(
        INCEPTION, "1", "image", dims=2048, trained_on="ImageNet", channels=(1, 3),
        licence="Apache-2.0; the weights do not ship: `genbench data fetch inception-v3-compat`",
    )  # fmt: skip
    return entries


def list_extractors() -> dict[str, ExtractorInfo]:
    """Every extractor by name, from the table that ships with the weights."""
    return dict(sorted(_table().items()))


def load_extractor(name: str, space: Space) -> Extractor:
    """The extractor called `name`, ready for samples of `space`.

    Raises
    ------
    UsageError
        If there is no such extractor, or it does not read samples of this space.
    DataError
        If its weights are missing or are not those that the table's hash names.
    """
    known = list_extractors()
    if name not in known:
        raise UsageError(f"there is no extractor {name!r}: {did_you_mean(name, known)}")
    info = known[name]
    problem = info.mismatch(space)
    if problem is not None:
        fitting = [other for other, i in known.items() if i.mismatch(space) is None]
        raise UsageError(
            f"extractor {name!r} {problem}: use {' or '.join(fitting) or 'one of your own'}"
        )
    if name == IDENTITY:
        from genbench.features.identity import IdentityExtractor

        return IdentityExtractor(info, space)
    if name == INCEPTION:
        from genbench.features.inception import load_inception

        return load_inception(info, space)
    from genbench.features.classifier import load_classifier

    return load_classifier(info)
