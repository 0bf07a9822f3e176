"""A generator fitted anew on a replicate's own rows, in a process that has nothing else.

The order that crosses to the process names the generator, the space, a budget and one file with
exactly the rows of the replicate: no data set, no path to one.
"""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genbench.cellspec import GeneratorChoice
from genbench.data import Split
from genbench.generation import configure_torch
from genbench.generator import Space
from genbench.harnessed import FitResult, Harnessed
from genbench.npzfile import load_arrays, save_arrays
from genbench.store import read_json, write_json, write_progress
from genbench.training import Stopped

SPEC = "refit.json"
ROWS = "rows.npz"  # x, y, and the labels asked for, where the generator takes labels
SYNTHETIC = "synthetic.npz"
RESULT = "result.json"
SCHEMA = "genbench.refit/1"


@dataclass(frozen=True, slots=True)
class RefitSpec:
    """The order for one refit.

    Parameters
    ----------
    folder
        Holds `ROWS` and receives `SYNTHETIC` and `RESULT`.
    budget
        Training examples served.
    draw
        Rows drawn afterwards; for generators that take labels, as many as labels are asked for.
    what
        Which replicate this is, for progress and messages.
    progress
        The file that progress is written to.
    """

    folder: Path
    generator: GeneratorChoice
    space: Space
    seed: int
    budget: int
    draw: int
    chunk: int
    device: str
    threads: int
    what: str
    progress: Path

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "schema": SCHEMA,
            "folder": str(self.folder),
            "generator": self.generator.to_json(),
            "space": self.space.to_json(),
            "seed": str(self.seed),  # 64 bits: more than a JSON number holds everywhere
            "budget": self.budget,
            "draw": self.draw,
            "chunk": self.chunk,
            "device": self.device,
            "threads": self.threads,
            "what": self.what,
            "progress": str(self.progress),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> RefitSpec:
        """Undo `to_json`."""
        values = {k: v for k, v in body.items() if k != "schema"}
        values["folder"], values["progress"] = Path(values["folder"]), Path(values["progress"])
        values["seed"] = int(values["seed"])
        values["generator"] = GeneratorChoice.from_json(values["generator"])
        values["space"] = Space.from_json(values["space"])
        return cls(**values)


def refit(path: Path) -> None:
    """Do what the order at `path` says; every way it can end is written to its `RESULT`."""
    spec = RefitSpec.from_json(read_json(path))
    stopping = False

    def stop(number: int, frame: Any) -> None:
        nonlocal stopping
        stopping = True

    def report(done: int, total: int, scalars: Mapping[str, float]) -> None:
        write_progress(spec.progress, "refit", done, total, scalars, spec.what)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    configure_torch(spec.threads)
    result: dict[str, Any] = {"status": "ok"}
    try:
        subject = Harnessed(
            spec.generator,
            spec.space,
            torch.device(spec.device),
            stopping=lambda: stopping,
            report=report,
        )
        result.update(_fit_and_draw(subject, spec))
    except Stopped:
        result["status"] = "interrupted"
    except Exception as error:
        traceback.print_exc()
        result["status"] = "failed"
        result["message"] = f"{type(error).__name__}: {error}"
    write_json(spec.folder / RESULT, result)


def _fit_and_draw(subject: Harnessed, spec: RefitSpec) -> dict[str, Any]:
    arrays = load_arrays(spec.folder / ROWS)
    fit = FitResult()
    start = time.perf_counter()
    subject.fit(Split(arrays["x"], arrays["y"]), spec.budget, spec.seed, fit)
    fitted = time.perf_counter()
    labels = arrays.get("labels")
    n = spec.draw if labels is None else len(labels)
    drawn = subject.draw(n, chunk=spec.chunk, seed=spec.seed, labels=labels)
    save_arrays(spec.folder / SYNTHETIC, drawn)
    return {
        "fit_s": fitted - start,
        "sample_s": time.perf_counter() - fitted,
        "examples_served": fit.examples_served,
        "raw_access": fit.raw_access,
    }
