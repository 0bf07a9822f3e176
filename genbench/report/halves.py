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


def in_halves(
    work: Work[T], items: Sequence[T], *, first: Callable[[], None] = lambda: None,
    takes: float = 0.0,
) -> dict[str, str]:  # fmt: skip
    """``work(items)`` with the second half in a forked process, where that is possible and pays.

    What is to be done `first`, and `takes` so many times what all of the items take, is done in
    this process, which gets so many fewer of them.

    `work` writes files and returns strings by name. It may be called twice for the second half:
    what the other process could not do, for whatever reason, is done again here, so that an error
    is raised as if there had been one process.
    """
    if len(items) < ENOUGH or not _can_fork():
        first()
        return dict(work(items))
    middle = int(len(items) * (1 - takes) / 2)
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
            first()
            mine = dict(work(items[:middle]))
            data = pipe.read()
        finally:
            pipe.close()  # the other process, if it is still there, ends when it answers
            os.waitpid(pid, 0)
    try:
        theirs = json.loads(data)
    except ValueError:
        theirs = work(items[middle:])
    return {**mine, **theirs}


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
