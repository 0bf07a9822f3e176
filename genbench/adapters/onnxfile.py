"""The files in which an ONNX model keeps the tensors that are not in itself."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

# A tensor's entry {"location": FILE} as protobuf writes it: field 1, 8 bytes of key, field 2.
_LOCATION = b"\x0a\x08location\x12"
MOST_NAME = 4096


def external_files(model: Path) -> list[Path]:
    """The files of external data that an ONNX file names and that are there, sorted.

    Read from the file's bytes: an entry of ``TensorProto.external_data``, a message of two texts
    (onnx/onnx.proto, ``StringStringEntryProto``), has one form.
    """
    if model.stat().st_size == 0:
        return []
    with (
        model.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        names = set(_locations(data))
    found = {(model.parent / name) for name in names}
    return sorted(path for path in found if path.is_file())


def _locations(data: mmap.mmap) -> Iterator[str]:
    at = data.find(_LOCATION)
    while at >= 0:
        at += len(_LOCATION)
        length, start = varint(data, at)
        if 0 < length <= MOST_NAME:
            text = data[start : start + length].decode("utf-8", "replace")
            if "\0" not in text:
                yield text
        at = data.find(_LOCATION, at)


def varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends; 0 if it does not end."""
    value = 0
    for count, byte in enumerate(data[at : at + 5]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    return 0, at
