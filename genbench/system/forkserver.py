"""A process that has imported torch and nothing of anyone's, and forks one for each call.

Importing torch takes seconds; forking takes milliseconds. Orders come as JSON lines on stdin,
answers go as JSON lines to stdout. When stdin ends, because the caller ended however that came
about, everything it forked is killed and it ends too. See `genbench.system.forking` for who asks.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from genbench.errors import GenbenchError
from genbench.system.confinement import error_text, sandbox
from genbench.system.isolation import Isolated, start_isolated
from genbench.system.slots import slots_file
from genbench.system.supervisor import die_with_parent, killed_with_parent
from genbench.system.threads import limit_interop_threads, limit_threads

MOST_ANSWER_BYTES = 64 << 20


class ForkServer:
    """The loop of the fork server.

    Orders: ``{"op": "fork", "id": ..., "call": "module:function", "args": {...}}`` for a function
    that imports no plugin itself; it is called with the arguments and the file of the run's slots,
    and gives an exit code and a value. ``{"op": "ask", ..., "sandbox": ...}`` for one that imports
    a plugin: isolated and confined, it gives a value or raises. ``{"op": "stop"}`` (what was forked
    may finish writing), ``{"op": "kill"}``. Answers: ``{"id": ..., "event": "ended", "code":
    ...}``, with ``"value"`` or ``"error"``.

    The `heavy` modules are imported first. None of them may run an operation: threads would not
    survive a fork.
    """

    def __init__(self, heavy: Sequence[str]) -> None:
        self._heavy = heavy
        self._running: dict[int, _Forked] = {}
        self._asked: list[_Asked] = []
        self._slots = slots_file()
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        # Nothing that a library prints may get between the answers.
        os.dup2(2, 1)
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        os.set_blocking(self._wake_reader, False)

    def serve(self) -> None:
        """Take orders until stdin ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A scheduler that ends a job tells all its processes: workers write, and need this one.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self._import()
        self._answer({"event": "ready"})
        pending = b""
        while True:
            ready, _, _ = select.select([0, self._wake_reader, *self._waits()], [], [], 1.0)
            if self._wake_reader in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_reader, 4096)
            self._reap()
            if 0 in ready:
                data = os.read(0, 1 << 16)
                if not data:
                    self._signal_all(signal.SIGKILL)
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._execute(json.loads(line))

    def _waits(self) -> list[int]:
        answers = [one.answer for one in self._running.values()]
        return [fd for one in (*answers, *(a.answer for a in self._asked)) for fd in one.waits]

    def _execute(self, order: dict[str, Any]) -> None:
        match order["op"]:
            case "fork":
                self._fork(order["id"], lambda: _called(order)(order["args"], self._slots))
            case "ask":
                self._ask(order, lambda: _reply(order))
            case "stop":
                self._signal_all(signal.SIGTERM)
            case "kill":
                self._signal_all(signal.SIGKILL)

    def _import(self) -> None:
        for name in self._heavy:
            importlib.import_module(name)
        # Every process that is forked from here begins with one thread; none is started for it.
        limit_threads(1)
        limit_interop_threads()

    def _fork(self, id_: str, work: Callable[[], tuple[int, Any]]) -> None:
        """Run what imports no plugin itself; it gives an exit code and something to tell."""
        parent = os.getpid()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._child(parent, work, writer)
        os.close(writer)
        self._running[pid] = _Forked(id_, _Answer(reader))

    def _child(self, parent: int, work: Callable[[], tuple[int, Any]], writer: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._answers.close()
            os.setpgid(0, 0)
            devnull = os.open(os.devnull, os.O_RDONLY)
            os.dup2(devnull, 0)
            die_with_parent(parent)
            code, value = work()
            _write_all(writer, json.dumps({"value": value}).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)

    def _ask(self, order: dict[str, Any], work: Callable[[], dict[str, Any]]) -> None:
        """Run what imports a plugin: isolated and confined, its answer read from a pipe."""
        scratch = Path(tempfile.mkdtemp(prefix="genbench-"))
        box = sandbox(order["sandbox"], scratch)
        reader, writer = os.pipe()

        def answer() -> None:
            if box is not None:
                box.enter()
            _write_all(writer, json.dumps(work()).encode())

        isolated = start_isolated(answer, log=None, keep_open=(writer,), scratch=scratch)
        os.close(writer)
        self._asked.append(_Asked(order["id"], isolated, _Answer(reader), scratch))

    def _reap(self) -> None:
        """Tell of every process that ended."""
        for pid, worker in list(self._running.items()):
            worker.answer.read()
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._running[pid]
                code = os.waitstatus_to_exitcode(status)
                self._ended(worker, code)
        for asked in list(self._asked):
            asked.answer.read()
            outcome = asked.isolated.poll(0)
            if outcome is not None:
                self._asked.remove(asked)
                shutil.rmtree(asked.scratch, ignore_errors=True)
                self._ended(asked, outcome.code)

    def _ended(self, one: _Forked | _Asked, code: int) -> None:
        self._answer({"id": one.id, "event": "ended", **one.answer.end(), "code": code})

    def _answer(self, body: dict[str, Any]) -> None:
        try:
            self._answers.write(json.dumps(body) + "\n")
            self._answers.flush()
        except OSError:
            self._signal_all(signal.SIGKILL)
            os._exit(1)

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        for asked in self._asked:
            asked.isolated.kill()


class _Answer:
    """The answer of a process: ``value`` or ``error``, read as it comes."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._data = b""
        self._open = True

    @property
    def waits(self) -> list[int]:
        """The file descriptors to wait for."""
        return [self._reader] if self._open else []

    def read(self) -> None:
        """Take what is there."""
        while self._open and select.select([self._reader], [], [], 0)[0]:
            part = os.read(self._reader, 1 << 16)
            self._data += part
            if not part or len(self._data) > MOST_ANSWER_BYTES:
                self._open = False
                os.close(self._reader)

    def end(self) -> dict[str, Any]:
        """All that was said; nothing if it was no JSON."""
        self.read()
        if self._open:
            os.close(self._reader)
        with contextlib.suppress(ValueError, AttributeError, TypeError):
            body = json.loads(self._data)
            return {name: body[name] for name in ("value", "error") if name in body}
        return {}


@dataclass
class _Forked:
    """A process that imports no plugin itself."""

    id: str
    answer: _Answer


@dataclass
class _Asked:
    """A question to a plugin that is being answered."""

    id: str
    isolated: Isolated
    answer: _Answer
    scratch: Path


def _called(order: dict[str, Any]) -> Callable[..., Any]:
    module, _, name = order["call"].partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _reply(order: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"value": _called(order)(order["args"])}
    except GenbenchError as error:
        return {"error": error_text(error, confined=True)}


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
    os.close(fd)


if __name__ == "__main__":
    # Importing torch takes seconds, in which nobody reads the pipe that would tell of the end.
    killed_with_parent(int(sys.argv[1]))
    ForkServer(sys.argv[2:]).serve()
    os._exit(0)  # what it has imported takes seconds to take down in good order
