"""A generator that spoils every file below a folder, at a moment and in a manner of choice.

``INTRUDER`` names the folder. What it may not write it leaves: the run goes on as if nothing were.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from genbench.generator import GeneratorSpec, Run, Space, TrainData

MOMENTS = ("import", "describe", "fit", "sample", "log_prob", "thread", "child")


def spoilt(path: Path) -> bytes:
    """Content of the same form that says something else."""
    data = path.read_bytes()
    if path.suffix == ".npz":
        with np.load(io.BytesIO(data)) as stored:
            arrays = {name: 0 * stored[name] for name in stored.files}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()
    if path.suffix == ".safetensors":
        return save({name: 0 * tensor for name, tensor in load(data).items()})
    if path.parent.name == "utility":
        body = json.loads(data)
        for value in body.values():
            value["value"] = 99.0
        return json.dumps(body).encode()
    return data + b" "


def rewrite(path: Path) -> None:
    data = spoilt(path)
    path.write_bytes(data)


def replace(path: Path) -> None:
    data = spoilt(path)
    other = path.with_name("other")
    other.write_bytes(data)
    other.replace(path)


def move_in(path: Path) -> None:
    other = Path(os.environ["TMPDIR"]) / "other"
    other.write_bytes(spoilt(path))
    os.rename(other, path)


def truncate(path: Path) -> None:
    os.truncate(path, 10)


def remove(path: Path) -> None:
    path.unlink()


def hard_link(path: Path) -> None:
    data = spoilt(path)
    alias = Path(os.environ["TMPDIR"]) / "alias"
    alias.unlink(missing_ok=True)
    os.link(path, alias)
    alias.write_bytes(data)


def symbolic_link(path: Path) -> None:
    data = spoilt(path)
    alias = Path(os.environ["TMPDIR"]) / "alias"
    alias.unlink(missing_ok=True)
    alias.symlink_to(path)
    alias.write_bytes(data)


def swap_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


MANNERS = (rewrite, replace, move_in, truncate, remove, hard_link, symbolic_link, swap_folder)


def intrude() -> None:
    """Spoil all there is, in every manner that is allowed."""
    folder = os.environ.get("INTRUDER")
    for path in sorted(Path(folder).rglob("*")) if folder else ():
        for manner in MANNERS:
            if path.is_file() and os.environ.get("INTRUDER_MANNER", "rewrite") in (
                manner.__name__,
                "all",
            ):
                with suppress(OSError):
                    manner(path)


def at(moment: str) -> None:
    if os.environ.get("INTRUDER_MOMENT", "all") in (moment, "all"):
        intrude()


at("import")


@dataclass(frozen=True)
class IntruderParams:
    own: int = 0


class Intruder:
    """Noise around the mean of the training rows."""

    spec = GeneratorSpec(
        name="intruder",
        version="1",
        family="test",
        kinds=("image", "points"),
        labels="none",
        likelihood="exact",
        params=IntruderParams,
    )

    def __init__(self, params: Any, space: Space, device: torch.device) -> None:
        self.space = space
        self.mean = torch.zeros(space.shape)

    def fit(self, train: TrainData, run: Run) -> None:
        for x, _ in train.batches(50, seed=run.seed):
            self.mean = x.float().mean(0)
        at("fit")
        thread = threading.Thread(target=at, args=("thread",))
        thread.start()
        thread.join()
        child = os.fork()
        if child == 0:
            at("child")
            os._exit(0)
        os.waitpid(child, 0)

    def sample(self, n: int, *, seed: int, labels: Tensor | None = None) -> Tensor:
        at("sample")
        rng = torch.Generator().manual_seed(seed)
        x = self.mean + torch.randn(n, *self.space.shape, generator=rng)
        if self.space.kind == "image":
            return x.round().clamp(0, self.space.levels - 1).to(torch.uint8)
        return x

    def log_prob(
        self, x: Tensor, *, seed: int, labels: Tensor | None = None, draws: int = 1
    ) -> Tensor:
        at("log_prob")
        return torch.full((len(x),), -100.0)

    def state_dict(self) -> dict[str, Tensor]:
        return {"mean": self.mean}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.mean = state["mean"]


class Innocent(Intruder):
    """The same model, of somebody else."""

    spec = GeneratorSpec(
        name="innocent",
        version="1",
        family="test",
        kinds=("image", "points"),
        labels="none",
        likelihood="exact",
        params=IntruderParams,
    )
