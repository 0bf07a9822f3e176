"""Isolated work that reports to a ledger while it runs, and the process that listens."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import cast

from genbench.errors import ContractError
from genbench.running.events import EventListener, EventSender, deliver
from genbench.running.ledger import Ledger
from genbench.running.wire import MessageReader
from genbench.system import Isolated, ProcessOutcome, start_isolated

# What a ledger raises at values of other types and sizes.
_NO_MESSAGE = (ContractError, TypeError, ValueError, KeyError, AttributeError, OverflowError,
               RecursionError)  # fmt: skip


class MonitoredProcess:
    """Isolated work whose events a ledger receives; several can be monitored at once.

    Parameters
    ----------
    work
        Run in a process of its own, with an `EventSender` to `ledger`.
    log, timeout, memory_limit, scratch
        See `genbench.system.isolation.start_isolated`.
    """

    def __init__(
        self,
        work: Callable[[EventListener], None],
        ledger: Ledger,
        *,
        log: Path | None,
        timeout: float | None = None,
        memory_limit: int | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._ledger = ledger
        self._reader = MessageReader(ledger.most_bytes)
        self._ours, theirs = socket.socketpair()
        self._running: Isolated = start_isolated(
            lambda: work(cast(EventListener, EventSender(theirs))),
            log=log,
            timeout=timeout,
            memory_limit=memory_limit,
            keep_open=(theirs.fileno(),),
            scratch=scratch,
        )
        theirs.close()
        self._ours.setblocking(False)
        ledger.cores = self._running.core_seconds
        self._outcome: ProcessOutcome | None = None

    def poll(self, seconds: float) -> ProcessOutcome | None:
        """Receive events for at most `seconds`; how it ended, once it has."""
        if self._outcome is not None:
            return self._outcome
        ended = self._running.poll(0.0)  # first: what was sent before the end is there by now
        if self._open:
            if ended is not None or select.select([self._ours], [], [], seconds)[0]:
                self._receive()
        elif ended is None:
            ended = self._running.poll(seconds)
        if ended is not None:
            self._outcome = ended
            self._ours.close()
        return ended

    def stop(self) -> None:
        """Have the work told to end."""
        self._running.stop()

    @property
    def _open(self) -> bool:
        return self._ours.fileno() >= 0 and self._ledger.broken is None

    def _receive(self) -> None:
        while self._open:
            try:
                data = self._ours.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._ours.close()
                return
            try:
                for message in self._reader.feed(data):
                    deliver(message, self._ledger)
            except _NO_MESSAGE as error:
                own = isinstance(error, ContractError)
                self._ledger.broken = str(error) if own else "its process sent no message of ours"
                self._running.kill()
