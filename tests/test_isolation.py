"""What a generator's process leaves behind is ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from genbench.system.isolation import Isolated, ProcessOutcome, start_isolated, wait_for_end
from genbench.system.supervisor import settled

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
HUNGRY = [sys.executable, "-S", "-c", "x = b'x' * (400 << 20); import time; time.sleep(600)"]


def isolated(
    work: Callable[[], None],
    tmp_path: Path,
    timeout: float | None = None,
    memory_limit: int | None = None,
) -> ProcessOutcome:
    running = start_isolated(work, log=tmp_path / "log", timeout=timeout, memory_limit=memory_limit)
    return wait_for_end(running, lambda: False)


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


def hungry_daemon(tmp_path: Path, limit: int) -> ProcessOutcome:
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


def below() -> set[int]:
    """All processes below this one."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


def hopping(daemons: int, own_group: bool) -> Callable[[], None]:
    """Daemons that fork themselves onward for 20 s: none of their processes lives for long."""

    def hop() -> None:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        end = time.time() + 20
        while time.time() < end:
            if os.fork():
                os._exit(0)
            if own_group:
                os.setsid()
        os._exit(0)

    def work() -> None:
        for _ in range(daemons):
            if os.fork() == 0:
                hop()
        time.sleep(0.2)

    return work


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux gives orphans back to the supervisor"
)
@pytest.mark.parametrize("own_group", [False, True], ids=["one session", "a session for each"])
@pytest.mark.parametrize("daemons", [1, 4])
def test_daemons_that_fork_themselves_onward_do_not_outlive_their_generator(
    tmp_path: Path, daemons: int, own_group: bool
) -> None:
    before = below()
    for _ in range(2):
        assert isolated(hopping(daemons, own_group), tmp_path).status == "returned"
        for _ in range(5):
            assert below() <= before
            time.sleep(0.01)


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux gives orphans back to the supervisor"
)
def test_two_that_start_each_other_again_are_both_ended(tmp_path: Path) -> None:
    def guard() -> None:
        os.setsid()
        while True:
            other = os.fork()
            if other == 0:
                os.setsid()
                watched = os.getppid()
                while os.getppid() == watched:
                    time.sleep(0.0005)
                continue  # the guard is gone: be one
            os.waitpid(other, 0)

    def work() -> None:
        if os.fork() == 0:
            guard()
        time.sleep(0.2)

    before = below()
    assert isolated(work, tmp_path).status == "returned"
    assert below() <= before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans back to the caller")
def test_a_generator_that_kills_its_keeper_wins_nothing(tmp_path: Path) -> None:
    start = daemon(tmp_path)

    def work() -> None:
        start()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)

    mine = subprocess.Popen(SLEEP)
    before = below()
    try:
        outcome = isolated(work, tmp_path)
        assert (outcome.status, outcome.signal_name) == ("killed", "SIGKILL")
        assert mine.pid in below() <= before
    finally:
        mine.kill()
        mine.wait()


def until_end(running: Isolated) -> ProcessOutcome:
    while (outcome := running.poll(0.1)) is None:
        pass
    return outcome


def test_several_at_once_are_told_apart(tmp_path: Path) -> None:
    def end_with(code: int) -> Callable[[], None]:
        return lambda: os._exit(code)

    def wait() -> None:
        time.sleep(60)

    waiting = start_isolated(wait, log=tmp_path / "log")
    others = [start_isolated(end_with(i), log=tmp_path / f"log{i}") for i in range(3)]
    assert [until_end(other).code for other in others] == [0, 1, 2]
    assert waiting.poll(0) is None
    waiting.stop()
    ended = until_end(waiting)
    assert (ended.status, ended.signal_name) == ("killed", "SIGTERM")
    assert waiting.poll(0) == ended
    assert ended.seconds < 30, "it would have waited for 60"


def spin(seconds: float) -> None:
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def test_core_seconds_are_those_of_the_whole_tree(tmp_path: Path) -> None:
    def work() -> None:
        if os.fork() == 0:
            spin(0.5)
            os._exit(0)
        spin(0.5)
        os.wait()
        time.sleep(0.5)

    running = start_isolated(work, log=tmp_path / "log")
    while running.core_seconds() < 0.5:
        assert running.poll(0.05) is None
    outcome = until_end(running)
    assert 1.0 <= outcome.core_seconds < 2.0


def test_open_files_of_the_caller_stay_with_it(tmp_path: Path) -> None:
    numbers = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("secret", "given")]

    def work() -> None:
        for number in numbers:
            os.write(number, b"written")

    running = start_isolated(work, log=tmp_path / "log", keep_open=(numbers[1],))
    assert until_end(running).status == "returned"
    for number in numbers:
        os.close(number)
    assert (tmp_path / "secret").read_text() == ""
    assert (tmp_path / "given").read_text() == "written"


def test_what_is_isolated_ends_with_its_caller(tmp_path: Path) -> None:
    """However that came about: here by SIGKILL."""
    code = (
        "import os, sys, time\nfrom pathlib import Path\n"
        "from genbench.system.isolation import start_isolated\n"
        "def work():\n    Path(sys.argv[1]).write_text(str(os.getpid()))\n    time.sleep(600)\n"
        "start_isolated(work, log=Path(sys.argv[1] + '.log'))\ntime.sleep(600)\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "pid")])
    end = time.monotonic() + 30
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    caller.kill()
    caller.wait()
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_its_temporary_folder_goes_even_if_the_caller_is_killed(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from genbench.system.isolation import start_isolated\n"
        "scratch = Path(sys.argv[1])\n"
        "def work():\n    (scratch / 'mine').touch()\n    time.sleep(600)\n"
        "start_isolated(work, log=None, scratch=scratch)\ntime.sleep(600)\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", code, str(scratch)])
    end = time.monotonic() + 30
    while not (scratch / "mine").is_file():
        assert time.monotonic() < end
        time.sleep(0.02)
    caller.kill()
    caller.wait()
    while scratch.exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_log_can_be_waited_for_when_its_caller_is_killed(tmp_path: Path) -> None:
    """A record has its log's digest: nothing may be appended after that was taken."""
    log = tmp_path / "log"
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from genbench.system.isolation import start_isolated\n"
        "def work():\n    while True:\n        print('chatter', flush=True)\n"
        "start_isolated(work, log=Path(sys.argv[1]))\ntime.sleep(600)\n"
    )
    for _ in range(3):
        caller = subprocess.Popen([sys.executable, "-c", code, str(log)])
        end = time.monotonic() + 30
        while not log.is_file() or not log.stat().st_size:
            assert time.monotonic() < end
            time.sleep(0.01)
        caller.kill()
        caller.wait()
        settled(log)
        size = log.stat().st_size
        time.sleep(0.5)
        assert log.stat().st_size == size
        log.unlink()
