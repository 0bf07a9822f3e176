"""Care of results directories: verify them, clear what is dead, export tables.

Nothing here imports torch or a plugin: reading results runs no code that they name.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.errors import StoreError, UsageError, did_you_mean, shorten
from genbench.results.records import Artifact, Record, canonical_json
from genbench.results.store import (
    CACHE,
    PROGRESS,
    RECORD,
    Problem,
    Store,
    Stored,
    folders_in,
    newest,
    sound,
)
from genbench.results.wording import spreadsheet
from genbench.system import LINK, exists, inside, sha256_file, write_bytes

if TYPE_CHECKING:
    import pandas as pd

STILL_ALIVE_SECONDS = 120.0  # a folder touched later than this may belong to a running worker
FORMATS = (".csv", ".parquet", ".sqlite")


@dataclass(frozen=True, slots=True)
class Verified:
    """The findings of `verify`: counts, problems, and artefacts that are simply not there."""

    records: int
    artifacts: int
    problems: tuple[Problem, ...]
    absent: int


def verify(root: Path) -> Verified:
    """Read every record and artefact below `root` and check all digests.

    An artefact that is absent is counted, not complained about: light copies leave samples out. One
    that is there with other bytes is a problem, and so is a record that is not valid, a task folder
    without a readable suite and a link. `UsageError` if `root` is no directory.
    """
    if not os.path.isdir(root):
        raise UsageError(f"no results folder {root}: give one that `genbench run` wrote to")
    problems: list[Problem] = []
    store, records, artifacts, absent = Store(root), 0, 0, 0
    for folder in sound(store.tasks(), problems):
        for attempt in sound(store.attempts(folder), problems):
            records += 1
            for item in attempt.record.artifacts:
                problem = _damage(attempt, item)
                if problem is not None:
                    problems.append(problem)
                elif inside(attempt.folder, item.path) is None:
                    absent += 1
                else:
                    artifacts += 1
    return Verified(records, artifacts, tuple(problems), absent)


def _damage(attempt: Stored, item: Artifact) -> Problem | None:
    """The problem of an artefact; None if it is whole, or simply not there."""
    path = inside(attempt.folder, item.path)
    if path is None:
        place = attempt.folder / item.path
        return Problem(place, LINK) if os.path.islink(place) else None
    try:
        if sha256_file(path) == item.sha256:
            return None
    except StoreError as error:
        return Problem(path, str(error))
    return Problem(path, f"is not the {item.role} of its record: changed")


@dataclass(frozen=True, slots=True)
class Garbage:
    """A folder that no report and no rerun reads, why, and its size in bytes."""

    path: Path
    reason: str
    bytes: int


def garbage(root: Path, *, cache: bool = False) -> list[Garbage]:
    """Attempts that died without a record, superseded attempts, and if asked the cache.

    Folders touched in the last two minutes are left alone: a worker may be in them.
    """
    found = []
    store = Store(root)
    for folder in store.task_folders():
        for cell in sound(store.cells(folder)):
            valid = list(sound(store.attempts_in(cell)))
            counts = newest(valid)
            found += [
                _waste(attempt.folder, "superseded by a newer attempt")
                for attempt in valid
                if counts is not None and attempt.folder != counts.folder
            ]
            found += [
                _waste(path, "an attempt that ended without a record")
                for path in sound(folders_in(cell))
                if _died(path)
            ]
    if cache and (root / CACHE).is_dir():
        found.append(_waste(root / CACHE, "cached features and classifiers"))
    return found


def remove(waste: Sequence[Garbage]) -> None:
    """Delete what `garbage` found; `StoreError` if that fails."""
    for item in waste:
        try:
            # The record goes first: a half-deleted attempt must not look like a whole one.
            (item.path / RECORD).unlink(missing_ok=True)
            shutil.rmtree(item.path)
        except OSError as error:
            raise StoreError(f"cannot delete {item.path}: {error.strerror or error}") from error


def _waste(path: Path, reason: str) -> Garbage:
    size = sum(p.lstat().st_size for p in path.rglob("*") if not p.is_dir())
    return Garbage(path, reason, size)


def _died(attempt: Path) -> bool:
    """No record, and no sign of life for a while; what cannot be read is left alone."""
    try:
        places = [p for p in (attempt, attempt / PROGRESS) if exists(p)]
        newest_news = max(p.lstat().st_mtime for p in places)
        return not exists(attempt / RECORD) and time.time() - newest_news >= STILL_ALIVE_SECONDS
    except (StoreError, OSError, ValueError):
        return False


def table(roots: Sequence[Path], *, attempts: bool = False) -> pd.DataFrame:
    """One line per cell and metric, as a pandas frame.

    Columns: what identifies the cell, the metric with interval, signature and reason, and the
    cell's times. Cells without metrics (failures) have one line with an empty metric. With
    `attempts`, all at a cell, not only the one that counts: then seeds stand there repeatedly.
    """
    import pandas as pd

    from genbench.results.aggregation import group

    tasks: dict[tuple[str, ...], dict[tuple[str, str, int], Record]] = {}
    for root in roots:
        for folder in Store(root).task_folders():
            for stored in Store(root).records(folder):
                record, suite = stored.record, stored.record.cell["suite"]
                task = tuple(suite[key] for key in ("name", "version", "task", "profile"))
                which = record.record_id, record.cell_key, record.seed
                tasks.setdefault(task, {}).setdefault(which, record)
    lines = [
        line
        for records in tasks.values()
        for row in ([[*records.values()]] if attempts else group(records.values()).values())
        for record in row
        for line in _lines(record)
    ]
    return pd.DataFrame(lines, columns=list(COLUMNS))


COLUMNS = (
    "suite", "suite_version", "profile", "task", "generator", "params", "provider", "version",
    "source", "seed",
    "status", "attempt", "record_id", "metric", "metric_status", "value", "low", "high", "level",
    "method", "std_error", "unit", "higher_is_better", "n", "signature", "reason", "fit_s",
    "fit_core_s", "sample_s", "sample_core_s", "examples_served", "error",
)  # fmt: skip


_TIMES = ("fit_s", "fit_core_s", "sample_s", "sample_core_s")
_OF_VALUES = ("value", "std_error", "unit", "higher_is_better", "n", "signature", "reason")
_OF_INTERVALS = ("low", "high", "level", "method")


def _lines(record: Record) -> Iterator[Mapping[str, Any]]:
    suite, generator = record.cell["suite"], record.cell["generator"]
    cell = {
        "suite": suite["name"],
        "suite_version": suite["version"],
        "profile": suite["profile"],
        "task": suite["task"],
        "generator": generator["name"],
        "params": canonical_json(generator["params"]).decode(),
        "provider": generator["provider"],
        "version": generator["version"],
        "source": generator.get("source") or None,
        "seed": record.seed,
        "status": record.status,
        "attempt": record.attempt.get("n", 1),
        "record_id": record.record_id,
        **{key: record.timing.get(key) for key in _TIMES},
        "examples_served": record.examples_served,
        "error": None if record.error is None else record.error.get("message"),
    }
    if not record.metrics:
        yield cell
    for name, value in record.metrics.items():
        yield cell | {
            "metric": name,
            "metric_status": value.status,
            **{key: getattr(value, key) for key in _OF_VALUES},
            **{key: getattr(value.interval, key, None) for key in _OF_INTERVALS},
        }


def export(roots: Sequence[Path], out: Path, *, attempts: bool = False) -> int:
    """Write `table` to a file whose suffix says how; returns the number of lines.

    In a CSV, texts that begin like a formula are quoted: a spreadsheet would run them. `UsageError`
    if the suffix is none of `FORMATS`, there are no records, parquet lacks its library, or the
    format cannot hold a value; `StoreError` if the file cannot be written.
    """
    suffix = out.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"cannot export to {out.name!r}: {did_you_mean(suffix, FORMATS)}")
    frame = table(roots, attempts=attempts)
    if frame.empty:
        places = ", ".join(map(str, roots))
        raise UsageError(f"no records in {places}: give folders that `genbench run` wrote to")
    try:
        _write(frame, suffix, out)
    except ImportError as error:
        raise UsageError(
            "parquet needs pyarrow: pip install -U pyarrow, or export to .csv"
        ) from error
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"cannot write {out}: {reason}") from error
    except (ValueError, TypeError, OverflowError, LookupError, NotImplementedError) as error:
        # pyarrow's own errors derive from these: a column of several types, too large a number.
        raise UsageError(
            f"{suffix} cannot hold this table: {shorten(str(error), 200)}: export to .csv"
        ) from error
    return len(frame)


def _write(frame: pd.DataFrame, suffix: str, out: Path) -> None:
    """The whole file or none."""
    if suffix == ".csv":
        texts = frame.map(lambda v: spreadsheet(v) if isinstance(v, str) else v)
        write_bytes(out, texts.to_csv(index=False).encode())
    elif suffix == ".parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        write_bytes(out, buffer.getvalue())
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        is_new = not out.exists()
        try:
            with closing(sqlite3.connect(out)) as database:
                frame.to_sql("metrics", database, index=False, if_exists="replace")
        except BaseException:
            if is_new:
                out.unlink(missing_ok=True)
            raise
