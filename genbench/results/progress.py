"""The progress of a run, from the files of its results directory alone."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genbench.errors import StoreError, shorten
from genbench.results.store import (
    PROGRESS,
    RECORD,
    SPEC,
    Problem,
    Store,
    Stored,
    folders_in,
    newest,
    sound,
)
from genbench.system import read_json, write_bytes

# A worker says something at least this often while it fits; scoring may be silent for longer.
STALE_SECONDS = 120.0
STALE_SCORING_SECONDS = 1800.0


def overview(root: Path) -> list[str]:
    """One line per cell, by task."""
    lines: list[str] = []
    store = Store(root)
    for folder in store.tasks():
        if isinstance(folder, Problem):
            lines.append(f"{folder.path.name}: {folder.reason}")
            continue
        lines.append(folder.name)
        for cell in store.cells(folder):
            if isinstance(cell, Problem):
                lines.append(f"  {cell.path.name}: {cell.reason}")
            else:
                lines.append(f"  {cell.parent.name} {cell.name}: {_cell(root, cell)}")
    return lines or [f"no results in {root}"]


def _cell(root: Path, folder: Path) -> str:
    problems: list[Problem] = []
    stored = newest(list(sound(Store(root).attempts_in(folder), problems)))
    running = _running(folder, stored)
    if running:
        return running
    if stored is None:
        return problems[0].reason if problems else "started, no record"
    record = stored.record
    # The folder's name is ASCII, whatever the generator's.
    name = "" if record.generator.isascii() else f"{shorten(record.generator)}: "
    text = f"{name}{record.status}, attempt {record.attempt.get('n', 1)}"
    if record.error:
        text += shorten(f", in {record.error.get('phase')}: {record.error.get('message')}", 300)
    return text


def _running(folder: Path, stored: Stored | None) -> str | None:
    """News of an attempt that came after what is stored; one that died before it has none."""
    for attempt in reversed([*sound(folders_in(folder))]):
        path = attempt / PROGRESS
        if os.path.lexists(attempt / RECORD) or not os.path.isfile(path):
            continue
        if stored is not None and not _is_later(attempt, stored):
            continue
        try:
            body = read_json(path)
            silent = time.time() - float(body["time"])
            phase, done, total = str(body["phase"]), int(body["done"]), int(body["total"])
            share = f" {done:,} of {total:,}" if total else ""
            news = share + _scalars(body) + _left(body, done, total)
        except (StoreError, KeyError, TypeError, ValueError, OverflowError):
            continue
        if silent > (STALE_SCORING_SECONDS if phase == "metrics" else STALE_SECONDS):
            return f"silent for {silent:.0f} s in {shorten(phase)}{share}: probably dead, run again"
        return f"running: {shorten(phase)}{news}"
    return None


def _is_later(attempt: Path, stored: Stored) -> bool:
    """Whether an attempt was begun after the one that is stored: by its number, else by its id."""
    try:
        return int(read_json(attempt / SPEC)["attempt"]) > int(stored.record.attempt.get("n", 1))
    except (StoreError, KeyError, TypeError, ValueError):
        return attempt.name > stored.record.record_id


def _scalars(body: dict[str, Any]) -> str:
    """The last losses that the generator reported."""
    found = body.get("scalars")
    if not isinstance(found, dict):
        return ""
    known = [(str(k), v) for k, v in found.items() if isinstance(v, int | float)]
    return "".join(f", {shorten(name, 20)} {value:.4g}" for name, value in known[:4])


def _left(body: dict[str, Any], done: int, total: int) -> str:
    """Time left at the pace of this phase; nothing where the clock or the news do not tell."""
    since = body.get("since")
    if not (isinstance(since, list) and len(since) == 2 and total):
        return ""
    spent, made = float(body["time"]) - float(since[0]), done - int(since[1])
    if spent <= 0 or made <= 0:
        return ""
    seconds = spent / made * (total - done)
    left = f"{seconds:,.0f} s" if seconds < 120 else f"{seconds / 60:,.0f} min"
    return f", about {left} left"


def write_progress(
    path: Path,
    phase: str,
    done: int = 0,
    total: int = 0,
    scalars: Mapping[str, float] | None = None,
    what: str = "",
    since: tuple[float, int] | None = None,
) -> None:
    """Say what a running cell is at; a full disk costs the news and nothing else.

    `since` is when the phase began, seconds since 1970, and how much was done by then.
    """
    finite = {k: v if abs(v) < float("inf") else None for k, v in (scalars or {}).items()}
    body = {"phase": phase, "done": done, "total": total, "scalars": finite, "what": what,
            "time": time.time(), "since": since}  # fmt: skip
    with contextlib.suppress(StoreError):
        write_bytes(path, json.dumps(body).encode(), sync=False)
