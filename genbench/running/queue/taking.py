"""The next step for an order: it is settled, somebody is at it, or it is ours to make an attempt.

Records decide. An order is settled once its cell has a record of the attempt that was asked for, or
of a later one, that was not cut short: by a lost worker, a time limit, too little memory beside
others. Until then each attempt goes on from the checkpoint of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from genbench.errors import StoreError, shorten
from genbench.results import CHECKPOINT, SPEC, Record, RecordedAlready, Store, Stored, sound
from genbench.running.cells import Cell, build_plan
from genbench.running.cellspec import CellSpec
from genbench.running.earlier import cut_short
from genbench.running.ledger import inherit_checkpoint
from genbench.running.planning import cell_spec
from genbench.running.queue import claims
from genbench.running.queue.claims import Claim
from genbench.running.queue.heartbeats import Watch
from genbench.running.queue.manifest import Manifest, Order
from genbench.running.recording import WORKER_LOST, record_of_loss
from genbench.system import default_memory_limit, read_json

MOST_STALLS = 3  # attempts in a row that were cut short and left nothing new
KEPT = (
    "checkpoint",
    "samples",
    "state",
    "likelihood",
    "snapshot",
)  # what an attempt can go on from


class Next(Enum):
    """Why an order gives no attempt to make now."""

    SETTLED = "settled"
    TAKEN = "taken by another"
    ALONE = "needs a machine of its own"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt would be made: a device, and how many cells go on at a time there."""

    device: str
    slots: int
    alone: bool


