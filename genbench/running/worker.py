"""Runs one cell in a process of its own: generate in isolation, score, write one record.

``python -m genbench.running.worker SPEC.json`` does it for any executor, and by hand; what it says
goes to the attempt's log, and SIGTERM stops it. The worker itself never imports the generator; that
happens in a child (`system.isolation`), so that whatever the generator does, the worker is still
there to write down what happened.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.errors import GenbenchError, StoreError
from genbench.results import (
    CHECKPOINT,
    PROGRESS,
    RECORD,
    Artifact,
    Record,
    RecordedAlready,
    artifact,
    snapshots_in,
    write_progress,
    write_record,
)
from genbench.running.attempt import Attempt, error_of, stopped
from genbench.running.cellspec import CellSpec, read_spec
from genbench.running.codesplan import codes_wanted, plan_codes
from genbench.running.course import drawn_in
from genbench.running.ledger import AT_CHECKPOINT, LIKELIHOOD, SAMPLES, WORK
from genbench.running.recording import (
    CODES,
    GENERATION,
    LOG,
    cell_of,
    dataset_of,
    files_of,
    isolation_of,
    log_tail,
    source_attempt,
)
from genbench.running.refit_scheduler import run_refits
from genbench.running.refits import Job, RefitResult, why_not_refitted
from genbench.running.sampling import Sampling
from genbench.system import (
    Slots,
    cachetrust,
    card,
    confinement,
    counted,
    environment,
    exists,
    limit_interop_threads,
    limit_threads,
    load_arrays,
    sha256_file,
)
from genbench.tasks import protocols

if TYPE_CHECKING:
    from genbench.running.scoring import Scorer


LOOK_SECONDS = 2.0  # between two looks whether a claim is lost


class _Stopped(Exception):
    """Raised between two pieces of work once the run is being stopped."""


class Worker:
    """One attempt at one cell."""

    def __init__(self, spec: CellSpec, slots: Slots | None = None) -> None:
        self.spec = spec
        self._slots = slots or Slots(None, spec.slots)
        self._stopping = False
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._look_at = 0.0

    def run(self) -> Record:
        """Run the cell and write its record; every way it can end becomes a record.

        It begins as soon as there is a slot for it.
        """
        signal.signal(signal.SIGTERM, self._on_signal)
        self.spec.folder.mkdir(parents=True, exist_ok=True)
        (self.spec.folder / LOG).touch()
        # Programs that the generator starts, and libraries that it loads, read these.
        os.environ.update(counted(self.spec.threads))
        with self._slots.one(self._told_to_stop, self._waiting):
            return self._run()

    def _run(self) -> Record:
        self._clock = time.monotonic()
        attempt = Attempt()
        try:
            Sampling(self.spec, self._told_to_stop).run(attempt)
            if attempt.sealed and not self._stopping:
                self._refit(attempt)
                self._score(attempt)
        except _Stopped:
            pass
        except Exception as raised:
            traceback.print_exc()
            error = card.named(raised)
            if attempt.status == "ok":
                attempt.status = "oom" if isinstance(error, MemoryError) else "failed"
            attempt.error = attempt.error or error_of("metrics", error)
        if attempt.status == "ok" and self._stopping:
            attempt.status = "interrupted"
            attempt.error = stopped("metrics")
        if attempt.status != "ok" and attempt.error is not None:
            attempt.error["log_tail"] = log_tail(self.spec.folder)
        record = self._record(attempt)
        try:
            write_record(self.spec.folder, record, new=self.spec.claimed)
        finally:
            for name in (PROGRESS, GENERATION):
                (self.spec.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.spec.folder / WORK, ignore_errors=True)
        return record

    def _refit(self, attempt: Attempt) -> None:
        """Fit the generator anew for the downstream protocols, before any real row is read here."""
        asked = protocols.read(self.spec.suite.document)
        if asked is None or "downstream" not in self.spec.parts or why_not_refitted(self.spec):
            return
        start = time.perf_counter()
        attempt.refits = run_refits(
            self.spec, asked, self._told_to_stop, self.spec.folder / LOG, self._slots
        )
        attempt.timing["refits_s"] = time.perf_counter() - start
        core = sum(refitted.core_seconds for refitted in attempt.refits.values())
        attempt.timing["refits_core_s"] = core
        if self._stopping:
            raise _Stopped

    def _score(self, attempt: Attempt) -> None:
        from genbench.data import vocabulary_of
        from genbench.running import pictures
        from genbench.running.cells import scoring_keys
        from genbench.running.generation import configure_torch
        from genbench.running.scoring import Scorer

        configure_torch(1)  # whatever the fit took: no value depends on the number of cores
        card.begin(self.spec.device)
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
        attempt.metrics.update(scorer.codes(attempt.codes, attempt.codes_error))
        attempt.copies = scorer.copies() or attempt.copies
        keys = scoring_keys(self.spec.suite)
        attempt.scoring.update({part: keys[part] for part in self.spec.parts if part in keys})
        attempt.timing["metrics_s"] = time.perf_counter() - start
        attempt.timing["metrics_core_s"] = _core_seconds() - core
        self._score_course(scorer, attempt)
        real = scorer.split(str(self.spec.suite.document["protocol"]["reference"]))
        folder, space, train = self.spec.folder, self.spec.suite.space, scorer.split("train")
        words = vocabulary_of(self.spec.suite.dataset)
        attempt.pictures = pictures.write_pictures(
            folder, space, samples, real, train, words, scorer.alike
        )
        if attempt.codes and (asked := codes_wanted(self.spec)) is not None:
            rows = plan_codes(asked, train, real).of_reference(real)
            pictures.write_codes(folder, space, attempt.codes, rows)
        attempt.pictures |= {r: name for r, name in CODES.items() if (folder / name).is_file()}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        attempt.resources["metrics_peak_rss_bytes"] = peak * (
            1 if sys.platform == "darwin" else 1024
        )
        held = card.peaks(self.spec.device)
        attempt.resources.update({f"metrics_{name}": peak for name, peak in held.items()})

    def _score_course(self, scorer: Scorer, attempt: Attempt) -> None:
        """Score what the stored states drew; its time is neither the fit's nor the metrics'."""
        from genbench.running.course_scores import score_course

        drawn = drawn_in(self.spec.folder)
        if "metrics" not in self.spec.parts or not (drawn or "lost" in attempt.course):
            return
        start, core = time.perf_counter(), _core_seconds()
        self._progress("the course of training")
        attempt.course = score_course(scorer, drawn, attempt.course)
        attempt.timing["course_metrics_s"] = time.perf_counter() - start
        attempt.timing["course_metrics_core_s"] = _core_seconds() - core

    def _record(self, attempt: Attempt) -> Record:
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
            course=attempt.course,
        )

    def _artifacts(self, attempt: Attempt) -> tuple[Artifact, ...]:
        folder = self.spec.folder
        if attempt.status == "ok":
            (folder / CHECKPOINT).unlink(missing_ok=True)
            (folder / AT_CHECKPOINT).unlink(missing_ok=True)
            for path in () if attempt.undrawn else snapshots_in(folder).values():
                path.unlink()
        pictures = sorted(attempt.pictures.items())
        return files_of(folder) + tuple(artifact(folder, role, n) for role, n in pictures)

    def _progress(self, what: str) -> None:
        """Say what is being computed; a point at which a stopped run ends."""
        if self._told_to_stop():
            raise _Stopped
        write_progress(self.spec.folder / PROGRESS, "metrics", what=what)

    def _told_to_stop(self) -> bool:
        """Whether the run is being stopped. Who has lost its claim ends here, with all it started.

        Writing first, as one that is stopped does, would change files that others go on from.
        """
        if self.spec.claimed and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            if exists(self.spec.folder / RECORD):
                os._exit(RecordedAlready.exit_code)
        return self._stopping

    def _waiting(self) -> None:
        write_progress(self.spec.folder / PROGRESS, "waiting")

    def _on_signal(self, number: int, frame: Any) -> None:
        self._stopping = True


def main(path: str) -> int:
    """Run the cell that a spec file orders; 0 or 3 once its record is written."""
    try:
        spec = read_spec(Path(path))
    except GenbenchError as error:
        print(f"genbench worker: {error}", file=sys.stderr)
        return error.exit_code
    _write_to_log(spec)
    # A Ctrl-C reaches every process of the terminal: it stops the run, and the run its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_threads(1)  # as in the fork server: no number depends on how the worker came to be
    limit_interop_threads()
    return run_cell(spec)


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
    _write_to_log(spec)
    code = run_cell(spec, Slots(slots, spec.slots), args["trusted_digests"])
    return code, cachetrust.trusted_files.wrote


def run_cell(
    spec: CellSpec, slots: Slots | None = None, trusted_digests: Mapping[str, str] | None = None
) -> int:
    """Run a cell in one of the `slots` of its run; 0 or 3 once its record is written.

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


def _write_to_log(spec: CellSpec) -> None:
    """Have all that this process and its children print stand in the attempt's log."""
    log = os.open(spec.folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _taken_on_trust(refits: Mapping[Job, RefitResult]) -> dict[str, str]:
    """The record's remark on refits that a process without confinement may have written."""
    n = sum(refitted.unverified for refitted in refits.values())
    note = f"{n} of {len(refits)} were stored where no process was confined: unverified"
    return {"refits": note} if n else {}


def _core_seconds() -> float:
    """CPU time of this process and of all that it has started and seen end."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
