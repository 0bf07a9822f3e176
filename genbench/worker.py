"""Runs one cell in a process of its own: generate in isolation, score, write one record.

``python -m genbench.worker SPEC.json`` does it by hand. The worker itself never imports the
generator; that happens in a child (`genbench.isolation`), so that whatever the generator does, the
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
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from genbench import environment
from genbench.account import (
    GENERATION,
    LOG,
    ROLES,
    cell_of,
    dataset_of,
    files_of,
    generation_of,
    log_tail,
    source_attempt,
)
from genbench.cellspec import CellSpec, read_spec
from genbench.downstream import protocols, refits
from genbench.downstream.refits import Job, Refitted
from genbench.errors import GenbenchError, StoreError
from genbench.isolation import Outcome, run_isolated
from genbench.records import Artifact, MetricValue, Record, Status
from genbench.slots import Slots
from genbench.store import (
    artifact,
    read_json,
    read_record,
    sha256_file,
    write_progress,
    write_record,
)
from genbench.threads import counted


class _Stopped(Exception):
    """Raised between two pieces of work once the run is being stopped."""


@dataclass
class _Attempt:
    """What is known so far about the attempt that is running."""

    status: Status = "ok"
    error: dict[str, Any] | None = None
    generation: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, MetricValue] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    scoring: dict[str, str] = field(default_factory=dict)
    refits: dict[Job, Refitted] = field(default_factory=dict)


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
            if (self.spec.folder / "samples.npz").is_file() and not self._stopping:
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
        for name in ("progress.json", GENERATION):
            (self.spec.folder / name).unlink(missing_ok=True)
        return record

    def _generate(self, attempt: _Attempt) -> None:
        from genbench.external import samples_path

        if self.spec.generator.is_external:
            source = samples_path(self.spec.cache, self.spec.generator.description.source)
            _link(source, self.spec.folder / "samples.npz")
            return
        earlier = self._reuse(attempt)
        if earlier and (self.spec.generator.ref.inline or not self._needs_generator()):
            return
        if self.spec.generator.ref.inline:
            self._generated_elsewhere(attempt)
            return
        outcome = run_isolated(
            self._generation,
            log=self.spec.folder / LOG,
            stopping=lambda: self._stopping,
            timeout=self.spec.timeout,
            memory_limit=self.spec.memory_limit,
        )
        result = generation_of(self.spec.folder)
        if not earlier:
            attempt.generation = result
            attempt.resources.update(result.get("resources", {}))
            attempt.timing.update(result.get("timing", {}))
            attempt.resources["peak_rss_bytes"] = outcome.peak_rss_bytes
        self._judge(attempt, outcome, result)

    def _refit(self, attempt: _Attempt) -> None:
        """Fit the generator anew for the downstream protocols, before any real row is read here."""
        asked = protocols.read(self.spec.suite.document)
        if asked is None or "downstream" not in self.spec.parts or refits.why_not(self.spec):
            return
        start = time.perf_counter()
        attempt.refits = refits.run_refits(
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
        attempt.resources.update(result.get("resources", {}))
        attempt.timing.update(result.get("timing", {}))
        self._judge(attempt, Outcome("returned", 0, None, 0, 0.0), result)

    def _generation(self) -> None:
        from genbench.generation import Generation

        Generation(self.spec).run()

    def _judge(self, attempt: _Attempt, outcome: Outcome, result: Mapping[str, Any]) -> None:
        """Turn the way the generator's process ended into a status and an error."""
        phase = str(result.get("phase") or self._last_phase())
        status = result.get("status")
        if outcome.status == "returned" and status == "ok":
            return
        if outcome.status == "timeout":
            attempt.status = "timeout"
            message = f"exceeded the limit of {self.spec.timeout:g} s: raise --timeout"
            attempt.error = {"phase": phase, "type": "Timeout", "message": message}
        elif outcome.status == "oom":
            attempt.status = "oom"
            message = (
                f"its processes held {outcome.peak_rss_bytes / 2**20:.0f} MiB, over the limit of "
                f"{(self.spec.memory_limit or 0) / 2**20:.0f} MiB: raise --memory-limit"
            )
            attempt.error = {"phase": phase, "type": "MemoryLimit", "message": message}
        elif status in ("failed", "oom", "interrupted"):
            attempt.status = status
            attempt.error = dict(result["error"])
        elif self._stopping:
            attempt.status = "interrupted"
            attempt.error = _stopped(phase)
        else:
            attempt.status = "failed"
            how = (
                f"was killed by {outcome.signal_name}"
                if outcome.signal_name
                else f"ended with exit code {outcome.code} without a result"
            )
            attempt.error = {
                "phase": phase,
                "type": outcome.signal_name or "Exit",
                "message": f"the generator's process {how} during {phase}",
            }

    def _reuse(self, attempt: _Attempt) -> bool:
        """Take over the samples and costs of an earlier attempt, if the spec names one."""
        if self.spec.reuse is None:
            return False
        earlier = read_record(self.spec.reuse / "record.json")
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
        stored = earlier.cell["suite"].get("scoring")
        if isinstance(stored, Mapping):
            attempt.scoring.update({k: v for k, v in stored.items() if k not in self.spec.parts})
        return True

    def _keeps(self, metric: str) -> bool:
        """Whether a stored value belongs to a part that is not being computed now."""
        from genbench.plan import part_of

        return part_of(metric) not in self.spec.parts

    def _needs_generator(self) -> bool:
        """Whether stored log-probabilities do not answer what the suite asks now."""
        from genbench.generation import LIKELIHOOD, likelihood_plan, load_arrays

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
        from genbench import pictures
        from genbench.generation import LIKELIHOOD, SAMPLES, configure_torch, load_arrays
        from genbench.plan import scoring_keys
        from genbench.scoring import Scorer

        configure_torch(1)  # whatever the fit took: no value depends on the number of cores
        start, core = time.perf_counter(), time.process_time()
        samples = load_arrays(self.spec.folder / SAMPLES)
        path = self.spec.folder / LIKELIHOOD
        likelihood = load_arrays(path) if path.is_file() else {}
        reason = attempt.error["message"] if attempt.error else None
        scorer = Scorer(self.spec, samples, likelihood, reason, attempt.refits, self._progress)
        attempt.metrics.update(scorer.score())
        keys = scoring_keys(self.spec.suite)
        attempt.scoring.update({part: keys[part] for part in self.spec.parts})
        attempt.timing["metrics_s"] = time.perf_counter() - start
        attempt.timing["metrics_core_s"] = time.process_time() - core
        real = scorer.split(str(self.spec.suite.document["protocol"]["reference"]))
        attempt.pictures = pictures.draw(
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
            environment=environment.describe(spec.device, spec.threads) | _isolation(spec),
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
        )

    def _artifacts(self, attempt: _Attempt) -> tuple[Artifact, ...]:
        folder = self.spec.folder
        if attempt.status == "ok":
            (folder / "checkpoint.safetensors").unlink(missing_ok=True)
        pictures = sorted(attempt.pictures.items())
        return files_of(folder) + tuple(artifact(folder, role, n) for role, n in pictures)

    def _progress(self, what: str) -> None:
        """Say what is being computed; a point at which a stopped run ends."""
        if self._stopping:
            raise _Stopped
        write_progress(self.spec.folder / "progress.json", "metrics", what=what)

    def _waiting(self) -> None:
        write_progress(self.spec.folder / "progress.json", "waiting")

    def _last_phase(self) -> str:
        try:
            return str(read_json(self.spec.folder / "progress.json")["phase"])
        except (StoreError, KeyError, TypeError):
            return "import"

    def _on_signal(self, number: int, frame: Any) -> None:
        self._stopping = True


def main(path: str) -> int:
    """Run the cell that a spec file orders; 0 once its record is written."""
    return run_cell(read_spec(Path(path)))


def run_cell(spec: CellSpec, slots: Slots | None = None) -> int:
    """Run a cell in one of the `slots` of its run; 0 once its record is written."""
    try:
        record = Worker(spec, slots).run()
    except GenbenchError as error:
        print(f"genbench worker: {error}", file=sys.stderr)
        return error.exit_code
    return 0 if record.status in ("ok", "skipped") else 3


def _isolation(spec: CellSpec) -> dict[str, str]:
    """What a record says of a generator that had no process of its own."""
    if not spec.generator.ref.inline:
        return {}
    return {"isolation": "none: the generator ran in the caller's process, without limits"}


def _error(phase: str, error: BaseException) -> dict[str, Any]:
    return {
        "phase": phase,
        "type": type(error).__name__,
        "message": str(error) or type(error).__name__,
        "traceback": "".join(traceback.format_exception(error)),
    }


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
