"""npz files of strangers: no pickle, no more memory than allowed, one kind of error."""

from __future__ import annotations

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from genbench.errors import DataError
from genbench.system.files import write_bytes

MAX_BYTES = 8 << 30

# What numpy and zipfile raise for a file that is not what it says; found by fuzzing.
# RuntimeError: encrypted members; NotImplementedError: unknown compression; MemoryError and
# OverflowError: headers that promise more than there is; TokenError: headers that are no Python.
READ_ERRORS = (
    OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError,
    MemoryError, OverflowError, SyntaxError, struct.error, tokenize.TokenError, zlib.error,
    lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip


def read_npz(
    file: Path | IO[bytes], name: str, *, max_bytes: int = MAX_BYTES
) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an npz file, which messages call `name`, by their names.

    `DataError` if it unpacks to more than `max_bytes` (a zip cannot unpack to more than it
    declares), holds pickled objects, or cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > max_bytes:
            raise DataError(f"{name} unpacks to {size} bytes, over {max_bytes}")
        with np.load(file, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except READ_ERRORS as error:
        raise DataError(f"cannot read {name} as an npz file without pickle: {error}") from error


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays as a compressed npz, atomically."""
    write_bytes(path, npz_bytes(arrays))


def npz_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Arrays as a compressed npz."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def load_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read what `save_arrays` wrote; pickled objects are refused."""
    return read_npz(path, str(path))
