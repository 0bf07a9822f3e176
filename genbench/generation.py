"""The generator's side of a cell: fit, sample and log_prob under the contract.

It runs in a process of its own, the only one that imports the generator. While it fits and
samples it holds the training rows and no others; the reference rows are loaded afterwards, for
`log_prob` alone.
"""

from __future__ import annotations

import io
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

from genbench import tensorfile
from genbench.account import GENERATION
from genbench.arrayvalues import unscaled
from genbench.cellspec import CellSpec
from genbench.data import Split, load_split
from genbench.errors import UsageError, shorten
from genbench.harnessed import FitResult, Harnessed, requested_labels
from genbench.metrics.table import LIKELIHOOD_METRICS
from genbench.npzfile import read_npz
from genbench.seeds import derive_seed
from genbench.store import CHECKPOINT, write_bytes, write_json, write_progress
from genbench.training import Stopped

SAMPLES = "samples.npz"
STATE = "state.safetensors"
LIKELIHOOD = "likelihood.npz"
PROGRESS = "progress.json"


@dataclass
class GenerationResult:
    """What the generator's process tells the worker; kept as ``generation.json``."""

    status: str = "running"
    phase: str = "import"
    error: dict[str, Any] | None = None
    examples_served: int = 0
    raw_access: bool = False
    checkpoints: int = 0
    resumed_at: int = 0
    seconds_before: float = 0.0
    curves: dict[str, Any] = field(default_factory=dict)
    timing: dict[str, float] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)


def likelihood_plan(spec: CellSpec) -> dict[str, dict[str, int]]:
    """The likelihood metrics that the suite asks of this generator: id -> rows and draws."""
    if spec.generator.description.likelihood is None or "metrics" not in spec.parts:
        return {}
    plan = {}
    for request in spec.suite.metrics:
        if request.id in LIKELIHOOD_METRICS:
            rows = int(request.parameters.get("rows", 10_000))
            plan[request.id] = {"rows": rows, "draws": int(request.parameters.get("draws", 1))}
    return plan


def configure_torch(threads: int) -> None:
    """Fix what could change a number between two runs: threads, denormals, TF32, autotuning."""
    torch.set_num_threads(threads)
    threadpool_limits(threads)
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False


