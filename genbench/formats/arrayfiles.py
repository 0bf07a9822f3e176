"""Arrays in files, read row by row: npz, npy, pt and safetensors, none of them with pickle.

A file is opened, its arrays' shapes and dtypes are read from their headers, and only the rows asked
for are kept: a file of a million rows does not need the memory of a million rows.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import numpy.lib.format as npy
from numpy.typing import NDArray

from genbench.errors import DataError
from genbench.system import READ_ERRORS

SUFFIXES = (".npz", ".npy", ".pt", ".pth", ".safetensors")
MOST_BYTES = 64 << 30  # of one array, as its header claims; rows are read as they are needed
MOST_IN_MEMORY = 4 << 30  # where a whole array must be read to get at its rows
CHUNK_BYTES = 16 << 20

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in a file, its header read and its content not.

    Parameters
    ----------
    take
        Given sorted row numbers, those rows.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    take: Callable[[Array], Array]

    def all(self) -> Array:
        """Every row."""
        return self.take(np.arange(self.shape[0]))


@contextmanager
def open_arrays(file: Path) -> Iterator[Mapping[str, StoredArray]]:
    """The arrays of a file by name; the only array of a file without names is ``x``.

    Raises
    ------
    DataError
        If the file is of another type, cannot be read without pickle, or a header claims more
        than the file holds or than is allowed.
    """
    readers = {
        ".npz": _npz, ".npy": _npy, ".pt": _pt, ".pth": _pt, ".safetensors": _safetensors
    }  # fmt: skip
    if file.suffix.lower() not in readers:
        raise DataError(
            f"{file.name}: {file.suffix or 'no suffix'} is not read: use {', '.join(SUFFIXES)}, "
            "or a folder or .zip of images or sounds, or texts (.txt, .tsv, .jsonl)"
        )
    reading = _reading_errors()
    with ExitStack() as stack:
        with _refusing(file, reading):
            arrays = stack.enter_context(readers[file.suffix.lower()](file))
            for name, array in arrays.items():
                _check(file.name, name, array)
        # What the caller does with the rows is its own: only what a file's content may cause.
        with _refusing(file, (OSError, ValueError, RuntimeError, MemoryError)):
            yield {
                name: in_native_order(_refused_late(file, array, reading))
                for name, array in arrays.items()
            }


def in_native_order(array: StoredArray) -> StoredArray:
    """The array with its numbers in this machine's byte order, whichever it was written in."""
    dtype = array.dtype.newbyteorder("=")
    if dtype == array.dtype:
        return array
    return replace(array, dtype=dtype, take=lambda rows: array.take(rows).astype(dtype))


def _check(file: str, name: str, array: StoredArray) -> None:
    if not array.shape:
        raise DataError(f"{file}: array {name} is a single number, not rows")
    if min(array.shape) < 0:
        raise DataError(f"{file}: array {name} claims the shape {array.shape}: it is forged")
    # An axis of length 0 would leave the others free to claim anything.
    if math.prod(max(1, n) for n in array.shape) * array.dtype.itemsize > MOST_BYTES:
        raise DataError(
            f"{file}: array {name} claims {array.dtype} of shape {array.shape}, "
            f"over {MOST_BYTES >> 30} GiB: give a part of it"
        )


def _refused_late(
    file: Path, array: StoredArray, errors: tuple[type[Exception], ...]
) -> StoredArray:
    """The array, whose rows are read when they are asked for and may be damaged then."""

    def take(rows: Array) -> Array:
        with _refusing(file, errors):
            return array.take(rows)

    return replace(array, take=take)


