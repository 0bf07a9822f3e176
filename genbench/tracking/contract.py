"""The contract of a tracker: a class that a package announces under ``genbench.trackers``.

It lives in a process of its own, which the run or the export starts and may end: whatever it
imports, prints, waits for or breaks costs that process alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from genbench.errors import UsageError
from genbench.system import extensions
from genbench.tracking.account import Account, TrackedRun

Outcome = Literal["new", "renewed", "same"]

METHODS = ("progress", "record", "report", "close")


class Tracker(Protocol):
    """Whoever is told of cells.

    It is made by ``cls(place)``, the text after the colon of a target, before anything is run: one
    that cannot work here raises a `GenbenchError` that says so, such as by `library`.

    A cell may be told any number of times, by this process and by later ones. The tracker finds the
    run by ``run.id`` and holds each cell once: what a newer record says replaces all that an
    earlier one said.
    """

    def progress(self, run: TrackedRun, examples: int, scalars: Mapping[str, float]) -> None:
        """News of a fit: what its generator reported last, after so many training examples.

        Kept under ``live/``, since the record's own curves come with `record`.
        """

    def record(self, account: Account) -> Outcome:
        """The cell has a record; ``same`` if it holds this one, by `account.stamp`, already."""

    def report(self, group: str, page: Path) -> Outcome:
        """The report of a group, one HTML file; read it before you return."""

    def close(self) -> None:
        """Everything was told: write out what is still held back."""


def find(name: str) -> Any:
    """The class that a package announces as this tracker. Executes the package's code.

    `PluginError` if two packages claim it, it does not import, or it lacks a method.
    """
    return extensions.load(extensions.TRACKERS, name, METHODS)


def library(module: str, tracker: str) -> Any:
    """A module that comes with a tracker's extra; `UsageError`, with the remedy, without it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"{module.partition('.')[0]} is not installed or does not import ({error}): "
            f"pip install 'genbench[{tracker}]'"
        ) from error
