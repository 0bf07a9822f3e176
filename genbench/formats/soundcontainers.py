"""Whether the file around a sound is all there: readers of sounds return what is left of it.

Chunks of wav (RIFF, RIFX, RF64) and of aiff say how long they are; the last page of an ogg file
says that it is the last. Flac has checksums, which its reader looks at.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

UNFINISHED = 0xFFFFFFFF  # the size that a writer leaves who cannot go back, as into a pipe
_CHUNK = 8  # bytes of a chunk's name and size
_DS64 = struct.Struct("<QQ")  # of RF64: the sizes of the file and of its data
_OGG_LAST, _OGG_HEADER = 4, 27  # the flag of a last page; bytes before a page's table of segments

TRUNCATED = "is truncated", "restore it from its source"
NOT_CLOSED = (
    "has an unfinished header: its writer was stopped, or wrote into a pipe",
    "write it again, into a file",
)
TWICE = "holds two stretches of sound", "save them as two files"
BEYOND = "is longer than its header says", "write it again"


def flaw(data: bytes) -> tuple[str, str] | None:
    """What is wrong with the container of a sound, and the remedy; None where nothing is known."""
    if data[:4] in (b"RIFF", b"RIFX", b"RF64") and data[8:12] == b"WAVE":
        return _of_chunks(data, "data", ">" if data[:4] == b"RIFX" else "<")
    if data[:4] == b"FORM" and data[8:12] in (b"AIFF", b"AIFC"):
        return _of_chunks(data, "SSND", ">")
    return _of_pages(data) if data[:4] == b"OggS" else None


def _of_chunks(data: bytes, wanted: str, order: str) -> tuple[str, str] | None:
    long_size, found, end = 0, False, 0
    for name, size, start in _chunks(data, order):
        if name == "ds64" and len(data) >= start + _DS64.size:
            long_size = _DS64.unpack_from(data, start)[1]
        if name != wanted:
            continue
        if found:
            return TWICE
        found, left = True, len(data) - start
        if data[:4] == b"RF64" and size == UNFINISHED:
            size = long_size
        if size == UNFINISHED or (size == 0 and left > _CHUNK):
            return NOT_CLOSED
        if size > left:
            return TRUNCATED
        end = start + size
    return BEYOND if found and _is_sound(data[end + end % 2 :]) else None


def _chunks(data: bytes, order: str) -> Iterator[tuple[str, int, int]]:
    """Name, size and first byte of each chunk, as far as they have names."""
    place = 12
    while len(data) >= place + _CHUNK:
        name, (size,) = data[place : place + 4], struct.unpack_from(f"{order}I", data, place + 4)
        if not _is_name(name):
            return
        yield name.decode("ascii"), size, place + _CHUNK
        place += _CHUNK + size + size % 2


def _is_name(name: bytes) -> bool:
    return all(0x20 <= letter < 0x7F for letter in name)


def _is_sound(rest: bytes) -> bool:
    """Whether what follows the sound is more of it: neither a chunk nor padding."""
    return len(rest) >= _CHUNK and any(rest) and not _is_name(rest[:4]) and rest[:3] != b"ID3"


def _of_pages(data: bytes) -> tuple[str, str] | None:
    last = data.rfind(b"OggS")
    if len(data) < last + _OGG_HEADER or not data[last + 5] & _OGG_LAST:
        return TRUNCATED
    segments = data[last + _OGG_HEADER : last + _OGG_HEADER + data[last + _OGG_HEADER - 1]]
    whole = last + _OGG_HEADER + data[last + _OGG_HEADER - 1] + sum(segments)
    return TRUNCATED if len(data) < whole else None
