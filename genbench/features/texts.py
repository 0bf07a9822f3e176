r"""Texts as vectors: hashed n-grams of characters, weighted, on the main directions of real ones.

A text between marks of its start and end is counted in n-grams of 1 to 4 characters, each hashed
into one of 4,096 buckets. A bucket's weight is :math:`(1 + \ln tf) (1 + \ln (1 + n) / (1 + df))`
(Salton & Buckley 1988, doi:10.1016/0306-4573(88)90021-0), a text's vector is scaled to length 1 and
projected on the first singular vectors of the train split's (latent semantic analysis, Deerwester
et al. 1990). One number scales all features, so that the training rows' mean variance is 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_arrays
from safetensors.numpy import save as serialise
from threadpoolctl import threadpool_limits

from genbench.errors import ContractError, DataError
from genbench.features.extractors import TFIDF, ExtractorInfo, Features
from genbench.features.weights import checked_weights
from genbench.formats import Vocabulary
from genbench.generator import Space

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BUCKETS = 4096
LONGEST = 4  # characters of an n-gram
DIMS = 64
START, END = "\x02", "\x03"


class TextExtractor:
    """The map from token ids to features; its weights hold the vocabulary that spells them.

    Parameters
    ----------
    data
        The weights' file: ``rarity`` ``(BUCKETS,)``, ``projection`` ``(BUCKETS, d)`` and the
        vocabulary's JSON as bytes.

    Raises
    ------
    DataError
        If it is of another form.
    """

    def __init__(self, info: ExtractorInfo, data: bytes) -> None:
        self.name = info.name
        self.version = info.version
        self.sha256 = info.sha256
        self.identity = info.identity
        self._info = info
        try:
            arrays = parse_arrays(data)
            self._rarity = arrays["rarity"].astype(np.float64)
            self._projection = arrays["projection"].astype(np.float64)
            words = arrays["vocabulary"].tobytes()
        except (SafetensorError, KeyError) as error:
            raise DataError(f"weights {info.file} are not of texts: {error!r}") from error
        self.vocabulary = Vocabulary.from_json(words, info.file)

    def extract(
        self,
        x: Tensor | NDArray[Any],
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 1000,
    ) -> Features:
        """Features of token ids `x`, int64 ``(n, length)``; made on the CPU, moved to `device`.

        `ContractError` if they are not of the suite's space.
        """
        rows = x if isinstance(x, np.ndarray) else x.detach().cpu().numpy()
        if rows.shape[1:] != self._info.shape or rows.dtype != np.int64:
            raise ContractError(
                f"extractor {self.name} got {rows.dtype} rows of shape {rows.shape[1:]}, expected "
                f"int64 of shape {self._info.shape}: pass samples of the suite's space"
            )
        found = np.empty((len(rows), self._projection.shape[1]), np.float32)
        for start in range(0, len(rows), batch_size):
            part = slice(start, start + batch_size)
            counted = ngram_counts(self.vocabulary.decode(rows[part]))
            found[part] = weighed_counts(counted, self._rarity) @ self._projection
        return Features(found, None).on(str(device))


def ngram_counts(texts: Sequence[str], buckets: int = BUCKETS) -> Any:
    """Occurrences of hashed runs of 1 to `LONGEST` characters, sparse ``(n, buckets)``."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashed = HashingVectorizer(
        analyzer="char", ngram_range=(1, LONGEST), n_features=buckets, lowercase=False,
        alternate_sign=False, norm=None, dtype=np.float64,
    )  # fmt: skip
    return hashed.transform([f"{START}{text}{END}" for text in texts])


def weighed_counts(counted: Any, rarity: NDArray[np.float64]) -> Any:
    """The weighted counts of each text, scaled to length 1."""
    from scipy import sparse

    weighted = counted.copy()
    weighted.data = (1 + np.log(weighted.data)) * rarity[weighted.indices]
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.diags(1 / length) @ weighted


def fit_texts(
    name: str, x: NDArray[np.int64], space: Space, words: Vocabulary, trained_on: str
) -> tuple[ExtractorInfo, bytes]:
    """Fit the features to a train split's token ids ``(n, length)``; entry and weights' file."""
    counted = ngram_counts(words.decode(x))
    rarity = 1 + np.log((1 + len(x)) / (1 + counted.getnnz(axis=0)))
    weighted = weighed_counts(counted, rarity)
    dims = min(DIMS, len(x) - 1)  # as many as there can be
    projection = _directions(weighted, dims)
    features = weighted @ projection
    projection /= np.sqrt(features.var(axis=0, ddof=1).mean())
    data = serialise({
        "rarity": rarity.astype(np.float32),
        "projection": projection.astype(np.float16),
        "vocabulary": np.frombuffer(words.to_json(), np.uint8),
    })  # fmt: skip
    info = ExtractorInfo(
        name=name, version="1", kind=space.kind, shape=space.shape, levels=space.levels,
        dims=dims, file=f"{name}-1.safetensors", sha256=hashlib.sha256(data).hexdigest(),
        trained_on=trained_on, network=TFIDF,
    )  # fmt: skip
    return info, data


def _directions(weighted: Any, dims: int) -> NDArray[np.float64]:
    """The first right singular vectors ``(BUCKETS, dims)``, each with its largest entry positive.

    On one thread and from a fixed start, so that the same rows give the same bytes.
    """
    from scipy.sparse.linalg import svds

    start = np.ones(min(weighted.shape))
    with threadpool_limits(1):
        values, rows = svds(weighted, dims, v0=start, return_singular_vectors="vh")[1:]
    vectors = rows[np.argsort(-values)].T
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(dims)]
    return np.asarray(vectors * np.sign(largest), np.float64)


def load_texts(info: ExtractorInfo, source: Path) -> TextExtractor:
    """The extractor whose weights lie in a file; `DataError` if they are not what `info` says."""
    return TextExtractor(info, checked_weights(info, source))
