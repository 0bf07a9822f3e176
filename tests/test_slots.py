"""The slots of a run: never more at a time than there are, and none is lost with its holder."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from genbench.system import slots
from genbench.system.slots import Slots, slots_file


@contextmanager
def process(work: Callable[[], object]) -> Iterator[int]:
    """A forked process that does the work once it has been entered, and then sleeps."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            work()
            os.write(writer, b"!")
            time.sleep(60)
        finally:
            os._exit(0)
    os.close(writer)
    try:
        assert os.read(reader, 1) == b"!", "the work failed"
        yield pid
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_slot_is_held_by_one_process_at_a_time() -> None:
    file = slots_file()
    here = Slots(file, 3)
    assert here.take() == 0
    with process(lambda: Slots(file, 3).take()):
        assert here.take() == 2, "the other process holds 1"
        assert here.take() is None
        here.give(0)
        assert here.take() == 0
    assert here.take() == 1


def test_a_killed_process_loses_its_slot_and_its_children_do_not_keep_it() -> None:
    file = slots_file()

    def work() -> None:
        assert Slots(file, 1).take() == 0
        if os.fork() == 0:
            time.sleep(12)
            os._exit(0)

    with process(work) as pid:
        assert Slots(file, 1).take() is None
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + 10
        taken = None
        while taken is None and time.monotonic() < end:
            taken = Slots(file, 1).take()
        assert taken == 0


def test_a_cell_that_waits_comes_before_a_spare_one() -> None:
    file = slots_file()
    here = Slots(file, 1)
    slot = here.take()
    assert slot == 0
    waits_reader, waits_writer = os.pipe()
    has_reader, has_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with Slots(file, 1).one(lambda: False, lambda: os.write(waits_writer, b"!") and None):
            os.write(has_writer, b"!")
            time.sleep(60)
        os._exit(0)
    try:
        os.read(waits_reader, 1)
        time.sleep(0.3)
        here.give(slot)
        assert here.spare() is None, "somebody waits for it"
        assert os.read(has_reader, 1) == b"!"
        assert here.take() is None
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert here.spare() == 0


def test_who_waits_says_so_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that is silent for two minutes is shown as dead by `genbench status`."""
    monkeypatch.setattr(slots, "SAY_SECONDS", 0.2)
    file = slots_file()
    told: list[str] = []
    with (
        process(lambda: Slots(file, 1).take()),
        Slots(file, 1).one(lambda: len(told) >= 3, lambda: told.append("waiting")),
    ):
        assert len(told) == 3


def test_who_waits_gives_up_when_the_run_is_stopped() -> None:
    file = slots_file()
    told: list[str] = []
    with (
        process(lambda: Slots(file, 1).take()),
        Slots(file, 1).one(lambda: bool(told), lambda: told.append("waiting")),
    ):
        assert told == ["waiting"]


@pytest.mark.parametrize("n", [1, 4])
def test_slots_of_one_process_alone(n: int) -> None:
    alone = Slots(None, n)
    assert [alone.take() for _ in range(n + 1)] == [*range(n), None]
