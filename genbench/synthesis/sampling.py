"""Rows drawn from a stored generator, in a process of its own that never saw anything else.

``python -m genbench.synthesis.sampling ORDER.json`` is that process. It is started, not forked: the
caller has trained classifiers, and the threads of that would not survive a fork.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench.errors import ContractError
from genbench.generator import Space
from genbench.plugins import GeneratorChoice, GeneratorDriver
from genbench.running import EventListener, Ledger, MonitoredProcess, configure_torch
from genbench.system import (
    Sandbox,
    card,
    error_text,
    load_arrays,
    python_module,
    read_json,
    sandbox,
    save_arrays,
    scratch_folder,
    tensorfile,
    wait_for_end,
    write_json,
)

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class StoredGenerator:
    """A fitted generator as a run left it: `state` is the safetensors file of its `state_dict`,
    `chunk` the rows asked for in one call of `sample`.

    The process that draws may write nothing in `results`, the results directory, nor read the
    `hidden` files and folders; in the `sandbox` it is confined, where the system can.
    """

    choice: GeneratorChoice
    space: Space
    state: Path
    chunk: int
    device: str
    threads: int
    results: Path
    hidden: Sequence[Path] = ()
    sandbox: bool = True

    def sample(self, n: int, seed: int, labels: NDArray[np.int64] | None) -> dict[str, Array]:
        """Draw `n` rows as arrays ``x`` and, if labelled, ``y``.

        `ContractError` if its process ends in any other way than with the rows.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            order = {
                "generator": self.choice.to_json(),
                "space": self.space.to_json(),
                "state": str(self.state.resolve()),
                "n": n,
                "seed": str(seed),  # 64 bits: more than a JSON number holds everywhere
                "chunk": self.chunk,
                "device": self.device,
                "threads": self.threads,
                "labels": None if labels is None else labels.tolist(),
                "to": str(folder / "drawn.npz"),
                "sandbox": self.sandbox,
                "results": str(self.results.resolve()),
                "hidden": [str(path.absolute()) for path in self.hidden],
                "readable": [str(Path(file).parent)] if (file := self.choice.ref.file) else [],
            }
            write_json(folder / "order.json", order)
            command = python_module("genbench.synthesis.sampling", str(folder / "order.json"))
            ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
            if ended.returncode:
                lines = ended.stderr.strip().splitlines()
                reason = lines[-1] if lines else f"exit code {ended.returncode}"
                raise ContractError(f"{self.choice.name} could not draw {n} rows: {reason}")
            return load_arrays(folder / "drawn.npz")


def main(path: str) -> None:
    """Draw what the order at `path` asks for, in an isolated and confined process below this one.

    `ContractError` if that process ends in any other way than with the rows.
    """
    order = read_json(Path(path))
    n = int(order["n"])
    ledger = Ledger(Space.from_json(order["space"]), n)
    with scratch_folder() as scratch:
        box = sandbox(
            order["sandbox"], scratch, results=Path(order["results"]),
            hidden=lambda: map(Path, order["hidden"]), readable=[*map(Path, order["readable"])],
        )  # fmt: skip
        running = MonitoredProcess(
            lambda events: _sample(order, events, box), ledger, log=None, scratch=scratch
        )
        outcome = wait_for_end(running, lambda: False)
    error = ledger.result.error or {}
    if ledger.samples is None or ledger.result.status != "ok":
        how = outcome.signal_name or f"exit code {outcome.code}"
        raise ContractError(ledger.broken or error.get("message") or f"its process ended by {how}")
    save_arrays(Path(order["to"]), ledger.samples)


def _sample(order: Mapping[str, Any], events: EventListener, box: Sandbox | None) -> None:
    configure_torch(order["threads"])
    device = torch.device(order["device"])
    state = tensorfile.load(Path(order["state"]), device=device)
    if box is not None:
        box.enter()
    end = ("ok", "", "", "")
    try:
        choice = GeneratorChoice.from_json(order["generator"])
        subject = GeneratorDriver(choice, Space.from_json(order["space"]), device)
        subject.generator.load_state_dict(state)
        labels = None if order["labels"] is None else np.array(order["labels"], np.int64)
        events.phase("sample")
        seed, chunk = int(order["seed"]), order["chunk"]
        for rows in subject.chunks(order["n"], chunk=chunk, seed=seed, labels=labels):
            events.rows(rows)
    except Exception as raised:
        error = card.named(raised)
        message = f"{type(error).__name__}: {error_text(error, confined=box is not None)}"
        end = ("failed", type(error).__name__, message, "")
    events.ended(*end)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ContractError as error:
        sys.exit(str(error))