@contextmanager
def _refusing(file: Path, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise DataError(
            f"cannot read {file.name} as arrays without pickle: {_one_line(error)}: save it again "
            "with numpy.savez, or as safetensors"
        ) from error


def _reading_errors() -> tuple[type[Exception], ...]:
    from pickle import UnpicklingError  # what torch.load raises for what it refuses to run

    from safetensors import SafetensorError

    # The last three are torch's unpickler on opcodes that do not fit one another.
    return (*READ_ERRORS, SafetensorError, UnpicklingError, IndexError, AttributeError,
            AssertionError)  # fmt: skip


def _one_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


@contextmanager
def _npy(file: Path) -> Iterator[dict[str, StoredArray]]:
    with file.open("rb") as stream:
        shape, _, dtype = _header(stream)
        left = file.stat().st_size - stream.tell()
    _same_size(file.name, shape, dtype, left)
    mapped = np.load(file, allow_pickle=False, mmap_mode="r")
    yield {"x": StoredArray(shape, dtype, lambda rows: np.array(mapped[rows]))}


@contextmanager
def _npz(file: Path) -> Iterator[dict[str, StoredArray]]:
    with zipfile.ZipFile(file) as archive:
        found = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename or info.flag_bits & 1:
                raise DataError(f"{file.name} holds {name!r}, which is no array: not an npz file")
            with archive.open(info) as stream:
                shape, fortran, dtype = _header(cast(BinaryIO, stream))
                left = info.file_size - stream.tell()
            _same_size(f"{file.name}: array {name}", shape, dtype, left)
            found[name] = StoredArray(
                shape, dtype, _npz_rows(archive, info, shape, fortran, dtype, file.name)
            )
        yield found


def _npz_rows(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    shape: tuple[int, ...],
    fortran: bool,
    dtype: np.dtype[Any],
    name: str,
) -> Callable[[Array], Array]:
    def take(rows: Array) -> Array:
        with archive.open(info) as stream:
            _header(cast(BinaryIO, stream))
            if fortran:  # columns lie together: there are no rows to read one after the other
                size = math.prod(shape) * dtype.itemsize
                if size > MOST_IN_MEMORY:
                    raise DataError(f"{name} is in Fortran order: save numpy.ascontiguousarray(x)")
                whole = np.frombuffer(_exactly(stream, size), dtype)
                return whole.reshape(shape, order="F")[rows]
            return _stream_rows(cast(BinaryIO, stream), shape, dtype, rows)

    return take


def _stream_rows(
    stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any], rows: Array
) -> Array:
    """The sorted `rows` of an array that can only be read forwards."""
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    per_chunk = max(1, CHUNK_BYTES // max(1, row_bytes))
    kept = np.empty((len(rows), *shape[1:]), dtype)
    done = 0
    for start in range(0, int(rows[-1]) + 1 if len(rows) else 0, per_chunk):
        n = min(per_chunk, shape[0] - start)
        block = np.frombuffer(_exactly(stream, n * row_bytes), dtype).reshape(n, *shape[1:])
        wanted = rows[(rows >= start) & (rows < start + n)] - start
        kept[done : done + len(wanted)] = block[wanted]
        done += len(wanted)
    return kept


def _exactly(stream: Any, size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(min(size, CHUNK_BYTES))
        if not part:
            raise EOFError("it ends in the middle of an array")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"npy format {version} is not read")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return shape, fortran, dtype


def _same_size(where: str, shape: tuple[int, ...], dtype: np.dtype[Any], found: int) -> None:
    claimed = math.prod(shape) * dtype.itemsize
    if claimed != found:
        raise DataError(
            f"{where} claims {dtype} of shape {shape}, {claimed:,} bytes, and holds {found:,}: "
            "it is truncated or forged"
        )


@contextmanager
def _pt(file: Path) -> Iterator[dict[str, StoredArray]]:
    import torch

    with file.open("rb") as stream:
        is_zip = stream.read(2) == b"PK"  # the older format cannot be mapped
    body = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    tensors = body if isinstance(body, Mapping) else {"x": body}
    named = {str(k): v for k, v in tensors.items() if isinstance(v, torch.Tensor)}
    yield {name: _of_tensor(tensor) for name, tensor in named.items()}


def _of_tensor(tensor: Any) -> StoredArray:
    import torch

    tensor = tensor.detach()
    dtype = array_of(tensor[:0]).dtype if tensor.ndim else array_of(tensor).dtype

    def take(rows: Array) -> Array:
        return np.array(array_of(tensor[torch.from_numpy(np.asarray(rows))]))

    return StoredArray(tuple(tensor.shape), dtype, take)


def array_of(tensor: Any) -> Array:
    """A torch tensor as an array; the types that NumPy lacks (bfloat16, float8) as float32."""
    tensor = tensor.detach().cpu()
    known = str(tensor.dtype) in ("torch.float16", "torch.float32", "torch.float64")
    found: Array = (tensor if known or not tensor.is_floating_point() else tensor.float()).numpy()
    return found


_SAFE_DTYPES = {
    "U8": "u1", "I8": "i1", "I16": "i2", "I32": "i4", "I64": "i8", "F16": "f2", "F32": "f4",
    "F64": "f8", "BOOL": "?", "U16": "u2", "U32": "u4", "U64": "u8",
}  # fmt: skip


_TORCH_ONLY = ("BF16", "F8_E4M3", "F8_E5M2")


@contextmanager
def _safetensors(file: Path) -> Iterator[dict[str, StoredArray]]:
    from safetensors import safe_open

    with ExitStack() as stack:
        opened = stack.enter_context(safe_open(str(file), framework="np"))
        found = {}
        for name in opened.keys():  # noqa: SIM118
            part = opened.get_slice(name)
            shape, code = tuple(part.get_shape()), part.get_dtype()
            if code in _TORCH_ONLY:
                as_torch = stack.enter_context(safe_open(str(file), framework="pt"))
                rows = _slices(as_torch.get_slice(name), shape, array_of)
                found[name] = StoredArray(shape, np.dtype("f4"), rows)
            elif code in _SAFE_DTYPES:
                found[name] = StoredArray(shape, np.dtype(_SAFE_DTYPES[code]), _slices(part, shape))
            else:
                raise ValueError(f"array {name} is {json.dumps(code)}")
        yield found


def _slices(
    part: Any, shape: tuple[int, ...], array: Callable[[Any], Array] = np.asarray
) -> Callable[[Array], Array]:
    """Rows of a slice, whose parts `array` makes arrays of."""

    def take(rows: Array) -> Array:
        size = max(1, CHUNK_BYTES // max(1, math.prod(shape[1:])))
        kept = [
            array(part[start : min(start + size, shape[0])])[
                rows[(rows >= start) & (rows < start + size)] - start
            ]
            for start in range(0, shape[0], size)
        ]
        return np.concatenate(kept)

    return take