class Generation:
    """Runs the phases of one cell's generator and writes what they produce into its folder.

    Parameters
    ----------
    cls, stopping
        The generator's class, where it lives in this process, and who says that the run is being
        stopped. Without them the class is imported and this process is the generator's own, which
        signals stop.
    """

    def __init__(
        self,
        spec: CellSpec,
        cls: type | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> None:
        self.spec = spec
        self.space = spec.suite.space
        self.device = torch.device(spec.device)
        self.result = GenerationResult()
        self._cls = cls
        self._signalled = False
        self._asked = stopping
        self._since = (time.time(), 0)  # when the phase began, and how much was done by then
        if stopping is None:
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    @property
    def _stopping(self) -> bool:
        return self._signalled or (self._asked is not None and self._asked())

    def run(self) -> None:
        """Do all phases; every way they can end is written to ``generation.json``."""
        configure_torch(self.spec.threads)
        try:
            self._phases()
            self.result.status = "ok"
        except Stopped:
            self.result.status = "interrupted"
            self._fail("Stopped", "the run was stopped; the same command continues it", "")
        except torch.cuda.OutOfMemoryError as error:
            self.result.status = "oom"
            self._fail(type(error).__name__, str(error), traceback.format_exc())
        except MemoryError as error:
            self.result.status = "oom"
            self._fail("MemoryError", str(error) or "out of memory", traceback.format_exc())
        except Exception as error:
            self.result.status = "failed"
            self._fail(type(error).__name__, str(error), traceback.format_exc())
            traceback.print_exc()
        self._keep()

    def _keep(self) -> None:
        write_json(self.spec.folder / GENERATION, vars(self.result))

    def _phases(self) -> None:
        subject = self._phase("import", self._make)
        if self.spec.reuse is None:
            train = self._phase("data", lambda: self._split(self.spec.split))
            self._phase("fit", lambda: self._fit(subject, train))
            # An interrupted fit costs what all its parts took.
            self.result.timing["fit_s"] += self.result.seconds_before
            self._phase("sample", lambda: self._sample(subject, train))
            self._phase("state", lambda: self._save_state(subject))
        plan = likelihood_plan(self.spec)
        if plan:
            if self.spec.reuse is not None:
                self._phase("state", lambda: self._load_state(subject))
            self._phase("log_prob", lambda: self._log_prob(subject, plan))

    def _phase(self, name: str, work: Callable[[], Any]) -> Any:
        self.result.phase = name
        self._since = (time.time(), 0)
        self._keep()  # what the phases before it found outlives this one
        self._progress(0, 0, {})
        start = time.perf_counter()
        value = work()
        self.result.timing[f"{name}_s"] = time.perf_counter() - start
        return value

    def _make(self) -> Harnessed:
        return Harnessed(
            self.spec.generator,
            self.space,
            self.device,
            cls=self._cls,
            stopping=lambda: self._stopping,
            report=self._progress,
        )

    def _split(self, name: str) -> Split:
        return load_split(self.spec.suite.dataset, self.space, name)

    def _fit(self, subject: Harnessed, train: Split) -> None:
        spec = self.spec
        fit = FitResult()
        try:
            subject.fit(
                train,
                spec.suite.budget,
                spec.seed,
                fit,
                checkpoint_file=spec.folder / CHECKPOINT,
                resume_file=spec.resume,
            )
        finally:
            for name, value in vars(fit).items():
                setattr(self.result, name, value)

    def _sample(self, subject: Harnessed, train: Split) -> None:
        suite = self.spec.suite
        seed = derive_seed(self.spec.seed, "sample")
        n, chunk = suite.n_samples, suite.sample_chunk
        labels = None
        if self.spec.generator.is_control:
            available = subject.generator.available()
            n = chunk = n if available is None else min(n, available)
        elif subject.takes_labels and train.y is not None:
            labels = requested_labels(train.y, self.space.classes, n, seed)
        arrays = subject.draw(n, chunk=chunk, seed=seed, labels=labels)
        save_arrays(self.spec.folder / SAMPLES, arrays)
        self.result.resources["n_sampled"] = n
        notes = self._notes(subject.generator, arrays["x"])
        if notes:
            self.result.resources["notes"] = notes

    def _notes(self, generator: Any, x: npt.NDArray[Any]) -> list[str]:
        """What is odd about the samples' values, by themselves and as an adapter saw them."""
        notes: tuple[str, ...] = getattr(generator, "sample_notes", tuple)()
        dark = unscaled(x, self.space.levels) if self.space.kind == "image" else None
        return [shorten(str(note), 400) for note in (*notes, *([dark] if dark else []))]

    def _save_state(self, subject: Harnessed) -> None:
        state = subject.generator.state_dict()
        weights = sum(v.numel() for v in state.values() if v.is_floating_point())
        self.result.resources["parameters"] = int(weights)
        # A control's state is a copy of the data it was given: reproducible, and large.
        if not self.spec.generator.is_control:
            tensorfile.save(self.spec.folder / STATE, state)

    def _load_state(self, subject: Harnessed) -> None:
        state = tensorfile.load(self.spec.folder / STATE, device=self.device)
        subject.generator.load_state_dict(state)

    def _log_prob(self, subject: Harnessed, plan: Mapping[str, Mapping[str, int]]) -> None:
        reference = self._split(self.spec.suite.document["protocol"]["reference"])
        prior = self._label_prior() if subject.takes_labels else None
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, ask in plan.items():
            rows = min(ask["rows"], len(reference.x))
            arrays[name] = self._log_prob_rows(subject, reference, prior, rows, ask["draws"])
            if ask["draws"] > 1:
                one = self._log_prob_rows(subject, reference, prior, rows, 1)
                arrays[f"{name}_one_draw"] = one
            arrays[f"{name}_asked"] = np.array([ask["rows"], ask["draws"]])
        save_arrays(self.spec.folder / LIKELIHOOD, arrays)

    def _label_prior(self) -> npt.NDArray[np.float64]:
        y = self._split("train").y
        if y is None:
            raise UsageError(f"suite {self.spec.suite.name!r} has classes but no labels")
        share = np.bincount(y, minlength=self.space.classes) / len(y)
        return np.asarray(np.log(share), np.float64)

    def _log_prob_rows(
        self,
        subject: Harnessed,
        reference: Split,
        prior: npt.NDArray[np.float64] | None,
        rows: int,
        draws: int,
    ) -> npt.NDArray[np.float64]:
        chunk = max(1, 500 // draws)
        seed = derive_seed(self.spec.seed, "log_prob", draws)
        values = []
        for start in range(0, rows, chunk):
            if self._stopping:
                raise Stopped
            stop = min(start + chunk, rows)
            part = subject.log_prob(
                reference.x[start:stop],
                seed=derive_seed(seed, start),
                labels=None if prior is None or reference.y is None else reference.y[start:stop],
                draws=draws,
                first=start,
            )
            if prior is not None and reference.y is not None:
                part = part + prior[reference.y[start:stop]]
            values.append(part)
            self._progress(stop, rows, {})
        return np.concatenate(values)

    def _progress(self, done: int, total: int, scalars: Mapping[str, float]) -> None:
        if self.result.phase == "fit" and self.spec.resume and self._since[1] == 0 and done:
            self._since = (time.time(), done)  # the pace is that of what was not there before
        write_progress(
            self.spec.folder / PROGRESS, self.result.phase, done, total, scalars, since=self._since
        )

    def _fail(self, kind: str, message: str, trace: str) -> None:
        self.result.error = {
            "phase": self.result.phase,
            "type": kind,
            "message": message,
            "traceback": trace,
        }

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signalled = True


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as a compressed npz, atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what `save_arrays` wrote; pickled objects are refused."""
    return read_npz(path, str(path))
