"""The plan of a run, and the order for one of its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genbench.plugins import GeneratorChoice
from genbench.results import CACHE, Store, new_ulid
from genbench.running.cells import Cell, build_plan
from genbench.running.cellspec import PARTS, CellSpec
from genbench.tasks import Suite


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of a run, apart from the suite and the generators.

    Parameters
    ----------
    threads
        Threads that a cell fits, samples and refits with.
    parts
        Which of ``metrics`` and ``downstream`` to compute.
    device, devices
        Where cells run; with several `devices` each takes as many cells at a time as the others.
    fresh
        Run every cell again, whatever is stored.
    keep_failed
        Leave failed cells alone.
    timeout, memory_limit
        Seconds and bytes for each cell's generator; where cells share this machine, bytes default
        to 80 % of its memory over their number, and a cell that this ends runs once more, alone,
        with all of the 80 %.
    sandbox
        Whether processes that import a generator are confined, where the system can.
    """

    seeds: tuple[int, ...]
    threads: int = 1
    device: str = "cpu"
    devices: tuple[str, ...] = ()
    parts: tuple[str, ...] = PARTS
    fresh: bool = False
    keep_failed: bool = False
    timeout: float | None = None
    memory_limit: int | None = None
    sandbox: bool = True
    argv_source: Mapping[str, Any] = field(default_factory=dict)


def plan_cells(
    suite: Suite, choices: Sequence[GeneratorChoice], store: Store, options: RunOptions
) -> list[Cell]:
    """The cells of a run and what is to be done about each."""
    return build_plan(
        suite,
        [choice.for_kind(suite.space.kind) for choice in choices],
        options.seeds,
        store,
        threads=options.threads,
        parts=options.parts,
        fresh=options.fresh,
        keep_failed=options.keep_failed,
    )


def cell_spec(
    cell: Cell,
    suite: Suite,
    store: Store,
    options: RunOptions,
    *,
    device: str,
    slots: int,
    share: int | None,
) -> CellSpec:
    """The order for an attempt at a cell, in a new folder.

    Parameters
    ----------
    slots
        How many cells and refits go on at a time where it runs.
    share
        The bytes that it may hold there where the user set no limit; None for any number.
    """
    folder = store.root / cell.folder / new_ulid()
    scores_again = cell.todo == "score" and cell.source is not None
    return CellSpec(
        folder=folder.resolve(),
        cache=(store.root / CACHE).resolve(),
        cell_key=cell.key,
        suite=suite,
        generator=cell.generator,
        seed=cell.seed,
        device=device,
        threads=cell.threads,
        attempt=cell.attempt,
        reuse=cell.source.folder.resolve() if scores_again and cell.source else None,
        resume=None if cell.checkpoint is None else cell.checkpoint.resolve(),
        parts=cell.parts,
        timeout=options.timeout,
        memory_limit=options.memory_limit or share,
        slots=slots,
        fresh=options.fresh,
        sandbox=options.sandbox,
        source=options.argv_source,
    )
