"""A process that has imported torch and nothing of anyone's, and forks a worker per cell.

Importing torch takes seconds; forking takes milliseconds. Orders come as JSON lines on stdin,
answers go as JSON lines to stdout. When stdin ends, because the harness ended however that came
about, everything it forked is killed and it ends too.
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from genbench.errors import GenbenchError
from genbench.system.confinement import sandbox, told_of
from genbench.system.isolation import Isolated, start_isolated
from genbench.system.keeper import die_with_parent, killed_with_parent
from genbench.system.slots import Slots, slots_file
from genbench.system.threads import limit_interop_threads, limit_threads

MOST_ANSWER_BYTES = 64 << 20


class Zygote:
    """The loop of the fork server.

    Orders: ``{"op": "run", "id": ..., "spec": path}``, ``{"op": "describe", "id": ..., "ref":
    ...}``, ``{"op": "classes", "id": ..., "file": path}``, ``{"op": "examine", "id": ...,
    "order": path}``, ``{"op": "stop"}`` (workers finish writing), ``{"op": "kill"}``. Answers:
    ``{"id": ..., "event": "ended", "code": ...}``, with ``"value"`` or ``"error"`` for the two
    that ask something.
    """

    def __init__(self) -> None:
        self._running: dict[int, _Worker] = {}
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
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        _import_heavy_things()
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
                    self._obey(json.loads(line))

    def _waits(self) -> list[int]:
        told = [one.told for one in self._running.values()] + [one.told for one in self._asked]
        return [fd for one in told for fd in one.waits]

    def _obey(self, order: dict[str, Any]) -> None:
        match order["op"]:
            case "run":
                path, believed = order["spec"], order["believed"]
                self._fork(order["id"], lambda: _run(path, self._slots, believed))
            case "describe":
                self._ask(order, lambda: _describe(order["ref"]))
            case "classes":
                self._ask(order, lambda: _classes(order["file"]))
            case "examine":
                self._fork(order["id"], lambda: (_examine(order["order"]), {}))
            case "stop":
                self._signal_all(signal.SIGTERM)
            case "kill":
                self._signal_all(signal.SIGKILL)

    def _fork(self, id_: str, work: Callable[[], tuple[int, Any]]) -> None:
        """Run what imports no plugin itself; it gives an exit code and something to tell."""
        parent = os.getpid()
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._child(parent, work, writer)
        os.close(writer)
        self._running[pid] = _Worker(id_, reader)

    def _child(self, parent: int, work: Callable[[], tuple[int, Any]], writer: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
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
        self._asked.append(_Asked(order["id"], isolated, _Told(reader), scratch))

    def _reap(self) -> None:
        """Tell of every process that ended."""
        for pid, worker in list(self._running.items()):
            worker.told.read()
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._running[pid]
                code = os.waitstatus_to_exitcode(status)
                body = {"id": worker.id, "event": "ended", **worker.told.end(), "code": code}
                self._answer(body)
        for asked in list(self._asked):
            asked.told.read()
            outcome = asked.isolated.poll(0)
            if outcome is not None:
                self._asked.remove(asked)
                shutil.rmtree(asked.scratch, ignore_errors=True)
                told = asked.told.end()
                self._answer({"id": asked.id, "event": "ended", **told, "code": outcome.code})

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


class _Told:
    """What a process has to say: ``value`` or ``error``, read as it comes."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._data = b""
        self._open = True

    @property
    def waits(self) -> list[int]:
        """What to wait for."""
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
            told = json.loads(self._data)
            return {name: told[name] for name in ("value", "error") if name in told}
        return {}


class _Worker:
    """A process that imports no plugin itself."""

    def __init__(self, id_: str, reader: int) -> None:
        self.id = id_
        self.told = _Told(reader)


@dataclass
class _Asked:
    """A question to a plugin that is being answered."""

    id: str
    isolated: Isolated
    told: _Told
    scratch: Path


def _import_heavy_things() -> None:
    """What every worker needs. No operation is run here: threads would not survive a fork."""
    for name in (
        "torch",
        "torch._dynamo",  # 2.6 s, and every optimiser imports it
        "scipy.stats",
        "sklearn.datasets",
        "genbench.downstream.tstr",
        "genbench.running.generation",
        "genbench.metrics.outcomes",
        "genbench.running.pictures",
        "genbench.running.scoring",
        "genbench.running.worker",
    ):
        importlib.import_module(name)
    # Every process that is forked from here begins with one thread; none is started for it.
    limit_threads(1)
    limit_interop_threads()


def _run(path: str, slots: int, believed: dict[str, str]) -> tuple[int, dict[str, str]]:
    from genbench.running import worker
    from genbench.running.account import LOG
    from genbench.running.cellspec import read_spec
    from genbench.system import cachetrust

    spec = read_spec(Path(path))
    log = os.open(spec.folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = worker.run_cell(spec, Slots(slots, spec.slots), believed)
    return code, cachetrust.beliefs.wrote


def _examine(order: str) -> int:
    from genbench.results.store import read_json
    from genbench.testing import examiner

    return examiner.examine(read_json(Path(order)))


def _describe(ref: dict[str, Any]) -> dict[str, Any]:
    from genbench.plugins import finding as plugins

    try:
        return {"value": plugins.describe(plugins.GeneratorRef.from_json(ref)).to_json()}
    except GenbenchError as error:
        return {"error": told_of(error, confined=True)}
    except Exception as error:
        return {"error": f"generator {ref['name']!r} fails: {type(error).__name__}: {error}"}


def _classes(file: str) -> dict[str, Any]:
    """Classes with a spec in a plugin file: ``[[class name, spec name], ...]``."""
    from genbench.plugins import finding as plugins

    try:
        return {"value": plugins.classes_in(Path(file))}
    except GenbenchError as error:
        return {"error": told_of(error, confined=True)}


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
    os.close(fd)


if __name__ == "__main__":
    # Importing torch takes seconds, in which nobody reads the pipe that would tell of the end.
    killed_with_parent(int(sys.argv[1]))
    Zygote().serve()
    os._exit(0)  # what it has imported takes seconds to take down in good order
