"""SNIPS utterances, read from the JSON files as they are published.

A file of the role ``train_INTENT`` or ``validate_INTENT`` holds a list of utterances in pieces; one
of them is Latin-1. All texts are normalised alike: white space joined, in lower case. The texts of
the validation files that also stand in a training file are left out: 11 of 700.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from genbench.data import texts as text_files
from genbench.data.files import check_files, declared, read_checked
from genbench.data.rows import row_range
from genbench.data.split import Split
from genbench.errors import DataError
from genbench.formats import Vocabulary
from genbench.generator import Space

TRAIN, TEST = "train", "validate"
LATIN_1 = "train_PlayMusic"

verify = check_files
vocabulary = text_files.vocabulary


def read(dataset: Mapping[str, Any], space: Space, split: str) -> Split:
    """The split's utterances as token ids, int64 ``(n, length)``, and their intents."""
    rows = row_range(dataset, split)
    words = vocabulary(dataset)
    texts, labels = utterances(dataset, words, rows.file)
    part = text_files.share_of(dataset, split, texts)
    if rows.file != TRAIN:
        known = set(utterances(dataset, words, TRAIN)[0])
        part = [i for i in part if texts[i] not in known]
    name = f"{rows.file} files of {dataset['name']}"
    encoded = words.encode([texts[i] for i in part], space.shape[0], lambda i: f"{name}, {part[i]}")
    return Split(encoded.x, np.array([labels[i] for i in part], np.int64))


def utterances(
    dataset: Mapping[str, Any], words: Vocabulary, part: str
) -> tuple[list[str], list[int]]:
    """All clean texts of the files of one part, and the number of each one's intent."""
    texts: list[str] = []
    labels: list[int] = []
    for number, intent in enumerate(dataset["options"]["labels"]):
        entry = declared(dataset, f"{part}_{intent}")
        coding = "latin-1" if entry["role"] == LATIN_1 else "utf-8"
        found = _utterances(read_checked(dataset, entry), intent, coding, entry["path"])
        texts += [words.clean(text) for text in found]
        labels += [number] * len(found)
    return texts, labels


def _utterances(content: bytes, intent: str, coding: str, name: str) -> list[str]:
    try:
        rows = json.loads(content.decode(coding))[intent]
        return ["".join(piece["text"] for piece in row["data"]) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"data file {name} is not as published ({error!r}): run `genbench data fetch snips`"
        ) from error
