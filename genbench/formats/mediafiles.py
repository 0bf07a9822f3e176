"""Files of one medium in a folder or a zip: listed without reading them, read one at a time.

A medium is pictures or sounds: `FileTypes` says which files are of it.
"""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from genbench.errors import DataError
from genbench.system import READ_ERRORS

MOST_BYTES = 64 << 20  # of one file
MOST_FILES = 10_000_000
NAMED_TYPES = 5


class BadFile(DataError):
    """One file that is not of the space: `what` is wrong with it, without the file's name, and the
    `remedy`, if there is one.
    """

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}: {remedy}" if remedy else what)
        self.what = what


@dataclass(frozen=True, slots=True)
class FileTypes:
    """The files of a medium, by their suffixes in small letters.

    Parameters
    ----------
    one, many
        What messages call them.
    suffixes
        Those that are read.
    unread
        Those that are of the medium all the same: each is named with a remedy, none passed over.
    remedy
        What to do about them.
    """

    one: str
    many: str
    suffixes: tuple[str, ...]
    unread: tuple[str, ...]
    remedy: str

    def holds(self, suffix: str) -> bool:
        """Whether a file with this suffix is of the medium."""
        return suffix in self.suffixes or suffix in self.unread

    def check(self, name: str) -> None:
        """`BadFile` if a file of this name is of the medium and is not read."""
        suffix = PurePosixPath(name).suffix
        if suffix.lower() in self.unread:
            raise BadFile(f"is of a type that is not read ({suffix})", self.remedy)


