"""Samples made elsewhere, as a row of the leaderboard."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench import kinds
from genbench.errors import DataError
from genbench.formats import ARRAYS, synthesised
from genbench.plugins.choice import GeneratorChoice
from genbench.plugins.external.arrays import read_arrays, rows_of
from genbench.plugins.external.images import read_images
from genbench.plugins.external.media import OnBad
from genbench.plugins.external.rows import StagedRows
from genbench.plugins.external.sounds import read_sounds
from genbench.plugins.external.tables import read_table
from genbench.plugins.external.texts import is_texts, read_texts
from genbench.plugins.finding import Description, GeneratorRef
from genbench.results import CACHE, Store
from genbench.tasks import Suite

__all__ = ["OnBad", "Staged", "samples_path", "stage"]

FAMILY = "scored"

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Staged:
    """The row that samples make, and what their owner should know about how they were read."""

    choice: GeneratorChoice
    notes: tuple[str, ...]


def stage(
    samples: Path | Array | tuple[Array, Array | None],
    suite: Suite,
    name: str | None,
    store: Store,
    *,
    labels: Path | None = None,
    on_bad: OnBad = "fail",
) -> Staged:
    """Check samples, keep what will be scored of them, and return the row they make.

    Of more rows than the suite asks for, a seeded subset is read; fewer make an unranked row.

    Parameters
    ----------
    samples
        A file of arrays with ``x`` and, if labelled, ``y`` (npz, npy, pt, safetensors); a CSV of
        points; texts (txt, tsv, jsonl); a folder or zip of images or sounds; a data set that
        `genbench synthesize` wrote; or the arrays themselves, ``x`` or ``(x, y)``.
    name
        The row's name; any text in any script, made into a name.
    labels
        For arrays and texts: an ``.npy`` of labels, or a text with one per line. For images and
        sounds: a ``.csv`` with ``file,label``; without it, folders named like the classes are the
        labels.
    on_bad
        ``skip`` leaves out image and sound files that are not of the suite's space; ``fail`` names
        them.

    Raises
    ------
    DataError
        If the samples cannot be read, or are not of the suite's space.
    """
    if not isinstance(samples, Path):
        title = name or "samples"
        rows = rows_of(samples, suite, title)
    else:
        title = name or samples.stem
        if not samples.exists():
            what = "give arrays, a CSV, texts, or a folder or zip of images or sounds"
            raise DataError(f"no samples at {samples}: {what}")
        if samples.is_dir() and synthesised(samples):
            rows = read_arrays(samples / ARRAYS, suite, labels)
        elif samples.suffix.lower() == ".csv":
            if labels is not None:
                what = "holds points, which have no labels: leave them out"
                raise DataError(f"{samples.name} {what}")
            rows = read_table(samples, suite)
        elif is_texts(samples):
            rows = read_texts(samples, suite, labels)
        elif samples.is_dir() or samples.suffix.lower() == ".zip":
            sounds = "sounds" in kinds.of(suite.space.kind).scored_from
            rows = (read_sounds if sounds else read_images)(samples, suite, labels, on_bad)
        else:
            rows = read_arrays(samples, suite, labels)
    called = _slug(title)
    notes = (*_renamed(name, called), *rows.notes, *_short(rows, suite))
    return Staged(_keep(rows, suite, called, store), notes)


def samples_path(cache: Path, source: str) -> Path:
    """The path of staged samples with this digest."""
    return cache / "external" / f"{source}.npz"


def _keep(rows: StagedRows, suite: Suite, title: str, store: Store) -> GeneratorChoice:
    from genbench.system import save_arrays

    arrays = {"x": np.ascontiguousarray(rows.x)}
    if rows.y is not None:
        arrays["y"] = rows.y
    key = hashlib.sha256()
    for array in arrays.values():
        key.update(array.data)
    source = key.hexdigest()
    save_arrays(samples_path(store.root / CACHE, source), arrays)
    description = Description(
        name=title,
        version="1",
        family=FAMILY,
        kinds=(suite.space.kind,),
        labels="none" if rows.y is None else "own",
        likelihood=None,
        reference="",
        pretrained_on="unknown: samples made outside genbench",
        summary=f"{len(rows.x):,} of {rows.total:,} samples from {rows.origin}",
        source=source,
        parameters=(),
        unranked=" ".join(_short(rows, suite)),
    )
    return GeneratorChoice(GeneratorRef(title, "", "samples from outside"), description, {})


def _short(rows: StagedRows, suite: Suite) -> tuple[str, ...]:
    """The reasons that the row is not ranked; empty if it is."""
    if len(rows.x) >= suite.n_samples:
        return ()
    return (
        f"{len(rows.x):,} of the {suite.n_samples:,} samples that the suite asks for: "
        "scored, not ranked",
    )


def _renamed(name: str | None, called: str) -> tuple[str, ...]:
    if name is None or name == called:
        return ()
    return (f"the row is called {called}: a name is made of small letters, digits and hyphens",)


def _slug(text: str) -> str:
    """A name in the script of `text`: its letters with their marks and joiners, digits, hyphens."""
    # Python reads what is typed in an ASCII locale byte by byte.
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    kept = (c if _names(c) else "-" for c in unicodedata.normalize("NFC", text.lower()))
    slug = re.sub("-+", "-", "".join(kept)).strip("-\u200c\u200d")
    return slug[:64].strip("-\u200c\u200d") or "samples"


def _names(character: str) -> bool:
    """Whether a character is of a word: a letter, a mark upon one, a digit, a joiner."""
    return character in "\u200c\u200d" or unicodedata.category(character)[0] in "LMN"
