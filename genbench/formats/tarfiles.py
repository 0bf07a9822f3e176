"""Members of a tar that anyone may have packed: read from memory, nothing unpacked to disk."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Collection
from pathlib import PurePosixPath

from genbench.errors import DataError
from genbench.system import READ_ERRORS

MOST_BYTES = 256 << 20  # of one member; CIFAR-100's training rows are 154 MB
NAMED = 6  # members in a message


def read_tar(data: bytes, name: str, wanted: Collection[str]) -> dict[str, bytes]:
    """The contents of the `wanted` members, by the last part of their paths.

    Raises
    ------
    DataError
        If the tar, which the text calls `name`, is truncated or none, lacks one of them or has one
        twice, or has a member that leaves it, is a link or anything else but a file or a folder, or
        is larger than `MOST_BYTES`.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in tar:
                _check(member, name)
                path = PurePosixPath(member.name)
                if not member.isfile() or path.name not in wanted:
                    continue
                if path.name in found:
                    raise DataError(f"{name} has the member {path.name!r} twice: pack it again")
                found[path.name] = _content(tar, member)
    except (tarfile.TarError, *READ_ERRORS) as error:
        raise DataError(
            f"{name} is truncated or no tar ({error}): restore it from its source"
        ) from error
    if lacking := [member for member in wanted if member not in found]:
        more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
        raise DataError(
            f"{name} lacks {', '.join(lacking[:NAMED])}{more}: restore it from its source"
        )
    return found


def tar_names(data: bytes, name: str) -> list[str]:
    """The last parts of the paths of all files in a tar, sorted.

    `DataError` as by `read_tar`.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            members = tar.getmembers()
    except (tarfile.TarError, *READ_ERRORS) as error:
        raise DataError(
            f"{name} is truncated or no tar ({error}): restore it from its source"
        ) from error
    for member in members:
        _check(member, name)
    return sorted(PurePosixPath(member.name).name for member in members if member.isfile())


def _check(member: tarfile.TarInfo, name: str) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name:
        raise DataError(f"{name} has the member {member.name!r}, which leaves it: pack it again")
    if member.issym() or member.islnk():
        raise DataError(f"{name} has the link {member.name!r}: pack what it leads to")
    if not member.isfile() and not member.isdir():
        raise DataError(f"{name} has the member {member.name!r}, which is no file: pack it again")
    if member.size > MOST_BYTES:
        raise DataError(
            f"{name} has the member {member.name!r} of {member.size} bytes, over {MOST_BYTES}: "
            "restore it from its source"
        )


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    content = b"" if file is None else file.read()
    if len(content) != member.size:
        raise tarfile.ReadError(f"{member.name} ends too soon")
    return content
