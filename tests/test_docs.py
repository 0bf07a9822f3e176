"""What the README says is so: commands parse, the plugin runs, tables name what there is."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

from genbench.cli import cli
from genbench.suite import shipped
from tests.conftest import TINY, Command

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "suites" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
FOLDERS = (
    "pictures",
    "results",
    "results-a",
    "results-b",
    "reports",
    "reports/ci",
    "suites",
    "a",
    "b",
)
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str = "") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every command line of ours that a page shows, comments cut off."""
    lines: list[str] = []
    for page in PAGES:
        text = page.read_text()
        lines += [line for block in blocks(text) for line in block.splitlines()]
        lines += re.findall(r"`(genbench [^`]+)`", text)
    ours = [line for line in lines if line.startswith("genbench ")]
    return sorted({re.split(r"\s{3,}|\s#", line)[0].strip() for line in ours})


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_pages_parses(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line)[1:]
    for word in words:  # what the page's reader would have
        if word.endswith((".npz", ".py", ".toml", ".csv", ".npy")):
            (tmp_path / word).write_text("")
        elif word in FOLDERS:
            (tmp_path / word).mkdir(parents=True, exist_ok=True)
    words = [w for w in words if w not in ("FILE", "NAME")]
    command: click.Command = cli
    with cli.make_context("genbench", [], resilient_parsing=True) as context:
        while isinstance(command, click.Group) and words:
            _, command, words = command.resolve_command(context, words)
        assert len(line.split()) == 1 or command is not cli, "the line names no command"
        if command is not cli and words:
            command.make_context(command.name, words, parent=context)


def test_the_readme_shows_commands() -> None:
    assert len(commands()) >= 12


def test_the_readmes_plugin_runs(run_genbench: Command, tmp_path: Path) -> None:
    (code,) = blocks(README, "python")
    (tmp_path / "mine.py").write_text(code)
    done = run_genbench("run", "--suite", TINY, "--plugin", "mine.py", "--no-controls", "--json",
                        "--no-report", "-g", "mine:scale=2.0")  # fmt: skip
    assert done.code == 0, done.err
    assert done.lines[0]["generator"] == "mine"
    assert done.lines[0]["params"] == {"scale": 2.0}


def test_the_readme_names_every_suite_and_baseline() -> None:
    for name in [*shipped(), "gan", "vae", "flow", "dna"]:
        assert f"`{name}`" in README, name


def test_every_suite_field_is_explained() -> None:
    text = (ROOT / "suites" / "README.md").read_text()
    for path in shipped().values():
        for table, keys in tomllib.loads(path.read_text()).items():
            if isinstance(keys, dict) and table != "profiles":
                for key in keys:
                    assert key in text, f"{table}.{key}"


def test_every_dependency_has_a_sentence() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    packages = [line for line in lines if re.match(r'\s+"[A-Za-z-]+>=', line)]
    assert len(packages) > 15
    for line in packages:
        assert re.search(r"#\s+\S+(\s+\S+){2,}", line), line
