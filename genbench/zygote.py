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
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from genbench.errors import GenbenchError
from genbench.keeper import die_with_parent, killed_with_parent
from genbench.slots import Slots, slots_file
from genbench.threads import limit_interop_threads, limit_threads


class Zygote:
    """The loop of the fork server.

    Orders: ``{"op": "run", "id": ..., "spec": path}``, ``{"op": "describe", "id": ..., "ref":
    ...}``, ``{"op": "classes", "id": ..., "file": path}``, ``{"op": "examine", "id": ...,
    "order": path}``, ``{"op": "stop"}`` (workers finish writing), ``{"op": "kill"}``. Answers:
    ``{"id": ..., "event": "ended", "code": ...}``, with ``"value"`` or ``"error"`` for the two
    that ask something.
    """

    def __init__(self) -> None:
        self._running: dict[int, str] = {}
        self._replies: dict[int, int] = {}
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
            ready, _, _ = select.select([0, self._wake_reader], [], [], 1.0)
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

    def _obey(self, order: dict[str, Any]) -> None:
        match order["op"]:
            case "run":
                self._fork(order["id"], lambda: _run(order["spec"], self._slots), reply=False)
            case "describe":
                self._fork(order["id"], lambda: _describe(order["ref"]), reply=True)
            case "classes":
                self._fork(order["id"], lambda: _classes(order["file"]), reply=True)
            case "examine":
                self._fork(order["id"], lambda: _examine(order["order"]), reply=False)
            case "stop":
                self._signal_all(signal.SIGTERM)
            case "kill":
                self._signal_all(signal.SIGKILL)

    def _fork(self, id_: str, work: Callable[[], Any], *, reply: bool) -> None:
        reader, writer = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._child(parent, work, writer, reply)
        os.close(writer)
        self._running[pid] = id_
        if reply:
            self._replies[pid] = reader
        else:
            os.close(reader)

    def _child(self, parent: int, work: Callable[[], Any], writer: int, reply: bool) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._answers.close()
            os.setpgid(0, 0)
            devnull = os.open(os.devnull, os.O_RDONLY)
            os.dup2(devnull, 0)
            die_with_parent(parent)
            value = work()
            code = value if not reply else 0
            if reply:
                _write_all(writer, json.dumps(value).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Tell of every process that ended; read what it had to say first, pipes are small."""
        for pid, id_ in list(self._running.items()):
            body: dict[str, Any] = {"id": id_, "event": "ended"}
            if pid in self._replies and select.select([self._replies[pid]], [], [], 0)[0]:
                # The child writes its whole answer before it ends, so this reads to its end.
                data = _read_all(self._replies.pop(pid))
                with contextlib.suppress(ValueError):
                    body.update(json.loads(data))
                _, status = os.waitpid(pid, 0)
            else:
                ended, status = os.waitpid(pid, os.WNOHANG)
                if not ended:
                    continue
                if pid in self._replies:
                    os.close(self._replies.pop(pid))
            del self._running[pid]
            body["code"] = os.waitstatus_to_exitcode(status)
            self._answer(body)

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


def _import_heavy_things() -> None:
    """What every worker needs. No operation is run here: threads would not survive a fork."""
    for name in (
        "torch",
        "torch._dynamo",  # 2.6 s, and every optimiser imports it
        "scipy.stats",
        "sklearn.datasets",
        "genbench.downstream.tstr",
        "genbench.generation",
        "genbench.metrics.outcomes",
        "genbench.pictures",
        "genbench.scoring",
        "genbench.worker",
    ):
        importlib.import_module(name)
    # Every process that is forked from here begins with one thread; none is started for it.
    limit_threads(1)
    limit_interop_threads()


def _run(path: str, slots: int) -> int:
    from genbench import worker
    from genbench.account import LOG
    from genbench.cellspec import read_spec

    spec = read_spec(Path(path))
    log = os.open(spec.folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    return worker.run_cell(spec, Slots(slots, spec.slots))


def _examine(order: str) -> int:
    from genbench.store import read_json
    from genbench.testing import examiner

    return examiner.examine(read_json(Path(order)))


def _describe(ref: dict[str, Any]) -> dict[str, Any]:
    from genbench import plugins

    try:
        return {"value": plugins.describe(plugins.GeneratorRef.from_json(ref)).to_json()}
    except GenbenchError as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": f"generator {ref['name']!r} fails: {type(error).__name__}: {error}"}


def _classes(file: str) -> dict[str, Any]:
    """Classes with a spec in a plugin file: ``[[class name, spec name], ...]``."""
    from genbench import plugins

    try:
        return {"value": plugins.classes_in(Path(file))}
    except GenbenchError as error:
        return {"error": str(error)}


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
    os.close(fd)


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 1 << 16):
        parts.append(part)
    os.close(fd)
    return b"".join(parts)


if __name__ == "__main__":
    # Importing torch takes seconds, in which nobody reads the pipe that would tell of the end.
    killed_with_parent(int(sys.argv[1]))
    Zygote().serve()
    os._exit(0)  # what it has imported takes seconds to take down in good order
