"""What is done, running and failed in a results directory, from its files alone."""

from __future__ import annotations

import time
from pathlib import Path

from genbench.errors import StoreError
from genbench.store import PROGRESS, RECORD, Problem, Store, Stored, newest, read_json

# A worker says something at least this often while it fits; scoring may be silent for longer.
STALE_SECONDS = 120.0


def overview(root: Path) -> list[str]:
    """One line per cell, by task."""
    lines: list[str] = []
    for folder in Store(root).task_folders():
        lines.append(folder.name)
        cells = sorted(p for p in folder.glob("*/seed-*") if p.is_dir())
        lines += [f"  {c.parent.name} {c.name}: {_cell(root, c)}" for c in cells]
    return lines or [f"no results in {root}"]


def _cell(root: Path, folder: Path) -> str:
    found = list(Store(root).attempts_in(folder))
    stored = newest([a for a in found if isinstance(a, Stored)])
    problems = [a for a in found if isinstance(a, Problem)]
    running = _running(folder)
    if running:
        return running
    if stored is None:
        return problems[0].reason if problems else "started, no record"
    record = stored.record
    text = f"{record.status}, attempt {record.attempt.get('n', 1)}"
    if record.error:
        text += f", in {record.error.get('phase')}: {record.error.get('message')}"
    return text


def _running(folder: Path) -> str | None:
    for attempt in sorted(folder.iterdir(), reverse=True):
        path = attempt / PROGRESS
        if (attempt / RECORD).is_file() or not path.is_file():
            continue
        try:
            body = read_json(path)
            silent = time.time() - float(body["time"])
            phase, done, total = body["phase"], int(body["done"]), int(body["total"])
        except (StoreError, KeyError, TypeError, ValueError):
            continue
        share = f" {done:,} of {total:,}" if total else ""
        if silent > STALE_SECONDS and phase != "metrics":
            return f"silent for {silent:.0f} s in {phase}{share}: probably dead, run again"
        return f"running: {phase}{share}"
    return None
