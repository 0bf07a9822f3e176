"""Messages of a process at work to its parent: a name, JSON and arrays, over a socket.

Nothing that arrives is executed or unpickled. The process is not trusted: a message of another form
is a `ContractError`.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genbench.errors import ContractError

Array = npt.NDArray[Any]

MOST_HEADER_BYTES = 64 << 20
MOST_ARRAY_BYTES = 16 << 30
_KINDS = "biuf"  # of numpy's dtypes: numbers, no objects
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its kind, its values, its arrays by name."""

    kind: str
    body: Mapping[str, Any]
    arrays: Mapping[str, Array]


def send(to: socket.socket, kind: str, body: Any = None, arrays: Any = None) -> None:
    """Send one message whole; values are JSON data, of which NaN and infinity become None."""
    parts = {name: np.ascontiguousarray(a) for name, a in (arrays or {}).items()}
    described = [[name, a.dtype.str, list(a.shape)] for name, a in parts.items()]
    header = json.dumps({"kind": kind, "body": _plain(body or {}), "arrays": described}).encode()
    to.sendall(_LENGTH.pack(len(header)) + header)
    for array in parts.values():
        if array.size:
            to.sendall(array.reshape(-1).view(np.uint8).data)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


class MessageReader:
    """Puts messages together from the bytes that arrive.

    Parameters
    ----------
    most
        Bytes that the arrays of all messages may hold.
    """

    def __init__(self, most: int = MOST_ARRAY_BYTES) -> None:
        self._left = most
        self._data = bytearray()
        self._header: dict[str, Any] | None = None
        self._size = 0

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes; every message that is whole by now.

        Raises
        ------
        ContractError
            If they are no messages.
        """
        self._data += data
        while self._ready():
            yield self._message()

    def _ready(self) -> bool:
        if self._header is None and not self._read_header():
            return False
        return len(self._data) >= self._size

    def _read_header(self) -> bool:
        if len(self._data) < _LENGTH.size:
            return False
        (length,) = _LENGTH.unpack_from(self._data)
        if length > MOST_HEADER_BYTES:
            raise ContractError("the generator's process sent no message of ours")
        if len(self._data) < _LENGTH.size + length:
            return False
        try:
            self._header = _checked(json.loads(self._data[_LENGTH.size : _LENGTH.size + length]))
            self._size = sum(_size(a) for a in self._header["arrays"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ContractError("the generator's process sent no message of ours") from error
        del self._data[: _LENGTH.size + length]
        self._left -= self._size
        if self._left < 0:
            raise ContractError("the generator's process sent more than it was asked for")
        return True

    def _message(self) -> Message:
        assert self._header is not None
        arrays, start = {}, 0
        for name, dtype, shape in self._header["arrays"]:
            size = _size([name, dtype, shape])
            part = self._data[start : start + size]  # a copy, which may be written to
            arrays[name] = np.frombuffer(part, dtype).reshape(shape)
            start += size
        message = Message(self._header["kind"], self._header["body"], arrays)
        del self._data[: self._size]
        self._header = None
        return message


def _checked(header: Any) -> dict[str, Any]:
    if not isinstance(header["kind"], str) or not isinstance(header["body"], dict):
        raise ValueError(header)
    for name, dtype, shape in header["arrays"]:
        fine = all(type(length) is int and length >= 0 for length in shape)
        if not fine or not isinstance(name, str) or np.dtype(dtype).kind not in _KINDS:
            raise ValueError(name)
    return dict(header)


def _size(described: list[Any]) -> int:
    return int(math.prod(described[2])) * int(np.dtype(described[1]).itemsize)
