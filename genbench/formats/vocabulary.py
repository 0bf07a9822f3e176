"""Vocabularies: from texts to token ids and back.

Token 0 is the padding, which ends a text; token 1 stands for every character (or word) that the
vocabulary lacks. A vocabulary is a JSON file, so that reading a data set trains nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError, shorten

Unit = Literal["characters", "words", "byte-pairs"]
Ids = NDArray[np.int64]

PAD, UNKNOWN = 0, 1
UNKNOWN_TEXT = "\ufffd"
MOST_TOKENS = 1 << 20
PIECE = " ?[^ ]+| +"  # byte pairs never cross the space before a word


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids ``(n, length)`` of n texts, and how many tokens of them are `UNKNOWN`."""

    x: Ids
    unknown: int


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of texts, and how a text is cut into them.

    Parameters
    ----------
    unit
        ``characters``; ``words``, parted by spaces; ``byte-pairs``: characters joined by `merges`,
        the earlier ones first, within a word and the space before it.
    tokens
        The text of each token: of `PAD` none, of `UNKNOWN` the replacement character.
    merges
        The pairs of neighbouring tokens that become one.
    lower
        Whether texts are taken in lower case.
    """

    unit: Unit
    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...] = ()
    lower: bool = False
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)
    _ranks: dict[tuple[str, str], int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {token: i for i, token in enumerate(self.tokens) if i > UNKNOWN}
        object.__setattr__(self, "_ids", ids)
        object.__setattr__(self, "_ranks", {pair: i for i, pair in enumerate(self.merges)})

    @classmethod
    def of_characters(cls, texts: Iterable[str], *, lower: bool = False) -> Vocabulary:
        """The characters that occur in `texts`, in the order of their code points."""
        return cls._of("characters", sorted(set("".join(texts))), lower)

    @classmethod
    def of_words(cls, texts: Iterable[str], *, lower: bool = False) -> Vocabulary:
        """The words that occur in `texts`, in alphabetical order."""
        words = {word for text in texts for word in text.split(" ") if word}
        return cls._of("words", sorted(words), lower)

    @classmethod
    def _of(cls, unit: Unit, tokens: Sequence[str], lower: bool) -> Vocabulary:
        return cls(unit, ("", UNKNOWN_TEXT, *(t for t in tokens if t != UNKNOWN_TEXT)), (), lower)

    @property
    def several_spellings(self) -> bool:
        """Whether one text can be written in several ways, so that a way is less than the text."""
        return bool(self.merges)

    def clean(self, text: str) -> str:
        """A text as the data set has it: white space joined, in lower case if that is asked."""
        joined = " ".join(text.split())
        return joined.lower() if self.lower else joined

    def encode(self, texts: Sequence[str], length: int, where: Callable[[int], str]) -> Encoded:
        """The token ids of clean texts, int64 ``(n, length)``, padded.

        `DataError` if a text has more tokens than `length`; `where` names the text by its number.
        """
        x = np.zeros((len(texts), length), np.int64)
        known: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            ids = self._ids_of(text, known)
            if len(ids) > length:
                raise DataError(
                    f"{where(row)} has {len(ids)} tokens, the suite's space holds {length}: "
                    f"shorten or remove {shorten(text, 60)!r}"
                )
            x[row, : len(ids)] = ids
        return Encoded(x, int((x == UNKNOWN).sum()))

    def longest(self, texts: Sequence[str]) -> int:
        """The greatest number of tokens in a text."""
        known: dict[str, list[int]] = {}
        return max((len(self._ids_of(text, known)) for text in texts), default=0)

    def decode(self, x: Any) -> list[str]:
        """The texts of rows ``(n, length)`` of token ids; each ends at its first padding."""
        glue = " " if self.unit == "words" else ""
        texts = []
        for row in np.asarray(x).tolist():
            end = row.index(PAD) if PAD in row else len(row)
            texts.append(glue.join(self.tokens[i] for i in row[:end]))
        return texts

    def characters(self, x: Any) -> Ids:
        """The length in characters of each row's text, int64 ``(n,)``."""
        rows = np.asarray(x)
        glue = int(self.unit == "words")
        sizes = np.array([len(token) + glue for token in self.tokens], np.int64)
        sizes[PAD] = 0
        inside = np.cumprod(rows != PAD, axis=1)
        total = (sizes[rows] * inside).sum(1)
        return np.asarray(total - glue * (total > 0), np.int64)

    def to_json(self) -> bytes:
        """The file's content."""
        body: dict[str, Any] = {"unit": self.unit, "lower": self.lower, "tokens": self.tokens}
        if self.merges:
            body["merges"] = self.merges
        return json.dumps(body, ensure_ascii=False, indent=0).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, name: str) -> Vocabulary:
        """Read a file that anybody may have written; `DataError` says what is wrong with it."""
        try:
            body = json.loads(content)
            unit, tokens, lower = body["unit"], body["tokens"], body.get("lower", False)
            merges = tuple((str(a), str(b)) for a, b in body.get("merges", ()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{name} is no vocabulary: {error!r}: make the suite anew") from error
        problem = _complaint(unit, tokens, lower, merges)
        if problem is not None:
            raise DataError(f"{name} is no vocabulary: {problem}: make the suite anew")
        return cls(unit, tuple(tokens), merges, lower)

    def _ids_of(self, text: str, known: dict[str, list[int]]) -> list[int]:
        if self.unit == "characters":
            return [self._ids.get(character, UNKNOWN) for character in text]
        if self.unit == "words":
            return [self._ids.get(word, UNKNOWN) for word in text.split(" ") if word]
        ids = []
        for piece in re.findall(PIECE, text):
            if piece not in known:
                known[piece] = [self._ids.get(part, UNKNOWN) for part in self._merged(piece)]
            ids += known[piece]
        return ids

    def _merged(self, piece: str) -> list[str]:
        """The tokens of one piece: the pair that was learnt first is joined first."""
        parts = list(piece)
        while len(parts) > 1:
            ranks = [self._ranks.get(pair, len(self.merges)) for pair in pairwise(parts)]
            best = min(ranks)
            if best == len(self.merges):
                break
            parts = _joined(parts, self.merges[best])
        return parts


def _joined(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """The parts with every occurrence of `pair` as one, from the left."""
    found, i = [], 0
    while i < len(parts):
        if tuple(parts[i : i + 2]) == pair:
            found.append("".join(pair))
            i += 2
        else:
            found.append(parts[i])
            i += 1
    return found


def _complaint(unit: Any, tokens: Any, lower: Any, merges: Any) -> str | None:
    if unit not in get_args(Unit):
        return f"its unit is {unit!r}, not {', '.join(get_args(Unit))}"
    if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
        return "its tokens are no list of texts"
    if tokens[:2] != ["", UNKNOWN_TEXT] or not 2 < len(tokens) <= MOST_TOKENS:
        return f"it has {len(tokens)} tokens, of which the first two are not padding and unknown"
    if len(set(tokens)) != len(tokens):
        return "a token stands in it twice"
    if not isinstance(lower, bool) or bool(merges) != (unit == "byte-pairs"):
        return "lower is no truth value, or merges do not belong to its unit"
    return None


def train_byte_pairs(texts: Sequence[str], size: int, *, lower: bool = False) -> Vocabulary:
    """A vocabulary of `size` tokens of byte pairs, learnt from clean texts by ``tokenizers``.

    `DataError` if that package is missing, or the texts leave nothing to learn.
    """
    letters = set().union(*texts)
    if len(letters) + 3 > size:
        raise DataError(
            f"the texts have {len(letters):,} different characters, which leave no room for pairs "
            f"in a vocabulary of {size:,}: take a larger one, or --tokens characters"
        )
    try:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    except ImportError as error:
        raise DataError(
            "byte pairs are learnt by the package tokenizers: pip install 'genbench[text]', or "
            "choose --tokens characters"
        ) from error
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN_TEXT))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1, special_tokens=[UNKNOWN_TEXT], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = tuple((str(a), str(b)) for a, b in model["merges"])
    if not merges:
        raise DataError("no two characters stand together in the texts: take --tokens characters")
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return Vocabulary("byte-pairs", ("", *tokens), merges, lower)
