"""Texts from a file of the role that a split names, cut into the suite's vocabulary.

The file is of any form that `genbench.formats.parse_texts` reads; the vocabulary is a file of the
role ``vocabulary`` (`genbench.formats.Vocabulary`). Labels stand beside the texts, or in a file of
the role ``labels``, one a line. ``[dataset.options] labels`` holds the labels
of the classes in the order of their numbers. A row's place among the shares is decided by its
clean text, whatever its label: no text is in two splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genbench.data.files import check_files, declared, read_checked
from genbench.data.rows import places, row_range
from genbench.data.split import Split
from genbench.errors import DataError, UsageError
from genbench.formats import Vocabulary, parse_texts, require_label
from genbench.generator import Space

VOCABULARY, LABELS = "vocabulary", "labels"

verify = check_files


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's texts as token ids, int64 ``(n, length)``, and their classes."""
    rows = row_range(dataset, split)
    entry = declared(dataset, rows.file)
    words = vocabulary(dataset)
    found = parse_texts(read_checked(dataset, entry), entry["path"])
    texts = [words.clean(text) for text in found.texts]
    part = share_of(dataset, split, texts)
    names = [f"{entry['path']}, line {found.lines[i]}" for i in part]
    x = words.encode([texts[i] for i in part], space.shape[0], names.__getitem__).x
    if not space.classes:
        return Split(x, None)
    labels = _labels(dataset, len(texts)) if found.labels is None else found.labels
    return Split(x, class_numbers(dataset, [labels[i] for i in part], entry["path"]))


def vocabulary(dataset: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary that the suite's file of that role holds."""
    entry = declared(dataset, VOCABULARY)
    return Vocabulary.from_json(read_checked(dataset, entry), entry["path"])


def _labels(dataset: Mapping[str, Any], n: int) -> list[str]:
    entry = declared(dataset, LABELS)
    return label_lines(read_checked(dataset, entry), entry["path"], n)


def label_lines(content: bytes, name: str, n: int) -> list[str]:
    """The labels of `n` texts, one a line; `DataError` if they are not as many or not UTF-8."""
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8: save it so") from error
    labels = lines[:-1] if lines[-1] == "" else lines
    if len(labels) != n:
        raise DataError(f"{name} has {len(labels)} labels for {n} texts: give one a line, each")
    return [require_label(label, f"{name}, line {i}") for i, label in enumerate(labels, start=1)]


def share_of(dataset: Mapping[str, Any], split: str, texts: Sequence[str]) -> list[int]:
    """The numbers of the split's texts among all of a file's."""
    rows = row_range(dataset, split)
    chosen = rows.chosen(len(texts), lambda: places(dataset, list(map(text_digest, texts))))
    return [int(i) for i in chosen]


def text_digest(text: str) -> str:
    """SHA-256 of a text, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def class_numbers(dataset: Mapping[str, Any], labels: Sequence[str], name: str) -> Any:
    """The number of the class that each label names, int64 ``(n,)``."""
    known = dataset.get("options", {}).get("labels")
    if not isinstance(known, list) or len(set(map(str, known))) != len(known):
        raise UsageError(
            f"data set {dataset['name']!r} has options labels {known!r}: name each class once"
        )
    number = {str(label): i for i, label in enumerate(known)}
    strange = next((label for label in labels if label not in number), None)
    if strange is not None:
        raise DataError(
            f"data file {name} has the label {strange!r}, which is none of [dataset.options] "
            "labels: correct it"
        )
    return np.array([number[label] for label in labels], np.int64)
