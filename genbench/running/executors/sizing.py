"""Tasks for a scheduler: short cells together, and the time that each task may take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.results import Store
from genbench.running.queue.manifest import Manifest

SPARE = 2.0  # times the seconds that such cells took: another node may be half as fast
SPARE_SECONDS = 300.0  # to start, and to read what all cells read


@dataclass(frozen=True, slots=True)
class Group:
    """Orders for one task, and the minutes that it may take; None where nothing tells."""

    orders: tuple[int, ...]
    minutes: int | None


def seconds_by_generator(root: Path, manifest: Manifest) -> dict[str, float]:
    """The longest that a cell of each generator took in this task, as records say."""
    found: dict[str, float] = {}
    for stored in Store(root).each_record(root / manifest.suite.folder_name):
        wall = stored.record.times.get("wall_s")
        if stored.record.status == "ok" and isinstance(wall, int | float):
            name = stored.record.generator
            found[name] = max(found.get(name, 0.0), float(wall))
    return found


def grouped(
    manifest: Manifest,
    orders: Sequence[int],
    known: Mapping[str, float],
    *,
    seconds: float,
    cells: int,
) -> list[Group]:
    """Orders put together for tasks.

    Parameters
    ----------
    known
        Seconds that a cell takes, by generator.
    seconds
        The time that a group of short cells is meant to take.
    cells
        How many cells of a generator that nothing is known of make a group.
    """
    timed: list[tuple[int, float]] = []
    others: list[int] = []
    for index in orders:
        name = manifest.orders[index].generator.name
        if name in known:
            timed.append((index, known[name]))
        else:
            others.append(index)
    timed.sort(key=lambda one: one[1])  # alike together: one limit suits all of a group
    groups: list[list[tuple[int, float]]] = []
    for one in timed:
        if not groups or sum(t for _, t in groups[-1]) + one[1] > seconds:
            groups.append([])
        groups[-1].append(one)
    whole = [Group(tuple(i for i, _ in g), minutes(sum(t for _, t in g))) for g in groups]
    parts = [others[start : start + cells] for start in range(0, len(others), cells)]
    return whole + [Group(tuple(part), None) for part in parts]


def minutes(seconds: float) -> int:
    """The limit of a task that is expected to take so long: a power of two, so that few differ."""
    return int(2 ** math.ceil(math.log2((SPARE * seconds + SPARE_SECONDS) / 60)))
