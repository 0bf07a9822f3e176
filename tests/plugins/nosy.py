"""A generator that looks for files which it should not be able to read: it fails if there are any.

``NOSY`` names files and folders, parted like a path; what holds ``NOSY_OWN`` it may read.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from intruder import Intruder

from genbench.generator import Run, TrainData


def readable() -> list[str]:
    found = []
    for place in os.environ.get("NOSY", "").split(os.pathsep):
        path = Path(place)
        for file in [path] if path.is_file() else path.rglob("*"):
            try:
                if file.is_file() and file.read_bytes():
                    found.append(str(file))
            except OSError:
                continue
    return found


def look() -> None:
    found = [path for path in readable() if os.environ["NOSY_OWN"] not in path]
    if found:
        raise RuntimeError(f"could read {found[:5]}")


class Nosy(Intruder):
    """Noise around the mean of the training rows."""

    spec = replace(Intruder.spec, name="nosy")

    def fit(self, train: TrainData, run: Run) -> None:
        look()
        super().fit(train, run)
