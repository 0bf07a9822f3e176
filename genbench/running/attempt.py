"""An attempt at a cell: all that is known of it, and the verdict on how its generator ended."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any, cast

from genbench.metrics import MetricValue
from genbench.results import Status
from genbench.running.cellspec import CellSpec
from genbench.running.ledger import Ledger
from genbench.running.refits import Job, RefitResult
from genbench.system import ProcessOutcome


@dataclass
class Attempt:
    """All that is known so far of the attempt that is running."""

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
    course: dict[str, Any] = field(default_factory=dict)
    undrawn: bool = False  # of the course: its process ended before it was drawn
    sealed: str = ""  # digest of the samples
    probe: dict[str, Any] = field(default_factory=dict)  # log_prob of the fitted generator itself
    unprobed: bool = False
    likelihood_error: str | None = None
    codes: dict[str, Any] = field(default_factory=dict)  # arrays of a look inside
    codes_error: str | None = None


def judge(
    attempt: Attempt, spec: CellSpec, outcome: ProcessOutcome, ledger: Ledger, stopping: bool
) -> None:
    """Turn the way the generator's process ended into a status and an error."""
    from genbench.running.likelihoods import PROBE

    result = ledger.result
    attempt.status, attempt.error = _verdict(spec, outcome, ledger, stopping)
    if result.phase == PROBE and attempt.status not in ("ok", "interrupted"):
        # All that counts was there by then: the likelihood alone is lost.
        attempt.likelihood_error = attempt.likelihood_error or str(
            (attempt.error or {}).get("message")
        )
        attempt.status, attempt.error = "ok", None


def take_over(attempt: Attempt, result: dict[str, Any]) -> None:
    """Take what a class of the caller's process told of its work, its end included."""
    attempt.generation = result
    attempt.likelihood_error = result.get("likelihood_error")
    attempt.resources.update(result.get("resources", {}))
    attempt.timing.update(result.get("timing", {}))
    status, error = result.get("status"), result.get("error")
    if status in ("failed", "oom", "interrupted") and error is not None:
        attempt.status, attempt.error = status, dict(error)
    elif status != "ok":
        how = "ended without a result"
        attempt.status, attempt.error = "failed", _ended("Exit", str(result.get("phase")), how)


def _verdict(
    spec: CellSpec, outcome: ProcessOutcome, ledger: Ledger, stopping: bool
) -> tuple[Status, dict[str, Any] | None]:
    result, phase = ledger.result, ledger.result.phase
    if ledger.broken is not None:
        return "failed", {"phase": phase, "type": "ContractError", "message": ledger.broken}
    if outcome.status == "returned" and result.status == "ok":
        return "ok", None
    if outcome.status == "timeout":
        message = f"exceeded the limit of {spec.timeout:g} s: raise --timeout"
        return "timeout", {"phase": phase, "type": "Timeout", "message": message}
    if outcome.status == "oom":
        message = (
            f"its processes held {outcome.peak_rss_bytes / 2**20:.0f} MiB, over the limit of "
            f"{(spec.memory_limit or 0) / 2**20:.0f} MiB: raise --memory-limit"
        )
        return "oom", {"phase": phase, "type": "MemoryLimit", "message": message}
    if result.status in ("failed", "oom", "interrupted") and result.error is not None:
        return cast("Status", result.status), dict(result.error)
    if stopping:
        return "interrupted", stopped(phase)
    how = (
        f"was killed by {outcome.signal_name}"
        if outcome.signal_name
        else f"ended with exit code {outcome.code} without a result"
    )
    return "failed", _ended(outcome.signal_name or "Exit", phase, how)


def error_of(phase: str, error: BaseException) -> dict[str, Any]:
    """An exception of the worker's own, as a record holds it."""
    return {
        "phase": phase,
        "type": type(error).__name__,
        "message": str(error) or type(error).__name__,
        "traceback": "".join(traceback.format_exception(error)),
    }


def _ended(kind: str, phase: str, how: str) -> dict[str, Any]:
    message = f"the generator's process {how} during {phase}"
    return {"phase": phase, "type": kind, "message": message}


def stopped(phase: str) -> dict[str, Any]:
    """The error of an attempt that a stop of the run cut short."""
    message = "the run was stopped; the same command continues it"
    return {"phase": phase, "type": "Stopped", "message": message}
