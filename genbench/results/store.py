"""The results directory: one folder per attempt, atomic writes, checked reads. No locks, no index.

Layout: ``<root>/<task folder>/<generator>~<params hash>/seed-<n>/<ULID>/record.json`` with the
attempt's artefacts beside it. `record.json` is written last; a folder without one is an attempt
that died, and is ignored.
"""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from genbench.errors import StoreError, UsageError, shorten
from genbench.results.records import Artifact, Record, storable
from genbench.system import (
    LINK,
    exists,
    inside,
    read_json,
    serialise,
    sha256_file,
    write_bytes,
    write_json,
)

T = TypeVar("T")

RECORD = "record.json"
PROGRESS = "progress.json"
SPEC = "spec.json"
CHECKPOINT = "checkpoint.safetensors"
SUITE = "suite.json"
CACHE = ".cache"
OURS = (CACHE, ".queue", "report")  # beside the folders of tasks, NAME@VERSION-HASH-PROFILE

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Stored:
    """A valid record and the folder that holds it and its artefacts."""

    record: Record
    folder: Path

    @property
    def task(self) -> str:
        """Hash of the task that the record is about."""
        return str(self.record.cell["suite"]["task"])

    @property
    def of(self) -> str:
        """The suite, version and profile that the record is about."""
        suite = self.record.cell["suite"]
        return shorten(f"{suite['name']}@{suite['version']} {suite['profile']}")

    def artifact(self, role: str) -> Path | None:
        """Path of the artefact with this role, if it is there and its digest holds."""
        for artifact in self.record.artifacts:
            if artifact.role == role:
                path = inside(self.folder, artifact.path)
                with contextlib.suppress(StoreError):  # unreadable: as good as absent
                    if path is not None and sha256_file(path) == artifact.sha256:
                        return path
        return None


@dataclass(frozen=True, slots=True)
class Problem:
    """A file of the results directory that cannot be used, and why."""

    path: Path
    reason: str


class RecordedAlready(StoreError):
    """An attempt has its record, which nobody writes again."""


