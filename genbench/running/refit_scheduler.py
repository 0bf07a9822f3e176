"""All refits that the protocols ask of one generator: rows drawn, processes run, results kept.

The rows are drawn in a process of their own, so that the process from which the generators are
forked never holds the data set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.errors import StoreError
from genbench.results import PROGRESS, is_ours, write_progress
from genbench.running.cellspec import CellSpec
from genbench.running.refits import (
    INDEX,
    RESULT,
    Job,
    RefitResult,
    finished,
    jobs,
    prepare,
    problem,
    rows_to_draw,
)
from genbench.running.side_by_side import SideBySide
from genbench.system import (
    IsolatedWork,
    ProcessOutcome,
    Slots,
    confinement,
    read_json,
    run_isolated,
)
from genbench.tasks import Protocols

if TYPE_CHECKING:
    from genbench.running.refit_worker import RefitOrder

Batch = tuple[Job, ...]  # refits of one process, one after the other


def run_refits(
    spec: CellSpec,
    protocols: Protocols,
    stopping: Callable[[], bool],
    log: Path,
    slots: Slots,
) -> dict[Job, RefitResult]:
    """Draw the rows of every job, fit the generator on each, and say where the results are.

    Parameters
    ----------
    slots
        The caller holds one; refits take those that nobody waits for, too. A GPU runs one at a
        time.
    """
    prepared = run_isolated(lambda: prepare(spec, protocols), log=log, stopping=stopping)
    index = spec.folder / INDEX
    if stopping():
        index.unlink(missing_ok=True)
        return {}
    if prepared.status != "returned":
        raise StoreError(f"the rows of the refits could not be drawn: see {log}")
    folders = [Path(name) for name in read_json(index)]
    index.unlink()
    todo = {
        job: _order(spec, protocols, job, folder)
        for job, folder in zip(jobs(protocols), folders, strict=True)
    }
    return _Refits(spec, todo, log).run(stopping, slots)


def _order(spec: CellSpec, protocols: Protocols, job: Job, folder: Path) -> RefitOrder:
    from genbench.running.refit_worker import RefitOrder

    return RefitOrder(
        folder=folder,
        generator=spec.generator,
        space=spec.suite.space,
        seed=job.seed(spec.suite.task_hash),
        budget=protocols.augmentation.budget,
        draw=rows_to_draw(spec, protocols, job),
        chunk=spec.suite.sample_chunk,
        device=spec.device,
        threads=spec.threads,
        what=job.what,
    )


class _Refits:
    """The refits of one cell, as many processes at a time as there are slots for them."""

    def __init__(self, spec: CellSpec, todo: Mapping[Job, RefitOrder], log: Path) -> None:
        self._spec = spec
        self._todo = todo
        self._log = log
        self._found: dict[Job, RefitResult] = {}

    def run(self, stopping: Callable[[], bool], slots: Slots) -> dict[Job, RefitResult]:
        """Run every job; the results in the order in which they were given."""
        todo = [job for job in self._todo if not self._find(job)]
        on_card = self._spec.device != "cpu"
        # Our own generators keep nothing of one fit for the next: on a card they share its context.
        together = on_card and is_ours(self._spec.generator.ref.provider)
        turn = tuple(self._in_turn(todo))
        batches = [turn] if together and turn else [(job,) for job in turn]
        self._work: SideBySide[Batch] = SideBySide(
            batches, self._start, self._end, self._tell, None if on_card else slots
        )
        self._work.run(stopping)
        return {job: self._found[job] for job in self._todo if job in self._found}

    def _in_turn(self, waiting: list[Job]) -> list[Job]:
        """Cells of other seeds want the same refits, maybe now: each begins elsewhere in the list.

        Steps by the golden ratio spread any number of seeds evenly.
        """
        first = int(len(waiting) * (self._spec.seed * 0.618034 % 1))
        return waiting[first:] + waiting[:first]

    def _find(self, job: Job) -> bool:
        """Take a refit from the cache, if there; marked where a process may have written it."""
        found = None if self._spec.fresh else finished(self._todo[job].folder)
        if found is None:
            return False
        unconfined = confinement.name(self._spec.sandbox) == "none"
        self._found[job] = replace(found, unverified=found.unverified or unconfined)
        return True

    def _start(self, batch: Batch) -> IsolatedWork | None:
        from genbench.running import refit_worker

        # A cell of another seed may have done some of them meanwhile.
        orders = [self._todo[job] for job in batch if not self._find(job)]
        for order in orders:
            for name in (RESULT, PROGRESS):
                (order.folder / name).unlink(missing_ok=True)
        if not orders:
            return None
        return refit_worker.RefitProcess(
            orders,
            log=self._log_of(batch),
            timeout=None if self._spec.timeout is None else self._spec.timeout * len(orders),
            memory_limit=self._spec.memory_limit,
            sandbox=self._spec.sandbox,
            results=self._spec.cache.parent,
            hidden=self._spec.hidden,
            readable=self._spec.readable(),
        )

    def _end(self, batch: Batch, outcome: ProcessOutcome) -> None:
        """Put down what a process has done; the rest of its batch, if it died, takes another."""
        mine = [job for job in batch if job not in self._found]
        done = [job for job in mine if (self._todo[job].folder / RESULT).is_file()] or mine
        core_seconds = outcome.core_seconds / len(done)
        for job in done:
            folder = self._todo[job].folder
            found = finished(folder) or RefitResult(folder, problem(folder))
            self._found[job] = replace(found, unverified=False, core_seconds=core_seconds)
        self._keep_log(batch, ", ".join(job.what for job in done))
        if rest := tuple(job for job in mine if job not in done):
            self._work.waiting.append(rest)

    def _log_of(self, batch: Batch) -> Path:
        """A log of its own, put into the cell's when it ends: lines of several would be mixed."""
        return self._spec.folder / f"refit-{list(self._todo).index(batch[0])}.log"

    def _keep_log(self, batch: Batch, what: str) -> None:
        with contextlib.suppress(OSError):  # a full disk costs the log, not the cell
            log = self._log_of(batch)
            text = log.read_bytes() if log.is_file() else b""
            log.unlink(missing_ok=True)
            if text:
                with self._log.open("ab") as file:
                    file.write(f"--- refit: {what}\n".encode() + text)

    def _tell(self, under_way: Sequence[Batch]) -> None:
        """Say how far all of them are, in examples served."""
        left = [[job for job in batch if not self._ended(job)] for batch in under_way]
        now = [jobs_left[0] for jobs_left in left if jobs_left]
        done = sum(order.budget for job, order in self._todo.items() if self._ended(job))
        done += sum(min(self._todo[job].budget, _served(self._todo[job].folder)) for job in now)
        what = f"{sum(map(self._ended, self._todo))} of {len(self._todo)} done"
        what += f", now {now[0].what}" if now else ""
        what += f" and {len(now) - 1} more" if len(now) > 1 else ""
        total = sum(order.budget for order in self._todo.values())
        write_progress(self._spec.folder / PROGRESS, "refit", done, total, what=what)

    def _ended(self, job: Job) -> bool:
        return job in self._found or (self._todo[job].folder / RESULT).is_file()


def _served(folder: Path) -> int:
    """Training examples that a refit has served by now, as far as it tells."""
    try:
        return max(0, int(read_json(folder / PROGRESS)["done"]))
    except (StoreError, KeyError, TypeError, ValueError, OverflowError):
        return 0
