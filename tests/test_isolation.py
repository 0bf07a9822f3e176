"""What a generator's process leaves behind is ended with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from genbench.isolation import Outcome, run_isolated

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
HUNGRY = [sys.executable, "-S", "-c", "x = b'x' * (400 << 20); import time; time.sleep(600)"]


def isolated(
    work: Callable[[], None],
    tmp_path: Path,
    timeout: float | None = None,
    memory_limit: int | None = None,
) -> Outcome:
    return run_isolated(
        work,
        log=tmp_path / "log",
        stopping=lambda: False,
        timeout=timeout,
        memory_limit=memory_limit,
    )


def is_gone(pid: int, seconds: float = 10.0) -> bool:
    """Whether a process ends soon; one that nobody has waited for yet has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def children(tmp_path: Path, **options: bool) -> Callable[[], None]:
    def work() -> None:
        process = subprocess.Popen(SLEEP, **options)  # type: ignore[call-overload]
        (tmp_path / "pid").write_text(str(process.pid))

    return work


def daemon(tmp_path: Path, words: list[str] = SLEEP) -> Callable[[], None]:
    """Forks twice into a session of its own, as daemons do to have no parent."""

    def work() -> None:
        if os.fork() == 0:
            os.setsid()
            pid = os.fork()
            if pid:
                (tmp_path / "pid").write_text(str(pid))
                os._exit(0)
            os.execv(words[0], words)
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)

    return work


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans back to the worker")
def test_a_daemon_does_not_outlive_its_generator(tmp_path: Path) -> None:
    outcome = isolated(daemon(tmp_path), tmp_path)
    assert outcome.status == "returned"
    assert is_gone(int((tmp_path / "pid").read_text()))


def hungry_daemon(tmp_path: Path, limit: int) -> Outcome:
    """Under a memory limit, a generator that waits while its daemon fills memory."""
    start = daemon(tmp_path, HUNGRY)

    def work() -> None:
        start()
        time.sleep(60)

    return isolated(work, tmp_path, memory_limit=limit)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans back to the worker")
def test_a_daemon_counts_towards_the_memory_limit_of_its_generator(tmp_path: Path) -> None:
    # In a small process of its own: a fork is counted with the pages that it shares.
    code = (
        "from pathlib import Path\nfrom tests.test_isolation import hungry_daemon\n"
        f"found = hungry_daemon(Path({str(tmp_path)!r}), 350 << 20)\n"
        "print(found.status, found.peak_rss_bytes)"
    )
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    status, peak = done.stdout.split()
    assert status == "oom"
    assert int(peak) > 350 << 20
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("own_session", [False, True])
def test_children_do_not_outlive_their_generator(tmp_path: Path, own_session: bool) -> None:
    outcome = isolated(children(tmp_path, start_new_session=own_session), tmp_path)
    assert outcome.status == "returned"
    if sys.platform == "linux" or not own_session:
        assert is_gone(int((tmp_path / "pid").read_text()))


@pytest.mark.slow
def test_a_generator_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    start = children(tmp_path, start_new_session=True)

    def work() -> None:
        start()
        time.sleep(600)

    outcome = isolated(work, tmp_path, timeout=5)
    assert outcome.status == "timeout"
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_processes_that_were_there_before_are_left_alone(tmp_path: Path) -> None:
    mine = subprocess.Popen(SLEEP)
    try:
        isolated(lambda: None, tmp_path)
        assert mine.poll() is None
    finally:
        mine.kill()
        mine.wait()