class Store:
    """A results directory at `root`, made when something is first written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make the directory and prove that it can be written; `StoreError` if it cannot."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root) as file:
                file.write(b"genbench")
        except OSError as error:
            raise StoreError(
                f"cannot write to the results folder {self.root}: {error.strerror or error}: "
                "choose another with --results"
            ) from error

    def hidden(self) -> list[Path]:
        """Folders that hold other cells' rows, caches and reports: no generator is to read them.

        Also those of tasks that cannot be used; what else lies beside them is not of the store.
        """
        with contextlib.suppress(OSError), os.scandir(self.root) as entries:
            return [Path(e.path) for e in entries if "@" in e.name or e.name in OURS]
        return []

    def write_suite(self, folder_name: str, body: Mapping[str, Any]) -> Path:
        """Keep the resolved suite in its task folder, for reports; returns the folder."""
        folder = self.root / folder_name
        write_json(folder / SUITE, body)
        return folder

    def tasks(self) -> Iterator[Path | Problem]:
        """The task folders, sorted by name; links, and folders of records that name no suite."""
        for folder in folders_in(self.root):
            if isinstance(folder, Problem):
                yield folder
                continue
            try:
                named = exists(folder / SUITE)
                if named:
                    read_suite(folder)
            except StoreError as error:
                yield Problem(folder / SUITE, str(error))
                continue
            if named:
                yield folder
            elif any(folder.glob(f"*/seed-*/*/{RECORD}")):
                yield Problem(folder, f"holds records but no {SUITE}: merge it from elsewhere")

    def some_tasks(self) -> list[Path | Problem]:
        """All that `tasks` finds; `UsageError` if that is nothing."""
        folders = list(self.tasks())
        if not folders:
            raise UsageError(
                f"no results in {self.root}: give a folder that `genbench run` wrote to"
            )
        return folders

    def task_folders(self) -> list[Path]:
        """The task folders that can be used, sorted by name."""
        return list(sound(self.tasks()))

    def attempts(self, folder: Path) -> Iterator[Stored | Problem]:
        """Every attempt below a task folder that wrote a record, in sorted order.

        What cannot be used is a `Problem`: a record that is not valid or of another task, a link,
        a folder that cannot be read. Other files, and folders without a record, are left alone.
        """
        task = read_suite(folder)["task"] if os.path.isfile(folder / SUITE) else None
        for cell in self.cells(folder):
            for found in [cell] if isinstance(cell, Problem) else self.attempts_in(cell):
                if isinstance(found, Stored) and task not in (None, found.task):
                    yield Problem(found.folder / RECORD, f"is a record of another task, {found.of}")
                else:
                    yield found

    def cells(self, folder: Path) -> Iterator[Path | Problem]:
        """The cells' folders in a task folder, ``<generator>~<hash>/seed-<n>``, sorted."""
        for row in folders_in(folder):
            if isinstance(row, Problem):
                yield row
            else:
                yield from folders_in(row)

    def attempts_in(self, cell_folder: Path) -> Iterator[Stored | Problem]:
        """Every attempt at the cell in ``.../<generator>~<hash>/seed-<n>``."""
        for attempt in folders_in(cell_folder):
            if isinstance(attempt, Problem):
                yield attempt
                continue
            path = attempt / RECORD
            try:
                record = read_record(path)
                if record.record_id == attempt.name:
                    yield Stored(record, attempt)
                else:
                    name = shorten(record.record_id)
                    yield Problem(path, f"is the record of another attempt, {name}: it was moved")
            except StoreError as error:
                # None is there: of an attempt that died, or one that is running.
                if not isinstance(error.__cause__, FileNotFoundError):
                    yield Problem(path, str(error))

    def unfinished(self, cell_folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
        """Attempts at a cell that ended, or have not ended yet, without a record; newest first.

        Each with the order that it was given, as far as that can be read.
        """
        for attempt in reversed([*sound(folders_in(cell_folder))]):
            with contextlib.suppress(StoreError):
                if not exists(attempt / RECORD):
                    order = read_json(attempt / SPEC)
                    yield attempt, order if isinstance(order, dict) else {}

    def records(self, folder: Path) -> list[Stored]:
        """The valid records below `folder`."""
        return list(sound(self.everything(folder)))

    def each_record(self, folder: Path) -> Iterator[Stored]:
        """The same, one after the other: of very many no more than one is held."""
        with collector_at_rest():
            yield from sound(self.attempts(folder))

    def everything(self, folder: Path) -> list[Stored | Problem]:
        """All that `attempts` finds, kept."""
        with collector_at_rest():
            return list(self.attempts(folder))


@contextlib.contextmanager
def collector_at_rest() -> Iterator[None]:
    """Read many records without the collector of cycles.

    There are none in what is read, and going over it again and again in search of some takes half
    of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def sound(found: Iterable[T | Problem], problems: list[Problem] | None = None) -> Iterator[T]:
    """Those of what was found that can be used; the others are put into `problems`."""
    for one in found:
        if not isinstance(one, Problem):
            yield one
        elif problems is not None:
            problems.append(one)


def newest(attempts: list[Stored]) -> Stored | None:
    """The attempt that counts: the greatest attempt number, then the greatest ULID."""
    if not attempts:
        return None
    return max(attempts, key=lambda s: (s.record.attempt.get("n", 1), s.record.record_id))


def read_record(path: Path) -> Record:
    """Read and check one record.

    `StoreError` if it cannot be read, is too large, is not JSON or is not a valid record.
    """
    return Record.from_json(read_json(path))


def read_suite(folder: Path) -> dict[str, Any]:
    """The resolved suite of a task folder, as `Store.write_suite` kept it.

    `StoreError` if it cannot be read or does not say which task it is.
    """
    body = read_json(folder / SUITE)
    about = body.get("suite") if isinstance(body, dict) else None
    named = isinstance(about, dict) and {"name", "version"} <= set(about)
    if not named or not all(isinstance(body.get(key), str) for key in ("task", "profile")):
        raise StoreError(f"{folder / SUITE} is no suite: it lacks suite, task or profile")
    return dict(body)


def write_record(folder: Path, record: Record, *, new: bool = False) -> Path:
    """Write ``record.json`` into an attempt's folder, as the last thing written there.

    A `new` one is written only where none is, `RecordedAlready` if there is: where several machines
    share a folder, whoever writes it first, the worker or another who takes it for dead, decides.
    """
    path = folder / RECORD
    sound = {name: storable(value) for name, value in record.metrics.items()}
    body = serialise(replace(record, metrics=sound).to_json())
    if not write_bytes(path, body, new=new):
        raise RecordedAlready(f"{path} is there already: its worker was taken for dead meanwhile")
    return path


def artifact(folder: Path, role: str, name: str) -> Artifact:
    """Describe a file that stands in an attempt's folder; `StoreError` if it cannot be read."""
    path = folder / name
    found = sha256_file(path)
    try:
        return Artifact(role, name, found, path.stat().st_size)
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error


def new_ulid(now: float | None = None) -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits, 26 characters that sort by time."""
    milliseconds = int((time.time() if now is None else now) * 1000) & ((1 << 48) - 1)
    value = (milliseconds << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def folders_in(folder: Path) -> Iterator[Path | Problem]:
    """The folders in a folder, sorted by name; hidden ones and one that has gone are no matter.

    A link in their place, and a folder that cannot be read, is a `Problem`: neither is followed,
    and neither is passed over in silence.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda e: e.name)
            for entry in found:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink():
                    yield Problem(Path(entry.path), LINK)
                elif entry.is_dir(follow_symlinks=False):
                    yield Path(entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        yield Problem(folder, f"cannot read it: {error.strerror or error}")
