"""Several results directories as one: what is copied, and what stays where it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.errors import StoreError, UsageError
from genbench.metrics import plain_name
from genbench.results.aggregation import is_control_record, is_fixed
from genbench.results.copies import AUTHENTIC_AT_LEAST, copies_marked
from genbench.results.records import Artifact, Record
from genbench.results.store import RECORD, SUITE, Problem, Store, Stored, newest, read_suite, sound
from genbench.system import inside, sha256_file, write_bytes

LOG = "log"
# What a light copy leaves out.
HEAVY = ("samples", "state", "likelihood", "course", "snapshot", "checkpoint")
# What a generator alone made, of the little that is shown: no row of the data stands in these.
OWN = ("grid", "points", "traversals")


@dataclass(frozen=True, slots=True)
class Merged:
    """Attempts copied, attempts that were there already, and those that could not be taken."""

    copied: int
    present: int
    problems: tuple[Problem, ...]


def merge(
    sources: Sequence[Path], into: Path, *, light: bool = False, without_data: Sequence[str] = ()
) -> Merged:
    """Copy the attempts of several results directories into one. Nothing is overwritten.

    `into` is made if it is not there; `StoreError` if it cannot be written, `UsageError` if a
    source holds no results. A `light` copy takes only the attempt of each cell that counts, without
    its samples, weights and log-probabilities, and without its log, in which paths of the machine
    may stand, unless it failed: what a repository can keep and a report needs.

    Of the suites named in `without_data` nothing is copied that shows a row of their data: numbers,
    and the few samples in `OWN`; of controls, of samples that were scored from a file, and of
    generators that read the rows themselves or gave copies of rows, numbers alone. What was printed
    is not copied either, so that an attempt whose record quotes it is a problem, and so is a file
    of an earlier copy. `UsageError` if no source has results of such a suite.
    """
    there = {name for source in sources for name in _suites(Store(source))}
    for name in without_data:
        if name not in there:
            known = ", ".join(sorted(there)) or "none"
            raise UsageError(f"no results of a suite {name!r} to leave data out of: known: {known}")
    target = Store(into)
    target.prepare()
    copied = present = 0
    problems: list[Problem] = []
    for source in sources:
        store = Store(source)
        for folder in sound(store.some_tasks(), problems):
            suite = read_suite(folder)
            bare = suite["suite"]["name"] in without_data
            if not (into / folder.name / SUITE).is_file():
                target.write_suite(folder.name, suite)
            for attempt in _wanted(store, folder, light, problems):
                place = into / attempt.folder.relative_to(source)
                if bare and (problem := _shows_data(attempt.record, place)) is not None:
                    problems.append(problem)
                elif (place / RECORD).is_file():
                    present += 1
                else:
                    try:
                        _copy(attempt, place, _kept(attempt.record, light, bare))
                        copied += 1
                    except (OSError, StoreError) as error:
                        problems.append(Problem(attempt.folder, str(error)))
    return Merged(copied, present, tuple(problems))


def _suites(store: Store) -> Iterator[str]:
    """The names of the suites that a store has results of."""
    for folder in sound(store.some_tasks(), []):
        yield read_suite(folder)["suite"]["name"]


def _kept(record: Record, light: bool, bare: bool) -> tuple[Artifact, ...]:
    """The artefacts to copy."""
    if bare:
        own = () if _of_rows(record) else OWN
        return tuple(item for item in record.artifacts if item.role in own)
    told = (LOG,) if record.status == "ok" else ()
    gone = (*HEAVY, *told) if light else ()
    return tuple(item for item in record.artifacts if item.role not in gone)


def _of_rows(record: Record) -> bool:
    """Whether an attempt's samples are, or may be, rows of the data."""
    authentic = [
        value.value
        for name, value in record.metrics.items()
        if plain_name(name) == "authenticity" and value.value is not None
    ]
    copies = copies_marked(record, ("exact", "near"), record.copies)
    copies = copies or min(authentic, default=1.0) < AUTHENTIC_AT_LEAST
    return copies or record.raw_access or is_fixed(record) or is_control_record(record)


def _shows_data(record: Record, place: Path) -> Problem | None:
    """What keeps a copy from being one without data: what was printed, or a file of before."""
    if record.error is not None and record.error.get("log_tail"):
        return Problem(place, "not copied: its record quotes what the generator printed")
    kept = {RECORD, *(item.path for item in _kept(record, True, True))}
    found = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    if more := [path for path in found if path not in kept]:
        return Problem(place, f"was copied before with its data: delete {', '.join(more)}")
    return None


def _wanted(store: Store, folder: Path, light: bool, problems: list[Problem]) -> Iterator[Stored]:
    by_cell: dict[Path, list[Stored]] = {}
    for attempt in sound(store.attempts(folder), problems):
        by_cell.setdefault(attempt.folder.parent, []).append(attempt)
    for attempts in by_cell.values():
        complete = [attempt for attempt in attempts if attempt.record.status == "ok"]
        chosen = newest(complete or attempts)  # the one that tables and figures take
        yield from [chosen] if light and chosen is not None else attempts


def _copy(attempt: Stored, place: Path, artifacts: Sequence[Artifact]) -> None:
    """The artefacts first and the record last, so that a half copy is no attempt."""
    for item in artifacts:
        if (path := inside(attempt.folder, item.path)) is None:
            continue
        if sha256_file(path) != item.sha256:
            raise StoreError(f"{path} is not the {item.role} of its record: it was changed")
        (place / item.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / item.path)
    write_bytes(place / RECORD, (attempt.folder / RECORD).read_bytes())
