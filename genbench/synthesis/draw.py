"""Rows drawn from a stored generator, in a process of its own that never saw anything else.

``python -m genbench.synthesis.draw ORDER.json`` is that process. It is started, not forked: the
caller has trained classifiers, and the threads of that would not survive a fork.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genbench import tensorfile
from genbench.cellspec import GeneratorChoice
from genbench.errors import ContractError
from genbench.generation import configure_torch
from genbench.generator import Space
from genbench.harnessed import Harnessed
from genbench.npzfile import load_arrays, save_arrays
from genbench.store import read_json, write_json

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class StoredGenerator:
    """A fitted generator as a run left it.

    Parameters
    ----------
    state
        The safetensors file of its `state_dict`.
    chunk
        Rows asked for in one call of `sample`.
    """

    choice: GeneratorChoice
    space: Space
    state: Path
    chunk: int
    device: str
    threads: int

    def draw(self, n: int, seed: int, labels: NDArray[np.int64] | None) -> dict[str, Array]:
        """Draw `n` rows as arrays ``x`` and, if labelled, ``y``.

        Raises
        ------
        ContractError
            If its process ends in any other way than with the rows.
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
            }
            write_json(folder / "order.json", order)
            command = [sys.executable, "-m", "genbench.synthesis.draw", str(folder / "order.json")]
            ended = subprocess.run(command, capture_output=True, text=True, errors="replace")
            if ended.returncode:
                lines = ended.stderr.strip().splitlines()
                reason = lines[-1] if lines else f"exit code {ended.returncode}"
                raise ContractError(f"{self.choice.name} could not draw {n} rows: {reason}")
            return load_arrays(folder / "drawn.npz")


def main(path: str) -> None:
    """Draw what the order at `path` asks for."""
    order = read_json(Path(path))
    configure_torch(order["threads"])
    device = torch.device(order["device"])
    choice = GeneratorChoice.from_json(order["generator"])
    subject = Harnessed(choice, Space.from_json(order["space"]), device)
    subject.generator.load_state_dict(tensorfile.load(Path(order["state"]), device=device))
    labels = None if order["labels"] is None else np.array(order["labels"], np.int64)
    drawn = subject.draw(order["n"], chunk=order["chunk"], seed=int(order["seed"]), labels=labels)
    save_arrays(Path(order["to"]), drawn)


if __name__ == "__main__":
    main(sys.argv[1])
