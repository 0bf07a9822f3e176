"""Runs one cell in a process of its own: generate in isolation, score, write one record.

``python -m genbench.running.worker SPEC.json`` does it by hand. The worker itself never imports the
generator; that happens in a child (`system.isolation`), so that whatever the generator does, the
worker is still there to write down what happened.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from genbench.errors import GenbenchError, StoreError
from genbench.metrics.values import MetricValue
from genbench.results.progress import write_progress
from genbench.results.records import Artifact, Record, Status
from genbench.results.store import CHECKPOINT, PROGRESS, artifact, read_record, write_record
from genbench.running import refit_scheduler
from genbench.running.cellspec import CellSpec, read_spec
from genbench.running.events import EventListener
from genbench.running.ledger import (
    AT_CHECKPOINT,
    LIKELIHOOD,
    SAMPLES,
    WORK,
    CellLedger,
    Ledger,
    inherit_checkpoint,
)
from genbench.running.monitoring import MonitoredProcess, wait_for_end
from genbench.running.recording import (
    GENERATION,
    LOG,
    ROLES,
    cell_of,
    dataset_of,
    files_of,
    generation_of,
    isolation_of,
    log_tail,
    source_attempt,
)
from genbench.running.refit_scheduler import Job, RefitResult
from genbench.system import cachetrust, confinement, environment
from genbench.system.confinement import Sandbox, sandbox, scratch_folder
from genbench.system.files import sha256_file
from genbench.system.isolation import ProcessOutcome
from genbench.system.npzfile import load_arrays, save_arrays
from genbench.system.slots import Slots
from genbench.system.threads import counted
from genbench.tasks import protocols


class _Stopped(Exception):
    """Raised between two pieces of work once the run is being stopped."""


@dataclass
class _Attempt:
    """The facts known so far about the attempt that is running."""

    status: Status = "ok"
    error: dict[str, Any] | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, MetricValue] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    scoring: dict[str, str] = field(default_factory=dict)
    refits: dict[Job, RefitResult] = field(default_factory=dict)
    copies: dict[str, Any] = field(default_factory=dict)
    sealed: str = ""  # digest of the samples
    probe: dict[str, Any] = field(default_factory=dict)  # log_prob of the fitted generator itself
    unprobed: bool = False
    likelihood_error: str | None = None


class Worker:
    """One attempt at one cell."""

    def __init__(self, spec: CellSpec, slots: Slots | None = None) -> None:
        self.spec = spec
        self._slots = slots or Slots(None, spec.slots)
        self._stopping = False
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()

    def run(self) -> Record:
        """Run the cell and write its record; every way it can end becomes a record.

        It begins as soon as there is a slot for it.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        self.spec.folder.mkdir(parents=True, exist_ok=True)
        (self.spec.folder / LOG).touch()
        # Programs that the generator starts, and libraries that it loads, read these.
        os.environ.update(counted(self.spec.threads))
        with self._slots.one(lambda: self._stopping, self._waiting):
            return self._run()

    def _run(self) -> Record:
        self._clock = time.monotonic()
        attempt = _Attempt()
        try:
            self._generate(attempt)
            if attempt.sealed and not self._stopping:
                self._refit(attempt)
                self._score(attempt)
        except _Stopped:
            pass
        except Exception as error:
            traceback.print_exc()
            if attempt.status == "ok":
                attempt.status = "oom" if isinstance(error, MemoryError) else "failed"
            attempt.error = attempt.error or _error("metrics", error)
        if attempt.status == "ok" and self._stopping:
            attempt.status = "interrupted"
            attempt.error = _stopped("metrics")
        if attempt.status != "ok" and attempt.error is not None:
            attempt.error["log_tail"] = log_tail(self.spec.folder)
        record = self._record(attempt)
        write_record(self.spec.folder, record)
        for name in (PROGRESS, GENERATION):
            (self.spec.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.spec.folder / WORK, ignore_errors=True)
        return record

    def _generate(self, attempt: _Attempt) -> None:
        from genbench.plugins.external import samples_path

        if self.spec.generator.is_external:
            source = samples_path(self.spec.cache, self.spec.generator.description.source)
            _link(source, self.spec.folder / SAMPLES)
            self._seal(attempt)
            return
        earlier = self._reuse(attempt)
        if not earlier and not self.spec.generator.ref.inline:
            self._fit_and_sample(attempt)
        else:
            if not earlier:
                self._generated_elsewhere(attempt)
            self._seal(attempt)
        if self._scores_rows(attempt):
            self._score_rows(attempt)

    def _fit_and_sample(self, attempt: _Attempt) -> None:
        from genbench.running.generation import Generation

        spec = self.spec
        ledger = CellLedger(
            spec.folder,
            spec.suite.space,
            spec.suite.n_samples,
            fewer=spec.generator.is_control,
            resumed=spec.resume is not None,
            costs_before=inherit_checkpoint(spec.resume, spec.folder),
        )
        outcome = self._monitored(lambda events, box: Generation(spec, events, box).run(), ledger)
        ledger.take(CHECKPOINT)  # if it ended before it reported it
        attempt.generation = vars(ledger.result)
        attempt.probe = ledger.likelihood
        attempt.likelihood_error = ledger.result.likelihood_error
        attempt.resources.update(ledger.result.resources)
        attempt.timing.update(ledger.result.timing)
        attempt.resources["peak_rss_bytes"] = outcome.peak_rss_bytes
        attempt.sealed = ledger.sealed
        if ledger.likelihood:  # only this process could compute it: whoever goes on needs it
            save_arrays(spec.folder / LIKELIHOOD, ledger.likelihood)
        if not ledger.sealed:  # whoever put one there, it was not drawn
            (spec.folder / SAMPLES).unlink(missing_ok=True)
        self._conclude(attempt, outcome, ledger)

    def _scores_rows(self, attempt: _Attempt) -> bool:
        """Whether there is a state whose likelihood is wanted and not stored."""
        from genbench.running.generation import likelihood_plan

        return (
            not self._stopping
            and attempt.status == "ok"
            and attempt.likelihood_error is None
            and not self.spec.generator.ref.inline
            and not self.spec.generator.is_control
            and bool(likelihood_plan(self.spec))
            and self._needs_generator()
        )

    def _score_rows(self, attempt: _Attempt) -> None:
        """Score reference rows in a process that has nothing of the fit but the stored state."""
        from genbench.running.generation import PROBE, Generation

        spec = self.spec
        path = spec.folder / LIKELIHOOD
        probe = attempt.probe or (load_arrays(path) if path.is_file() else {})
        probe = {name: values for name, values in probe.items() if name == PROBE}
        ledger = CellLedger(spec.folder, spec.suite.space, 0)
        outcome = self._monitored(
            lambda events, box: Generation(spec, events, box).score_rows(), ledger
        )
        attempt.timing.update({k: v for k, v in ledger.result.timing.items() if k == "log_prob_s"})
        peak = attempt.resources.get("peak_rss_bytes", 0)
        attempt.resources["peak_rss_bytes"] = max(peak, outcome.peak_rss_bytes)
        scoring = _Attempt()
        self._conclude(scoring, outcome, ledger)
        if scoring.status == "interrupted":
            attempt.status, attempt.error = scoring.status, scoring.error
        elif scoring.error is not None:
            attempt.likelihood_error = str(scoring.error["message"])
        elif not attempt.unprobed:
            attempt.likelihood_error = _unlike(probe.get(PROBE), ledger.likelihood.get(PROBE))
        arrays = probe if attempt.likelihood_error else {**ledger.likelihood, **probe}
        if arrays and attempt.status == "ok":
            save_arrays(path, arrays)

    def _monitored(
        self, work: Callable[[EventListener, Sandbox | None], None], ledger: Ledger
    ) -> ProcessOutcome:
        """Run the generator in a confined process of its own; the ledger receives its events."""
        spec = self.spec
        work_folder = spec.folder / WORK
        # Empty: a name that an earlier process left there may be that of a file taken over since.
        shutil.rmtree(work_folder, ignore_errors=True)
        work_folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder() as scratch:
            box = sandbox(
                spec.sandbox, scratch, work_folder, results=spec.cache.parent,
                hidden=spec.hidden(),
                readable=[spec.folder, *([spec.resume] if spec.resume else [])],
            )  # fmt: skip
            running = MonitoredProcess(
                lambda events: work(events, box),
                ledger,
                log=spec.folder / LOG,
                timeout=spec.timeout,
                memory_limit=spec.memory_limit,
                scratch=scratch,
            )
            return wait_for_end(running, lambda: self._stopping)

    def _seal(self, attempt: _Attempt) -> None:
        """Remember what the samples are: whoever changes the file later is found out."""
        path = self.spec.folder / SAMPLES
        if path.is_file():
            attempt.sealed = sha256_file(path)

    def _refit(self, attempt: _Attempt) -> None:
        """Fit the generator anew for the downstream protocols, before any real row is read here."""
        asked = protocols.read(self.spec.suite.document)
        if (
            asked is None
            or "downstream" not in self.spec.parts
            or refit_scheduler.why_not_refitted(self.spec)
        ):
            return
        start = time.perf_counter()
        attempt.refits = refit_scheduler.run_refits(
            self.spec, asked, lambda: self._stopping, self.spec.folder / LOG, self._slots
        )
        attempt.timing["refits_s"] = time.perf_counter() - start
        core = sum(refitted.core_seconds for refitted in attempt.refits.values())
        attempt.timing["refits_core_s"] = core
        if self._stopping:
            raise _Stopped

    def _generated_elsewhere(self, attempt: _Attempt) -> None:
        """Take over what a class of the caller's process left in the folder."""
        result = generation_of(self.spec.folder)
        attempt.generation = result
        attempt.likelihood_error = result.get("likelihood_error")
        attempt.resources.update(result.get("resources", {}))
        attempt.timing.update(result.get("timing", {}))
        status, error = result.get("status"), result.get("error")
        if status in ("failed", "oom", "interrupted") and error is not None:
            attempt.status, attempt.error = status, dict(error)
        elif status != "ok":
            attempt.status, attempt.error = "failed", _lost("Exit", str(result.get("phase")), "")

    def _conclude(self, attempt: _Attempt, outcome: ProcessOutcome, ledger: Ledger) -> None:
        """Turn the way the generator's process ended into a status and an error."""
        from genbench.running.generation import PROBE

        result = ledger.result
        attempt.status, attempt.error = self._verdict(outcome, ledger)
        if result.phase == PROBE and attempt.status not in ("ok", "interrupted"):
            # All that counts was there by then: the likelihood alone is lost.
            attempt.likelihood_error = attempt.likelihood_error or str(
                (attempt.error or {}).get("message")
            )
            attempt.status, attempt.error = "ok", None

    def _verdict(
        self, outcome: ProcessOutcome, ledger: Ledger
    ) -> tuple[Status, dict[str, Any] | None]:
        result, phase = ledger.result, ledger.result.phase
        if ledger.broken is not None:
            return "failed", {"phase": phase, "type": "ContractError", "message": ledger.broken}
        if outcome.status == "returned" and result.status == "ok":
            return "ok", None
        if outcome.status == "timeout":
            message = f"exceeded the limit of {self.spec.timeout:g} s: raise --timeout"
            return "timeout", {"phase": phase, "type": "Timeout", "message": message}
        if outcome.status == "oom":
            message = (
                f"its processes held {outcome.peak_rss_bytes / 2**20:.0f} MiB, over the limit of "
                f"{(self.spec.memory_limit or 0) / 2**20:.0f} MiB: raise --memory-limit"
            )
            return "oom", {"phase": phase, "type": "MemoryLimit", "message": message}
        if result.status in ("failed", "oom", "interrupted") and result.error is not None:
            return cast("Status", result.status), dict(result.error)
        if self._stopping:
            return "interrupted", _stopped(phase)
        how = (
            f"was killed by {outcome.signal_name}"
            if outcome.signal_name
            else f"ended with exit code {outcome.code} without a result"
        )
        return "failed", _lost(outcome.signal_name or "Exit", phase, how)

    def _reuse(self, attempt: _Attempt) -> bool:
        """Take over the samples and costs of an earlier attempt, if the spec names one."""
        if self.spec.reuse is None:
            return False
        earlier = read_record(self.spec.reuse / "record.json")
        attempt.unprobed = "sandbox" not in earlier.environment  # made before probes were
        for _, name in ROLES[:3]:
            if (self.spec.reuse / name).is_file():
                _link(self.spec.reuse / name, self.spec.folder / name)
        attempt.timing.update(earlier.timing)
        attempt.resources.update(earlier.resources)
        attempt.generation = {
            "examples_served": earlier.examples_served,
            "raw_access": earlier.raw_access,
            "curves": dict(earlier.curves),
        }
        kept = {name: value for name, value in earlier.metrics.items() if self._keeps(name)}
        attempt.metrics.update(kept)
        attempt.copies = dict(earlier.copies)
        stored = earlier.cell["suite"].get("scoring")
        if isinstance(stored, Mapping):
            attempt.scoring.update({k: v for k, v in stored.items() if k not in self.spec.parts})
        return True

    def _keeps(self, metric: str) -> bool:
        """Whether a stored value belongs to a part that is not being computed now."""
        from genbench.running.plan import part_of

        return part_of(metric) not in self.spec.parts

    def _needs_generator(self) -> bool:
        """Whether stored log-probabilities do not answer what the suite asks now."""
        from genbench.running.generation import likelihood_plan

        plan = likelihood_plan(self.spec)
        path = self.spec.folder / LIKELIHOOD
        if not plan:
            return False
        if not path.is_file():
            return True
        stored = load_arrays(path)
        asked = {k: (int(v[0]), int(v[1])) for k, v in stored.items() if k.endswith("_asked")}
        return any(asked.get(f"{k}_asked") != (v["rows"], v["draws"]) for k, v in plan.items())

    def _score(self, attempt: _Attempt) -> None:
        from genbench.running import pictures
        from genbench.running.generation import configure_torch
        from genbench.running.plan import scoring_keys
        from genbench.running.scoring import Scorer

        configure_torch(1)  # whatever the fit took: no value depends on the number of cores
        start, core = time.perf_counter(), _core_seconds()
        if sha256_file(self.spec.folder / SAMPLES) != attempt.sealed:
            raise StoreError(f"{SAMPLES} is not what was drawn any more: run again with --fresh")
        samples = load_arrays(self.spec.folder / SAMPLES)
        path = self.spec.folder / LIKELIHOOD
        likelihood = load_arrays(path) if path.is_file() else {}
        reason = attempt.error["message"] if attempt.error else attempt.likelihood_error
        scorer = Scorer(
            self.spec, samples, likelihood, reason, attempt.refits, self._progress, self._slots
        )
        attempt.metrics.update(scorer.score())
        attempt.copies = scorer.copies() or attempt.copies
        keys = scoring_keys(self.spec.suite)
        attempt.scoring.update({part: keys[part] for part in self.spec.parts})
        attempt.timing["metrics_s"] = time.perf_counter() - start
        attempt.timing["metrics_core_s"] = _core_seconds() - core
        real = scorer.split(str(self.spec.suite.document["protocol"]["reference"]))
        attempt.pictures = pictures.write_pictures(
            self.spec.folder, self.spec.suite.space, samples, real, scorer.split("train")
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        attempt.resources["metrics_peak_rss_bytes"] = peak * (
            1 if sys.platform == "darwin" else 1024
        )

    def _record(self, attempt: _Attempt) -> Record:
        spec = self.spec
        finished = datetime.now(UTC)
        return Record(
            record_id=spec.folder.name,
            cell_key=spec.cell_key,
            status=attempt.status,
            cell=cell_of(spec, attempt.scoring),
            dataset=dataset_of(spec),
            metrics=attempt.metrics,
            curves=attempt.generation.get("curves", {}),
            timing=attempt.timing,
            examples_served=int(attempt.generation.get("examples_served", 0)),
            raw_access=bool(attempt.generation.get("raw_access", False)),
            resources=attempt.resources,
            environment=environment.describe(spec.device, spec.threads)
            | isolation_of(spec)
            | _taken_on_trust(attempt.refits),
            source=spec.source,
            attempt={
                "n": spec.attempt,
                "resumed_from": source_attempt(spec),
                "checkpoints": attempt.generation.get("checkpoints", 0),
                "resumed_at": attempt.generation.get("resumed_at", 0),
            },
            error=attempt.error,
            artifacts=self._artifacts(attempt),
            times={
                "started": self._started.isoformat(timespec="seconds"),
                "finished": finished.isoformat(timespec="seconds"),
                "wall_s": time.monotonic() - self._clock,
            },
            copies=attempt.copies,
        )

    def _artifacts(self, attempt: _Attempt) -> tuple[Artifact, ...]:
        folder = self.spec.folder
        if attempt.status == "ok":
            (folder / CHECKPOINT).unlink(missing_ok=True)
            (folder / AT_CHECKPOINT).unlink(missing_ok=True)
        pictures = sorted(attempt.pictures.items())
        return files_of(folder) + tuple(artifact(folder, role, n) for role, n in pictures)

    def _progress(self, what: str) -> None:
        """Say what is being computed; a point at which a stopped run ends."""
        if self._stopping:
            raise _Stopped
        write_progress(self.spec.folder / PROGRESS, "metrics", what=what)

    def _waiting(self) -> None:
        write_progress(self.spec.folder / PROGRESS, "waiting")

    def _on_signal(self, number: int, frame: Any) -> None:
        self._stopping = True


def main(path: str) -> int:
    """Run the cell that a spec file orders; 0 once its record is written."""
    try:
        return run_cell(read_spec(Path(path)))
    except GenbenchError as error:
        print(f"genbench worker: {error}", file=sys.stderr)
        return error.exit_code


def forked(args: Mapping[str, Any], slots: int) -> tuple[int, dict[str, str]]:
    """Run a cell in a process that was forked for it; the exit code, digests of cache files.

    Parameters
    ----------
    args
        ``spec``, the path of the cell's order, and ``trusted_digests``, as `run_cell` takes it.
    slots
        The file of the run's slots.
    """
    spec = read_spec(Path(args["spec"]))
    log = os.open(spec.folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = run_cell(spec, Slots(slots, spec.slots), args["trusted_digests"])
    return code, cachetrust.trusted_files.wrote


def run_cell(
    spec: CellSpec, slots: Slots | None = None, trusted_digests: Mapping[str, str] | None = None
) -> int:
    """Run a cell in one of the `slots` of its run; 0 once its record is written.

    Parameters
    ----------
    trusted_digests
        Digests of cache files that other workers of this run have written.
    """
    try:
        confined = confinement.name(spec.sandbox) != "none"
        cachetrust.begin(spec.cache, confined, dict(trusted_digests or {}))
        try:
            record = Worker(spec, slots).run()
        finally:
            cachetrust.end(spec.cache)
    except GenbenchError as error:
        print(f"genbench worker: {error}", file=sys.stderr)
        return error.exit_code
    return 0 if record.status in ("ok", "skipped") else 3


def _taken_on_trust(refits: Mapping[Job, RefitResult]) -> dict[str, str]:
    """The record's remark on refits that a process without confinement may have written."""
    n = sum(refitted.unverified for refitted in refits.values())
    note = f"{n} of {len(refits)} were stored where no process was confined: unverified"
    return {"refits": note} if n else {}


def _core_seconds() -> float:
    """CPU time of this process and of all that it has started and seen end."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _error(phase: str, error: BaseException) -> dict[str, Any]:
    return {
        "phase": phase,
        "type": type(error).__name__,
        "message": str(error) or type(error).__name__,
        "traceback": "".join(traceback.format_exception(error)),
    }


def _lost(kind: str, phase: str, how: str) -> dict[str, Any]:
    how = how or "ended without a result"
    message = f"the generator's process {how} during {phase}"
    return {"phase": phase, "type": kind, "message": message}


def _unlike(before: Any, after: Any) -> str | None:
    """The difference of a stored state from what was fitted, by log_prob of rows; or None."""
    if before is None:
        return "log_prob was not to be had from the fitted generator itself: run it with --fresh"
    if len(after) == len(before) and np.allclose(after, before, rtol=1e-3, atol=1e-2):
        return None
    off = (
        float(np.max(np.abs(np.asarray(after) - before)))
        if np.shape(before) == np.shape(after)
        else np.nan
    )
    return (
        f"state_dict is incomplete: a new process that loads it gives training rows another "
        f"log_prob (by up to {off:.3g} nats): put all that log_prob needs into state_dict()"
    )


def _stopped(phase: str) -> dict[str, Any]:
    message = "the run was stopped; the same command continues it"
    return {"phase": phase, "type": "Stopped", "message": message}


def _link(source: Path, target: Path) -> None:
    """A hard link where the file system has them, a copy elsewhere."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    if sha256_file(source) != sha256_file(target):
        raise StoreError(f"{source} changed while it was copied: run again")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
