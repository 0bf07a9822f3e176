"""Two halves of some work at once, on two cores, with the result of one after the other."""

from __future__ import annotations

import json
import os
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from genbench.system import available_cores

T = TypeVar("T")
Work = Callable[[Sequence[T]], Mapping[str, str]]

ENOUGH = 200  # below that many items a second process gains nothing


def in_halves(work: Work[T], items: Sequence[T]) -> dict[str, str]:
    """``work(items)`` with the second half in a forked process, where that is possible and pays.

    `work` writes files and returns strings by name. It may be called twice for the second half:
    what the other process could not do, for whatever reason, is done again here, so that an error
    is raised as if there had been one process.
    """
    if len(items) < ENOUGH or not _can_fork():
        return dict(work(items))
    middle = len(items) // 2
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of numpy's idle threads, which do not matter
        pid = os.fork()
    if pid == 0:
        os.close(reader)
        _answer(writer, work, items[middle:])
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        try:
            first = dict(work(items[:middle]))
            data = pipe.read()
        finally:
            pipe.close()  # the other process, if it is still there, ends when it answers
            os.waitpid(pid, 0)
    try:
        second = json.loads(data)
    except ValueError:
        second = work(items[middle:])
    return {**first, **second}


def _can_fork() -> bool:
    """Whether there is a second core, and no thread that a fork would cut off in its work."""
    return available_cores() > 1 and threading.active_count() == 1


def _answer(writer: int, work: Work[T], items: Sequence[T]) -> None:
    """Do the work and end this process; without an answer the other does it again."""
    try:
        data = json.dumps(dict(work(items))).encode()
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(data)
    finally:
        os._exit(0)
