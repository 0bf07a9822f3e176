"""A generator fitted anew on a replicate's own rows, in a process that has nothing else.

The order that crosses to the process names the generator, the space, a budget and one file with
exactly the rows of the replicate: no data set, no path to one. On a card the refits of one of our
own generators share a process and its context; a plugin, which could remember rows of the one
before, has a process for each.
"""

from __future__ import annotations

import hashlib
import signal
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genbench.data import Split
from genbench.downstream import ROWS, SYNTHETIC
from genbench.generator import Space
from genbench.plugins import FitResult, GeneratorChoice, GeneratorDriver, Stopped
from genbench.results import PROGRESS, write_progress
from genbench.running.events import EventListener
from genbench.running.generation import configure_torch
from genbench.running.ledger import Ledger
from genbench.running.monitoring import MonitoredProcess
from genbench.running.refits import RESULT
from genbench.system import (
    ProcessOutcome,
    Sandbox,
    card,
    confinement,
    load_arrays,
    npz_bytes,
    write_bytes,
    write_json,
)

_LIMITS = {
    "timeout": "it exceeded the limit of time: raise --timeout",
    "oom": "it exceeded the limit of memory: raise --memory-limit",
}
Rows = Mapping[str, Any]  # the arrays of `ROWS`


@dataclass(frozen=True, slots=True)
class RefitOrder:
    """The order for one refit.

    Parameters
    ----------
    folder
        Holds `ROWS` and receives `SYNTHETIC`, `RESULT` and the progress.
    budget
        Training examples served.
    draw
        Rows drawn afterwards; for generators that take labels, as many as labels are asked for.
    what
        Which replicate this is, for progress and messages.
    """

    folder: Path
    generator: GeneratorChoice
    space: Space
    seed: int
    budget: int
    draw: int
    chunk: int
    device: str
    threads: int
    what: str

    def rows(self, arrays: Rows) -> int:
        """The number of rows that it draws."""
        return len(arrays["labels"]) if "labels" in arrays else self.draw


class RefitProcess:
    """Refits under way, one after the other in an isolated and confined process.

    It ends with the first that fails: what failed may have spoilt the process for the next.

    Parameters
    ----------
    log, timeout, memory_limit
        See `genbench.system.isolation.start_isolated`.
    results, hidden, readable
        What the process may not see and what it may all the same: see `confinement.sandbox`.
    """

    def __init__(
        self,
        orders: Sequence[RefitOrder],
        *,
        log: Path,
        timeout: float | None,
        memory_limit: int | None,
        sandbox: bool,
        results: Path,
        hidden: Callable[[], Iterable[Path]],
        readable: Sequence[Path],
    ) -> None:
        given = [(order, load_arrays(order.folder / ROWS)) for order in orders]
        self._ledger = _Ledger(given, confinement.name(sandbox))
        self._scratch = ExitStack()
        scratch = self._scratch.enter_context(confinement.scratch_folder())
        box = confinement.sandbox(
            sandbox, scratch, results=results, hidden=hidden, readable=readable
        )
        self._running = MonitoredProcess(
            lambda events: _Refits(given, events).run(box),
            self._ledger,
            log=log,
            timeout=timeout,
            memory_limit=memory_limit,
            scratch=scratch,
        )

    def poll(self, seconds: float) -> ProcessOutcome | None:
        """See `Isolated.poll`; what there is has been written by the end."""
        outcome = self._running.poll(seconds)
        if outcome is not None:
            self._scratch.close()
            self._ledger.close(outcome)
        return outcome

    def stop(self) -> None:
        """Have it told to end."""
        self._running.stop()


