"""All batches of a folder or an archive in one of CIFAR's layouts, with their classes' names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError
from genbench.formats.cifarbatches import Batch, binary_batch, pickled_batch, pickled_names
from genbench.formats.mediafiles import BadFile, Folder
from genbench.formats.tarfiles import MOST_BYTES, read_tar, tar_names

EXPECTED = (
    "expected data_batch_1 and so on as pickles, or data_batch_1.bin and so on, and the classes in "
    "batches.meta or batches.meta.txt; or train and test, or train.bin and test.bin, and the "
    "classes in meta or fine_label_names.txt, as CIFAR-100 has them"
)


@dataclass(frozen=True, slots=True)
class _Family:
    """What the batches of CIFAR-10, or of CIFAR-100, are called and how they name classes.

    `batch` is a pattern of a batch's name without its ending, `metas` are the files of the classes'
    names, pickled and as text, under `key` in the former; of `columns` of labels, called `labels`
    in a pickle, the last counts.
    """

    batch: str
    metas: tuple[str, str]
    key: str
    labels: str
    columns: int

    def pickled(self, names: Iterable[str]) -> list[str]:
        """Its pickled batches among files."""
        return sorted(n for n in names if re.fullmatch(self.batch, n))

    def binary(self, names: Iterable[str]) -> list[str]:
        """Its binary batches among files."""
        return sorted(n for n in names if re.fullmatch(self.batch + r"\.bin", n))

    def parse(self, content: bytes, batch: str, name: str) -> Batch:
        """A `batch` of which an error says that it is called `name`."""
        if batch.endswith(".bin"):
            return binary_batch(content, name, self.columns)
        return pickled_batch(content, name, self.labels)

    def classes(self, content: bytes, meta: str, name: str) -> tuple[str, ...]:
        """The names in a file `meta`."""
        if meta == self.metas[0]:
            return pickled_names(content, name, self.key)
        lines = content.decode("utf-8", "replace").splitlines()
        return tuple(line.strip() for line in lines if line.strip())


_TEN = _Family(r"[^.]*batch[^.]*", ("batches.meta", "batches.meta.txt"), "label_names", "labels", 1)
_HUNDRED = _Family(
    "(?:train|test)", ("meta", "fine_label_names.txt"), "fine_label_names", "fine_labels", 2
)


@dataclass(frozen=True, slots=True)
class BatchSet:
    """The pictures of all batches, uint8 ``(n, 3, 32, 32)``, their classes int64 ``(n,)``.

    `classes` are named by number; `batches` is what was read, in its order.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    classes: tuple[str, ...]
    batches: tuple[str, ...]


def read_batches(place: Path, unpack: Callable[[bytes, str], bytes]) -> BatchSet:
    """Every batch that lies in the folder, or in the tar, that `place` is.

    `unpack` takes a file's content, which may be gzipped, and its name, and gives the tar.
    `DataError` if there is none, both layouts are there, one of them is broken or holds a label
    that has no name.
    """
    names, read = _of_folder(place) if place.is_dir() else _of_tar(place, unpack)
    family = _HUNDRED if not _TEN.pickled(names) + _TEN.binary(names) else _TEN
    batches = _one_layout(place, family.pickled(names), family.binary(names))
    meta = next((name for name in family.metas if name in names), None)
    contents = read([*batches, *([meta] if meta else [])])
    found = [family.parse(contents[name], name, f"{place.name}/{name}") for name in batches]
    named = family.classes(contents[meta], meta, f"{place.name}/{meta}") if meta else None
    classes = _classes(place, found, batches, named, meta)
    x = np.concatenate([batch.x for batch in found]).transpose(0, 3, 1, 2)
    y = np.concatenate([batch.y for batch in found])
    return BatchSet(np.ascontiguousarray(x), y, classes, tuple(batches))


def _of_folder(place: Path) -> tuple[list[str], Callable[[Iterable[str]], dict[str, bytes]]]:
    try:
        names = sorted(path.name for path in place.iterdir() if not path.is_dir())
    except OSError as error:
        raise DataError(f"cannot list {place}: {error.strerror or error}") from error

    def read(wanted: Iterable[str]) -> dict[str, bytes]:
        contents = {}
        for name in wanted:
            try:
                contents[name] = Folder(place, most=MOST_BYTES).read(name)
            except BadFile as error:
                raise DataError(f"{place / name} {error}: restore it from its source") from error
        return contents

    return names, read


def _of_tar(
    place: Path, unpack: Callable[[bytes, str], bytes]
) -> tuple[list[str], Callable[[Iterable[str]], dict[str, bytes]]]:
    try:
        data = unpack(place.read_bytes(), place.name)
    except OSError as error:
        raise DataError(f"cannot read {place}: {error.strerror or error}") from error
    return tar_names(data, place.name), lambda wanted: read_tar(data, place.name, list(wanted))


def _one_layout(place: Path, pickled: list[str], binary: list[str]) -> list[str]:
    """The batches' names, of which all are of one layout."""
    if pickled and binary:
        raise DataError(
            f"{place} holds batches of both layouts, {pickled[0]} and {binary[0]}: keep those of "
            "one, or the pictures may be there twice"
        )
    if not pickled and not binary:
        raise DataError(f"{place} holds no batches: {EXPECTED}")
    return pickled or binary


def _classes(
    place: Path, found: list[Batch], batches: list[str], names: tuple[str, ...] | None,
    meta: str | None,
) -> tuple[str, ...]:  # fmt: skip
    """The names of the classes; their numbers where nothing names them."""
    if names is None:
        most = max(int(batch.y.max()) for batch in found)
        return tuple(str(number) for number in range(most + 1))
    if len(set(names)) != len(names):
        raise DataError(f"{place.name}/{meta} names a class twice: give each a name of its own")
    for batch, name in zip(found, batches, strict=True):
        strange = sorted({int(v) for v in batch.y if not 0 <= v < len(names)})
        if strange:
            raise DataError(
                f"{place.name}/{name} has the label {strange[0]}, {meta} names {len(names)} "
                "classes, 0 and up: correct either"
            )
    return names
