"""What several test files share: the tiny suite, plugin files, and the command line for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TINY = HERE / "tiny.toml"
PLUGINS = HERE / "plugins"


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


@pytest.fixture
def run_genbench(tmp_path: Path) -> Command:
    """`genbench` in a fresh folder."""

    def call(*args: object, **options: Any) -> Done:
        return genbench(*args, cwd=tmp_path, **options)

    return call
