"""Rows drawn from a stored generator, in a process of its own that never saw anything else.

``python -m genbench.synthesis.sampling ORDER.json`` is that process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.adapters import Caller, ExportHeader, class_of
from genbench.generator import Space
from genbench.plugins import GeneratorChoice, GeneratorDriver, GeneratorRef, finding
from genbench.running import Access, EventListener, Ledger, Ordered, carry_out, place_order
from genbench.system import load_arrays, save_arrays, tensorfile

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class StoredGenerator:
    """A fitted generator as a run left it: `state` is the safetensors file of its `state_dict`,
    `chunk` the rows asked for in one call of `sample`.
    """

    choice: GeneratorChoice
    space: Space
    state: Path
    chunk: int
    device: str
    threads: int
    access: Access

    def sample(self, n: int, seed: int, labels: NDArray[np.int64] | None) -> dict[str, Array]:
        """Draw `n` rows as arrays ``x`` and, if labelled, ``y``.

        `ContractError` if its process ends in any other way than with the rows.
        """
        order = {
            "generator": self.choice.to_json(),
            "state": str(self.state.resolve()),
            "device": self.device,
            "threads": self.threads,
            "chunk": self.chunk,
        }
        return _drawn(order, self.space, self.access, self.choice.name, n, seed, labels)


@dataclass(frozen=True, slots=True)
class ExportedGenerator:
    """A generator as `genbench export` wrote it into a `file`; else as a `StoredGenerator`."""

    file: Path
    header: ExportHeader
    chunk: int
    access: Access

    def sample(self, n: int, seed: int, labels: NDArray[np.int64] | None) -> dict[str, Array]:
        """Draw `n` rows; see `StoredGenerator.sample`."""
        order = {
            "export": str(self.file.resolve()),
            "header": self.header.to_text(),
            "device": "cpu",
            "threads": self.header.threads,
            "chunk": self.chunk,
        }
        return _drawn(order, self.header.space, self.access, self.file.name, n, seed, labels)


def _drawn(
    order: Mapping[str, Any],
    space: Space,
    access: Access,
    name: str,
    n: int,
    seed: int,
    labels: NDArray[np.int64] | None,
) -> dict[str, Array]:
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn.npz"
        wanted = {
            "n": n,
            "seed": str(seed),  # 64 bits: more than a JSON number holds everywhere
            "labels": None if labels is None else labels.tolist(),
            "to": str(drawn),
        }
        failure = f"{name} could not draw {n} rows"
        place_order(__name__, {**order, **wanted}, space, access, failure)
        return load_arrays(drawn)


def _sample(ordered: Ordered, events: EventListener) -> None:
    order = ordered.order
    subject = _exported(ordered) if "export" in order else _stored(ordered)
    labels = None if order["labels"] is None else np.array(order["labels"], np.int64)
    events.phase("sample")
    seed, chunk = int(order["seed"]), order["chunk"]
    for rows in subject.chunks(order["n"], chunk=chunk, seed=seed, labels=labels):
        events.rows(rows)


def _stored(ordered: Ordered) -> GeneratorDriver:
    """The generator with its state, which lies where the confined process may not read."""
    order, device = ordered.order, torch.device(ordered.order["device"])
    state = tensorfile.load(Path(order["state"]), device=device)
    ordered.confine()
    choice = GeneratorChoice.from_json(order["generator"])
    subject = GeneratorDriver(choice, Space.from_json(order["space"]), device)
    subject.generator.load_state_dict(state)
    return subject


def _exported(ordered: Ordered) -> GeneratorDriver:
    """The generator of an exported file, whose network is loaded once this process is confined."""
    path, header = Path(ordered.order["export"]), ExportHeader.from_text(ordered.order["header"])
    ordered.confine()
    cls = class_of("exported", path, header, Caller(__name__, path.parent))
    ref = GeneratorRef("exported", cls.__name__, path.name, inline=True)
    choice = GeneratorChoice(ref, finding.description_of(cls, ref), {})
    return GeneratorDriver(choice, header.space, torch.device("cpu"), cls=cls)


def _take_over(ordered: Ordered, ledger: Ledger) -> None:
    assert ledger.samples is not None
    save_arrays(Path(ordered.order["to"]), ledger.samples)


if __name__ == "__main__":
    carry_out(_sample, _take_over)
