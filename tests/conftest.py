"""What several test files share: the tiny suite, plugin files, the wheel, the command line."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # threads of several processes would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

from genbench.plugins.probing import Prober
from genbench.testing.examination import EXAMINED

# CI draws the same examples every time, so that red means a change and not a lucky draw; by hand
# every run draws new ones, and what they find becomes an @example.
hypothesis.settings.register_profile("repeatable", derandomize=True)
if os.environ.get("GENBENCH_REPEATABLE"):
    hypothesis.settings.load_profile("repeatable")

HERE = Path(__file__).parent
ROOT = HERE.parent
collect_ignore = ["thirdparty"]  # another author's package, with a test of its own
TINY = HERE / "tiny.toml"
PLUGINS = HERE / "plugins"
# Fixtures of several files, by how a test that takes one of them names it.
SHARED = {"prober": "prober(: Prober)?", "wheel": "wheel: Path|away: Away"}


def pytest_configure(config: pytest.Config) -> None:
    """A worker of pytest-xdist has a thread that hears its orders, and forks all the same."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        config.addinivalue_line(
            "filterwarnings", "ignore:.*multi-threaded, use of fork:DeprecationWarning"
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests begin where several processes share them, so that all processes end together."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {_company(item) for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: _company(item) not in slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What is dear and made once for many tests is made in one process; all else goes anywhere."""
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _company(nodeid)

    config.option.loadscopereorder = False
    return Together(config, log)


def _company(test: pytest.Item | str) -> str:
    """Those that share what a test takes: of a fixture, of a file that makes its own, or none."""
    nodeid = test if isinstance(test, str) else test.nodeid
    return _fixtures_of(nodeid.partition("::")[0]) or nodeid


@functools.cache
def _fixtures_of(file: str) -> str:
    text = (ROOT / file).read_text("utf-8")
    for name, parameters in SHARED.items():
        if re.search(rf"\b({parameters})[,)]", text):
            return name
    return file if 'scope="module"' in text else ""


@dataclass(frozen=True)
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its stdout as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


Command = Callable[..., Done]


def genbench(*args: object, cwd: Path, timeout: float = 300, env: Any = None) -> Done:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        command(args),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
    )
    return Done(done.returncode, done.stdout, done.stderr)


def command(args: Sequence[object]) -> list[str]:
    """The command line as this Python runs it."""
    code = "from genbench.cli import main; main()"
    return [sys.executable, "-c", code, *map(str, args)]


def glance(folder: Path) -> Path:
    """A suite's file: digits, a third of a smoke run's budget, all else at its smallest."""
    text = TINY.with_name("tiny-images.toml").read_text()
    for more, fewer in (
        ('name = "tiny-images"', 'name = "glance"'), ("n = [40, 80]", "n = [40]"),
        ("headline_n = 80", "headline_n = 40"), ("ratios = [1, 2]", "ratios = [1]"),
        ("headline_ratio = 2", "headline_ratio = 1"), ("replicates = 3", "replicates = 2"),
        ("steps = 60", "steps = 20"), ("robustness]\nn = 80", "robustness]\nn = 40"),
        ("examples = 1000", "examples = 2000"),
    ):  # fmt: skip
        assert more in text, more
        text = text.replace(more, fewer)
    path = folder / "glance.toml"
    path.write_text(text)
    return path


@pytest.fixture
def run_genbench(tmp_path: Path) -> Command:
    """`genbench` in a fresh folder."""

    def call(*args: object, **options: Any) -> Done:
        return genbench(*args, cwd=tmp_path, **options)

    return call


@pytest.fixture(scope="session")
def prober() -> Iterator[Prober]:
    """One worker server for all tests that ask generators something: starting it takes seconds."""
    with Prober(EXAMINED) as started:
        yield started


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tracked files."""
    source = tmp_path_factory.mktemp("source")
    copy_checkout(source)
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


def copy_checkout(target: Path, without: tuple[str, ...] = ()) -> None:
    """Copy the repository's files, new ones too, but for those whose paths begin like these."""
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in files:
        if (ROOT / name).is_file() and not name.startswith(without):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def build_wheel(source: Path, out: Path) -> Path:
    """The wheel of the project in a folder."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source],
        check=True, capture_output=True,
    )  # fmt: skip
    (found,) = out.glob("*.whl")
    return found


@dataclass(frozen=True)
class Away:
    """A fresh virtual environment that holds the wheel; what it depends on is lent from here."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def install(self, what: Path) -> None:
        """Install a wheel or a project, and nothing else."""
        subprocess.run(
            [sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet",
             "--no-deps", "--no-index", "--no-build-isolation", what],
            check=True, capture_output=True,
        )  # fmt: skip

    def run(self, *words: object, cwd: Path) -> Done:
        """A command of this environment, from a folder that is not the checkout."""
        done = subprocess.run(
            [str(self.folder / "bin" / str(words[0])), *map(str, words[1:])],
            cwd=cwd, capture_output=True, text=True, check=False,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"COLUMNS": "200"},
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def away(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Away:
    """See `Away`."""
    folder = tmp_path_factory.mktemp("away") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # A .pth file lends packages, and does not run the .pth files of the lender: no editable install
    # of ours comes with them.
    lent = [place for place in sys.path if Path(place).name.endswith("-packages")]
    (site / "lent.pth").write_text("\n".join(lent) + "\n")
    found = Away(folder)
    found.install(wheel)
    return found
