"""The files a data set declares: where they are, and whether they are what the suite says.

A file is looked for beside its suite first, then in the data set's own ``folder``. A data set that
does not ship with the package may lie in any of `places`; what is found there is believed for its
hash, not for its name.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from genbench.errors import DataError, UsageError
from genbench.system import data_home

MOST_BYTES = 4 << 30  # of one file's content: a bomb must not fill the memory


@dataclass(frozen=True, slots=True)
class FileCheck:
    """The state of one file.

    Parameters
    ----------
    path
        As the suite writes it, or the name of a source that is no file.
    bytes, sha256
        As found; 0 and empty if the file cannot be read.
    ok
        Whether it is what the suite says.
    problem
        What is wrong and what to do; empty if nothing is.
    absent
        It is simply not on this machine, and the suite says where to get it.
    """

    path: str
    bytes: int
    sha256: str
    ok: bool
    problem: str = ""
    absent: bool = False


def declared(dataset: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    """The ``[[dataset.files]]`` entry of this role; `UsageError`, with those there are, if none."""
    entries: list[Mapping[str, Any]] = dataset.get("files", [])
    for entry in entries:
        if entry["role"] == role:
            return entry
    roles = ", ".join(entry["role"] for entry in entries) or "none"
    raise UsageError(
        f"data set {dataset['name']!r} declares no file of role {role!r} (has: {roles}): "
        "add a [[dataset.files]] entry"
    )


def read_checked(dataset: Mapping[str, Any], entry: Mapping[str, Any]) -> bytes:
    """The decompressed content of a declared file, its checksum verified.

    A file whose own hash differs passes if ``content_sha256`` is declared and matches: the same
    data compressed by another program. `DataError` names the file, what was expected, what was
    found, and the remedy.
    """
    data = _read(dataset, entry)
    found = hashlib.sha256(data).hexdigest()
    if found == entry.get("sha256"):
        return gunzipped(data, entry["path"])
    content = _content_or_none(data, entry)
    if content is not None and hashlib.sha256(content).hexdigest() == entry.get("content_sha256"):
        return content
    raise DataError(
        f"data file {entry['path']} has {len(data)} bytes and sha256 {found}, expected "
        f"{entry.get('bytes', 'any number of')} bytes and sha256 {entry.get('sha256')}: it is "
        f"corrupt or of another release; restore {locate(dataset, entry)} from its source"
    )


def unpacked(data: bytes, entry: Mapping[str, Any]) -> bytes | None:
    """The content of these bytes if they are the declared file, packed or not; None if not."""
    content = _content_or_none(data, entry)
    if content is None:
        return None
    hashes = {hashlib.sha256(part).hexdigest() for part in (data, content)}
    wanted = {entry.get("sha256"), entry.get("content_sha256")}
    return content if hashes & wanted else None


def check_file(dataset: Mapping[str, Any], entry: Mapping[str, Any]) -> FileCheck:
    """The state of one declared file, without raising."""
    try:
        data = _read(dataset, entry)
    except (DataError, UsageError) as error:
        absent = bool(entry.get("urls")) and isinstance(error, DataError)
        return FileCheck(entry["path"], 0, "", False, str(error), absent)
    found = hashlib.sha256(data).hexdigest()
    try:
        read_checked(dataset, entry)
    except DataError as error:
        return FileCheck(entry["path"], len(data), found, False, str(error))
    return FileCheck(entry["path"], len(data), found, True)


def check_files(dataset: Mapping[str, Any]) -> list[FileCheck]:
    """The state of every declared file."""
    return [check_file(dataset, entry) for entry in dataset.get("files", [])]


def places(dataset: Mapping[str, Any]) -> list[Path]:
    """Folders where a data set's files may lie, in the order in which they are tried."""
    name = str(dataset["name"])
    system = [Path(root) / "datasets" / name for root in ("/usr/local/share", "/usr/share")]
    return [data_home() / name, *system]


def locate(dataset: Mapping[str, Any], entry: Mapping[str, Any]) -> Path:
    """A declared file: beside the suite, in the ``folder``, or in the first of `places`.

    Where it is nowhere, the path in the folder or beside the suite, whose absence the reader tells.
    """
    tried = candidates(dataset, entry)
    absent = tried[0] if dataset.get("folder") is None else tried[1]
    return next((path for path in tried if path.is_file()), absent)


def candidates(dataset: Mapping[str, Any], entry: Mapping[str, Any]) -> list[Path]:
    """The paths at which `locate` looks for a declared file, in its order."""
    beside = _path(dataset, entry)
    name = beside.name.removesuffix(".gz")
    folder = dataset.get("folder")
    own = [] if folder is None else [Path(dataset["root"]) / str(folder) / beside.name]
    others = [place / kind for place in places(dataset) for kind in (name, f"{name}.gz")]
    return [beside, *own, *others]


def _path(dataset: Mapping[str, Any], entry: Mapping[str, Any]) -> Path:
    relative = PurePosixPath(entry["path"])
    if relative.is_absolute() or ".." in relative.parts or "\\" in entry["path"]:
        raise UsageError(
            f"data set {dataset['name']!r} names the file {entry['path']!r}: "
            "paths are relative to the suite's folder and stay inside it"
        )
    return Path(dataset["root"]) / relative


def _read(dataset: Mapping[str, Any], entry: Mapping[str, Any]) -> bytes:
    path = locate(dataset, entry)
    try:
        return path.read_bytes()
    except OSError as error:
        if entry.get("urls"):
            folders = ", ".join(map(str, places(dataset)))
            remedy = f"run `genbench data fetch {dataset['name']}`, or put it into one of {folders}"
        elif "folder" in dataset:
            remedy = "put it back, or correct [dataset] folder"
        else:
            remedy = "reinstall the package that ships the suite"
        raise DataError(
            f"cannot read data file {path}: {error.strerror or error}: {remedy}"
        ) from error


def gunzipped(data: bytes, name: str) -> bytes:
    """The content of a file that may be gzipped; `DataError`, which calls it `name`, if it is
    truncated or unpacks to more than `MOST_BYTES`.
    """
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"data file {name} is not valid gzip: {error}: restore it from its source"
        ) from error
    if len(content) > MOST_BYTES:
        raise DataError(f"data file {name} unpacks to more than {MOST_BYTES} bytes")
    return content


def _content_or_none(data: bytes, entry: Mapping[str, Any]) -> bytes | None:
    """The content of a file that is already known to be altered, if it can be unpacked at all."""
    if "content_sha256" not in entry:
        return None
    try:
        return gunzipped(data, entry["path"])
    except (DataError, MemoryError):
        return None
