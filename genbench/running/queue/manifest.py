"""Manifests: the cells of a run, in files that any machine can take them from."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from genbench.errors import GenbenchError, StoreError, UsageError
from genbench.plugins import GeneratorChoice
from genbench.results import new_ulid
from genbench.running.cells import Cell, cell_folder
from genbench.running.planning import RunOptions
from genbench.system import environment, exists, read_json, write_bytes, write_json
from genbench.tasks import Suite

SCHEMA = "genbench.manifest/1"
QUEUE = ".queue"
MANIFEST = "manifest.json"
STOP = "stop"
SETTLED = "settled"
TASKS = "tasks.json"
CHUNK = 1000  # orders in one file, far below the bytes that we read from one
OPTIONS = ("threads", "device", "fresh", "timeout", "memory_limit", "sandbox")


class OtherBuild(UsageError):
    """A manifest of another genbench than this one."""


@dataclass(frozen=True, slots=True)
class Order:
    """One cell that a run asks for.

    Parameters
    ----------
    attempt
        The number of the attempt that is asked for. A record of this number, or a greater one,
        settles the order, unless its attempt was cut short.
    folder
        The cell's folder below the results directory.
    """

    index: int
    generator: GeneratorChoice
    seed: int
    attempt: int
    key: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Manifest:
    """The cells of a run, and all that a worker needs to know of it.

    Parameters
    ----------
    folder
        Its own folder below ``.queue/``; the results directory is the one above that.
    executor
        The name of the executor that was asked for.
    lease
        Seconds without a heartbeat after which a worker is taken for dead.
    options
        The options of the run. The device is as the user wrote it: each machine finds its own.
    """

    folder: Path
    executor: str
    lease: float
    suite: Suite
    options: RunOptions
    orders: tuple[Order, ...]

    @property
    def id(self) -> str:
        """Its name, a ULID."""
        return self.folder.name

    @property
    def is_stopped(self) -> bool:
        """Whether somebody asked for its end."""
        return exists(self.folder / STOP)

    @property
    def is_removed(self) -> bool:
        """Whether somebody has collected and removed it."""
        return not self.is_stopped and not exists(self.folder / MANIFEST)

    def stop(self) -> None:
        """Ask all that work on it to finish writing and end."""
        write_bytes(self.folder / STOP, b"")

    def remove(self) -> None:
        """Remove it: every order is settled, or nobody shall work on it any more."""
        (self.folder / MANIFEST).unlink(missing_ok=True)  # first: whoever looks now sees none
        shutil.rmtree(self.folder, ignore_errors=True)

    def settled(self) -> set[int]:
        """The orders that workers have seen settled."""
        found: set[int] = set()
        for path in (self.folder / SETTLED).glob("*"):
            with contextlib.suppress(OSError):  # a line that is being written lacks its end
                *lines, _ = path.read_text(encoding="utf-8").split("\n")
                found.update(int(line) for line in lines if line.isdecimal())
        return found

    def settle(self, index: int, worker: str) -> None:
        """Note that an order is settled, in the file of the worker who says so."""
        path = self.folder / SETTLED / worker
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{index}\n")
        except OSError as error:
            if not (self.is_stopped or self.is_removed):
                raise StoreError(f"cannot write {path}: {error.strerror or error}") from error


def write_manifest(
    root: Path,
    suite: Suite,
    cells: Sequence[Cell],
    options: RunOptions,
    *,
    executor: str,
    lease: float,
) -> Manifest:
    """Write the manifest of these cells into a results directory."""
    orders = tuple(
        Order(index, cell.generator, cell.seed, cell.attempt, cell.key, cell.folder)
        for index, cell in enumerate(cells)
    )
    folder = root / QUEUE / new_ulid()
    try:
        (folder / SETTLED).mkdir(parents=True)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error
    for start in range(0, len(orders), CHUNK):
        write_json(folder / f"orders-{start // CHUNK}.json", _chunk(orders[start : start + CHUNK]))
    body = {
        "schema": SCHEMA,
        "build": build(),
        "executor": executor,
        "lease": lease,
        "orders": len(orders),
        "suite": {
            "document": dict(suite.document), "profile": suite.profile, "root": str(suite.root),
        },
        "parts": list(options.parts),
        "source": dict(options.argv_source),
        **{name: getattr(options, name) for name in OPTIONS},
    }  # fmt: skip
    write_json(folder / MANIFEST, body)  # last: with it the manifest is there
    return Manifest(folder, executor, lease, suite, options, orders)


def _chunk(orders: Sequence[Order]) -> dict[str, Any]:
    """Some orders as JSON data, each generator once."""
    generators: dict[str, int] = {}
    bodies: list[dict[str, Any]] = []
    rows: list[list[Any]] = []
    for order in orders:
        row = order.folder.parent.name  # of the name and the parameters
        if row not in generators:
            generators[row] = len(bodies)
            bodies.append(order.generator.to_json())
        rows.append([generators[row], order.seed, order.attempt, order.key])
    return {"generators": bodies, "orders": rows}


def read_manifest(folder: Path) -> Manifest:
    """Read a manifest.

    Raises
    ------
    OtherBuild
        If another genbench wrote it.
    StoreError
        If it cannot be read.
    """
    body = read_json(folder / MANIFEST)
    try:
        if body["schema"] != SCHEMA or body["build"] != build():
            raise OtherBuild(_another(folder, body["build"]))
        asked = body["suite"]
        suite = Suite(asked["document"], asked["profile"], Path(asked["root"]))
        options = RunOptions(
            seeds=(), parts=tuple(body["parts"]), argv_source=body["source"],
            **{name: body[name] for name in OPTIONS},
        )  # fmt: skip
        orders = tuple(_orders(folder, suite, int(body["orders"])))
        return Manifest(folder, body["executor"], float(body["lease"]), suite, options, orders)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{folder / MANIFEST} is no manifest of ours: remove {folder}") from error


def _orders(folder: Path, suite: Suite, count: int) -> Iterator[Order]:
    index = 0
    for number in range(-(-count // CHUNK)):
        body = read_json(folder / f"orders-{number}.json")
        generators = [GeneratorChoice.from_json(one) for one in body["generators"]]
        rows = [cell_folder(suite, choice, 0).parent for choice in generators]
        for of, seed, attempt, key in body["orders"]:
            yield Order(index, generators[of], seed, attempt, key, rows[of] / f"seed-{seed}")
            index += 1


def tasks_of(manifest: Manifest) -> list[list[int]]:
    """The groups of orders that were made for tasks, by number."""
    path = manifest.folder / TASKS
    return list(read_json(path)) if exists(path) else []


def add_tasks(manifest: Manifest, groups: Sequence[Sequence[int]]) -> int:
    """Write down groups of orders for tasks; the number of the first."""
    before = tasks_of(manifest)
    write_json(manifest.folder / TASKS, [*before, *map(list, groups)])
    return len(before)


def manifests(
    root: Path, refused: list[GenbenchError] | None = None, known: Iterable[Manifest] = ()
) -> list[Manifest]:
    """The manifests of a results directory that nobody stopped, oldest first.

    Those that are `known` already are not read again. One of another genbench, or that cannot be
    read, raises its error, or is left out where a list of the `refused` is given.
    """
    kept = {manifest.folder: manifest for manifest in known}
    found = []
    for path in sorted((root / QUEUE).glob(f"*/{MANIFEST}")):
        if exists(path.parent / STOP):
            continue
        try:
            found.append(kept.get(path.parent) or read_manifest(path.parent))
        except (OtherBuild, StoreError) as error:
            if not exists(path):  # removed meanwhile
                continue
            if refused is None:
                raise
            refused.append(error)
    return found


@cache
def build() -> dict[str, str]:
    """The genbench that runs here: its version, and a digest of its code."""
    found = hashlib.sha256()
    for package in ("genbench", "genbench.baselines"):
        spec = importlib.util.find_spec(package)
        for place in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(place).rglob("*.py")):
                found.update(f"{path.relative_to(place)}\0".encode())
                found.update(path.read_bytes())
    return {"version": environment.versions()["genbench"], "code": found.hexdigest()[:16]}


def _another(folder: Path, theirs: Mapping[str, str]) -> str:
    ours = build()
    names = [f"{one.get('version')} (code {one.get('code')})" for one in (theirs, ours)]
    return (
        f"{folder} is of genbench {names[0]}, and here is {names[1]}: install the same one "
        "on every machine that works in this folder, or remove that folder"
    )