class Taker:
    """Takes attempts at cells for one worker.

    Parameters
    ----------
    root
        The results directory.
    task
        The scheduler's name of the task that the worker works for; empty if it has none.
    """

    def __init__(self, root: Path, worker: str, task: str = "") -> None:
        self._store = Store(root)
        self._worker = worker
        self._task = task
        self._watch = Watch(root)

    def take(self, manifest: Manifest, order: Order, place: Place) -> CellSpec | Next:
        """Take the next attempt at an order's cell, if it is to be had."""
        while True:
            cell = self._plan(manifest, order)
            if self._is_settled(cell, order, manifest):
                return Next.SETTLED
            held = claims.holder(self._store.root, order.key, cell.attempt)
            if held is not None:
                silent = self._watch.silence(held.worker)
                if held.worker == self._worker or silent <= manifest.lease:
                    return Next.TAKEN
                why = f"its worker {held.worker} gave no sign of life for {silent:.0f} s"
                self._fence(manifest, cell, held, why)
                continue
            if self._give_up(manifest, order, cell):
                return Next.SETTLED
            slots = 1 if self._needs_all(cell, manifest) else place.slots
            if slots < place.slots and not place.alone:
                return Next.ALONE
            spec = self._spec(manifest, cell, place.device, slots)
            if not self._claim(spec, slots):
                return Next.TAKEN
            # Whoever read the records before another wrote one holds a claim on what is done.
            if self._plan(manifest, order).attempt == cell.attempt:
                return spec

    def is_settled(self, manifest: Manifest, order: Order) -> bool:
        """Whether an order is settled."""
        return self._is_settled(self._plan(manifest, order), order, manifest)

    def lose(self, manifest: Manifest, order: Order, task: str, why: str) -> bool:
        """Write down that the task that an order was for is gone; whether the order is settled.

        An attempt of the task gets the record that it did not write, and so does one that it never
        began. Another worker's attempt at the cell is left alone.
        """
        cell = self._plan(manifest, order)
        if self._is_settled(cell, order, manifest):
            return True
        made = claims.holder(self._store.root, order.key, cell.attempt - 1)
        held = claims.holder(self._store.root, order.key, cell.attempt)
        if held is not None and held.task == task:
            self._fence(manifest, cell, held, why)
        elif held is not None:
            return False
        elif made is None or made.task != task:  # else its attempt has its record
            spec = self._spec(manifest, cell, manifest.options.device, 1)
            if not self._claim(spec, 1, task):  # in its name: told of it again, nothing is added
                return False
            self._write_loss(spec, why)
        return self._give_up(manifest, order, self._plan(manifest, order))

    def _plan(self, manifest: Manifest, order: Order) -> Cell:
        """The order's cell, as the records say now."""

        def planned(fresh: bool) -> Cell:
            options = manifest.options
            (cell,) = build_plan(
                manifest.suite, [order.generator], [order.seed], self._store,
                threads=options.threads, parts=options.parts, fresh=fresh,
            )  # fmt: skip
            return cell

        cell = planned(False)
        again = manifest.options.fresh and cell.attempt <= order.attempt
        return planned(True) if again else cell

    def _is_settled(self, cell: Cell, order: Order, manifest: Manifest) -> bool:
        latest = cell.latest
        if latest is None or cell.attempt <= order.attempt:
            return False
        return not (latest.was_cut_short or self._needs_all(cell, manifest))

    def _needs_all(self, cell: Cell, manifest: Manifest) -> bool:
        """Whether the last attempt had too little memory beside others, without a user's limit."""
        latest = cell.latest
        if latest is None or latest.status != "oom" or manifest.options.memory_limit:
            return False
        held = claims.holder(self._store.root, cell.key, cell.attempt - 1)
        return held is not None and held.slots > 1

    def _spec(self, manifest: Manifest, cell: Cell, device: str, slots: int) -> CellSpec:
        spec = cell_spec(
            cell, manifest.suite, self._store, manifest.options,
            device=device, slots=slots, share=default_memory_limit(slots),
        )  # fmt: skip
        return replace(spec, claimed=True)

    def _claim(self, spec: CellSpec, slots: int, task: str | None = None) -> bool:
        name, task = spec.folder.name, self._task if task is None else task
        claim = Claim(spec.cell_key, spec.attempt, self._worker, task, name, slots)
        return claims.take(self._store.root, claim)

    def _fence(self, manifest: Manifest, cell: Cell, held: Claim, why: str) -> None:
        """Write the record of an attempt whose worker is dead: if it is not, it is too late now."""
        spec = self._spec(manifest, cell, manifest.options.device, held.slots)
        folder = spec.folder.with_name(held.folder)
        self._write_loss(replace(spec, folder=folder, resume=_resumed(folder)), why)

    def _write_loss(self, spec: CellSpec, why: str) -> None:
        spec.folder.mkdir(parents=True, exist_ok=True)
        inherit_checkpoint(spec.resume, spec.folder)  # it may have ended before it could
        message = f"{why}; it goes on elsewhere"
        error = {"phase": "worker", "type": WORKER_LOST, "message": message}
        with suppress(RecordedAlready):  # by itself, or by another who took it for dead
            record_of_loss(spec, "interrupted", error)

    def _give_up(self, manifest: Manifest, order: Order, cell: Cell) -> bool:
        """Settle an order as failed if its attempts come to nothing; whether that was so."""
        if cell.latest is None or cell.attempt <= order.attempt:
            return False
        folder = self._store.root / cell.folder
        mine = [s for s in sound(self._store.attempts_in(folder)) if s.record.cell_key == cell.key]
        stalled = _stalled([s for s in _by_number(mine) if _number(s.record) >= order.attempt])
        if len(stalled) < MOST_STALLS:
            return False
        spec = self._spec(manifest, cell, manifest.options.device, 1)
        if self._claim(spec, 1):
            record_of_loss(spec, "failed", {
                "phase": "worker", "type": "NoProgress",
                "message": f"no progress in {len(stalled)} attempts: {_history(stalled)}",
            })  # fmt: skip
        return True


def _resumed(folder: Path) -> Path | None:
    """The checkpoint that an attempt was told to go on from, as it is reached from here."""
    with suppress(StoreError, KeyError, TypeError):
        return folder.parent / Path(read_json(folder / SPEC)["resume"]).parent.name / CHECKPOINT
    return None


def _number(record: Record) -> int:
    return int(record.attempt.get("n", 1))


def _by_number(attempts: Sequence[Stored]) -> list[Stored]:
    return sorted(attempts, key=lambda s: (_number(s.record), s.record.record_id))


def _stalled(attempts: Sequence[Stored]) -> list[Stored]:
    """The last attempts, in a row, that were cut short and left nothing new to go on from."""
    found: list[Stored] = []
    had: set[str] = set()
    for attempt in attempts:
        left = {a.sha256 for a in attempt.record.artifacts if a.role in KEPT}
        if not cut_short(attempt.record) or left - had:
            found.clear()
        if cut_short(attempt.record) and not left - had:
            found.append(attempt)
        had = left or had
    return found


def _history(attempts: Sequence[Stored]) -> str:
    """How each of some attempts ended."""
    return "; ".join(
        f"attempt {_number(s.record)}: {shorten(str((s.record.error or {}).get('message')), 200)}"
        for s in attempts
    )
