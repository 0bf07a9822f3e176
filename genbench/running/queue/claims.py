"""Claims: who makes which attempt at a cell."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path

from genbench.errors import StoreError
from genbench.running.queue.manifest import QUEUE
from genbench.system import read_json, serialise, write_bytes

CLAIMS = "claims"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make an attempt at a cell.

    Parameters
    ----------
    worker, task
        Who has it, and the scheduler's name of the task that it works for, or none.
    folder
        The name of the attempt's folder.
    slots
        How many cells went on at a time where it is made.
    """

    key: str
    attempt: int
    worker: str
    task: str
    folder: str
    slots: int


def claim_file(root: Path, key: str, attempt: int) -> Path:
    """The claim on an attempt at a cell, in one of some hundred folders."""
    name = key.rpartition(":")[2]
    return root / QUEUE / CLAIMS / name[:2] / f"{name}.{attempt}.json"


def take(root: Path, claim: Claim) -> bool:
    """Take a claim; False if it is another's. Of many who try one alone gets it."""
    path = claim_file(root, claim.key, claim.attempt)
    return write_bytes(path, serialise(asdict(claim)), sync=False, new=True)


def holder(root: Path, key: str, attempt: int) -> Claim | None:
    """The claim on an attempt, or None."""
    with contextlib.suppress(StoreError, TypeError):
        return Claim(**read_json(claim_file(root, key, attempt)))
    return None


def drop_all(root: Path, key: str) -> None:
    """Remove all claims on a cell that nobody works on any more."""
    path = claim_file(root, key, 1)
    with contextlib.suppress(OSError):
        for old in path.parent.glob(f"{path.name.partition('.')[0]}.*.json"):
            old.unlink(missing_ok=True)
