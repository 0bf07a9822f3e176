"""The refits that the protocols ask of one generator: which, on which rows, with what result.

A refit that is done is kept in the cache under all that decides it, so that other seeds of the same
cell, and a run that was interrupted, do not repeat it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.downstream import ROWS, SYNTHETIC
from genbench.errors import DataError, StoreError
from genbench.results import digest
from genbench.running.cellspec import CellSpec
from genbench.seeds import derive_seed
from genbench.system import card, load_arrays, read_json, save_arrays, sha256_file, write_json
from genbench.tasks import Protocols

INDEX = "refits.json"
RESULT = "result.json"
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


def finished(folder: Path) -> RefitResult | None:
    """The result of a refit whose rows are in its folder as they were drawn; else None."""
    try:
        result = read_json(folder / RESULT)
        drawn = folder / SYNTHETIC
        if result["status"] != "ok" or result.get("sha256") != sha256_file(drawn):
            return None
        seconds = float(result["fit_s"]) + float(result["sample_s"])
        return RefitResult(folder, None, seconds, result.get("sandbox", "none") == "none")
    except (StoreError, KeyError, TypeError, ValueError):
        return None


def problem(folder: Path) -> str:
    """The reason that a refit has no result."""
    try:
        result = read_json(folder / RESULT)
        return str(result.get("message") or result["status"])
    except (StoreError, KeyError, TypeError, AttributeError) as error:
        return f"its result cannot be read: {error}"


def prepare(spec: CellSpec, protocols: Protocols) -> None:
    """In a process of its own: write the rows of every job into its folder, and a list of these."""
    from genbench.data import load_split

    train = load_split(spec.suite.dataset, spec.suite.space, "train")
    folders = []
    for job in jobs(protocols):
        arrays = _rows(spec, protocols, job, train.x, np.asarray(train.y))
        folder = spec.cache / "refits" / _key(spec, protocols, job, arrays)
        folder.mkdir(parents=True, exist_ok=True)
        folders.append(str(folder))
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


def rows_to_draw(spec: CellSpec, protocols: Protocols, job: Job) -> int:
    """The number of rows that a refit draws, unless it is given labels."""
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
        "draw": rows_to_draw(spec, protocols, job),
        "chunk": spec.suite.sample_chunk,
        "device": card.name(spec.device) or spec.device,
        "threads": spec.threads,
        "torch": torch.__version__,
    }
    return digest(body).removeprefix("sha256:")
