"""Executors, which start workers: local processes now. Specs cross the wire, never pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from genbench.running.cellspec import CellSpec
    from genbench.running.executors.local import Ended


class Executor(Protocol):
    """The run loop's view of whoever runs cells.

    `stopping` turns true as soon as a stop is asked for. A signal may set it at any moment, also
    while `submit` is busy; `stop` follows when the loop comes round.
    """

    stopping: bool

    def submit(self, spec: CellSpec) -> None:
        """Start a worker for a cell."""

    def poll(self, seconds: float) -> list[Ended]:
        """Wait at most `seconds` for workers to end."""

    def stop(self) -> None:
        """Ask every worker to finish writing and end."""

    def kill(self) -> None:
        """End every worker now."""
