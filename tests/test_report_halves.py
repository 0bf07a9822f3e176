"""Writing the cells of a large report on two cores changes nothing but the time."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from genbench.errors import StoreError
from genbench.report import halves
from genbench.report.halves import in_halves
from genbench.report.writing import build_report
from tests import report_fixtures as fixtures


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "ENOUGH", 2)
    monkeypatch.setattr(halves, "available_cores", lambda: 2)
    # Threads that tests before these left behind do no work here.
    count, idle = threading.active_count, threading.active_count() - 1
    monkeypatch.setattr(threading, "active_count", lambda: count() - idle)


def written_by(items: Sequence[int]) -> dict[str, str]:
    return {str(item): str(os.getpid()) for item in items}


def test_both_halves_are_done_each_in_a_process() -> None:
    found = in_halves(written_by, range(5))
    assert list(found) == ["0", "1", "2", "3", "4"]
    assert {found["0"], found["1"]} == {str(os.getpid())}
    assert len(set(found.values())) == 2


def test_what_comes_first_is_done_here_and_once_for_fewer_of_the_items() -> None:
    done: list[int] = []
    found = in_halves(written_by, range(10), first=lambda: done.append(os.getpid()), takes=0.4)
    assert done == [os.getpid()]
    assert [found[str(item)] == str(os.getpid()) for item in range(10)] == [True] * 3 + [False] * 7


def test_a_second_process_that_dies_costs_time_only() -> None:
    here = os.getpid()

    def work(items: Sequence[int]) -> dict[str, str]:
        if os.getpid() != here:
            os._exit(1)
        return written_by(items)

    assert list(in_halves(work, range(4))) == ["0", "1", "2", "3"]


def test_an_error_in_either_half_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    children: list[int] = []
    fork = os.fork

    def remembered() -> int:
        children.append(fork())
        return children[-1]

    monkeypatch.setattr(os, "fork", remembered)

    def work(items: Sequence[int]) -> dict[str, str]:
        if 3 in items:
            raise StoreError("cannot write 3")
        return written_by(items)

    for items in (range(4), [3, 0, 1, 2]):
        with pytest.raises(StoreError, match="cannot write 3"):
            in_halves(work, items)
    assert len(children) == 2
    for child in children:
        with pytest.raises(ChildProcessError):  # it is waited for, no zombie stays
            os.waitpid(child, os.WNOHANG)


def test_a_process_with_threads_is_not_forked() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        found = in_halves(written_by, range(5))
    finally:
        release.set()
        thread.join()
    assert set(found.values()) == {str(os.getpid())}


def test_the_report_is_the_same_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = fixtures.task(tmp_path / "records", seeds=(0, 1))
    build_report([task], tmp_path / "two")
    monkeypatch.setattr(halves, "ENOUGH", 10_000)
    build_report([task], tmp_path / "one")
    one, two = (
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}
        for root in (tmp_path / "one", tmp_path / "two")
    )
    assert len(one) > 20
    assert one == two
