"""A tracker's process seen from outside: started, told one thing at a time, ended."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from genbench.errors import TrackerError, UsageError, shorten
from genbench.system import environment, python_module
from genbench.tracking.targets import Target

OPENING_SECONDS = 120.0  # some libraries take ten to import on a busy machine
SILENT_SECONDS = 300.0  # a report of many megabytes over a slow line
LAST_WORDS = 300  # characters of a dead process's stderr

Answer = Mapping[str, Any]


@dataclass(slots=True)
class _Order:
    """An order that waits: `about` names what a later one of the same takes the place of."""

    body: Mapping[str, Any]
    then: Callable[[Answer], None]
    about: str | None


class TrackerProcess:
    """The process of one target's tracker.

    It has at most one order at hand, so that writing to it never blocks: the others wait here.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, held as long as the process
        # A session of its own: Ctrl-C is for the run, which ends this when it has ended.
        self._process = subprocess.Popen(
            python_module("genbench.tracking.service", target.tracker, target.place),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            start_new_session=True,
        )  # fmt: skip
        self._waiting: deque[_Order] = deque()
        self._at_hand: _Order | None = _Order({}, self._opened, None)
        self._heard = b""
        self._last_heard = time.monotonic()
        self._refusal: Answer | None = None
        self._gone = ""  # why it is no more

    def require_open(self) -> None:
        """Wait until its tracker is made; `UsageError` or `TrackerError` if it cannot be."""
        self.wait(OPENING_SECONDS)
        if self._refusal is not None:
            kind = UsageError if self._refusal["kind"] == "UsageError" else TrackerError
            raise kind(f"tracker {self.target}: {self._told(self._refusal)}")

    def _opened(self, answer: Answer) -> None:
        self._refusal = answer if "refused" in answer else None

    def put(
        self, body: Mapping[str, Any], then: Callable[[Answer], None], *, about: str | None = None
    ) -> None:
        """Have an order carried out when its turn comes; `then` takes the answer.

        One that waits and is `about` the same is dropped: news that nobody has heard are old.
        """
        if self._gone:
            then({"kind": "TrackerError", "refused": self._gone})
            return
        if about is not None:
            self._waiting = deque(o for o in self._waiting if o.about != about)
        self._waiting.append(_Order(body, then, about))
        self.pump()

    def ask(self, body: Mapping[str, Any]) -> str:
        """Have an order carried out now: its outcome. `TrackerError` if it is refused."""
        answers: list[Answer] = []
        self.put(body, answers.append)
        self.wait(SILENT_SECONDS)
        if "refused" in answers[0]:
            raise TrackerError(f"tracker {self.target}: {self._told(answers[0])}")
        return str(answers[0]["outcome"])

    def pump(self, seconds: float = 0.0) -> None:
        """Take an answer, if one comes within so long, and give the next order.

        A process that ended refuses everything that it was to be told.
        """
        assert self._process.stdout is not None
        if self._at_hand is not None and select.select([self._process.stdout], [], [], seconds)[0]:
            heard = os.read(self._process.stdout.fileno(), 1 << 16)
            self._last_heard = time.monotonic()
            if not heard:
                self._lose()
                return
            self._heard += heard
        if self._at_hand is not None and b"\n" in self._heard:
            line, _, self._heard = self._heard.partition(b"\n")
            order, self._at_hand = self._at_hand, None
            order.then(json.loads(line))
        if self._at_hand is None and self._waiting:
            self._give(self._waiting.popleft())

    def _give(self, order: _Order) -> None:
        assert self._process.stdin is not None
        self._at_hand = order
        self._last_heard = time.monotonic()
        try:
            self._process.stdin.write(json.dumps(order.body).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:  # it has ended
            self._lose()

    def _lose(self) -> None:
        self._process.wait()  # then all its last words are there
        self._refuse_all(f"its process ended: {self._last_words()}")

    def forget(self) -> None:
        """Drop every order that still waits, unanswered."""
        self._waiting.clear()

    def wait(self, seconds: float) -> None:
        """Wait until it has answered everything.

        One that says nothing for so long is ended, and what it was to be told is refused.
        """
        while self._at_hand is not None or self._waiting:
            self.pump(0.2)
            if self._at_hand is not None and time.monotonic() - self._last_heard > seconds:
                self._refuse_all(f"no answer for {seconds:.0f} s")

    def _refuse_all(self, reason: str) -> None:
        self.kill()
        self._gone = reason
        orders = [] if self._at_hand is None else [self._at_hand]
        orders += self._waiting
        self._at_hand, self._waiting = None, deque()
        for order in orders:
            order.then({"kind": "TrackerError", "refused": reason})

    def _last_words(self) -> str:
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 4 * LAST_WORDS))
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return shorten(lines[-1], LAST_WORDS) if lines else "it said nothing"

    def _told(self, answer: Answer) -> str:
        return environment.without_login(str(answer["refused"]))

    def close(self, seconds: float = SILENT_SECONDS) -> str | None:
        """Have it write out what it holds back, and end it; why that failed, or None."""
        answers: list[Answer] = []
        self.put({"do": "close"}, answers.append)
        self.wait(seconds)
        self.kill()
        return self._told(answers[0]) if answers and "refused" in answers[0] else None

    def kill(self) -> None:
        """End it now, with what it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # what it never read
                pipe.close()
        self._errors.close()
