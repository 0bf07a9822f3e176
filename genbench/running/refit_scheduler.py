"""All refits that the protocols ask of one generator: rows drawn, processes run, results kept.

The rows are drawn in a process of their own, so that the process from which the generators are
forked never holds the data set. A refit that is done is kept in the cache under all that decides
it, so that other seeds of the same cell, and a run that was interrupted, do not repeat it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.downstream import ROWS, SYNTHETIC
from genbench.errors import DataError, StoreError
from genbench.results import PROGRESS, digest, write_progress
from genbench.running.cellspec import CellSpec
from genbench.running.monitoring import IsolatedWork
from genbench.seeds import derive_seed
from genbench.system import (
    ProcessOutcome,
    Slots,
    confinement,
    load_arrays,
    read_json,
    run_isolated,
    save_arrays,
    sha256_file,
    write_json,
)
from genbench.tasks import Protocols

INDEX = "refits.json"
OWN_SLOT = -1  # the slot that the cell holds itself
POLL_SECONDS = 0.1
SPARE = 2  # rows drawn per row needed where a classifier labels and rejects them
FILL = 4  # rows drawn per real row where classes cannot be asked for

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Job:
    """One replicate of one protocol at one number of real rows."""

    protocol: str
    n: int
    replicate: int
    replicates: int

    @property
    def what(self) -> str:
        """Such as ``augmentation, n = 100, replicate 1 of 3``."""
        return f"{self.protocol}, n = {self.n}, replicate {self.replicate + 1} of {self.replicates}"

    def seed(self, task: str) -> int:
        """The seed of everything in it; the same for every generator and every seed of a cell."""
        return derive_seed(0, task, self.protocol, self.n, self.replicate)


@dataclass(frozen=True, slots=True)
class RefitResult:
    """The place of a job's rows and synthetic rows; or the reason that there are none.

    Parameters
    ----------
    seconds
        Wall time of its fit and its sampling, now or when they were done.
    core_seconds
        CPU time of its process tree, where it was done now.
    unverified
        Whether they were taken from the cache, and a process that was not confined may have
        written them there.
    """

    folder: Path
    problem: str | None = None
    seconds: float = 0.0
    unverified: bool = False
    core_seconds: float = 0.0


def jobs(protocols: Protocols) -> Iterator[Job]:
    """Every refit that the protocols need."""
    a, i = protocols.augmentation, protocols.imbalance
    for n in a.n:
        for replicate in range(a.replicates):
            yield Job("augmentation", n, replicate, a.replicates)
    for replicate in range(i.replicates if i else 0):
        assert i is not None
        yield Job("imbalance", i.n, replicate, i.replicates)


def why_not_refitted(spec: CellSpec) -> str | None:
    """The reason that a generator has no place in protocols that refit; None if it has."""
    generator = spec.generator
    if generator.is_control:
        return "controls are not refitted"
    if generator.ref.inline:
        return "its class lives in the caller's process: put it into a file to have it refitted"
    if generator.description.pretrained_on:
        return f"saw other data: {generator.description.pretrained_on}"
    return None


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
    prepared = run_isolated(lambda: _prepare(spec, protocols), log=log, stopping=stopping)
    index = spec.folder / INDEX
    if stopping():
        index.unlink(missing_ok=True)
        return {}
    if prepared.status != "returned":
        raise StoreError(f"the rows of the refits could not be drawn: see {log}")
    folders = [Path(name) for name in read_json(index)]
    index.unlink()
    todo = dict(zip(jobs(protocols), folders, strict=True))
    budget = protocols.augmentation.budget
    return _SideBySide(spec, todo, budget, stopping, log, slots).run()


@dataclass(frozen=True, slots=True)
class _Running:
    """A refit under way, and the slot that it holds: `OWN_SLOT` or another."""

    folder: Path
    slot: int
    process: IsolatedWork
    log: Path


class _SideBySide:
    """The refits of one cell, as many at a time as there are slots for them."""

    def __init__(
        self,
        spec: CellSpec,
        todo: Mapping[Job, Path],
        budget: int,
        stopping: Callable[[], bool],
        log: Path,
        slots: Slots,
    ) -> None:
        self._spec = spec
        self._todo = todo
        self._budget = budget
        self._stopping = stopping
        self._log = log
        self._slots = slots
        self._found: dict[Job, RefitResult] = {}
        self._running: dict[Job, _Running] = {}
        self._stop_sent = False

    def run(self) -> dict[Job, RefitResult]:
        """Run every job; the results in the order in which they were given."""
        known = {job: self._known(folder) for job, folder in self._todo.items()}
        self._found = {job: found for job, found in known.items() if found is not None}
        waiting = self._in_turn([job for job in self._todo if job not in self._found])
        try:
            while self._running or (waiting and not self._stopping()):
                while waiting and not self._stopping() and (slot := self._slot()) is not None:
                    self._start(waiting.popleft(), slot)
                self._pass_on_a_stop()
                self._look()
                self._tell()
        finally:
            for one in self._running.values():
                one.process.stop()
        return {job: self._found[job] for job in self._todo if job in self._found}

    def _in_turn(self, waiting: list[Job]) -> deque[Job]:
        """Cells of other seeds want the same refits, maybe now: each begins elsewhere in the list.

        Steps by the golden ratio spread any number of seeds evenly.
        """
        first = int(len(waiting) * (self._spec.seed * 0.618034 % 1))
        return deque(waiting[first:] + waiting[:first])

    def _known(self, folder: Path) -> RefitResult | None:
        """The cached result of a refit; marked where a process may have written it."""
        found = None if self._spec.fresh else _finished(folder)
        if found is None:
            return None
        unconfined = confinement.name(self._spec.sandbox) == "none"
        return replace(found, unverified=found.unverified or unconfined)

    def _slot(self) -> int | None:
        used = {one.slot for one in self._running.values()}
        if OWN_SLOT not in used:
            return OWN_SLOT
        return self._slots.spare() if self._spec.device == "cpu" else None

    def _start(self, job: Job, slot: int) -> None:
        from genbench.running import refit_worker

        folder = self._todo[job]
        found = self._known(folder)
        if found is not None:  # a cell of another seed has done it meanwhile
            self._found[job] = found
            self._free(slot)
            return
        for name in (refit_worker.RESULT, PROGRESS):
            (folder / name).unlink(missing_ok=True)
        # A log of its own, put into the cell's when it ends: lines of several would be mixed.
        log = self._spec.folder / f"refit-{len(self._found) + len(self._running)}-{slot}.log"
        process = refit_worker.RefitProcess(
            folder,
            log=log,
            timeout=self._spec.timeout,
            memory_limit=self._spec.memory_limit,
            sandbox=self._spec.sandbox,
            results=self._spec.cache.parent,
            hidden=self._spec.hidden,
            readable=self._spec.readable(),
        )
        self._running[job] = _Running(folder, slot, process, log)

    def _free(self, slot: int) -> None:
        if slot != OWN_SLOT:
            self._slots.give(slot)

    def _pass_on_a_stop(self) -> None:
        if self._stopping() and not self._stop_sent:
            self._stop_sent = True
            for one in self._running.values():
                one.process.stop()

    def _look(self) -> None:
        """Wait a moment for the refits under way, and put down those that ended."""
        for job, one in list(self._running.items()):
            outcome = one.process.poll(POLL_SECONDS / len(self._running))
            if outcome is not None:
                del self._running[job]
                self._free(one.slot)
                self._keep_log(job, one)
                self._found[job] = _result_of(one.folder, outcome)

    def _keep_log(self, job: Job, one: _Running) -> None:
        with contextlib.suppress(OSError):  # a full disk costs the log, not the cell
            text = one.log.read_bytes() if one.log.is_file() else b""
            one.log.unlink(missing_ok=True)
            if text:
                with self._log.open("ab") as file:
                    file.write(f"--- refit: {job.what}\n".encode() + text)

    def _tell(self) -> None:
        """Say how far all of them are, in examples served."""
        done = self._budget * len(self._found)
        done += sum(min(self._budget, _served(one.folder)) for one in self._running.values())
        now = [job.what for job in self._running]
        what = f"{len(self._found)} of {len(self._todo)} done"
        what += f", now {now[0]}" if now else ""
        what += f" and {len(now) - 1} more" if len(now) > 1 else ""
        total = self._budget * len(self._todo)
        write_progress(self._spec.folder / PROGRESS, "refit", done, total, what=what)


def _served(folder: Path) -> int:
    """Training examples that a refit has served by now, as far as it tells."""
    try:
        return max(0, int(read_json(folder / PROGRESS)["done"]))
    except (StoreError, KeyError, TypeError, ValueError, OverflowError):
        return 0


def _result_of(folder: Path, outcome: ProcessOutcome) -> RefitResult:
    """The result of a refit that has ended."""
    finished = _finished(folder)
    if finished is not None:
        return replace(finished, unverified=False, core_seconds=outcome.core_seconds)
    return RefitResult(folder, _problem(folder), core_seconds=outcome.core_seconds)


def _problem(folder: Path) -> str:
    from genbench.running import refit_worker

    try:
        result = read_json(folder / refit_worker.RESULT)
        return str(result.get("message") or result["status"])
    except (StoreError, KeyError, TypeError, AttributeError) as error:
        return f"its result cannot be read: {error}"


def _finished(folder: Path) -> RefitResult | None:
    from genbench.running import refit_worker

    try:
        result = read_json(folder / refit_worker.RESULT)
        drawn = folder / SYNTHETIC
        if result["status"] != "ok" or result.get("sha256") != sha256_file(drawn):
            return None
        seconds = float(result["fit_s"]) + float(result["sample_s"])
        return RefitResult(folder, None, seconds, result.get("sandbox", "none") == "none")
    except (StoreError, KeyError, TypeError, ValueError):
        return None


def _prepare(spec: CellSpec, protocols: Protocols) -> None:
    """In a process of its own: write the rows and the order of every job, and their folders."""
    from genbench.data import load_split
    from genbench.running import refit_worker

    train = load_split(spec.suite.dataset, spec.suite.space, "train")
    folders = []
    for job in jobs(protocols):
        arrays = _rows(spec, protocols, job, train.x, np.asarray(train.y))
        folder = spec.cache / "refits" / _key(spec, protocols, job, arrays)
        folder.mkdir(parents=True, exist_ok=True)
        folders.append(str(folder))
        order = refit_worker.RefitSpec(
            folder=folder,
            generator=spec.generator,
            space=spec.suite.space,
            seed=job.seed(spec.suite.task_hash),
            budget=protocols.augmentation.budget,
            draw=_rows_to_draw(spec, protocols, job),
            chunk=spec.suite.sample_chunk,
            device=spec.device,
            threads=spec.threads,
            what=job.what,
            progress=folder / PROGRESS,
        )
        write_json(folder / refit_worker.SPEC, order.to_json())
        if not _holds(folder / ROWS, arrays):
            save_arrays(folder / ROWS, arrays)
    write_json(spec.folder / INDEX, folders)


def _holds(path: Path, arrays: Mapping[str, Array]) -> bool:
    """Whether a file holds just these arrays: an unconfined process may have written others."""
    try:
        stored = load_arrays(path)
    except DataError:
        return False
    return stored.keys() == arrays.keys() and all(
        stored[name].dtype == array.dtype and np.array_equal(stored[name], array)
        for name, array in arrays.items()
    )


def _rows(
    spec: CellSpec, protocols: Protocols, job: Job, x: Array, y: NDArray[np.int64]
) -> dict[str, Array]:
    """The real rows of a job, and the labels that its generator will be asked for."""
    from genbench.data import proportional
    from genbench.downstream import subsets
    from genbench.plugins import permuted_labels

    seed, classes = job.seed(spec.suite.task_hash), spec.suite.space.classes
    chosen = subsets.stratified(y, classes, job.n, seed)
    if job.protocol == "imbalance" and (i := protocols.imbalance):
        chosen = chosen[subsets.cut(y[chosen], i.classes, i.keep, seed)]
        wanted = np.zeros(classes, np.int64)
        for c, lacking in subsets.missing(y[chosen], i.classes).items():
            wanted[c] = lacking
    else:
        wanted = proportional(y[chosen], classes, job.n * protocols.augmentation.ratios[-1])
    arrays: dict[str, Array] = {"x": x[chosen], "y": y[chosen]}
    if spec.generator.description.labels == "given":
        arrays["labels"] = permuted_labels(wanted, seed)
    return arrays


def _rows_to_draw(spec: CellSpec, protocols: Protocols, job: Job) -> int:
    if job.protocol == "imbalance":
        return FILL * job.n
    need = job.n * protocols.augmentation.ratios[-1]
    return need * SPARE if spec.generator.description.labels == "none" else need


def _key(spec: CellSpec, protocols: Protocols, job: Job, arrays: dict[str, Array]) -> str:
    """Of all that decides what a refit draws."""
    import torch

    content = hashlib.sha256()
    for name in sorted(arrays):
        content.update(f"{name}{arrays[name].shape}{arrays[name].dtype}".encode())
        content.update(np.ascontiguousarray(arrays[name]).data)
    body = {
        "generator": spec.generator.identity(),
        "rows": content.hexdigest(),
        "seed": job.seed(spec.suite.task_hash),
        "budget": protocols.augmentation.budget,
        "draw": _rows_to_draw(spec, protocols, job),
        "chunk": spec.suite.sample_chunk,
        "device": spec.device,
        "threads": spec.threads,
        "torch": torch.__version__,
    }
    return digest(body).removeprefix("sha256:")
