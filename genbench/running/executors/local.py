"""Workers on this machine, forked from a zygote that has imported torch."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from genbench.errors import GenbenchError, PluginError
from genbench.plugins.finding import Description, GeneratorRef
from genbench.running.cellspec import CellSpec, write_spec
from genbench.system.subprocesses import python_module
from genbench.system.threads import counted, short_spinning

# glibc hands large blocks back to the system after every operation and takes them again for the
# next; keeping them saves a training loop on the CPU the page faults. Other libcs ignore these.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

DESCRIBE_SECONDS = 60.0
START_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker that ended: its cell and exit code, negative for a signal."""

    spec: CellSpec
    code: int


class LocalExecutor:
    """Runs cells in processes of this machine.

    Use as a context manager: leaving it ends every process it started.

    Parameters
    ----------
    log
        Where the zygote's own stderr goes; None for this process's.
    sandbox
        Whether processes that import a generator to ask it something are confined.
    """

    def __init__(self, log: IO[bytes] | None = None, *, sandbox: bool = True) -> None:
        self._log = log
        self.sandbox = sandbox
        self.stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._ids = (str(i) for i in itertools.count())
        self._running: dict[str, CellSpec] = {}
        self._replies: dict[str, dict[str, Any]] = {}
        self._buffer = b""
        # Digests of the cache files that workers of this run wrote; no generator can reach them.
        self._believed: dict[str, str] = {}

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def running(self) -> tuple[CellSpec, ...]:
        """The cells under way."""
        return tuple(self._running.values())

    def describe(self, ref: GeneratorRef) -> Description:
        """Load a generator in a child process and return what it says of itself.

        Raises
        ------
        PluginError
            If it cannot be loaded, or takes longer than `DESCRIBE_SECONDS`.
        """
        return Description.from_json(self._ask("describe", ref.name, ref=ref.to_json()))

    def classes_in(self, file: Path) -> list[tuple[str, str]]:
        """Class and generator names in a plugin file, read in a child process."""
        found = self._ask("classes", str(file), file=str(file))
        return [(str(cls), str(name)) for cls, name in found]

    def examine(self, order: Path) -> Iterator[None]:
        """Have a generator checked as the file `order` says; comes back often until that is done.

        Raises
        ------
        GenbenchError
            If the checking process itself ended badly.
        """
        id_ = next(self._ids)
        self._send({"op": "examine", "id": id_, "order": str(order)})
        while True:
            for answer in self._answers(0.2):
                if answer.get("id") == id_:
                    if answer.get("code") != 0:
                        raise GenbenchError("the checks broke off: see the lines above")
                    return
            yield

    def submit(self, spec: CellSpec) -> None:
        """Start a worker for a cell."""
        path = write_spec(spec)
        id_ = next(self._ids)
        self._running[id_] = spec
        self._send({"op": "run", "id": id_, "spec": str(path), "believed": self._believed})

    def poll(self, seconds: float) -> list[Ended]:
        """Wait at most `seconds` for workers to end."""
        ended = []
        for answer in self._answers(seconds):
            if answer.get("id") in self._running:
                self._believed.update(answer.get("value") or {})
                ended.append(Ended(self._running.pop(answer["id"]), int(answer["code"])))
            elif "id" in answer:
                self._replies[answer["id"]] = answer
        return ended

    def stop(self) -> None:
        """Ask every worker to finish writing and end."""
        with contextlib.suppress(GenbenchError):
            self._send({"op": "stop"})

    def kill(self) -> None:
        """End every worker now."""
        with contextlib.suppress(GenbenchError):
            self._send({"op": "kill"})

    def close(self) -> None:
        """End the zygote and with it every worker."""
        if self._process is None:
            return
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

    def _ask(self, op: str, name: str, **order: Any) -> Any:
        id_ = next(self._ids)
        self._send({"op": op, "id": id_, "sandbox": self.sandbox, **order})
        deadline = time.monotonic() + DESCRIBE_SECONDS
        while id_ not in self._replies:
            if time.monotonic() > deadline:
                self.close()
                raise PluginError(
                    f"{name}: importing it took more than {DESCRIBE_SECONDS:g} s: "
                    "move slow work from the module into fit()"
                )
            for answer in self._answers(1.0):
                self._replies[str(answer.get("id"))] = answer
        answer = self._replies.pop(id_)
        if "value" in answer:
            return answer["value"]
        reason = answer.get("error") or f"its process ended with code {answer.get('code')}"
        raise PluginError(reason if name in reason else f"{name}: {reason}")

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                python_module("genbench.system.forkserver", str(os.getpid())),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
                env={**ALLOCATOR, **os.environ, **short_spinning(), **counted(1)},
            )
            self._buffer = b""
            deadline = time.monotonic() + START_SECONDS
            while not any(a.get("event") == "ready" for a in self._answers(1.0)):
                if time.monotonic() > deadline:
                    raise GenbenchError("the worker process did not start: run `genbench doctor`")
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
            lost, self._running = self._running, {}
            if lost:
                return [{"id": id_, "code": code} for id_ in self._restore(lost)]
            raise GenbenchError(f"the worker process ended with code {code}: run `genbench doctor`")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def _restore(self, lost: dict[str, CellSpec]) -> list[str]:
        """Keep cells whose zygote died in `running` until `poll` has told of them."""
        self._running = lost
        return list(lost)
