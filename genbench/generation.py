"""The generator's side of a cell: fit, sample and log_prob under the contract.

It runs in a process of its own, the only one that imports the generator. While it fits and
samples it holds the training rows and no others; the reference rows are loaded afterwards, for
`log_prob` alone.
"""

from __future__ import annotations

import contextlib
import io
import json
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
from torch import Tensor

from genbench import plugins, tensorfile
from genbench.arrayfile import read_npz
from genbench.cellspec import CellSpec
from genbench.data import Split, load_split
from genbench.errors import ContractError, StoreError, UsageError
from genbench.generator import Samples
from genbench.metrics.table import LIKELIHOOD_METRICS
from genbench.seeds import derive_seed
from genbench.store import CHECKPOINT, write_bytes, write_json
from genbench.training import Budget, HarnessRun, MemoryTrainData, Stopped

SAMPLES = "samples.npz"
STATE = "state.safetensors"
LIKELIHOOD = "likelihood.npz"
RESULT = "generation.json"
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
    """Runs the phases of one cell's generator and writes what they produce into its folder."""

    def __init__(self, spec: CellSpec) -> None:
        self.spec = spec
        self.space = spec.suite.space
        self.device = torch.device(spec.device)
        self.result = GenerationResult()
        self._run: HarnessRun | None = None
        self._stopping = False
        self._since = [time.time(), 0]  # when the phase began, and how much was done by then
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

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
        write_json(self.spec.folder / RESULT, vars(self.result))

    def _phases(self) -> None:
        generator = self._phase("import", self._make)
        if self.spec.reuse is None:
            train = self._phase("data", lambda: self._split(self.spec.split))
            self._phase("fit", lambda: self._fit(generator, train))
            self._phase("sample", lambda: self._sample(generator, train))
            self._phase("state", lambda: self._save_state(generator))
        plan = likelihood_plan(self.spec)
        if plan:
            if self.spec.reuse is not None:
                self._phase("state", lambda: self._load_state(generator))
            self._phase("log_prob", lambda: self._log_prob(generator, plan))

    def _phase(self, name: str, work: Callable[[], Any]) -> Any:
        self.result.phase = name
        self._since = [time.time(), 0]
        self._progress(0, 0, {})
        start = time.perf_counter()
        value = work()
        self.result.timing[f"{name}_s"] = time.perf_counter() - start
        return value

    def _make(self) -> Any:
        choice = self.spec.generator
        cls: Any = plugins.load(choice.ref)
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in choice.params.items()}
        return cls(cls.spec.params(**values), self.space, self.device)

    def _split(self, name: str) -> Split:
        return load_split(self.spec.suite.dataset, self.space, name)

    def _fit(self, generator: Any, train: Split) -> None:
        spec = self.spec
        budget = Budget(spec.suite.budget)
        stop = lambda: self._stopping  # noqa: E731
        data = MemoryTrainData(
            torch.from_numpy(train.x),
            None if train.y is None else torch.from_numpy(train.y),
            self.space,
            self.device,
            budget,
            stop=stop,
        )
        run = HarnessRun(
            derive_seed(spec.seed, "fit"),
            self.device,
            budget,
            checkpoint_file=spec.folder / CHECKPOINT,
            resume_file=spec.resume,
            stop=stop,
            report=self._progress,
        )
        self._run = run
        try:
            generator.fit(data, run)
        finally:
            self.result.examples_served = budget.served
            self.result.raw_access = data.raw_access
            self.result.checkpoints = run.checkpoints
            self.result.resumed_at = run.restored_from
            self.result.curves = run.curves
        if self._stopping:
            raise Stopped

    def _sample(self, generator: Any, train: Split) -> None:
        description, suite = self.spec.generator.description, self.spec.suite
        seed = derive_seed(self.spec.seed, "sample")
        n, chunk = suite.n_samples, suite.sample_chunk
        labels = None
        if self.spec.generator.is_control:
            available = generator.available()
            n = chunk = n if available is None else min(n, available)
        elif description.labels == "given" and train.y is not None:
            labels = requested_labels(train.y, self.space.classes, n, seed)
        xs, ys = [], []
        for start in range(0, n, chunk):
            if self._stopping:
                raise Stopped
            size = min(chunk, n - start)
            part = None if labels is None else labels[start : start + size]
            x, y = self._sample_chunk(generator, size, derive_seed(seed, "chunk", start), part)
            xs.append(x)
            ys.append(y)
            self._progress(start + size, n, {})
        arrays = {"x": np.concatenate(xs)}
        if ys[0] is not None:
            arrays["y"] = np.concatenate([y for y in ys if y is not None])
        save_arrays(self.spec.folder / SAMPLES, arrays)
        self.result.resources["n_sampled"] = n

    def _sample_chunk(
        self, generator: Any, n: int, seed: int, labels: npt.NDArray[np.int64] | None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64] | None]:
        given = None if labels is None else torch.from_numpy(labels).to(self.device)
        own = self.spec.generator.description.labels == "own" and self.space.classes > 0
        with torch.no_grad():
            drawn = generator.sample(n, seed=seed, labels=given)
        if own and not isinstance(drawn, Samples):
            raise self._breach("sample()", 'must return Samples(x, y), as its labels are "own"')
        x, y = drawn if isinstance(drawn, Samples) else (drawn, None)
        problem = self.space.violation(x, n)
        if problem is not None:
            raise self._breach("the tensor that sample() returned", problem)
        if own:
            problem = label_violation(y, n, self.space.classes)
            if problem is not None:
                raise self._breach("the labels that sample() returned", problem)
            return _to_numpy(x), _to_numpy(y)
        return _to_numpy(x), labels

    def _save_state(self, generator: Any) -> None:
        state = generator.state_dict()
        weights = sum(v.numel() for v in state.values() if v.is_floating_point())
        self.result.resources["parameters"] = int(weights)
        # A control's state is a copy of the data it was given: reproducible, and large.
        if not self.spec.generator.is_control:
            tensorfile.save(self.spec.folder / STATE, state)

    def _load_state(self, generator: Any) -> None:
        generator.load_state_dict(tensorfile.load(self.spec.folder / STATE, device=self.device))

    def _log_prob(self, generator: Any, plan: Mapping[str, Mapping[str, int]]) -> None:
        reference = self._split(self.spec.suite.document["protocol"]["reference"])
        prior = self._label_prior() if self._labelled else None
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, ask in plan.items():
            rows = min(ask["rows"], len(reference.x))
            arrays[name] = self._log_prob_rows(generator, reference, prior, rows, ask["draws"])
            if ask["draws"] > 1:
                one = self._log_prob_rows(generator, reference, prior, rows, 1)
                arrays[f"{name}_one_draw"] = one
            arrays[f"{name}_asked"] = np.array([ask["rows"], ask["draws"]])
        save_arrays(self.spec.folder / LIKELIHOOD, arrays)

    @property
    def _labelled(self) -> bool:
        return self.spec.generator.description.labels == "given" and self.space.classes > 0

    def _label_prior(self) -> npt.NDArray[np.float64]:
        y = self._split("train").y
        if y is None:
            raise UsageError(f"suite {self.spec.suite.name!r} has classes but no labels")
        share = np.bincount(y, minlength=self.space.classes) / len(y)
        return np.asarray(np.log(share), np.float64)

    def _log_prob_rows(
        self,
        generator: Any,
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
            x = torch.from_numpy(reference.x[start:stop]).to(self.device)
            labels = None
            if prior is not None and reference.y is not None:
                labels = torch.from_numpy(reference.y[start:stop]).to(self.device)
            with torch.no_grad():
                value = generator.log_prob(
                    x, seed=derive_seed(seed, start), labels=labels, draws=draws
                )
            part = self._checked_log_prob(value, stop - start, start)
            if prior is not None and reference.y is not None:
                part = part + prior[reference.y[start:stop]]
            values.append(part)
            self._progress(stop, rows, {})
        return np.concatenate(values)

    def _checked_log_prob(self, value: Any, n: int, start: int) -> npt.NDArray[np.float64]:
        if not isinstance(value, Tensor) or tuple(value.shape) != (n,):
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise self._breach("log_prob()", f"returned {shape}, expected a tensor ({n},)")
        part = np.asarray(value.detach().double().cpu().numpy())
        bad = ~np.isfinite(part)
        if bad.any():
            first = start + int(bad.argmax())
            raise self._breach("log_prob()", f"is not finite for reference row {first}")
        return part

    def _breach(self, what: str, problem: str) -> ContractError:
        return ContractError(f"generator {self.spec.generator.name!r}: {what} {problem}")

    def _progress(self, done: int, total: int, scalars: Mapping[str, float]) -> None:
        if self.result.phase == "fit" and self._since[1] == 0 and self._run is not None:
            self._since[1] = self._run.restored_from
        body = {
            "phase": self.result.phase,
            "done": done,
            "total": total,
            "scalars": {k: v if abs(v) < float("inf") else None for k, v in scalars.items()},
            "time": time.time(),
            "since": self._since,
        }
        data = json.dumps(body).encode()
        with contextlib.suppress(StoreError):  # a full disk costs the news, not the fit
            write_bytes(self.spec.folder / PROGRESS, data, sync=False)

    def _fail(self, kind: str, message: str, trace: str) -> None:
        self.result.error = {
            "phase": self.result.phase,
            "type": kind,
            "message": message,
            "traceback": trace,
        }

    def _on_signal(self, number: int, frame: Any) -> None:
        self._stopping = True


def requested_labels(
    train: npt.NDArray[np.int64], classes: int, n: int, seed: int
) -> npt.NDArray[np.int64]:
    """`n` labels in the training split's proportions (largest remainder), order by the seed.

    Parameters
    ----------
    train
        Training labels, int64 ``(n_train,)``.
    """
    share = np.bincount(train, minlength=classes) / len(train) * n
    counts = np.floor(share).astype(np.int64)
    remainder = np.argsort(-(share - counts), kind="stable")[: n - counts.sum()]
    counts[remainder] += 1
    labels = np.repeat(np.arange(classes, dtype=np.int64), counts)
    return np.random.default_rng(derive_seed(seed, "labels")).permutation(labels)


def label_violation(y: Any, n: int, classes: int) -> str | None:
    """What keeps `y` from being `n` labels, or None."""
    if not isinstance(y, Tensor) or tuple(y.shape) != (n,) or y.dtype != torch.int64:
        return f"must be an int64 tensor of shape ({n},)"
    if y.numel() and (int(y.min()) < 0 or int(y.max()) >= classes):
        return f"leave 0..{classes - 1}"
    return None


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as a compressed npz, atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what `save_arrays` wrote; pickled objects are refused."""
    return read_npz(path, str(path))


def _to_numpy(x: Any) -> npt.NDArray[Any]:
    return np.asarray(x.detach().cpu().numpy())
