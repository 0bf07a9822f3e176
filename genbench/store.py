"""The results directory: one folder per attempt, atomic writes, checked reads. No locks, no index.

Layout: ``<root>/<task folder>/<generator>~<params hash>/seed-<n>/<ULID>/record.json`` with the
attempt's artefacts beside it. `record.json` is written last; a folder without one is an attempt
that died, and is ignored.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genbench.errors import StoreError
from genbench.records import Artifact, Record

RECORD = "record.json"
PROGRESS = "progress.json"
SUITE = "suite.json"
CACHE = ".cache"
MAX_RECORD_BYTES = 64 << 20

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Stored:
    """A valid record and the folder that holds it and its artefacts."""

    record: Record
    folder: Path

    def artifact(self, role: str) -> Path | None:
        """Path of the artefact with this role, if it is there and its digest holds."""
        for artifact in self.record.artifacts:
            if artifact.role == role:
                path = inside(self.folder, artifact.path)
                if path is not None and sha256_file(path) == artifact.sha256:
                    return path
        return None


@dataclass(frozen=True, slots=True)
class Problem:
    """A file of the results directory that cannot be used, and why."""

    path: Path
    reason: str


class Store:
    """A results directory.

    Parameters
    ----------
    root
        The directory; made when something is first written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the directory and prove that it can be written.

        Raises
        ------
        StoreError
            If it cannot.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as file:
                file.write(b"genbench")
        except OSError as error:
            raise StoreError(
                f"cannot write to the results folder {self.root}: {error.strerror or error}: "
                "choose another with --results"
            ) from error

    def write_suite(self, folder_name: str, body: Mapping[str, Any]) -> Path:
        """Keep the resolved suite in its task folder, for reports; returns the folder."""
        folder = self.root / folder_name
        write_json(folder / SUITE, body)
        return folder

    def task_folders(self) -> list[Path]:
        """The task folders, sorted by name."""
        if not self.root.is_dir():
            return []
        return sorted(
            p for p in self.root.iterdir() if not p.is_symlink() and (p / SUITE).is_file()
        )

    def attempts(self, folder: Path) -> Iterator[Stored | Problem]:
        """Every attempt below `folder` that wrote a record, valid or not, in sorted order."""
        for row in _plain_folders(folder):
            for seed in _plain_folders(row):
                yield from self.attempts_in(seed)

    def attempts_in(self, cell_folder: Path) -> Iterator[Stored | Problem]:
        """Every attempt at the cell in ``.../<generator>~<hash>/seed-<n>``."""
        for attempt in _plain_folders(cell_folder):
            path = attempt / RECORD
            if not path.is_file():
                continue
            try:
                yield Stored(read_record(path), attempt)
            except StoreError as error:
                yield Problem(path, str(error))

    def records(self, folder: Path) -> list[Stored]:
        """The valid records below `folder`."""
        return [a for a in self.attempts(folder) if isinstance(a, Stored)]


def newest(attempts: list[Stored]) -> Stored | None:
    """The attempt that counts: the greatest attempt number, then the greatest ULID."""
    if not attempts:
        return None
    return max(attempts, key=lambda s: (s.record.attempt.get("n", 1), s.record.record_id))


def read_record(path: Path) -> Record:
    """Read and check one record.

    Raises
    ------
    StoreError
        If it cannot be read, is too large, is not JSON or is not a valid record.
    """
    return Record.from_json(read_json(path))


def read_json(path: Path) -> Any:
    """JSON from a file of bounded size, NaN refused; `StoreError` if it is not that."""
    try:
        if path.is_symlink():
            raise StoreError(f"{path} is a link: results hold plain files only")
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise StoreError(f"{path} is larger than {MAX_RECORD_BYTES} bytes")
        return json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is not valid JSON: {error}") from error
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def write_record(folder: Path, record: Record) -> Path:
    """Write ``record.json`` into an attempt's folder, as the last thing written there."""
    path = folder / RECORD
    write_json(path, record.to_json())
    return path


def write_json(path: Path, body: Any) -> None:
    """Write JSON atomically: temporary file, fsync, rename. NaN is refused."""
    data = json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, data.encode() + b"\n")


def write_progress(
    path: Path,
    phase: str,
    done: int = 0,
    total: int = 0,
    scalars: Mapping[str, float] | None = None,
    what: str = "",
) -> None:
    """Say what a running cell is at; read by `genbench.runner.read_progress`."""
    finite = {k: v if abs(v) < float("inf") else None for k, v in (scalars or {}).items()}
    body = {"phase": phase, "done": done, "total": total, "scalars": finite, "what": what,
            "time": time.time()}  # fmt: skip
    write_bytes(path, json.dumps(body).encode(), sync=False)


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file atomically; `StoreError` with the reason if that fails."""
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        if name is not None:
            Path(name).unlink(missing_ok=True)
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def artifact(folder: Path, role: str, name: str) -> Artifact:
    """Describe a file that stands in an attempt's folder."""
    path = folder / name
    return Artifact(role, name, sha256_file(path), path.stat().st_size)


def inside(folder: Path, relative: str) -> Path | None:
    """The plain file at `relative` below `folder`, or None for links, traversal and absence."""
    path = Path(os.path.normpath(folder / relative))
    if Path(relative).is_absolute() or not path.is_relative_to(folder) or path == folder:
        return None
    steps = [path, *path.parents][: len(path.relative_to(folder).parts)]
    if any(step.is_symlink() for step in steps) or not path.is_file():
        return None
    return path


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def new_ulid(now: float | None = None) -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits, 26 characters that sort by time."""
    milliseconds = int((time.time() if now is None else now) * 1000) & ((1 << 48) - 1)
    value = (milliseconds << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def _plain_folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [
                Path(e.path)
                for e in sorted(entries, key=lambda e: e.name)
                if e.is_dir(follow_symlinks=False) and not e.name.startswith(".")
            ]
    except OSError:
        return []


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
