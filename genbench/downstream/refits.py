"""All refits that the protocols ask of one generator: rows drawn, processes run, results kept.

The rows are drawn in a process of their own, so that the process from which the generators are
forked never holds the data set. A refit that is done is kept in the cache under all that decides
it, so that other seeds of the same cell, and a run that was interrupted, do not repeat it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench import confinement
from genbench.attendance import attend
from genbench.cellspec import CellSpec
from genbench.downstream.protocols import Protocols
from genbench.errors import StoreError
from genbench.isolation import run_isolated
from genbench.records import digest
from genbench.seeds import derive_seed
from genbench.store import read_json, sha256_file, write_json

INDEX = "refits.json"
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
class Refitted:
    """Where a job's rows and synthetic rows lie; or why there are none.

    Parameters
    ----------
    unverified
        Whether they were taken from the cache, and a process that was not confined may have
        written them there.
    """

    folder: Path
    problem: str | None = None
    seconds: float = 0.0
    unverified: bool = False


def jobs(protocols: Protocols) -> Iterator[Job]:
    """Every refit that the protocols need."""
    a, i = protocols.augmentation, protocols.imbalance
    for n in a.n:
        for replicate in range(a.replicates):
            yield Job("augmentation", n, replicate, a.replicates)
    for replicate in range(i.replicates if i else 0):
        assert i is not None
        yield Job("imbalance", i.n, replicate, i.replicates)


def why_not(spec: CellSpec) -> str | None:
    """Why a generator has no place in protocols that must know what it saw; None if it has."""
    generator = spec.generator
    if generator.is_control:
        return "controls are not refitted"
    if generator.ref.inline:
        return "its class lives in the caller's process: put it into a file to have it refitted"
    if generator.description.pretrained_on:
        return f"saw other data: {generator.description.pretrained_on}"
    return None


def run_refits(
    spec: CellSpec, protocols: Protocols, stopping: Callable[[], bool], log: Path
) -> dict[Job, Refitted]:
    """Draw the rows of every job, fit the generator on each, and say where the results are."""
    prepared = run_isolated(lambda: _prepare(spec, protocols), log=log, stopping=stopping)
    index = spec.folder / INDEX
    if prepared.status != "returned":
        raise StoreError(f"the rows of the refits could not be drawn: see {log}")
    folders = [Path(name) for name in read_json(index)]
    index.unlink()
    found = {}
    for job, folder in zip(jobs(protocols), folders, strict=True):
        if stopping():
            break
        found[job] = _one(spec, folder, stopping, log)
    return found


def _one(spec: CellSpec, folder: Path, stopping: Callable[[], bool], log: Path) -> Refitted:
    from genbench.downstream import refit

    known = None if spec.fresh else _finished(folder)
    if known is not None:
        unconfined = confinement.name(spec.sandbox) == "none"
        return replace(known, unverified=known.unverified or unconfined)
    (folder / refit.RESULT).unlink(missing_ok=True)
    running = refit.Refitting(
        folder,
        log=log,
        timeout=spec.timeout,
        memory_limit=spec.memory_limit,
        sandbox=spec.sandbox,
        results=spec.cache.parent,
    )
    attend(running, stopping)
    finished = _finished(folder)
    if finished is not None:
        return replace(finished, unverified=False)
    return Refitted(folder, _problem(folder))


def _problem(folder: Path) -> str:
    from genbench.downstream import refit

    try:
        result = read_json(folder / refit.RESULT)
        return str(result.get("message") or result["status"])
    except (StoreError, KeyError) as error:
        return f"its result cannot be read: {error}"


def _finished(folder: Path) -> Refitted | None:
    from genbench.downstream import refit

    try:
        result = read_json(folder / refit.RESULT)
        drawn = folder / refit.SYNTHETIC
        if result["status"] != "ok" or result.get("sha256") != sha256_file(drawn):
            return None
        seconds = float(result["fit_s"]) + float(result["sample_s"])
        return Refitted(folder, None, seconds, result.get("sandbox", "none") == "none")
    except (StoreError, KeyError, TypeError, ValueError):
        return None


def _prepare(spec: CellSpec, protocols: Protocols) -> None:
    """In a process of its own: write the rows and the order of every job, and their folders."""
    from genbench.data import load_split
    from genbench.downstream import refit
    from genbench.npzfile import save_arrays

    train = load_split(spec.suite.dataset, spec.suite.space, "train")
    folders = []
    for job in jobs(protocols):
        arrays = _rows(spec, protocols, job, train.x, np.asarray(train.y))
        folder = spec.cache / "refits" / _key(spec, protocols, job, arrays)
        folder.mkdir(parents=True, exist_ok=True)
        folders.append(str(folder))
        order = refit.RefitSpec(
            folder=folder,
            generator=spec.generator,
            space=spec.suite.space,
            seed=job.seed(spec.suite.task_hash),
            budget=protocols.augmentation.budget,
            draw=_draw(spec, protocols, job),
            chunk=spec.suite.sample_chunk,
            device=spec.device,
            threads=spec.threads,
            what=job.what,
            progress=spec.folder / "progress.json",
        )
        write_json(folder / refit.SPEC, order.to_json())
        if not (folder / refit.ROWS).is_file():
            save_arrays(folder / refit.ROWS, arrays)
    write_json(spec.folder / INDEX, folders)


def _rows(
    spec: CellSpec, protocols: Protocols, job: Job, x: Array, y: NDArray[np.int64]
) -> dict[str, Array]:
    """The real rows of a job, and the labels that its generator will be asked for."""
    from genbench.data.split import proportional
    from genbench.downstream import subsets
    from genbench.harnessed import permuted_labels

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


def _draw(spec: CellSpec, protocols: Protocols, job: Job) -> int:
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
        "draw": _draw(spec, protocols, job),
        "chunk": spec.suite.sample_chunk,
        "device": spec.device,
        "threads": spec.threads,
        "torch": torch.__version__,
    }
    return digest(body).removeprefix("sha256:")
