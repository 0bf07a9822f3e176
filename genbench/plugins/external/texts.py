"""Samples as texts: one a line, with labels by tab, or JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from genbench import kinds
from genbench.data import vocabulary_of
from genbench.errors import DataError
from genbench.formats import TEXT_FILES, is_number, parse_texts
from genbench.plugins.external.labels import Found, class_numbers, labels_per_row
from genbench.plugins.external.rows import StagedRows, reading_order
from genbench.tasks import Suite

MOST_BYTES = 1 << 30
_LONG = 4 * 18  # bytes of a text of as many digits as fit into an int64


def is_texts(file: Path) -> bool:
    """Whether a file's name is one of texts."""
    return file.suffix.lower() in TEXT_FILES


def _numbers(labels: Any) -> Any:
    """Labels that are whole numbers all, as such."""
    written = labels.dtype.kind == "U" and all(map(is_number, labels.tolist()))
    return labels.astype(np.int64) if written and labels.dtype.itemsize < _LONG else labels


def read_texts(file: Path, suite: Suite, labels: Path | None) -> StagedRows:
    """The texts of a file that are scored, cut into the suite's vocabulary.

    They are taken as the suite takes its own: white space joined, in lower case where it says so.
    What the vocabulary lacks becomes unknown tokens, and is told. `DataError` as by
    `genbench.formats.parse_texts`, if a text is longer than the space or a label is no class.
    """
    words = vocabulary_of(suite.dataset)
    if words is None or "texts" not in kinds.of(suite.space.kind).scored_from:
        raise DataError(f"{file.name} holds texts, suite {suite.name!r} {suite.space.kind}")
    try:
        if file.stat().st_size > MOST_BYTES:
            raise DataError(f"{file.name} has over {MOST_BYTES >> 30} GiB: give a part of it")
        found = parse_texts(file.read_bytes(), file.name, empty=True)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    if len(found.texts) < 2:
        raise DataError(f"{file.name} holds {len(found.texts)} texts: at least 2 are needed")
    if labels is not None and found.labels is not None:
        raise DataError(f"{file.name} has labels already: leave --labels out")
    if found.labels is not None and not suite.space.classes:
        raise DataError(f"{file.name} has labels, the suite has no classes: leave them out")
    given = found.labels if labels is None else labels_per_row(labels, suite)
    if given is not None and len(given) != len(found.texts):
        raise DataError(f"{file.name} has {len(found.texts)} texts, {len(given)} labels: one each")
    rows = np.sort(reading_order(len(found.texts), suite)[: suite.n_samples])
    encoded = words.encode(
        [words.clean(found.texts[i]) for i in rows],
        suite.space.shape[0],
        lambda i: f"{file.name}, line {found.lines[rows[i]]}",
    )
    chosen, beside = Found(None), labels is not None
    if given is not None:
        y, lines = _numbers(np.asarray(given)[rows]), [found.lines[i] for i in rows]
        chosen = class_numbers(y, suite, file.name, None if beside else lines)
    unknown = f"{encoded.unknown:,} characters or words are not in the suite's vocabulary"
    notes = (chosen.note, unknown if encoded.unknown else "")
    return StagedRows(
        encoded.x, chosen.labels, len(found.texts), file.name, tuple(filter(None, notes))
    )
