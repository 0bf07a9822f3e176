"""The header of a file that ``genbench export`` wrote: what it is, and what it was made from.

It is JSON under one key, where each format keeps such things: ONNX in ``metadata_props``, a
TorchScript archive among its extra files, safetensors in ``__metadata__``. Reading it runs nothing.
"""

from __future__ import annotations

import dataclasses
import json
import mmap
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from genbench.adapters.onnxfile import varint
from genbench.errors import DataError, PluginError, UsageError, shorten
from genbench.generator import Space
from genbench.system import READ_ERRORS

KEY = "genbench.export"
SCHEMA = "genbench.export/1"
MOST_HEADER = 1 << 20

Format = Literal["onnx", "torchscript", "safetensors"]
SUFFIXES: Mapping[Format, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "torchscript": (".pt", ".pth", ".ts"),
    "safetensors": (".safetensors",),
}
# Field 14 of ONNX's ModelProto, a StringStringEntryProto whose first text is the key.
_METADATA_PROPS = b"\x72"
_NAMED = b"\x0a" + bytes([len(KEY)]) + KEY.encode() + b"\x12"


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """What an exported file says of itself.

    Parameters
    ----------
    noise_size
        Numbers of noise for a row; 0 in safetensors, which hold a state and no sampler.
    labels
        Whether it takes labels, int64 ``(n,)``.
    module
        The part that was written: ``sampler``, ``decode`` or ``state``.
    suite, profile, task, seed, record
        What it was trained on: the suite with its version, the hash of the task, the record's id.
    threads
        Threads that it was trained with, and is drawn from with for the same bytes.
    """

    format: Format
    generator: str
    version: str
    params: Mapping[str, Any]
    space: Space
    noise_size: int
    labels: bool
    module: str
    suite: str
    profile: str
    task: str
    seed: int
    record: str
    threads: int
    genbench: str

    def to_text(self) -> str:
        """As the JSON text that stands in the file."""
        body = dataclasses.asdict(self) | {"space": self.space.to_json(), "schema": SCHEMA}
        return json.dumps(body, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> ExportHeader:
        """Undo `to_text`; `ValueError`, `KeyError` or `TypeError` if it is of another form."""
        body = json.loads(text)
        if body.pop("schema") != SCHEMA:
            raise ValueError(f"it is not {SCHEMA}: read it with the genbench that wrote it")
        header = cls(**body | {"space": Space.from_json(body["space"])})
        numbers = (header.noise_size, header.seed, header.threads)
        if header.format not in SUFFIXES or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError("a field is out of range")
        return header


def format_of(file: Path, asked: str | None = None) -> Format:
    """The format that a file is to have: the one that is `asked` for, or its suffix says.

    `UsageError` if the suffix is of no format, or of another one.
    """
    suffix = file.suffix.lower()
    found = next((name for name, known in SUFFIXES.items() if suffix in known), None)
    if found is None or asked not in (None, found):
        fitting = SUFFIXES[cast(Format, asked)] if asked else [s[0] for s in SUFFIXES.values()]
        raise UsageError(
            f"{file.name} has the suffix {suffix or 'of nothing'!r}: "
            f"name it {file.stem}{' or '.join(fitting)}{f' for {asked}' if asked else ''}"
        )
    return found


def require_onnxruntime() -> None:
    """`PluginError`, with the extra that brings it, unless onnxruntime is there."""
    if find_spec("onnxruntime") is None:
        raise PluginError("onnxruntime is absent: pip install 'genbench[onnx]'")


def with_metadata(model: bytes, text: str) -> bytes:
    """An ONNX model with the header: a protobuf message grows by what stands behind it."""
    value = text.encode()
    entry = _NAMED + _length(len(value)) + value
    return model + _METADATA_PROPS + _length(len(entry)) + entry


def read_header(file: Path) -> ExportHeader | None:
    """The header of an exported file; None if it is a file of another kind.

    `DataError` if the header is not of its form.
    """
    suffix = file.suffix.lower()
    readers = {"onnx": _of_onnx, "torchscript": _of_torchscript, "safetensors": _of_safetensors}
    name = next((name for name, known in SUFFIXES.items() if suffix in known), None)
    if name is None or not file.is_file():
        return None
    text = readers[name](file)
    if text is None:
        return None
    try:
        return ExportHeader.from_text(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{file.name} has a header of genbench export that cannot be read "
            f"({shorten(str(error))}): export it again"
        ) from error


def _of_onnx(file: Path) -> str | None:
    if file.stat().st_size == 0:
        return None
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.rfind(_NAMED)
        if at < 0:
            return None
        length, start = varint(data, at + len(_NAMED))
        return data[start : start + min(length, MOST_HEADER)].decode("utf-8", "replace")


def _of_torchscript(file: Path) -> str | None:
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                if info.filename.endswith(f"/extra/{KEY}") and info.file_size <= MOST_HEADER:
                    return archive.read(info).decode("utf-8", "replace")
    except (*READ_ERRORS, RuntimeError):
        return None
    return None


def _of_safetensors(file: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="np") as opened:
            found: str | None = (opened.metadata() or {}).get(KEY)
    except (SafetensorError, OSError):
        return None
    return found


def _length(value: int) -> bytes:
    """A number as protobuf writes it, seven bits a byte."""
    parts = []
    while value >= 0x80:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
