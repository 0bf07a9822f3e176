"""A worker of the queue whose cells are over in a moment: what its claims are tried with.

    python -m tests.queue_worker RESULTS

Everything is as in ``genbench work`` but for the cell itself: a forked process that waits a little
and writes a record.
"""

from __future__ import annotations

import os
import random
import select
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genbench.results.store import RecordedAlready
from genbench.running.cellspec import read_spec
from genbench.running.queue.work import Share, work
from genbench.running.recording import record_of_loss
from genbench.system import killed_with_parent

LONGEST_SECONDS = 0.8


class Moments:
    """Stands in for a fork server."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[int, int]] = {}

    def import_first(self, modules: Sequence[str]) -> None:
        """Nothing that a cell of a moment needs."""

    def fork(self, call: str, args: Mapping[str, Any]) -> str:
        """Run a cell in a process that ends with this one."""
        reader, writer = os.pipe()
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            os.close(reader)  # `writer` is closed by the end
            killed_with_parent(parent)
            os._exit(cell(Path(args["spec"])))
        os.close(writer)
        self._running[str(pid)] = (pid, reader)
        return str(pid)

    def ended(self, seconds: float, wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
        """The processes that have ended."""
        readers = {reader: id_ for id_, (_, reader) in self._running.items()}
        found = []
        for reader in select.select(list(readers), [], [], seconds)[0]:
            pid, _ = self._running.pop(readers[reader])
            os.close(reader)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            found.append({"id": readers[reader], "code": code})
        return found

    def say(self, op: str) -> None:
        """They are over in a moment."""


def cell(path: Path) -> int:
    """Be a cell: its exit code."""
    spec = read_spec(path)
    time.sleep(random.random() * LONGEST_SECONDS)
    try:
        record_of_loss(spec, "ok", {"phase": "fit", "type": "None", "message": "none"})
    except RecordedAlready as error:
        return error.exit_code
    return 0


if __name__ == "__main__":
    forks: Any = Moments()
    sys.exit(work(Path(sys.argv[1]), jobs=1, device="cpu", share=Share(), forks=forks, say=print))
