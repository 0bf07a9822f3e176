"""A generator fitted anew on a replicate's own rows, in a process that has nothing else.

The order that crosses to the process names the generator, the space, a budget and one file with
exactly the rows of the replicate: no data set, no path to one.
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
from genbench.results import write_progress
from genbench.running.events import EventListener
from genbench.running.generation import configure_torch
from genbench.running.ledger import Ledger
from genbench.running.monitoring import MonitoredProcess
from genbench.system import (
    ProcessOutcome,
    Sandbox,
    card,
    confinement,
    load_arrays,
    npz_bytes,
    read_json,
    write_bytes,
    write_json,
)

SPEC = "refit.json"
RESULT = "result.json"
SCHEMA = "genbench.refit/1"

_LIMITS = {
    "timeout": "it exceeded the limit of time: raise --timeout",
    "oom": "it exceeded the limit of memory: raise --memory-limit",
}


@dataclass(frozen=True, slots=True)
class RefitSpec:
    """The order for one refit.

    Parameters
    ----------
    folder
        Holds `ROWS` and receives `SYNTHETIC` and `RESULT`.
    budget
        Training examples served.
    draw
        Rows drawn afterwards; for generators that take labels, as many as labels are asked for.
    what
        Which replicate this is, for progress and messages.
    progress
        The file that progress is written to.
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
    progress: Path

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "schema": SCHEMA,
            "folder": str(self.folder),
            "generator": self.generator.to_json(),
            "space": self.space.to_json(),
            "seed": str(self.seed),  # 64 bits: more than a JSON number holds everywhere
            "budget": self.budget,
            "draw": self.draw,
            "chunk": self.chunk,
            "device": self.device,
            "threads": self.threads,
            "what": self.what,
            "progress": str(self.progress),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> RefitSpec:
        """Undo `to_json`."""
        values = {k: v for k, v in body.items() if k != "schema"}
        values["folder"], values["progress"] = Path(values["folder"]), Path(values["progress"])
        values["seed"] = int(values["seed"])
        values["generator"] = GeneratorChoice.from_json(values["generator"])
        values["space"] = Space.from_json(values["space"])
        return cls(**values)


class RefitProcess:
    """A refit under way: the order at `folder`, in an isolated and confined process.

    What the process reports is checked here and written to the order's folder once it has ended:
    `SYNTHETIC`, and `RESULT` however it ended.

    Parameters
    ----------
    sandbox
        Whether the process is confined, where the system can.
    results
        The results directory, in which it may write nothing.
    hidden, readable
        Files and folders that it may not read, and what it may all the same.
    """

    def __init__(
        self,
        folder: Path,
        *,
        log: Path,
        timeout: float | None,
        memory_limit: int | None,
        sandbox: bool,
        results: Path,
        hidden: Callable[[], Iterable[Path]] = tuple,
        readable: Sequence[Path] = (),
    ) -> None:
        self._spec = RefitSpec.from_json(read_json(folder / SPEC))
        self._sandbox = sandbox
        self._arrays = load_arrays(folder / ROWS)
        labels = self._arrays.get("labels")
        self._ledger = _Ledger(self._spec, self._spec.draw if labels is None else len(labels))
        self._scratch = ExitStack()
        scratch = self._scratch.enter_context(confinement.scratch_folder())
        box = confinement.sandbox(
            sandbox, scratch, results=results, hidden=hidden, readable=readable
        )
        self._running = MonitoredProcess(
            lambda events: _Refit(self._spec, self._arrays, events).run(box),
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
            self._keep(outcome)
        return outcome

    def stop(self) -> None:
        """Have it told to end."""
        self._running.stop()

    def _keep(self, outcome: ProcessOutcome) -> None:
        result, folder = self._ledger.result, self._spec.folder
        if (folder / RESULT).is_file():
            return
        body: dict[str, Any] = {"status": result.status}
        if self._ledger.broken is not None:
            body |= {"status": "failed", "message": self._ledger.broken}
        elif outcome.status in _LIMITS:  # whatever it made of being told to end
            body |= {"status": outcome.status, "message": _LIMITS[outcome.status]}
        elif result.error is not None:
            body["message"] = f"{result.error['type']}: {result.error['message']}"
        elif outcome.status != "returned" or self._ledger.samples is None:
            how = outcome.signal_name or outcome.status
            body |= {"status": "failed", "message": f"its process ended by {how}"}
        if body["status"] == "ok" and self._ledger.samples is not None:
            data = npz_bytes(self._ledger.samples)
            write_bytes(folder / SYNTHETIC, data)
            body |= {
                **result.timing,
                "examples_served": result.examples_served,
                "raw_access": result.raw_access,
                "sha256": hashlib.sha256(data).hexdigest(),
                "sandbox": confinement.name(self._sandbox),
            }
        write_json(folder / RESULT, body)


class _Ledger(Ledger):
    """The account of a refit, whose progress is that of the cell it belongs to."""

    def __init__(self, spec: RefitSpec, rows: int) -> None:
        super().__init__(spec.space, rows)
        self._spec = spec

    def progress(self, done: int, total: int, scalars: Mapping[str, float]) -> None:
        """See `genbench.running.events.EventListener`."""
        known = {k: float(v) for k, v in scalars.items() if v is not None}
        write_progress(self._spec.progress, "refit", int(done), int(total), known, self._spec.what)


class _Refit:
    """In the process of the refit: fit on the rows, and draw."""

    def __init__(self, spec: RefitSpec, arrays: Mapping[str, Any], events: EventListener) -> None:
        self._spec = spec
        self._arrays = arrays
        self._events = events
        self._stopping = False
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self, box: Sandbox | None) -> None:
        """Do it; every way it can end is reported."""
        configure_torch(self._spec.threads)
        end = ("ok", "", "", "")
        try:
            if box is not None:
                box.enter()
            self._fit_and_draw()
        except Stopped:
            end = ("interrupted", "Stopped", "the run was stopped", "")
        except Exception as raised:
            traceback.print_exc()
            error = card.named(raised)
            message = confinement.error_text(error, confined=box is not None)
            end = ("failed", type(error).__name__, message, "")
        self._events.ended(*end)

    def _fit_and_draw(self) -> None:
        spec, arrays = self._spec, self._arrays
        self._events.phase("import")
        subject = GeneratorDriver(
            spec.generator,
            spec.space,
            torch.device(spec.device),
            stopping=lambda: self._stopping,
            report=self._events.progress,
        )
        self._events.phase("fit")
        fit = FitResult()
        try:
            subject.fit(Split(arrays["x"], arrays["y"]), spec.budget, spec.seed, fit)
        finally:
            self._events.fitted(vars(fit))
        self._events.phase("sample")
        labels = arrays.get("labels")
        n = spec.draw if labels is None else len(labels)
        for rows in subject.chunks(n, chunk=spec.chunk, seed=spec.seed, labels=labels):
            self._events.rows(rows)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._stopping = True
