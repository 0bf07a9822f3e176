"""Files written whole or not at all, and read with bounds."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Any

from genbench.errors import StoreError
from genbench.system.jsontext import parse_json, serialise

MAX_JSON_BYTES = 16 << 20
SMALL = 1 << 16  # bytes that nearly all files of JSON are below of
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
LINK = "is a link: results hold plain files only"


def read_json(path: Path) -> Any:
    """JSON from a file of bounded size, NaN refused; `StoreError` if it is not that."""
    try:
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            raise StoreError(f"{path} {LINK}")
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} is no plain file: results hold nothing else")
        if found.st_size > MAX_JSON_BYTES:
            raise StoreError(f"{path} is larger than {MAX_JSON_BYTES} bytes")
        return parse_json(_content(path))
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is not valid JSON: {error}") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def _content(path: Path) -> bytes:
    """All of a small file, in as few calls to the system as there can be."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        found = os.read(handle, SMALL)
        while len(found) >= SMALL and (more := os.read(handle, 1 << 20)):
            found += more
        return found
    finally:
        os.close(handle)


def write_json(path: Path, body: Any) -> None:
    """Write JSON atomically: temporary file, fsync, rename. NaN is refused.

    Half a character, as Python reads a path that is not UTF-8, is written as an escape.
    """
    write_bytes(path, serialise(body))


def write_bytes(
    path: Path, data: bytes, *, sync: bool = True, private: bool = False, new: bool = False
) -> bool:
    """Write a file atomically, a `private` one for its owner's eyes; `StoreError` if that fails.

    A `new` one is written only where none is: False if there is one. Of several who write it at
    the same moment, on whatever machines, one alone gets True.
    """
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.chmod(name, 0o600 if private else 0o644)
        if new:
            return _linked(name, path)
        os.replace(name, path)
    except BaseException as error:  # Ctrl-C and a lack of memory leave no half file behind either
        if name is not None:
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise StoreError(f"cannot write {path}: {_reason(error)}") from error
    return True


def _linked(name: str, path: Path) -> bool:
    """Give a file its name, if nothing has that name, and take its first one away."""
    try:
        os.link(name, path)
        made = True
    except OSError as error:
        # Over NFS the answer to a link that was made can be lost, and the second try fails.
        made = os.stat(name).st_nlink == 2
        if not made and error.errno in NO_LINKS and not os.path.lexists(path):
            os.replace(name, path)  # no hard links here: then nobody shares the folder, we hope
            return True
        if not made and not isinstance(error, FileExistsError):
            raise
    os.unlink(name)
    return made


def _reason(error: OSError) -> str:
    """The system's reason, and what to do where that is known."""
    reason = str(error.strerror or error)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{reason}: make room there, then run the same command again" if full else reason


def inside(folder: Path, relative: str) -> Path | None:
    """The plain file at `relative` below `folder`, or None for links, traversal and absence."""
    path = Path(os.path.normpath(folder / relative))
    if Path(relative).is_absolute() or not path.is_relative_to(folder) or path == folder:
        return None
    steps = [path, *path.parents][: len(path.relative_to(folder).parts)]
    if any(os.path.islink(step) for step in steps) or not os.path.isfile(path):
        return None
    return path


def exists(path: Path) -> bool:
    """Whether something is there, be it a link to nothing; `StoreError` if that cannot be told."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    return True


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, hex; `StoreError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def data_home() -> Path:
    """The user's folder for data sets: ``$GENBENCH_DATA``, or ``genbench`` in the XDG data home."""
    named = os.environ.get("GENBENCH_DATA")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "genbench"
