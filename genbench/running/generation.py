"""The generator's side of a cell: fit, sample and log_prob under the contract.

It runs in processes of its own, the only ones that import the generator. The one that fits and
samples holds the training rows and no others. Reference rows are seen by another that comes after
it, for `log_prob` alone, and has nothing of the fit but the state that was stored.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genbench.data import Split, load_split
from genbench.errors import shorten
from genbench.plugins import (
    Coded,
    FitResult,
    GeneratorDriver,
    Snapshots,
    Stopped,
    requested_labels,
)
from genbench.results import CHECKPOINT, snapshots_in
from genbench.running.cellspec import CellSpec
from genbench.running.codesplan import codes_wanted, plan_codes
from genbench.running.encoding import Look
from genbench.running.events import EventListener
from genbench.running.ledger import STATE, WORK
from genbench.running.likelihoods import PROBE, LogProbs, likelihood_plan
from genbench.seeds import derive_seed
from genbench.system import Sandbox, card, error_text, limit_threads, tensorfile

Labels = npt.NDArray[np.int64]


def _fingerprint(state: Mapping[str, Tensor]) -> str:
    """A digest of a generator's weights."""
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(f"{name}{tuple(state[name].shape)}{state[name].dtype}".encode())
        found.update(state[name].detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _differs_from_new(subject: GeneratorDriver, state: Mapping[str, Tensor]) -> bool:
    """Whether a generator's weights are not those that it is made with."""
    try:
        return _fingerprint(subject.new().state_dict()) != _fingerprint(state)
    except Exception:  # one that draws its weights in `fit` may have no state before
        return True


def configure_torch(threads: int) -> None:
    """Fix what could change a number between two runs: threads, denormals, TF32, kernels.

    Of the kernels of cuBLAS and cuDNN those are taken that repeat to the last bit; cuBLAS reads
    its environment when the process first uses the card.
    """
    limit_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


class Generation:
    """Runs the phases of one cell's generator and reports each.

    Parameters
    ----------
    events
        The ledger of the parent process, or the one of this.
    sandbox
        What this process may write from the moment it imports the generator; None for anything.
    cls, stopping
        The generator's class, where it lives in this process, and who says that the run is being
        stopped. Without them the class is imported and this process is the generator's own, which
        signals stop.
    """

    def __init__(
        self,
        spec: CellSpec,
        events: EventListener,
        sandbox: Sandbox | None = None,
        *,
        cls: type | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> None:
        self.spec = spec
        self.space = spec.suite.space
        self.device = torch.device(spec.device)
        self.events = events
        self._sandbox = sandbox
        self._cls = cls
        self._signalled = False
        self._served = 0
        self._asked = stopping
        if stopping is None:
            signal.signal(signal.SIGTERM, self._on_signal)
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    @property
    def _stopping(self) -> bool:
        return self._signalled or (self._asked is not None and self._asked())

    def run(self) -> None:
        """Fit and sample; every way that can end is reported."""
        self._guarded(self._fit_and_sample)

    def score_rows(self) -> None:
        """In a process of its own: load the stored state and score reference rows."""
        self._guarded(self._score_rows)

    def look_inside(self) -> None:
        """In a process of its own: load the stored state, take codes of real rows and use them."""
        self._guarded(self._look_inside)

    def draw_course(self, points: Mapping[int, Path]) -> None:
        """In a process of its own: sample stored states, by examples served."""
        self._guarded(lambda: self._draw_course(points))

    def _guarded(self, work: Callable[[], None]) -> None:
        configure_torch(self.spec.threads)
        (self.spec.folder / WORK).mkdir(parents=True, exist_ok=True)
        end = ("ok", "", "", "")
        try:
            card.begin(self.spec.device)
            work()
        except Stopped:
            message = "the run was stopped; the same command continues it"
            end = ("interrupted", "Stopped", message, "")
        except Exception as raised:
            error = card.named(raised)
            message = error_text(error, confined=self._sandbox is not None)
            status = "oom" if isinstance(error, MemoryError) else "failed"
            end = (status, type(error).__name__, message, traceback.format_exc())
            traceback.print_exc()
        self.events.held(card.peaks(self.spec.device))
        self.events.ended(*end)

    def _fit_and_sample(self) -> None:
        self.events.phase("data")
        train = self._split(self.spec.split)
        subject = self._imported()
        self.events.phase("fit")
        self._fit(subject, train)
        self.events.phase("sample")
        self._sample(subject, train)
        self.events.phase("state")
        self._save_state(subject)
        if not likelihood_plan(self.spec):
            return
        log_probs = LogProbs(self.spec, self.events, lambda: self._stopping)
        apart = self._cls is None  # other rows are seen by another process
        self.events.phase(PROBE if apart else "log_prob")
        with self._costs_alone(self.events.no_log_probs):
            if apart:
                log_probs.probe(subject, train)
            else:
                log_probs.score(subject, *log_probs.reference())

    def _score_rows(self) -> None:
        self.events.phase("data")
        train = self._split(self.spec.split)
        log_probs = LogProbs(self.spec, self.events, lambda: self._stopping)
        reference, prior = log_probs.reference()
        subject = self._fitted()
        self.events.phase(PROBE)
        log_probs.probe(subject, train)
        self.events.phase("log_prob")
        log_probs.score(subject, reference, prior)

    def _look_inside(self) -> None:
        self.events.phase("data")
        train = self._split(self.spec.split)
        reference = self._split(self.spec.suite.document["protocol"]["reference"])
        subject = self._fitted()
        self.events.phase("codes")
        asked = codes_wanted(self.spec)
        coded = Coded(subject.generator, self.space)
        if asked is not None and coded:
            look = Look(
                coded, plan_codes(asked, train, reference), self.device,
                lambda: self._stopping, self.events.progress,
            )  # fmt: skip
            for arrays in look.take(train, reference):
                self.events.codes(arrays)

    def _draw_course(self, points: Mapping[int, Path]) -> None:
        asked = self.spec.suite.course
        assert asked is not None
        self.events.phase("data")
        train = self._split(self.spec.split)
        subject = self._imported()
        self.events.phase("course")
        # One seed for all: what differs from point to point is the training, not the noise.
        seed = derive_seed(self.spec.seed, "course")
        labels = self._requested(subject, train, asked.rows, seed)
        for examples, path in points.items():
            self.events.point(examples)
            with self._costs_alone(self.events.no_point):
                subject.load(tensorfile.load(path, device=self.device))
                self._draw(subject, asked.rows, seed, labels)

    @contextlib.contextmanager
    def _costs_alone(self, part: Callable[[str], None]) -> Iterator[None]:
        """Let a failure cost one part alone, which is told the reason."""
        try:
            yield
        except (Stopped, MemoryError):
            raise
        except Exception as error:
            traceback.print_exc()
            part(error_text(card.named(error), confined=self._sandbox is not None))

    def _imported(self) -> GeneratorDriver:
        """Make the generator, in a process that is confined from here on."""
        if self._sandbox is not None:
            self._sandbox.enter()
        self.events.phase("import")
        return GeneratorDriver(
            self.spec.generator,
            self.space,
            self.device,
            cls=self._cls,
            stopping=lambda: self._stopping,
            report=self.events.progress,
        )

    def _fitted(self) -> GeneratorDriver:
        """The generator as its fit left it."""
        subject = self._imported()
        self.events.phase("state")
        state = tensorfile.load(self.spec.folder / STATE, device=self.device)
        subject.generator.load_state_dict(state)
        return subject

    def _split(self, name: str) -> Split:
        return load_split(self.spec.suite.dataset, self.space, name)

    def _fit(self, subject: GeneratorDriver, train: Split) -> None:
        spec = self.spec
        fit = FitResult()
        try:
            subject.fit(
                train,
                spec.suite.budget,
                spec.seed,
                fit,
                checkpoint_file=spec.folder / WORK / CHECKPOINT,
                resume_file=spec.resume,
                saved=self.events.checkpointed,
                snapshots=self._snapshots(),
            )
        finally:
            self._served = fit.examples_served
            self.events.fitted(vars(fit))

    def _snapshots(self) -> Snapshots:
        """The states to be kept on the way; those of an earlier attempt lie there already."""
        suite, folder = self.spec.suite, self.spec.folder
        return Snapshots(
            folder / WORK,
            () if suite.course is None else suite.course.due(suite.budget),
            there=snapshots_in(folder) if self.spec.resume else (),
            began=self.events.snapshotting,
            saved=self.events.snapshotted,
            lost=self.events.no_snapshot,
        )

    def _sample(self, subject: GeneratorDriver, train: Split) -> None:
        suite = self.spec.suite
        seed = derive_seed(self.spec.seed, "sample")
        n, labels = suite.n_samples, None
        if self.spec.generator.is_control:
            available = subject.generator.available()
            n = n if available is None else min(n, available)
        else:
            labels = self._requested(subject, train, n, seed)
        self._draw(subject, n, seed, labels)
        notes: tuple[str, ...] = getattr(subject.generator, "sample_notes", tuple)()
        self.events.notes([shorten(str(note), 400) for note in notes])

    def _requested(
        self, subject: GeneratorDriver, train: Split, n: int, seed: int
    ) -> Labels | None:
        """The classes that `n` rows are asked for; None where it takes none."""
        if not subject.takes_labels or train.y is None:
            return None
        return requested_labels(train.y, self.space.classes, n, seed)

    def _draw(self, subject: GeneratorDriver, n: int, seed: int, labels: Labels | None) -> None:
        # A control hands out rows without replacement, in one call.
        chunk = n if self.spec.generator.is_control else self.spec.suite.sample_chunk
        for rows in subject.chunks(n, chunk=chunk, seed=seed, labels=labels):
            self.events.rows(rows)

    def _save_state(self, subject: GeneratorDriver) -> None:
        state = subject.generator.state_dict()
        weights = sum(v.numel() for v in state.values() if v.is_floating_point())
        # A control's state is a copy of the data it was given: reproducible, and large.
        stored = not self.spec.generator.is_control
        if stored:
            tensorfile.save(self.spec.folder / WORK / STATE, state)
        changed = self._served > 0 or _differs_from_new(subject, state)
        self.events.state(int(weights), stored, changed)

    def _on_signal(self, number: int, frame: Any) -> None:
        self._signalled = True
