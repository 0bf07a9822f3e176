"""A user's file of texts: cut into a vocabulary that its train split decides."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench import kinds
from genbench.data import COPIES, LABELS, VOCABULARY, label_lines, share_of, text_digest
from genbench.errors import DataError, UsageError
from genbench.features import fit_texts
from genbench.formats import (
    PAD,
    Texts,
    Unit,
    Vocabulary,
    in_order,
    parse_texts,
    train_byte_pairs,
)
from genbench.generator import Space
from genbench.tasks.new.copies import find_copies
from genbench.tasks.new.extractor import OwnExtractor
from genbench.tasks.new.sources import Source, file_entry, one_file

KIND = "sequence"
BYTE_PAIRS = 1500
FEW_WORDS = 3  # spaces in a text: below that it is compared by characters
LONGEST = 4096  # tokens: what generators of genbench can be expected to hold
FEWEST_TOKENS, MOST_TOKENS = 64, 100_000


@dataclass(frozen=True, slots=True)
class Cutting:
    """How texts are cut: into ``characters``, ``words`` or ``byte-pairs``, so many of the last."""

    unit: Unit = "characters"
    size: int = BYTE_PAIRS
    lower: bool = False
    labels: Path | None = None


def text_source(
    name: str, file: Path, folder: Path, cutting: Cutting, shares: tuple[float, float, float]
) -> Source:
    """Texts of a ``.txt``, ``.tsv`` or ``.jsonl`` with a vocabulary of those that train gets.

    `DataError` as by `genbench.formats.parse_texts`, if a text is too long, or the labels are none.
    """
    if not FEWEST_TOKENS <= cutting.size <= MOST_TOKENS:
        what = f"a vocabulary of {cutting.size} byte pairs"
        raise UsageError(f"{what}: give {FEWEST_TOKENS} to {MOST_TOKENS:,} tokens")
    found = parse_texts(_read(file), file.name)
    dataset, role = one_file({"name": name, "loader": "text"}, file, folder)
    labels = _labels(dataset, found, file, cutting.labels)
    texts = [_cleaner(cutting).clean(text) for text in found.texts]
    copies = find_copies(list(map(text_digest, texts)), labels)
    choice = copies.choice(kinds.of(KIND), min(shares))
    split = {"train": {"file": role, "share": [0.0, round(shares[0], 9)]}, COPIES: choice}
    train = share_of({**dataset, "split": split}, "train", texts)
    words = _vocabulary([texts[i] for i in train], cutting)
    longest = _longest(words, texts, found, file.name)
    content = {f"{name}-vocabulary.json": words.to_json()}
    dataset["files"] += [file_entry(VOCABULARY, *entry) for entry in content.items()]
    space = Space(KIND, (longest,), len(words.tokens), pad=PAD)
    if labels is not None:
        space, more = _with_classes(space, labels, file.name)
        dataset |= more
    notes = _notes(words, texts, longest, cutting, labels)
    told = "White space joined, in lower case." if cutting.lower else "White space joined."
    by_words = sum(text.count(" ") for text in texts) >= FEW_WORDS * len(texts)
    return Source(space, dataset, role, copies, content, notes, told, by_words)


def _cleaner(cutting: Cutting) -> Vocabulary:
    return Vocabulary.of_characters((), lower=cutting.lower)


def _labels(
    dataset: dict[str, Any], found: Texts, file: Path, beside: Path | None
) -> list[str] | None:
    """The labels, in the texts' file or in one beside it, which is put into the data set."""
    if beside is None:
        return found.labels
    if found.labels is not None:
        raise DataError(f"{file.name} has labels already: leave --labels out")
    if beside.resolve().parent != file.resolve().parent:
        raise DataError(f"{beside.name} does not lie beside {file.name}: put it there")
    content = _read(beside)
    dataset["files"].append(file_entry(LABELS, beside.name, content))
    return label_lines(content, beside.name, len(found.texts))


def _notes(
    words: Vocabulary, texts: list[str], longest: int, cutting: Cutting, labels: list[str] | None
) -> tuple[str, ...]:
    first = f"{len(words.tokens):,} tokens ({cutting.unit}), texts of up to {longest}"
    unknown = words.encode(texts, longest, lambda i: "a text").unknown
    bare = ('no labels: give them by tab in a .tsv, as "label" in JSON lines, or by --labels',)
    told = (first, *(bare if labels is None else ()))
    if not unknown:
        return told
    return (
        *told,
        f"{unknown:,} tokens of all texts are unknown to the vocabulary, which knows the train "
        "split alone: each counts as one unknown token",
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error


def _vocabulary(train: list[str], cutting: Cutting) -> Vocabulary:
    if not train:
        raise DataError("no text falls into the train split: give more of them")
    if cutting.unit == "byte-pairs":
        return train_byte_pairs(train, cutting.size, lower=cutting.lower)
    make = Vocabulary.of_words if cutting.unit == "words" else Vocabulary.of_characters
    return make(train, lower=cutting.lower)


def _longest(words: Vocabulary, texts: list[str], found: Texts, name: str) -> int:
    longest = words.longest(texts)
    if longest > LONGEST:
        words.encode(texts, LONGEST, lambda i: f"{name}, line {found.lines[i]}")  # says which
    return longest


def _with_classes(space: Space, labels: list[str], name: str) -> tuple[Space, dict[str, Any]]:
    classes = in_order(set(labels))
    if len(classes) < 2 or len(classes) > len(labels) / 2:
        raise DataError(
            f"{name} has {len(classes)} different labels for {len(labels)} texts: give classes of "
            "several texts each, at least two of them, or no labels"
        )
    named = Space(space.kind, space.shape, space.levels, len(classes), space.pad)
    return named, {"class_names": classes, "options": {"labels": classes}}


def text_extractor(suite: str, x: Any, space: Space, words: Vocabulary | None) -> OwnExtractor:
    """Features of n-grams fitted to the train split's token ids `x` ``(n, length)``."""
    assert words is not None, "a suite of texts has a vocabulary"
    info, data = fit_texts(
        f"{suite}-tfidf", x, space, words, f"the {len(x):,} rows of the suite's train split"
    )
    table = {
        "name": info.name,
        "version": info.version,
        "path": info.file,
        "sha256": info.sha256,
        "trained_on": info.trained_on,
    }
    return OwnExtractor(table, data)
