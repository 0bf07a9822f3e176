"""The events of a generator's work, received in the same process or over a socket."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from genbench.errors import ContractError
from genbench.running.wire import Array, Message, send


class EventListener(Protocol):
    """The receiver of the events of a generator's work."""

    def phase(self, name: str) -> None:
        """A phase begins, and with it the one before has ended well."""

    def progress(self, done: int, total: int, scalars: Mapping[str, float]) -> None:
        """So much of the phase is done."""

    def fitted(self, facts: Mapping[str, Any]) -> None:
        """The fit ended, well or not: the fields of `genbench.plugins.driver.FitResult`."""

    def checkpointed(self) -> None:
        """A checkpoint lies in the work folder."""

    def snapshotting(self) -> None:
        """The fit stands still while a state of it is kept."""

    def snapshotted(self, examples: int) -> None:
        """The state after so many examples lies in the work folder; the fit goes on."""

    def no_snapshot(self, examples: int, reason: str) -> None:
        """It could not be kept; the fit goes on."""

    def point(self, examples: int) -> None:
        """The rows that follow are of the state after so many examples."""

    def no_point(self, reason: str) -> None:
        """There are no rows of that state."""

    def rows(self, arrays: Mapping[str, Array]) -> None:
        """A chunk of samples, ``x`` and, if labelled, ``y``."""

    def notes(self, texts: Sequence[str]) -> None:
        """The generator's own notes on its samples' values."""

    def state(self, parameters: int, stored: bool, changed: bool) -> None:
        """The state's number of weights, whether it lies in the work folder, and whether it is
        another than the generator was made with."""

    def log_probs(self, arrays: Mapping[str, Array]) -> None:
        """Log-probabilities by what they are of."""

    def codes(self, arrays: Mapping[str, Array]) -> None:
        """Codes of real rows and pictures made of codes, see `genbench.running.encoding`."""

    def no_log_probs(self, reason: str) -> None:
        """There are none, which costs the likelihood alone."""

    def held(self, peaks: Mapping[str, int]) -> None:
        """The most bytes that it held on its card, see `genbench.system.card.peaks`."""

    def ended(self, status: str, kind: str, message: str, trace: str) -> None:
        """The work ended, ``ok`` or by an error of that kind."""


_EVENTS = frozenset(name for name in vars(EventListener) if not name.startswith("_"))
_OF_ARRAYS = ("rows", "log_probs", "codes")


class EventSender:
    """An `EventListener` that sends everything to the parent process."""

    def __init__(self, to: socket.socket) -> None:
        self._to = to

    def __getattr__(self, kind: str) -> Callable[..., None]:
        if kind not in _EVENTS:
            raise AttributeError(kind)
        named = inspect.signature(getattr(EventListener, kind))

        def tell(*values: Any) -> None:
            if kind in _OF_ARRAYS:
                send(self._to, kind, arrays=values[0])
            else:
                body = dict(named.bind(self, *values).arguments)
                del body["self"]
                send(self._to, kind, body)

        return tell


def deliver(message: Message, to: EventListener) -> None:
    """Call `to` with the event that a message holds.

    Raises
    ------
    ContractError, TypeError
        If it is no event.
    """
    if message.kind not in _EVENTS:
        raise ContractError("the generator's process sent no message of ours")
    tell: Any = getattr(to, message.kind)
    if message.kind in _OF_ARRAYS:
        tell(message.arrays)
    else:
        tell(**message.body)