@dataclass(frozen=True, slots=True)
class Listing:
    """The contents of a place: paths of the files of a medium within it with ``/``, sorted, those
    of types that are not read among them; other files, by suffix how many; folders without any file
    of the medium in or below them, the uppermost of each branch. `many` is what messages call them.
    """

    names: tuple[str, ...]
    many: str = "files"
    others: Counter[str] = field(default_factory=Counter)
    empty: tuple[str, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """Notes on everything that is not of the medium."""
        notes = []
        if self.others:
            kinds = ", ".join(
                f"{n} {suffix}" if len(self.others) > 1 else suffix
                for suffix, n in self.others.most_common(NAMED_TYPES)
            )
            more = ", ..." if len(self.others) > NAMED_TYPES else ""
            notes.append(f"{self.others.total()} files of other types ignored ({kinds}{more})")
        if self.empty:
            shown = ", ".join(map(repr, self.empty[:NAMED_TYPES]))
            more = f" and {len(self.empty) - NAMED_TYPES} more" if self.empty[NAMED_TYPES:] else ""
            notes.append(f"no {self.many} in {shown}{more}")
        return tuple(notes)


class MediaFiles(Protocol):
    """The files of a medium in one place."""

    @property
    def listing(self) -> Listing:
        """Their names, and what else there is."""

    def read(self, name: str) -> bytes:
        """A file's content; `BadFile` if it cannot be had."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The files below a folder and the folders that are linked into it; linked files are named,
    not read. Without `types` and `listing` it reads whatever it is asked for, up to `most` bytes.
    """

    root: Path
    listing: Listing = Listing(())
    types: FileTypes | None = None
    most: int | None = None  # none: `MOST_BYTES`

    def read(self, name: str) -> bytes:
        """A file's content."""
        if self.types is not None:
            self.types.check(name)
        path = self.root / name
        try:
            if path.is_symlink():
                raise BadFile("is a link: put the file itself there")
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise BadFile("is no file")
            most = self.most or MOST_BYTES
            if found.st_size > most:
                raise BadFile(f"has more than {most >> 20} MiB")
            return path.read_bytes()
        except OSError as error:
            raise BadFile(f"cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True, slots=True)
class Archive:
    """The files of a medium in an open zip."""

    zip: zipfile.ZipFile
    listing: Listing
    types: FileTypes

    def read(self, name: str) -> bytes:
        """A file's content, of which no more than `MOST_BYTES` is ever unpacked."""
        self.types.check(name)
        try:
            with self.zip.open(name) as member:
                data = member.read(MOST_BYTES + 1)
        except (OSError, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
            raise BadFile(f"cannot be unpacked: {error}") from error
        except Exception as error:  # zlib.error and BadZipFile derive from Exception alone
            raise BadFile(f"cannot be unpacked: {type(error).__name__}: {error}") from error
        if len(data) > MOST_BYTES:
            raise BadFile(f"unpacks to more than {MOST_BYTES >> 20} MiB")
        return data


@contextmanager
def open_files(place: Path, types: FileTypes) -> Iterator[MediaFiles]:
    """The files of a medium in a folder or a ``.zip``, for as long as the context lasts.

    Raises
    ------
    DataError
        If the place cannot be read, holds none of them, has folders that are linked in a circle, or
        is a zip with a member that leaves it, is a link, or is there twice.
    """
    if place.is_dir():
        yield Folder(place, _not_empty(place, types, _walk(place, types)), types)
        return
    try:
        file = zipfile.ZipFile(place)
    except READ_ERRORS as error:  # a damaged directory asks for versions, codings, places
        raise DataError(f"cannot read {place.name} as a zip: {error}: pack it again") from error
    with file:
        yield Archive(file, _not_empty(place, types, _members(place, file, types)), types)


class _Lister:
    """Sorts the files of a place into those of a medium and others, as they are found."""

    def __init__(self, place: Path, types: FileTypes) -> None:
        self._place = place
        self._types = types
        self._names: list[str] = []
        self._others: Counter[str] = Counter()

    def add(self, name: str) -> bool:
        """Take a file; False if it is not of the medium."""
        suffix = PurePosixPath(name).suffix.lower()
        if not self._types.holds(suffix):
            self._others[suffix or "without a suffix"] += 1
            return False
        self._names.append(name)
        if len(self._names) > MOST_FILES:
            raise DataError(
                f"{self._place.name} holds more than {MOST_FILES:,} {self._types.many}: "
                "give a part of it"
            )
        return True

    def listing(self, folders: Collection[str]) -> Listing:
        """All that was taken, and which of the folders have none of it."""
        full: set[str] = set()
        for parent in {name.rpartition("/")[0] for name in self._names}:
            full.update(str(p) for p in (PurePosixPath(parent), *PurePosixPath(parent).parents))
        bare = {f for f in folders if f not in full}
        uppermost = sorted(f for f in bare if str(PurePosixPath(f).parent) not in bare)
        names = tuple(sorted(self._names))
        return Listing(names, self._types.many, self._others, tuple(uppermost))


def _walk(root: Path, types: FileTypes) -> Listing:
    found, folders = _Lister(root, types), []
    above = {os.fspath(root): frozenset({os.path.realpath(root)})}

    def fail(error: OSError) -> None:
        raise DataError(f"cannot list {error.filename}: {error.strerror}") from error

    for folder, below, files in os.walk(root, followlinks=True, onerror=fail):
        below[:] = sorted(d for d in below if not d.startswith("."))
        line = above.pop(folder)
        for name in below:
            path = os.path.join(folder, name)
            real = os.path.realpath(path)
            if real in line:
                raise DataError(f"{path} is a link to a folder that it lies in: remove it")
            above[path] = line | {real}
            folders.append(Path(path).relative_to(root).as_posix())
        for name in files:
            if name.startswith("."):
                continue
            path = os.path.join(folder, name)
            if not found.add(Path(path).relative_to(root).as_posix()) and not os.path.exists(path):
                raise DataError(f"{path} is a link to nothing: mend or remove it")
    return found.listing(folders)


def _members(place: Path, file: zipfile.ZipFile, types: FileTypes) -> Listing:
    found, folders, seen = _Lister(place, types), [], set()
    for info in file.infolist():
        name = info.filename
        path = PurePosixPath(name)
        if not path.parts:  # "./", as zip and tar write the folder itself
            continue
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
            raise DataError(f"{place.name} has the member {name!r}, which leaves it: pack it again")
        if path.parts[0] == "__MACOSX" or any(part.startswith(".") for part in path.parts):
            continue
        if info.is_dir():
            folders.append(str(path))
            continue
        if stat.S_ISLNK(info.external_attr >> 16):  # of a folder too: its files are not here
            raise DataError(f"{place.name} has the link {name!r}: pack what it leads to")
        if not found.add(name):
            continue
        if info.flag_bits & 1:
            raise DataError(f"{place.name} is encrypted ({name!r}): pack it without a password")
        if name in seen:  # a reader gets the last one, whichever was meant
            raise DataError(f"{place.name} has the member {name!r} twice: pack it again")
        seen.add(name)
    return found.listing(folders)


def _not_empty(place: Path, types: FileTypes, found: Listing) -> Listing:
    if not found.names:
        raise DataError(
            f"{place.name} holds no {types.many} ({found.others.total()} other files): "
            f"expected {', '.join(types.suffixes)}"
        )
    return found
