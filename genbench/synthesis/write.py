"""The folder of a synthesised data set: rows, arrays, card and metadata, all or nothing."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genbench.errors import UsageError
from genbench.formats import (
    ARRAYS,
    CLASSES,
    IMAGES,
    METADATA,
    SOUNDS,
    TEXTS,
    Vocabulary,
    wav_bytes,
)
from genbench.synthesis.build import Array, Built
from genbench.synthesis.card import Provenance, croissant, readme
from genbench.system import npz_bytes

CARD = "README.md"
_FOLDER = re.compile(r"[\w#+-][\w #+-]{0,62}(?<! )")


def require_free(out: Path, overwrite: bool) -> None:
    """Refuse to write over anything but an earlier data set of ours that may be replaced.

    `UsageError` if `out` is a file, or a folder with other content, or may not be overwritten.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file: give a folder with -o")
    names = {path.name for path in out.iterdir()}
    if not names:
        return
    if not names <= {IMAGES, SOUNDS, TEXTS, ARRAYS, METADATA, CARD}:
        raise UsageError(f"{out} holds other files: give an empty or new folder with -o")
    if not overwrite:
        raise UsageError(f"{out} holds a data set already: pass --overwrite to replace it")


def write(
    out: Path,
    built: Built,
    provenance: Provenance,
    progress: Callable[[int, int], None],
    words: Vocabulary | None = None,
) -> Provenance:
    """Write everything to a folder beside `out`, then put it in its place.

    Rows are written as pictures, as sounds, or as texts where there are `words` to spell them. The
    same rows and the same record give the same bytes.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
        folder = Path(name) / "set"
        folder.mkdir()
        names = provenance.suite.document["dataset"].get("class_names")
        data = _arrays(built, names)
        (folder / ARRAYS).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        provenance = replace(provenance, arrays_sha256=digest, arrays_bytes=len(data))
        space = provenance.suite.space
        if words is not None:
            _texts(folder / TEXTS, built, words, names, progress)
        elif provenance.files == SOUNDS:
            classes = class_folders(names or (), space.classes)
            encode = partial(wav_bytes, rate=space.rate)
            _files(folder / SOUNDS, ".wav", built, classes, encode, progress)
        else:
            classes = [str(c) for c in range(space.classes)]
            encode = partial(_png, top=space.levels - 1)
            _files(folder / IMAGES, ".png", built, classes, encode, progress)
        metadata = json.dumps(croissant(provenance), indent=2, sort_keys=True) + "\n"
        (folder / METADATA).write_text(metadata, encoding="utf-8")
        (folder / CARD).write_text(readme(provenance), encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        folder.replace(out)
    return provenance


def _files(
    folder: Path, suffix: str, built: Built, classes: Sequence[str],
    encode: Callable[[Array], bytes], progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Write each row as ``SPLIT/CLASS/NUMBER`` with the suffix."""
    total, done = sum(len(x) for x, _ in built.splits.values()), 0
    for split, (x, y) in built.splits.items():
        for i in range(len(x)):
            label = "-" if y is None else classes[int(y[i])]
            path = folder / split / label / f"{i:06d}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(x[i]))
            done += 1
            if done % 500 == 0 or done == total:
                progress(done, total)


def class_folders(names: Sequence[str], classes: int) -> list[str]:
    """The folder of each class: its name, if all are names that every file system takes.

    Otherwise their numbers.
    """
    usable = all(_FOLDER.fullmatch(name) for name in names)
    if names and usable and len({name.casefold() for name in names}) == classes:
        return list(names)
    return [str(c) for c in range(classes)]


def _texts(
    folder: Path, built: Built, words: Vocabulary, names: Sequence[str] | None,
    progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Write each split as ``SPLIT.jsonl``, a line ``{"text": ..., "label": ...}`` for each row."""
    folder.mkdir()
    total, done = sum(len(x) for x, _ in built.splits.values()), 0
    for split, (x, y) in built.splits.items():
        rows: list[dict[str, Any]] = [{"text": text} for text in words.decode(x)]
        if y is not None:
            for row, label in zip(rows, y.tolist(), strict=True):
                row["label"] = names[label] if names else label
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
        done += len(rows)
        progress(done, total)


def _arrays(built: Built, class_names: Sequence[str] | None) -> bytes:
    arrays: dict[str, Array] = {}
    if class_names:
        arrays[CLASSES] = np.array(class_names)
    for split, (x, y) in built.splits.items():
        arrays[f"x_{split}"] = x
        if y is not None:
            arrays[f"y_{split}"] = y
    return npz_bytes(arrays)


def _png(x: Array, top: int) -> bytes:
    """`_picture` as a file."""
    buffer = io.BytesIO()
    _picture(x, top).save(buffer, "PNG", optimize=False)
    return buffer.getvalue()


def _picture(x: Array, top: int) -> Image.Image:
    """An 8-bit picture of one row ``(C, H, W)`` with levels ``0 .. top``."""
    stretched = np.round(x.astype(np.float64) * (255 / top)).astype(np.uint8)
    if len(stretched) == 1:
        return Image.fromarray(stretched[0], "L")
    return Image.fromarray(np.ascontiguousarray(stretched.transpose(1, 2, 0)), "RGB")
