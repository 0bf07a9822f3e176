"""The caller's end of a fork server: orders out, answers in."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from genbench.errors import GenbenchError, PluginError
from genbench.system.subprocesses import python_module
from genbench.system.threads import short_spinning

# glibc hands large blocks back to the system after every operation and takes them again for the
# next; keeping them saves a training loop on the CPU the page faults. Other libcs ignore these.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
START_SECONDS = 600.0


class ForkServerClient:
    """A fork server of this process, started when it is first needed.

    It imports the `heavy` modules before it forks anything; its own stderr goes to `log`, or to
    this process's.
    """

    def __init__(self, heavy: Sequence[str], log: IO[bytes] | None = None) -> None:
        self._heavy = tuple(heavy)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._ids = (str(i) for i in itertools.count())
        self._kept: dict[str, dict[str, Any]] = {}
        self._under_way: set[str] = set()
        self._buffer = b""
        self._ready = False

    def __enter__(self) -> ForkServerClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def import_first(self, modules: Sequence[str]) -> None:
        """Have modules imported before anything is forked, unless the server has started."""
        self._heavy = tuple(dict.fromkeys((*self._heavy, *modules)))

    def fork(self, call: str, args: Mapping[str, Any]) -> str:
        """Have ``module:function`` called in a process of its own; the order's id."""
        self._started()
        id_ = next(self._ids)
        self._under_way.add(id_)
        self._send({"op": "fork", "id": id_, "call": call, "args": dict(args)})
        return id_

    def put(self, call: str, args: Mapping[str, Any], *, sandbox: bool) -> str:
        """Have ``module:function`` called where it may import a plugin; the question's id."""
        id_ = next(self._ids)
        order = {"op": "ask", "id": id_, "call": call, "args": dict(args), "sandbox": sandbox}
        self._send(order)
        return id_

    def answer(self, id_: str, name: str, seconds: float) -> Any:
        """The value of what was `put` about the plugin `name`, waited for.

        `PluginError` if it raises, its process ends, or it takes longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        while id_ not in self._kept:
            if time.monotonic() > deadline:
                self.close()
                raise PluginError(
                    f"{name}: importing it took more than {seconds:g} s: "
                    "move slow work from the module into fit()"
                )
            self._keep(self._answers(1.0))
            if self._process is None and id_ not in self._kept:
                raise GenbenchError("the worker process is gone: run again, or `genbench doctor`")
        answer = self._kept.pop(id_)
        if "value" in answer:
            return answer["value"]
        reason = answer.get("error") or f"its process ended with code {answer.get('code')}"
        raise PluginError(reason if name in reason else f"{name}: {reason}")

    def ended(self, seconds: float, wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
        """Answers to `fork` whose id is `wanted`, waited for at most `seconds`."""
        self._keep(self._answers(0 if any(map(wanted, self._kept)) else seconds))
        return [self._kept.pop(id_) for id_ in list(self._kept) if wanted(id_)]

    def say(self, op: str) -> None:
        """``stop`` or ``kill`` everything that is forked; no matter if the server is gone."""
        if self._process is not None:
            with contextlib.suppress(GenbenchError):
                self._send({"op": op})

    def close(self) -> None:
        """End the server and with it everything it forked; who waits for that hears of it."""
        if self._process is None:
            return
        self._keep([{"id": id_, "code": -signal.SIGKILL} for id_ in sorted(self._under_way)])
        process, self._process = self._process, None
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _keep(self, answers: list[dict[str, Any]]) -> None:
        for answer in answers:
            if "id" in answer:
                self._under_way.discard(answer["id"])
                self._kept[answer["id"]] = answer

    def start(self) -> None:
        """Start the server, if there is none, and do not wait until it has imported everything."""
        if self._process is None:
            self._process = subprocess.Popen(
                python_module("genbench.system.forkserver", str(os.getpid()), *self._heavy),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
                env={**ALLOCATOR, **os.environ, **short_spinning()},
            )
            self._buffer, self._ready = b"", False

    def _started(self) -> subprocess.Popen[bytes]:
        self.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._ready:
            self._ready = any(a.get("event") == "ready" for a in self._answers(1.0))
            if self._process is None or time.monotonic() > deadline:
                raise GenbenchError("the worker process did not start: run `genbench doctor`")
        assert self._process is not None
        return self._process

    def _send(self, order: dict[str, Any]) -> None:
        stdin = self._started().stdin
        try:
            if stdin is None:
                raise OSError("no pipe")
            stdin.write(json.dumps(order).encode() + b"\n")
            stdin.flush()
        except OSError as error:
            raise GenbenchError(f"the worker process is gone ({error}): run again") from error

    def _answers(self, seconds: float) -> list[dict[str, Any]]:
        if self._process is None or self._process.stdout is None:
            time.sleep(seconds)
            return []
        fd = self._process.stdout.fileno()
        if not select.select([fd], [], [], seconds)[0]:
            return []
        data = os.read(fd, 1 << 16)
        if not data:
            code = self._process.wait()
            self._process = None
            if self._under_way:  # their callers hear of it, and the next order starts another
                return [{"id": id_, "code": code} for id_ in sorted(self._under_way)]
            raise GenbenchError(f"the worker process ended with code {code}: run `genbench doctor`")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]
