"""A record's account of its cell, whoever writes it: the worker, or the harness in its place."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genbench.errors import StoreError
from genbench.results import Artifact, Record, Status, artifact, snapshots_in, write_record
from genbench.running.cellspec import CellSpec
from genbench.system import confinement, read_json, settled

LOG = "log.txt"
GENERATION = "generation.json"
COURSE = "course.npz"
UNSCORED = "it was not scored"
LOG_TAIL_BYTES = 8192
WORKER_LOST = "WorkerLost"  # the error's type in a record that the harness had to write

ROLES = (
    ("samples", "samples.npz"),
    ("state", "state.safetensors"),
    ("likelihood", "likelihood.npz"),
    ("course", COURSE),
    ("checkpoint", "checkpoint.safetensors"),
    ("log", LOG),
)
# Pictures made of codes, by role.
CODES = {name: f"{name}.png" for name in ("reconstructions", "interpolations", "traversals")}


def cell_of(spec: CellSpec, scoring: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The record's ``cell``: which suite, generator and seed, and how which part was scored."""
    choice, suite = spec.generator, spec.suite
    description = choice.description
    return {
        "suite": {
            "name": suite.name,
            "version": suite.version,
            "task": suite.task_hash,
            "hash": suite.suite_hash,
            "scoring": dict(scoring or {}),
            "profile": suite.profile,
        },
        "generator": {
            **choice.identity(),
            "family": description.family,
            "labels": description.labels,
            "likelihood": description.likelihood,
            "reference": description.reference,
            "pretrained_on": description.pretrained_on,
            "summary": description.summary,
            "params_passed": dict(choice.params_passed),
            **({"unranked": description.unranked} if description.unranked else {}),
        },
        "seed": spec.seed,
    }


def dataset_of(spec: CellSpec) -> dict[str, Any]:
    """The record's ``dataset``: its name and the digests of its files."""
    table = spec.suite.document["dataset"]
    files = [{"path": f["path"], "sha256": f["sha256"]} for f in table.get("files", ())]
    body = {"name": table["name"], "files": files}
    if "content_sha256" in table:
        body["content_sha256"] = table["content_sha256"]
    return body


def record_of_loss(spec: CellSpec, status: Status, error: Mapping[str, Any]) -> Record:
    """The record of an attempt whose worker ended without writing one; written by the harness.

    What the generator's process had told by then is in it: samples that are there can be scored.
    """
    spec.folder.mkdir(parents=True, exist_ok=True)
    settled(spec.folder / LOG)  # the record has the log's digest
    body = {**error, "log_tail": log_tail(spec.folder)}
    generation = generation_of(spec.folder)
    record = Record(
        record_id=spec.folder.name,
        cell_key=spec.cell_key,
        status=status,
        cell=cell_of(spec),
        dataset=dataset_of(spec),
        metrics={},
        curves=generation.get("curves", {}),
        timing=generation.get("timing", {}),
        examples_served=int(generation.get("examples_served", 0)),
        raw_access=bool(generation.get("raw_access", False)),
        resources=generation.get("resources", {}),
        environment={"device": spec.device, "threads": spec.threads} | isolation_of(spec),
        source=spec.source,
        attempt={"n": spec.attempt, "resumed_from": source_attempt(spec)},
        error=body,
        # A worker that was only taken for dead may add to its log until it finds that out.
        artifacts=tuple(a for a in files_of(spec.folder) if not (spec.claimed and a.role == "log")),
        course=course_so_far(spec, generation),
    )
    write_record(spec.folder, record, new=spec.claimed)
    return record


def record_of_death(spec: CellSpec, code: int) -> Record:
    """Write the record of an attempt whose worker ended with this exit code and wrote none."""
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    if code == -signal.SIGKILL:
        how += ", which the system sends when memory runs out"
    message = f"the worker ended by {how} and wrote no record"
    error = {"phase": "worker", "type": WORKER_LOST, "message": message}
    return record_of_loss(spec, "interrupted" if spec.claimed else "failed", error)


def isolation_of(spec: CellSpec) -> dict[str, str]:
    """The record's account of how far the generator was kept from everything else."""
    if spec.generator.ref.inline:
        isolation = "none: the generator ran in the caller's process, without limits"
        return {"isolation": isolation, "sandbox": "none"}
    return {"sandbox": confinement.name(spec.sandbox)}


def generation_of(folder: Path) -> dict[str, Any]:
    """The account of the generator's work as it was last written down; empty if nothing.

    Where nothing is confined the generator may write here too: one of another form tells nothing.
    """
    try:
        body = read_json(folder / GENERATION)
    except StoreError:
        return {}
    forms = {"curves": dict, "timing": dict, "resources": dict, "examples_served": int,
             "raw_access": bool, "error": dict | None, "likelihood_error": str | None,
             "offers_snapshots": bool | None, "lost_points": dict}  # fmt: skip
    ours = isinstance(body, dict) and all(
        isinstance(body[name], form) for name, form in forms.items() if name in body
    )
    return dict(body) if ours else {}


def course_so_far(spec: CellSpec, generation: Mapping[str, Any]) -> dict[str, Any]:
    """The record's ``course`` before it is scored: why points of it, or all, will be missing."""
    offered = generation.get("offers_snapshots")
    if spec.suite.course is None or spec.generator.is_control or offered is None:
        return {}
    if not offered:
        reason = "no states to sample: its fit offers none (run.snapshot)"
        return {"status": "not_applicable", "reason": reason}
    lost = dict(generation.get("lost_points", {}))
    return {"status": "failed", "reason": UNSCORED, "lost": lost}


def log_tail(folder: Path) -> str:
    """The last part of an attempt's log, as text."""
    path = folder / LOG
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


def files_of(folder: Path) -> tuple[Artifact, ...]:
    """The files that an attempt keeps, those that are there."""
    kept = tuple(artifact(folder, role, n) for role, n in ROLES if (folder / n).is_file())
    states = snapshots_in(folder).values()
    return kept + tuple(artifact(folder, "snapshot", path.name) for path in states)


def source_attempt(spec: CellSpec) -> str | None:
    """Id of the attempt whose samples or checkpoint this one began with."""
    path = spec.reuse or (spec.resume.parent if spec.resume else None)
    return path.name if path else None
