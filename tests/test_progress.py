"""`status` tells what is going on now, not what went on before."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from genbench.results.progress import overview
from genbench.results.store import PROGRESS, SPEC, Store, write_record
from genbench.system.files import write_json
from tests import report_fixtures as fixtures

TASK = "mnist@1.0.0-abc-standard"
EARLY, LATE = "01ARZ3NDEKTSV4RRFFQ69G5FAA", "01ARZ3NDEKTSV4RRFFQ69G5FAB"


def cell_folder(root: Path) -> Path:
    Store(root).write_suite(TASK, fixtures.suite())
    return root / TASK / "vae~0" / "seed-0"


def leave(folder: Path, phase: str, *, silent: float = 0.0, attempt: int | None = 1) -> None:
    """What an attempt leaves that was killed, or is running, without a record."""
    news = {"phase": phase, "done": 1, "total": 2, "scalars": {}, "time": time.time() - silent}
    write_json(folder / PROGRESS, news)
    if attempt is not None:
        write_json(folder / SPEC, {"attempt": attempt})


def finish(folder: Path, n: int = 1, **fields: Any) -> None:
    cell = fixtures.cell_of("vae", "vae", 0)
    write_record(folder, fixtures.record(folder.name, cell, attempt={"n": n}, **fields))


@pytest.mark.parametrize("phase", ["metrics", "fit", "import"])
@pytest.mark.parametrize(("dead", "done"), [(EARLY, LATE), (LATE, EARLY)])
def test_a_killed_attempt_is_forgotten_once_the_cell_is_done(
    tmp_path: Path, phase: str, dead: str, done: str
) -> None:
    """Whichever of the two has the later id: a clock may go back."""
    folder = cell_folder(tmp_path)
    leave(folder / dead, phase)
    finish(folder / done)
    assert overview(tmp_path)[1:] == ["  vae~0 seed-0: ok, attempt 1"]


def test_a_dead_attempt_without_an_order_is_told_by_its_id(tmp_path: Path) -> None:
    folder = cell_folder(tmp_path)
    leave(folder / EARLY, "fit", attempt=None)
    finish(folder / LATE)
    assert overview(tmp_path)[1:] == ["  vae~0 seed-0: ok, attempt 1"]


def test_an_attempt_after_the_one_that_is_stored_is_running(tmp_path: Path) -> None:
    folder = cell_folder(tmp_path)
    finish(folder / EARLY)
    leave(folder / LATE, "fit", attempt=2)
    assert "running: fit" in overview(tmp_path)[1]


@pytest.mark.parametrize(
    ("phase", "silent", "told"),
    [("fit", 300, "probably dead"), ("metrics", 300, "running: metrics"),
     ("metrics", 7200, "probably dead")],
)  # fmt: skip
def test_silence_is_told_when_it_is_too_long(
    tmp_path: Path, phase: str, silent: float, told: str
) -> None:
    leave(cell_folder(tmp_path) / LATE, phase, silent=silent)
    assert told in overview(tmp_path)[1]