class _Ledger(Ledger):
    """The account of one refit after the other; the result of each is written when it has ended."""

    def __init__(self, given: Sequence[tuple[RefitOrder, Rows]], sandbox: str) -> None:
        self._left = [(order, order.rows(arrays)) for order, arrays in given]
        self._all_rows = sum(rows for _, rows in self._left)
        self._sandbox = sandbox
        super().__init__(given[0][0].space, self._left[0][1])

    @property
    def most_bytes(self) -> int:
        """The most bytes that the rows of all refits can hold."""
        return self.bytes_of(self._all_rows)

    def progress(self, done: int, total: int, scalars: Mapping[str, float]) -> None:
        """See `genbench.running.events.EventListener`."""
        known = {k: float(v) for k, v in scalars.items() if v is not None}
        order = self._left[0][0]
        path = order.folder / PROGRESS
        write_progress(path, "refit", int(done), int(total), known, order.what)

    def ended(self, status: str, kind: str, message: str, trace: str) -> None:
        """See `genbench.running.events.EventListener`."""
        super().ended(status, kind, message, trace)
        if status == "ok" and len(self._left) > 1:
            self._write({"status": "ok"} if self.samples else {"status": "failed"})
            del self._left[0]
            self.begin(self._left[0][1])

    def close(self, outcome: ProcessOutcome) -> None:
        """Write the result of the refit that was under way when the process ended."""
        body: dict[str, Any] = {"status": self.result.status}
        if self.broken is not None:
            body = {"status": "failed", "message": self.broken}
        elif outcome.status in _LIMITS:  # whatever it made of being told to end
            body = {"status": outcome.status, "message": _LIMITS[outcome.status]}
        elif self.result.error is not None:
            body["message"] = f"{self.result.error['type']}: {self.result.error['message']}"
        elif outcome.status != "returned" or self.samples is None:
            how = outcome.signal_name or outcome.status
            body = {"status": "failed", "message": f"its process ended by {how}"}
        self._write(body)

    def _write(self, body: dict[str, Any]) -> None:
        folder, result = self._left[0][0].folder, self.result
        if body["status"] == "ok" and self.samples is not None:
            data = npz_bytes(self.samples)
            write_bytes(folder / SYNTHETIC, data)
            body |= {
                **result.timing,
                "examples_served": result.examples_served,
                "raw_access": result.raw_access,
                "sha256": hashlib.sha256(data).hexdigest(),
                "sandbox": self._sandbox,
            }
        write_json(folder / RESULT, body)


class _Refits:
    """In the process of the refits: fit on the rows of each, and draw."""

    def __init__(self, given: Sequence[tuple[RefitOrder, Rows]], events: EventListener) -> None:
        self._given = given
        self._events = events
        self._stopping = False
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self, box: Sandbox | None) -> None:
        """Do them until one fails; every way it can end is reported."""
        configure_torch(self._given[0][0].threads)
        end = ("ok", "", "", "")
        for i, (order, arrays) in enumerate(self._given):
            try:
                if box is not None and i == 0:
                    box.enter()
                card.begin(order.device)
                self._fit_and_draw(order, arrays)
            except Stopped:
                end = ("interrupted", "Stopped", "the run was stopped", "")
            except Exception as raised:
                traceback.print_exc()
                error = card.named(raised)
                message = confinement.error_text(error, confined=box is not None)
                end = ("failed", type(error).__name__, message, "")
            self._events.ended(*end)
            if end[0] != "ok":
                return

    def _fit_and_draw(self, order: RefitOrder, arrays: Rows) -> None:
        self._events.phase("import")
        subject = GeneratorDriver(
            order.generator,
            order.space,
            torch.device(order.device),
            stopping=lambda: self._stopping,
            report=self._events.progress,
        )
        self._events.phase("fit")
        fit = FitResult()
        try:
            subject.fit(Split(arrays["x"], arrays["y"]), order.budget, order.seed, fit)
        finally:
            self._events.fitted(vars(fit))
        self._events.phase("sample")
        n, labels = order.rows(arrays), arrays.get("labels")
        for rows in subject.chunks(n, chunk=order.chunk, seed=order.seed, labels=labels):
            self._events.rows(rows)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._stopping = True
