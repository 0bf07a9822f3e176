"""Batches of 32 x 32 colour pictures in CIFAR's layouts, read without running anything.

A pickle is a program. `pickletools` lists its steps and takes none; the few that such a batch needs
are taken here, on tables, lists, texts, numbers and one array of bytes. Whatever else a file asks
for is named and not done.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genbench.errors import DataError

CIFAR_SIDE = 32
BYTES = 3 * CIFAR_SIDE * CIFAR_SIDE  # of a picture: its red plane, then green, then blue

_MARK = object()
_REBUILD = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_GLOBALS = (*_REBUILD, "numpy ndarray", "numpy dtype")
_UNSIGNED_BYTE = "u1"


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures uint8 ``(n, 32, 32, 3)`` and their classes int64 ``(n,)``, in the file's order."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]


def binary_batch(content: bytes, name: str, labels: int = 1) -> Batch:
    """Rows of `labels` bytes, of which the last is the class, and a picture's red, green and blue.

    `DataError`, which calls the file `name`, if the length is not that of whole rows.
    """
    if not content or len(content) % (labels + BYTES):
        raise DataError(
            f"data file {name} has {len(content)} bytes, which is no number of rows of "
            f"{labels + BYTES}: it is truncated or no batch; restore it from its source"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, labels + BYTES)
    return _batch(rows[:, labels:], rows[:, labels - 1].astype(np.int64))


def pickled_batch(content: bytes, name: str, labels: str = "labels") -> Batch:
    """A pickled table whose ``data`` is an array of uint8 ``(n, 3072)``, and `labels` a list.

    Nothing is unpickled. `DataError`, which calls the file `name`, if it holds anything else, asks
    for anything else, or ends too soon.
    """
    try:
        return _of_table(_Reader(name).read(content), labels)
    except DataError:
        raise
    except Exception as error:  # steps on values that they do not fit, in a file of anybody's
        raise DataError(
            f"data file {name} is truncated or no pickled batch of pictures "
            f"({type(error).__name__}: {str(error)[:80]}): restore it from its source"
        ) from error


def pickled_names(content: bytes, name: str, key: str = "label_names") -> tuple[str, ...]:
    """The classes' names in a pickled table with a list `key`, read as a batch is."""
    try:
        names = _Reader(name).read(content)[key]
        texts = [n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in names]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"its {key} are no texts")
        return tuple(texts)
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"data file {name} is truncated or no pickled table with {key} "
            f"({type(error).__name__}: {str(error)[:80]}): restore it from its source"
        ) from error


def _of_table(table: Any, key: str) -> Batch:
    if not isinstance(table, dict) or not {"data", key} <= set(table):
        raise ValueError(f"it is no table of data and {key}")
    array, labels = table["data"], table[key]
    if not isinstance(array, _Array) or not all(type(label) is int for label in labels):
        raise ValueError("its data are no array, or its labels no numbers")
    rows = array.rows()
    if len(rows) != len(labels):
        raise ValueError(f"it has {len(rows)} pictures and {len(labels)} labels")
    return _batch(rows, np.array(labels, np.int64))


def _batch(rows: NDArray[np.uint8], y: NDArray[np.int64]) -> Batch:
    planes = rows.reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
    return Batch(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), y)


class _Array:
    """An array in the making: the state that a pickle gives it."""

    state: Any = ()

    def rows(self) -> NDArray[np.uint8]:
        """Bytes ``(n, 3072)``."""
        _, shape, dtype, by_column, content = self.state
        if not isinstance(dtype, _Type) or dtype.code != _UNSIGNED_BYTE or by_column:
            raise ValueError("its array is not of unsigned bytes, row by row")
        if len(shape) != 2 or shape[1] != BYTES:
            raise ValueError(f"its array has the shape {shape}")
        # Python 2 had one type for text and bytes; both are listed as latin-1 text.
        raw = content.encode("latin-1") if isinstance(content, str) else content
        return np.frombuffer(raw, np.uint8).reshape(shape)


@dataclass(frozen=True, slots=True)
class _Type:
    """A type of numbers, by its code; the state that a pickle gives it says nothing more."""

    code: str


@dataclass(frozen=True, slots=True)
class _Global:
    """The name of something that would be imported."""

    name: str


