"""Makes the checks of one order, each in a child process that may crash, hang or leave.

It runs in a process that has imported torch and nothing of the generator's. The first steps of most
checks share one child, so that one fit serves them; whatever must survive the process gets a second
step in a new one. A child that dies fails the check that it was at, and another goes on.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genbench.errors import GenbenchError
from genbench.running import configure_torch
from genbench.system import ProcessOutcome, read_json, run_isolated, sandbox
from genbench.testing import conduct, continuation, declaration, inside, normalisation
from genbench.testing.order import RESULTS, Order
from genbench.testing.results import NOT_OFFERED, CheckResult
from genbench.testing.rules import RULES
from genbench.testing.slowdown import slowdown
from genbench.testing.subject import NotChecked, NotOffered, Subject
from genbench.testing.tiny import tiny_space

Step = Callable[[Subject], None]

EVENTS = "events.jsonl"
LOG = "log.txt"

# Made in one process, one after the other, so that one fit serves them all.
TOGETHER: dict[str, Step] = {
    "fit": conduct.fit,
    "samples": conduct.samples,
    "seed": conduct.seed,
    "random-state": conduct.random_state,
    "training-data": conduct.training_data,
    "unchanged": conduct.unchanged,
    "labels": conduct.labels,
    "log-prob": conduct.log_prob,
    "density": normalisation.density,
    "copies": conduct.copies,
    "codes": inside.codes,
    "decode": inside.decode,
    "sampler": inside.sampler,
    "files": conduct.files,
    "state": continuation.keep_state,
    "repeat": continuation.keep_reference,
}
# Made in processes of their own, a new one for each step.
APART: dict[str, tuple[Step, ...]] = {
    "state": (continuation.restore_state,),
    "repeat": (continuation.fit_again,),
    "resume": (continuation.interrupt, continuation.resume),
    "snapshots": (continuation.snapshots,),
    "stop": (continuation.stop,),
    "device": (continuation.device,),
    "codes": (inside.codes_again,),
    "decode": (inside.decode_again,),
    "sampler": (inside.sampler_again,),
    "probability": (normalisation.probability,),
}


@dataclass(frozen=True, slots=True)
class _Task:
    """One step of one check."""

    check: str
    act: Callable[[], None]


class Examiner:
    """Carries out an `Order`; results go to its ``results.jsonl`` as they come."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._events, self._log = order.scratch / EVENTS, order.scratch / LOG
        self._kind: str | None = None
        self._seconds = order.seconds
        self._found: dict[str, CheckResult] = {}
        self._wanted = _with_needs(order.only)

    def run(self) -> None:
        """Make every check."""
        scratch, ref = self._order.scratch, self._order.ref
        here = self._folder("import")
        self._session([_Task("import", lambda: declaration.check_import(ref, here))], here)
        self._session([_Task("spec", lambda: declaration.check_spec(ref, scratch))], here)
        self._emit_all(rule.id for rule in RULES.values() if rule.scope == "generator")
        if self._found["spec"].status != "passed":
            return
        general = dict(self._found)
        for kind in declaration.read_description(scratch).kinds:
            self._kind, self._found = kind, dict(general)
            self._examine(kind)

    def _examine(self, kind: str) -> None:
        """All checks in one kind of space."""
        rules = [rule for rule in RULES.values() if rule.about(kind) and rule.id in self._wanted]
        here = self._folder(f"{kind}-here")
        subject = Subject(
            self._order.ref,
            declaration.read_description(self._order.scratch).for_kind(kind),
            tiny_space(kind, self._order.shape),
            self._folder(kind),
            here,
        )
        shared = [rule.id for rule in rules if rule.id in TOGETHER]
        self._session([_Task(check, _bind(TOGETHER[check], subject)) for check in shared], here)
        self._emit_all(check for check in shared if check not in APART)
        for rule in rules:
            if rule.id in APART:
                self._apart(rule.id, subject)
        self._emit_all(rule.id for rule in rules if rule.id in APART)

    def _apart(self, check: str, subject: Subject) -> None:
        for step in APART[check]:
            earlier = self._found.get(check)
            if earlier is not None and earlier.status != "passed":
                return
            here = self._folder(f"{subject.space.kind}-{check}")
            self._session([_Task(check, _bind(step, replace(subject, here=here)))], here)

    def _session(self, tasks: Sequence[_Task], here: Path) -> None:
        """Make steps in one child process; in another from where it died."""
        left = list(tasks)
        while left:
            outcome = self._attempt(left, here)
            done = self._read_events()
            for result in done:
                earlier = self._found.get(result.check)
                seconds = result.seconds + (earlier.seconds if earlier else 0)
                self._found[result.check] = replace(result, seconds=seconds)
            left = left[len(done) :]
            if left:
                lost = left.pop(0).check
                self._found[lost] = self._lost(lost, outcome)

    def _attempt(self, tasks: Sequence[_Task], here: Path) -> ProcessOutcome:
        """Make steps in one child process, as far as it gets."""
        self._events.write_text("")
        self._log.write_text("")
        self._seconds = self._order.seconds * slowdown()
        with warnings.catch_warnings():
            # Python warns of the threads that a caller's libraries have: none is needed here.
            warnings.simplefilter("ignore", DeprecationWarning)
            return run_isolated(
                lambda: self._child(tasks, here),
                log=self._log,
                stopping=lambda: False,
                timeout=self._seconds * len(tasks) + 30,
            )

    def _child(self, tasks: Sequence[_Task], here: Path) -> None:
        sys.path[:0] = self._order.path
        sys.dont_write_bytecode = True
        os.chdir(here)
        box = sandbox(self._order.sandbox, self._folder("tmp"), self._order.scratch)
        if box is not None:
            box.enter()
        # One thread: on tiny data more are slower, and results repeat.
        configure_torch(1)
        with self._events.open("a") as events:
            for task in tasks:
                start = time.perf_counter()
                # Ends this process even when the generator hangs in C, and tells where in the log.
                faulthandler.dump_traceback_later(self._seconds, exit=True)
                result = self._needed(task.check) or self._result_of(task)
                faulthandler.cancel_dump_traceback_later()
                result = replace(result, seconds=round(time.perf_counter() - start, 3))
                self._found[task.check] = result
                events.write(json.dumps(result.to_json()) + "\n")
                events.flush()

    def _needed(self, check: str) -> CheckResult | None:
        """Not checked, if a check that it needs has not passed; the reason is the first cause."""
        for need in RULES[check].needs:
            found = self._found.get(need)
            if found is None or found.status == "passed":
                continue
            failed = found.status == "failed"
            reason = f"needs check {need!r} to pass" if failed else found.detail
            return CheckResult(check, self._kind, "not checked", reason)
        return None

    def _result_of(self, task: _Task) -> CheckResult:
        try:
            task.act()
        except NotOffered:
            return CheckResult(task.check, self._kind, "not checked", NOT_OFFERED)
        except NotChecked as reason:
            return CheckResult(task.check, self._kind, "not checked", str(reason))
        except GenbenchError as error:
            trace = "" if error.__cause__ is None else traceback.format_exc()
            return CheckResult(task.check, self._kind, "failed", str(error), trace)
        except BaseException as error:  # whatever the generator raises, SystemExit too
            return CheckResult(
                task.check, self._kind, "failed", self._message(error), traceback.format_exc()
            )
        return CheckResult(task.check, self._kind, "passed")

    def _message(self, error: BaseException) -> str:
        """The error in one line, with the generator's own line that raised it."""
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        ref = self._order.ref
        name = Path(ref.file).name if ref.file else f"{str(ref.module).rpartition('.')[2]}.py"
        frames = traceback.extract_tb(error.__traceback__)
        mine = [frame for frame in frames if Path(frame.filename).name == name]
        return f"{text} ({name}, line {mine[-1].lineno})" if mine else text

    def _lost(self, check: str, outcome: ProcessOutcome) -> CheckResult:
        """The result of the check at which the child ended."""
        tail = self._log.read_text(errors="replace")[-4000:]
        if outcome.status == "timeout" or "Timeout (" in tail:
            text = f"took more than {self._order.seconds:g} s: it hangs, or is too slow by far"
        elif outcome.signal_name:
            text = f"the generator's process was killed by {outcome.signal_name}"
        else:
            text = f"the generator's process ended with exit code {outcome.code}"
        return CheckResult(check, self._kind, "failed", text, tail, round(outcome.seconds, 3))

    def _read_events(self) -> list[CheckResult]:
        lines = self._events.read_text().splitlines()
        return [CheckResult.from_json(json.loads(line)) for line in lines]

    def _emit_all(self, checks: Iterable[str]) -> None:
        with (self._order.scratch / RESULTS).open("a") as file:
            for check in checks:
                found = self._found.get(check)
                if found is not None and check in self._wanted and not found.is_about_nothing:
                    file.write(json.dumps(found.to_json()) + "\n")

    def _folder(self, name: str) -> Path:
        path = self._order.scratch / name
        path.mkdir(exist_ok=True)
        return path


def forked(args: Mapping[str, Any], slots: int) -> tuple[int, None]:
    """Carry out the order in the file ``args["order"]``; 0 once all results are written."""
    Examiner(Order.from_json(read_json(Path(args["order"])))).run()
    return 0, None


def _with_needs(only: Sequence[str]) -> set[str]:
    """The checks asked for, all if none, with those that they need."""
    wanted: set[str] = set()
    left = list(only or RULES)
    while left:
        check = left.pop()
        wanted.add(check)
        left += RULES[check].needs
    return wanted


def _bind(step: Step, subject: Subject) -> Callable[[], None]:
    return lambda: step(subject)
