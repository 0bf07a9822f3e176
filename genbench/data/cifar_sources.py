"""Where CIFAR-10's pictures lie and how they are read: every layout that people have them in.

Official archives, python or binary, packed or not; the folders that they unpack to, as torchvision
keeps them; class folders of image files, as they are or as one zip a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from genbench.data.cifar_identity import NAMED, Pictures
from genbench.data.files import gunzipped
from genbench.errors import DataError
from genbench.formats import (
    CIFAR_SIDE,
    IMAGE_FILES,
    BadFile,
    Batch,
    Folder,
    MediaFiles,
    binary_batch,
    decode,
    open_files,
    pickled_batch,
    read_tar,
)
from genbench.generator import Space

BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
EXPECTED = "the official archive (.tar.gz or unpacked), cifar10-{0}.zip or a folder {0}"

_ONE = Space("image", (3, CIFAR_SIDE, CIFAR_SIDE), levels=256)


@dataclass(frozen=True, slots=True)
class Layout:
    """One of the two official layouts of batches."""

    archive: str
    folder: str
    suffix: str
    parse: Callable[[bytes, str], Batch]

    def batches(self, part: str) -> dict[str, str]:
        """The part's batches: what a file is called -> what messages call it."""
        return {name + self.suffix: name for name in BATCHES[part]}

    def pictures(self, part: str, contents: dict[str, bytes], source: str) -> Pictures:
        """The part's pictures in the contents of its batches."""
        named = self.batches(part)
        found = [self.parse(contents[file], f"{source}/{file}") for file in named]
        names = [
            f"row {row} of {named[file]}"
            for file, batch in zip(named, found, strict=True)
            for row in range(len(batch.y))
        ]
        return Pictures(
            np.concatenate([b.x for b in found]), np.concatenate([b.y for b in found]), names
        )

    def of_tar(self, content: bytes, part: str, source: str) -> Pictures:
        """The part's pictures in an unpacked archive."""
        return self.pictures(part, read_tar(content, source, tuple(self.batches(part))), source)


LAYOUTS = (
    Layout("cifar-10-python.tar", "cifar-10-batches-py", "", pickled_batch),
    Layout("cifar-10-binary.tar", "cifar-10-batches-bin", ".bin", binary_batch),
)


@dataclass(frozen=True, slots=True)
class Source:
    """A file or folder that has the pictures of a part.

    Parameters
    ----------
    path
        Where it is.
    read
        Reads the pictures; `DataError` if that fails.
    slow
        Whether reading takes so long that a prepared copy is worth its room.
    """

    path: Path
    read: Callable[[], Pictures]
    slow: bool = True


def find(folders: Sequence[Path], part: str, classes: Sequence[str]) -> Source | None:
    """The first source of a part in these folders; None if there is none."""
    return next((source for folder in folders for source in _in(folder, part, classes)), None)


def layout_of(archive: str) -> Layout | None:
    """The layout of an official archive of this file name; None if it is no such name."""
    name = archive.removesuffix(".gz")
    return next((layout for layout in LAYOUTS if layout.archive == name), None)


def _in(folder: Path, part: str, classes: Sequence[str]) -> Iterator[Source]:
    for layout in LAYOUTS:
        for path in (folder / layout.archive, folder / f"{layout.archive}.gz"):
            if path.is_file():
                yield Source(path, partial(_of_archive, layout, path, part))
    for layout in LAYOUTS:
        for path in (folder / layout.folder, folder):
            if any((path / file).is_file() for file in layout.batches(part)):
                yield Source(path, partial(_of_batches, layout, path, part), slow=False)
    for path in (folder / f"cifar10-{part}.zip", folder / f"{part}.zip"):
        if path.is_file():
            yield Source(path, partial(_of_images, path, classes))
    if (folder / part).is_dir():
        yield Source(folder / part, partial(_of_images, folder / part, classes))


def _of_archive(layout: Layout, path: Path, part: str) -> Pictures:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}: restore it") from error
    return layout.of_tar(gunzipped(data, str(path)), part, str(path))


def _of_batches(layout: Layout, path: Path, part: str) -> Pictures:
    contents = {}
    for file in layout.batches(part):
        try:
            contents[file] = Folder(path).read(file)
        except BadFile as error:
            raise DataError(
                f"data file {path / file} {error}: restore it from its source"
            ) from error
    return layout.pictures(part, contents, str(path))


def _of_images(path: Path, classes: Sequence[str]) -> Pictures:
    """The images in class folders, of a folder or a zip; every bad one is counted."""
    with open_files(path, IMAGE_FILES) as files:
        names = files.listing.names
        labels = _labels(path, names, classes)
        x = np.empty((len(names), CIFAR_SIDE, CIFAR_SIDE, 3), np.uint8)
        bad = []
        for row, name in enumerate(names):
            try:
                x[row] = _image(files, name)
            except BadFile as error:
                bad.append(f"{name} {error}")
    if bad:
        more = f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else ""
        raise DataError(f"{path} has bad images: {'; '.join(bad[:NAMED])}{more}")
    return Pictures(x, np.array(labels, np.int64), names)


def _image(files: MediaFiles, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return decode(files.read(name), _ONE).transpose(1, 2, 0)


def _labels(path: Path, names: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The class of each image by its folder's name."""
    folders = [PurePosixPath(name).parent.name for name in names]
    strange, lacking = sorted(set(folders) - set(classes)), sorted(set(classes) - set(folders))
    if not strange and not lacking:
        return [classes.index(folder) for folder in folders]
    told = []
    if strange:
        told.append(f"has images in {', '.join(repr(folder) for folder in strange[:NAMED])}")
    if lacking:
        told.append(f"has none in {', '.join(lacking)}")
    raise DataError(
        f"{path} {' and '.join(told)}: it must have a folder for each of the classes "
        f"{', '.join(classes)}"
    )