class _Reader:
    """A stack machine for the steps of such a pickle."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, content: bytes) -> Any:
        """The value that the steps build."""
        for step, argument, _ in pickletools.genops(content):
            if step.name in _VALUES:
                self._stack.append(argument)
            elif step.name in _CONSTANTS:
                self._stack.append(_CONSTANTS[step.name]())
            elif step.name in _STEPS:
                _STEPS[step.name](self, argument)
            else:
                raise self._refusal(f"takes the step {step.name}")
        return self._stack.pop()

    def put(self, number: int | None) -> None:
        """Remember the value on top."""
        self._memo[len(self._memo) if number is None else number] = self._stack[-1]

    def get(self, number: int) -> None:
        """Take a remembered value."""
        self._stack.append(self._memo[number])

    def tuple_of(self, n: int) -> None:
        """The `n` values on top as one."""
        self._stack[-n:] = [tuple(self._stack[-n:])]

    def marked_tuple(self, _: None) -> None:
        """All down to the mark as one."""
        self._stack.append(tuple(self._to_mark()))

    def append(self, _: None) -> None:
        """One more for the list below it."""
        value = self._stack.pop()
        self._top(list).append(value)

    def extend(self, _: None) -> None:
        """All down to the mark for the list below it."""
        values = self._to_mark()
        self._top(list).extend(values)

    def set_item(self, _: None) -> None:
        """One more for the table below it."""
        pair = self._stack[-2:]
        del self._stack[-2:]
        self._set(pair)

    def set_items(self, _: None) -> None:
        """All down to the mark for the table below it."""
        self._set(self._to_mark())

    def name_global(self, name: str) -> None:
        """A name with its module, if it is one that a batch needs."""
        if name not in _GLOBALS:
            raise self._refusal(f"asks for {name.replace(' ', '.')!r:.80}")
        self._stack.append(_Global(name))

    def name_stacked_global(self, _: None) -> None:
        """The same, its module and name on the stack."""
        module, name = self._stack[-2:]
        del self._stack[-2:]
        self.name_global(f"{module} {name}")

    def make(self, _: None) -> None:
        """An array without content, or a type."""
        arguments, what = self._stack.pop(), self._stack.pop()
        if what in map(_Global, _REBUILD):
            self._stack.append(_Array())
        elif what == _Global("numpy dtype") and isinstance(arguments[0], str):
            self._stack.append(_Type(arguments[0]))
        else:
            raise self._refusal("calls what is no function of such a batch")

    def fill(self, _: None) -> None:
        """The state of an array; that of a type is dropped."""
        state, what = self._stack.pop(), self._stack[-1]
        if isinstance(what, _Array):
            what.state = state
        elif not isinstance(what, _Type):
            raise self._refusal("fills what is no array")

    def mark(self, _: None) -> None:
        """Begin a group."""
        self._stack.append(_MARK)

    def skip(self, _: Any) -> None:
        """Steps that say how to read the others."""

    def _set(self, values: list[Any]) -> None:
        keys = (key.decode("latin-1") if isinstance(key, bytes) else key for key in values[::2])
        self._top(dict).update(zip(keys, values[1::2], strict=True))

    def _top(self, kind: type[Any]) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise ValueError(f"a {kind.__name__} was expected")
        return self._stack[-1]

    def _to_mark(self) -> list[Any]:
        at = max(i for i, value in enumerate(self._stack) if value is _MARK)
        values = self._stack[at + 1 :]
        del self._stack[at:]
        return values

    def _refusal(self, what: str) -> DataError:
        return DataError(
            f"data file {self._name} is a pickle that {what}, which no batch of pictures needs and "
            "which may be harmful; nothing of it was run: get the file from its source"
        )


_VALUES = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE",
    "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES",
}  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    "PROTO": _Reader.skip,
    "FRAME": _Reader.skip,
    "STOP": _Reader.skip,
    "MARK": _Reader.mark,
    "MEMOIZE": _Reader.put,
    "BINPUT": _Reader.put,
    "LONG_BINPUT": _Reader.put,
    "BINGET": _Reader.get,
    "LONG_BINGET": _Reader.get,
    "TUPLE": _Reader.marked_tuple,
    "TUPLE1": lambda reader, _: reader.tuple_of(1),
    "TUPLE2": lambda reader, _: reader.tuple_of(2),
    "TUPLE3": lambda reader, _: reader.tuple_of(3),
    "APPEND": _Reader.append,
    "APPENDS": _Reader.extend,
    "SETITEM": _Reader.set_item,
    "SETITEMS": _Reader.set_items,
    "GLOBAL": _Reader.name_global,
    "STACK_GLOBAL": _Reader.name_stacked_global,
    "REDUCE": _Reader.make,
    "BUILD": _Reader.fill,
}
