"""Image files of a folder or a zip: listed without reading them, decoded one at a time.

Nothing is resized, flattened or requantised: what does not fit a space as it is, is named. No file
costs more memory than one image of the space, whatever its header or its compression claims.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from genbench.errors import DataError
from genbench.generator import Space
from genbench.npzfile import READ_ERRORS

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")
MOST_BYTES = 64 << 20  # of one file
MOST_FILES = 10_000_000

_SIXTEEN_BIT = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class BadImage(DataError):
    """One file that is not an image of the space; its text says why, without the file's name."""


class ImageFiles(Protocol):
    """The image files of one place."""

    @property
    def names(self) -> tuple[str, ...]:
        """Their paths within the place with ``/``, sorted."""

    @property
    def ignored(self) -> int:
        """How many files of other types there are."""

    def read(self, name: str) -> bytes:
        """A file's content; `BadImage` if it cannot be had."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The image files below a folder; links are not followed.

    Parameters
    ----------
    names
        Paths relative to `root` with ``/``, sorted.
    ignored
        Files of other types.
    """

    root: Path
    names: tuple[str, ...]
    ignored: int = 0

    def read(self, name: str) -> bytes:
        """A file's content."""
        path = self.root / name
        try:
            if path.is_symlink():
                raise BadImage("is a link: put the file itself there")
            if path.stat().st_size > MOST_BYTES:
                raise BadImage(f"has more than {MOST_BYTES >> 20} MiB")
            return path.read_bytes()
        except OSError as error:
            raise BadImage(f"cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class Archive:
    """The image files in an open zip."""

    zip: zipfile.ZipFile
    names: tuple[str, ...]
    ignored: int = 0

    def read(self, name: str) -> bytes:
        """A file's content, of which no more than `MOST_BYTES` is ever unpacked."""
        try:
            with self.zip.open(name) as member:
                data = member.read(MOST_BYTES + 1)
        except (OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
            raise BadImage(f"cannot be unpacked: {error}") from error
        except Exception as error:  # zlib.error and BadZipFile derive from Exception alone
            raise BadImage(f"cannot be unpacked: {type(error).__name__}: {error}") from error
        if len(data) > MOST_BYTES:
            raise BadImage(f"unpacks to more than {MOST_BYTES >> 20} MiB")
        return data


@contextmanager
def open_images(place: Path) -> Iterator[ImageFiles]:
    """The image files of a folder or a ``.zip``, for as long as the context lasts.

    Raises
    ------
    DataError
        If the place cannot be read, holds no images, or is a zip with a member that leaves it.
    """
    if place.is_dir():
        names, ignored = _walk(place)
        yield _not_empty(place, Folder(place, names, ignored))
        return
    try:
        file = zipfile.ZipFile(place)
    except READ_ERRORS as error:  # a damaged directory asks for versions, codings, places
        raise DataError(f"cannot read {place.name} as a zip: {error}: pack it again") from error
    with file:
        names, ignored = _members(place, file)
        yield _not_empty(place, Archive(file, names, ignored))


def decode(data: bytes, space: Space) -> NDArray[np.uint8]:
    """One image of the space, uint8 ``(C, H, W)``.

    A grey image fits a colour space, and a colour image whose channels are equal a grey one; every
    other difference in size, depth or alpha is told, not repaired.

    Raises
    ------
    BadImage
        If the bytes are no image of the space, with the reason.
    """
    if not data:
        raise BadImage("is empty")
    channels, height, width = space.shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            # Only the header is read here: a giant one costs nothing.
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check_header(image, height, width)
            image.load()
            pixels = _channels_last(image)
    except BadImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage("claims a giant size in its header") from error
    except Exception as error:  # Pillow's decoders raise many types on malformed bytes
        raise BadImage(f"is corrupt or no PNG, JPEG or WebP ({_told(error)})") from error
    x = _fit_channels(pixels, channels)
    if int(x.max()) >= space.levels:
        raise BadImage(
            f"has grey levels up to {int(x.max())}, the space has 0..{space.levels - 1}: "
            "save the levels themselves"
        )
    return np.ascontiguousarray(x)


def header(data: bytes) -> tuple[int, int, int]:
    """Channels (1 or 3), height and width that an image's header says; `BadImage` without one."""
    if not data:
        raise BadImage("is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise BadImage(f"is corrupt or no PNG, JPEG or WebP ({_told(error)})") from error
    return (1 if image.mode in ("1", "L", "LA", *_SIXTEEN_BIT) else 3, image.height, image.width)


def _check_header(image: Any, height: int, width: int) -> None:
    if (image.height, image.width) != (height, width):
        raise BadImage(
            f"is {image.width} x {image.height}, the suite has {width} x {height}: "
            "make them that size yourself, as the filter changes the numbers"
        )
    if getattr(image, "n_frames", 1) != 1:
        raise BadImage(f"has {image.n_frames} frames: save one image per file")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        raise BadImage(f"has transparency ({image.mode}): flatten it onto a background")
    if image.mode in _SIXTEEN_BIT:
        raise BadImage(f"has 16 bits or more per channel ({image.mode}): save 8 bits")
    if image.mode not in ("1", "L", "P", "RGB"):
        raise BadImage(f"has colour mode {image.mode}: save it as grey or RGB")


def _channels_last(image: Any) -> NDArray[np.uint8]:
    """``(H, W)`` of a grey image, ``(H, W, 3)`` of a colour one."""
    mode = {"1": "L", "P": "RGB"}.get(image.mode, image.mode)
    return np.asarray(image.convert(mode), dtype=np.uint8)


def _fit_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    if channels == 1:
        if (pixels != pixels[:, :, :1]).any():
            raise BadImage("is in colour, the suite is grey: convert it yourself")
        return pixels[None, :, :, 0]
    return pixels.transpose(2, 0, 1)


def _told(error: Exception) -> str:
    """An error's text without the address of a buffer, which differs from run to run."""
    text = str(error)
    return type(error).__name__ if "BytesIO" in text or not text else text


def _walk(root: Path) -> tuple[tuple[str, ...], int]:
    names, ignored = [], 0
    for folder, below, files in os.walk(root):
        below[:] = sorted(d for d in below if not d.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            if not name.lower().endswith(SUFFIXES):
                ignored += 1
                continue
            names.append((Path(folder) / name).relative_to(root).as_posix())
            _not_too_many(root, len(names))
    return tuple(sorted(names)), ignored


def _members(place: Path, file: zipfile.ZipFile) -> tuple[tuple[str, ...], int]:
    names, ignored = set(), 0
    for info in file.infolist():
        name = info.filename
        path = PurePosixPath(name)
        if not path.parts:  # "./", as zip and tar write the folder itself
            continue
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
            raise DataError(f"{place.name} has the member {name!r}, which leaves it: pack it again")
        if info.is_dir() or path.name.startswith(".") or path.parts[0] == "__MACOSX":
            continue
        if not name.lower().endswith(SUFFIXES):
            ignored += 1
            continue
        if stat.S_ISLNK(info.external_attr >> 16):
            raise DataError(f"{place.name} has the link {name!r}: pack the file itself")
        if info.flag_bits & 1:
            raise DataError(f"{place.name} is encrypted ({name!r}): pack it without a password")
        names.add(name)
        _not_too_many(place, len(names))
    return tuple(sorted(names)), ignored


def _not_too_many(place: Path, n: int) -> None:
    if n > MOST_FILES:
        raise DataError(f"{place.name} holds more than {MOST_FILES:,} images: give a part of it")


def _not_empty(place: Path, files: ImageFiles) -> ImageFiles:
    if not files.names:
        raise DataError(
            f"{place.name} holds no images ({files.ignored} other files): "
            f"expected {', '.join(SUFFIXES)}"
        )
    return files
