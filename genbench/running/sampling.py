"""The samples of an attempt: drawn in isolation, in the caller's process, or before.

Log-probabilities of reference rows belong to it: they too come from the generator alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genbench.errors import StoreError
from genbench.results import CHECKPOINT, PROGRESS, read_record, snapshots_in, write_progress
from genbench.running.attempt import Attempt, judge, take_over
from genbench.running.cellspec import CellSpec
from genbench.running.codesplan import codes_wanted, why_not_looked_into
from genbench.running.course import CourseLedger, points_of, settle
from genbench.running.events import EventListener
from genbench.running.ledger import (
    LIKELIHOOD,
    SAMPLES,
    STATE,
    WORK,
    CellLedger,
    Ledger,
    inherit_checkpoint,
)
from genbench.running.monitoring import MonitoredProcess
from genbench.running.recording import (
    CODES,
    COURSE,
    LOG,
    ROLES,
    UNSCORED,
    course_so_far,
    generation_of,
)
from genbench.system import (
    ProcessOutcome,
    Sandbox,
    card,
    load_arrays,
    sandbox,
    save_arrays,
    scratch_folder,
    sha256_file,
    wait_for_end,
)


class Sampling:
    """The samples of one attempt, and what the generator says of reference rows.

    Parameters
    ----------
    stopping
        Says whether the run is being stopped.
    """

    def __init__(self, spec: CellSpec, stopping: Callable[[], bool]) -> None:
        self._spec = spec
        self._stopping = stopping

    def run(self, attempt: Attempt) -> None:
        """Have samples lie in the attempt's folder, sealed, or its error say why not."""
        from genbench.plugins import samples_path

        if self._spec.generator.is_external:
            source = samples_path(self._spec.cache, self._spec.generator.description.source)
            _link(source, self._spec.folder / SAMPLES)
            self._seal(attempt)
            return
        earlier = self._reuse(attempt)
        if not earlier and not self._spec.generator.ref.inline:
            self._fit_and_sample(attempt)
        else:
            if not earlier:
                take_over(attempt, generation_of(self._spec.folder))
            self._seal(attempt)
        if not earlier:
            attempt.course = course_so_far(self._spec, attempt.generation)
        if self._scores_rows(attempt):
            self._score_rows(attempt)
        if self._looks_inside(attempt):
            self._look_inside(attempt)
        if self._draws_course(attempt):
            self._draw_course(attempt)

    def _fit_and_sample(self, attempt: Attempt) -> None:
        from genbench.running.generation import Generation

        spec = self._spec
        ledger = CellLedger(
            spec.folder,
            spec.suite.space,
            spec.suite.n_samples,
            fewer=spec.generator.is_control,
            resumed=spec.resume is not None,
            costs_before=inherit_checkpoint(spec.resume, spec.folder),
        )
        outcome = self._monitored(lambda events, box: Generation(spec, events, box).run(), ledger)
        ledger.take(CHECKPOINT)  # if it ended before it told of it
        attempt.generation = vars(ledger.result)
        attempt.probe = ledger.likelihood
        attempt.likelihood_error = ledger.result.likelihood_error
        attempt.resources.update(ledger.result.resources)
        attempt.timing.update(ledger.result.timing)
        attempt.resources["peak_rss_bytes"] = outcome.peak_rss_bytes
        attempt.sealed = ledger.sealed
        if ledger.likelihood:  # only this process could tell it: whoever goes on needs it
            save_arrays(spec.folder / LIKELIHOOD, ledger.likelihood)
        if not ledger.sealed:  # whoever put one there, it was not drawn
            (spec.folder / SAMPLES).unlink(missing_ok=True)
        judge(attempt, spec, outcome, ledger, self._stopping())

    def _scores_rows(self, attempt: Attempt) -> bool:
        """Whether there is a state whose likelihood is wanted and not stored."""
        from genbench.running.likelihoods import likelihood_plan

        return (
            not self._stopping()
            and attempt.status == "ok"
            and attempt.likelihood_error is None
            and not self._spec.generator.ref.inline
            and not self._spec.generator.is_control
            and bool(likelihood_plan(self._spec))
            and self._needs_generator()
        )

    def _score_rows(self, attempt: Attempt) -> None:
        """Score reference rows in a process that has nothing of the fit but the stored state."""
        from genbench.running.generation import Generation
        from genbench.running.likelihoods import PROBE

        spec = self._spec
        path = spec.folder / LIKELIHOOD
        probe = attempt.probe or (load_arrays(path) if path.is_file() else {})
        probe = {name: values for name, values in probe.items() if name == PROBE}
        ledger = CellLedger(spec.folder, spec.suite.space, 0)
        outcome = self._monitored(
            lambda events, box: Generation(spec, events, box).score_rows(), ledger
        )
        attempt.timing.update({k: v for k, v in ledger.result.timing.items() if k == "log_prob_s"})
        told = {**ledger.result.resources, "peak_rss_bytes": outcome.peak_rss_bytes}
        for name in {"peak_rss_bytes", *card.PEAKS} & told.keys():
            attempt.resources[name] = max(attempt.resources.get(name, 0), told[name])
        scoring = Attempt()
        judge(scoring, spec, outcome, ledger, self._stopping())
        if scoring.status == "interrupted":
            attempt.status, attempt.error = scoring.status, scoring.error
        elif scoring.error is not None:
            attempt.likelihood_error = str(scoring.error["message"])
        elif not attempt.unprobed:
            attempt.likelihood_error = _unlike(probe.get(PROBE), ledger.likelihood.get(PROBE))
        arrays = probe if attempt.likelihood_error else {**ledger.likelihood, **probe}
        if arrays and attempt.status == "ok":
            save_arrays(path, arrays)

    def _looks_inside(self, attempt: Attempt) -> bool:
        """Whether the suite asks for codes, of a generator that may have some."""
        wanted = codes_wanted(self._spec) is not None and why_not_looked_into(self._spec) is None
        return wanted and attempt.status == "ok" and not self._stopping()

    def _look_inside(self, attempt: Attempt) -> None:
        """Have codes taken in a process that has nothing of the fit but the stored state."""
        from genbench.running.generation import Generation

        spec = self._spec
        if not (spec.folder / STATE).is_file():
            attempt.codes_error = "its state was not stored: run it again with --fresh"
            return
        write_progress(spec.folder / PROGRESS, "codes")
        ledger = Ledger(spec.suite.space, 0)
        outcome = self._monitored(
            lambda events, box: Generation(spec, events, box).look_inside(), ledger
        )
        attempt.timing.update({k: v for k, v in ledger.result.timing.items() if k == "codes_s"})
        looked = Attempt()
        judge(looked, spec, outcome, ledger, self._stopping())
        attempt.codes = ledger.codes_found  # what was told before a failure counts
        if looked.status == "interrupted":
            attempt.status, attempt.error = looked.status, looked.error
        elif looked.error is not None:
            attempt.codes_error = str(looked.error["message"])

    def _draws_course(self, attempt: Attempt) -> bool:
        """Whether there are states of the fit that the course of training is to be told from."""
        spec, folder = self._spec, self._spec.folder
        stored = (folder / STATE).is_file() and not (folder / COURSE).is_file()
        offered = "lost" in attempt.course or bool(snapshots_in(folder))
        return (
            not self._stopping()
            and attempt.status == "ok"
            and spec.suite.course is not None
            and not spec.generator.ref.inline
            and not spec.generator.is_control
            and stored
            and offered
        )

    def _draw_course(self, attempt: Attempt) -> None:
        """Sample each stored state in a process of its own: whatever happens, the rest is there."""
        from genbench.running.generation import Generation

        spec = self._spec
        points = points_of(spec.folder, int(attempt.generation["examples_served"]))
        ledger = CourseLedger(spec, points)
        outcome = self._monitored(
            lambda events, box: Generation(spec, events, box).draw_course(points), ledger
        )
        attempt.resources["peak_rss_bytes"] = max(
            attempt.resources.get("peak_rss_bytes", 0), outcome.peak_rss_bytes
        )
        drawing = Attempt()
        judge(drawing, spec, outcome, ledger, self._stopping())
        attempt.undrawn = drawing.status != "ok"
        if drawing.status == "interrupted":
            attempt.status, attempt.error = drawing.status, drawing.error
            return
        lost = settle(spec.folder, ledger, (drawing.error or {}).get("message"))
        earlier = attempt.course.get("lost", {}).items()
        before = {at: why for at, why in earlier if at not in map(str, points)}
        attempt.course = {"status": "failed", "reason": UNSCORED, "lost": before | lost}
        attempt.timing.update(ledger.course_timing)

    def _monitored(
        self, work: Callable[[EventListener, Sandbox | None], None], ledger: Ledger
    ) -> ProcessOutcome:
        """Run the generator in a confined process of its own and hear what it tells."""
        spec = self._spec
        work_folder = spec.folder / WORK
        # Empty: a name that an earlier process left there may be that of a file taken over since.
        shutil.rmtree(work_folder, ignore_errors=True)
        work_folder.mkdir(parents=True, exist_ok=True)
        with scratch_folder() as scratch:
            box = sandbox(
                spec.sandbox, scratch, work_folder, results=spec.cache.parent,
                hidden=spec.hidden, readable=spec.readable(),
            )  # fmt: skip
            running = MonitoredProcess(
                lambda events: work(events, box),
                ledger,
                log=spec.folder / LOG,
                timeout=spec.timeout,
                memory_limit=spec.memory_limit,
                scratch=scratch,
            )
            return wait_for_end(running, self._stopping)

    def _seal(self, attempt: Attempt) -> None:
        """Remember what the samples are: whoever changes the file later is found out."""
        path = self._spec.folder / SAMPLES
        if path.is_file():
            attempt.sealed = sha256_file(path)

    def _reuse(self, attempt: Attempt) -> bool:
        """Take over the samples and costs of an earlier attempt, if the spec names one."""
        if self._spec.reuse is None:
            return False
        earlier = read_record(self._spec.reuse / "record.json")
        attempt.unprobed = "sandbox" not in earlier.environment  # made before probes were
        # Pictures made of codes stay with the values of their part.
        pictures = () if "codes" in self._spec.parts else tuple(CODES.values())
        states = [path.name for path in snapshots_in(self._spec.reuse).values()]
        for name in (*(name for _, name in ROLES[:4]), *pictures, *states):
            if (self._spec.reuse / name).is_file():
                _link(self._spec.reuse / name, self._spec.folder / name)
        attempt.timing.update(earlier.timing)
        attempt.resources.update(earlier.resources)
        attempt.generation = {
            "examples_served": earlier.examples_served,
            "raw_access": earlier.raw_access,
            "curves": dict(earlier.curves),
        }
        kept = {name: value for name, value in earlier.metrics.items() if self._keeps(name)}
        attempt.metrics.update(kept)
        attempt.copies, attempt.course = dict(earlier.copies), dict(earlier.course)
        stored = earlier.cell["suite"].get("scoring")
        if isinstance(stored, Mapping):
            attempt.scoring.update({k: v for k, v in stored.items() if k not in self._spec.parts})
        return True

    def _keeps(self, metric: str) -> bool:
        """Whether a stored value belongs to a part that is not being computed now."""
        from genbench.running.cells import part_of

        return part_of(metric) not in self._spec.parts

    def _needs_generator(self) -> bool:
        """Whether stored log-probabilities do not answer what the suite asks now."""
        from genbench.running.likelihoods import likelihood_plan

        plan = likelihood_plan(self._spec)
        path = self._spec.folder / LIKELIHOOD
        if not plan:
            return False
        if not path.is_file():
            return True
        stored = load_arrays(path)
        asked = {k: (int(v[0]), int(v[1])) for k, v in stored.items() if k.endswith("_asked")}
        return any(asked.get(f"{k}_asked") != (v["rows"], v["draws"]) for k, v in plan.items())


def _unlike(before: Any, after: Any) -> str | None:
    """The difference of a stored state from the fitted one by log_prob of the rows; or None."""
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


def _link(source: Path, target: Path) -> None:
    """A hard link where the file system has them, a copy elsewhere."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    if sha256_file(source) != sha256_file(target):
        raise StoreError(f"{source} changed while it was copied: run again")
