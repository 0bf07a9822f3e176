"""Every page of docs/contributing, followed in a copy of the repository: what it says works."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Done, copy_checkout

FOLDER = ROOT / "docs" / "contributing"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "index")
SHIPPED = ("genbench/", "baselines/")  # what is in the package
MAPPED = ("suites", "baselines")  # folders beside `genbench/` that are installed below it
LEFT_OUT = ("suites/data/", "reports/", "benchmarks/")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: `path` is the file over it, empty for what is typed."""

    language: str
    path: str
    text: str


def blocks(page: str) -> list[Block]:
    """All blocks of a page, in its order."""
    fenced = r'^```(\w*)(?: title="([^"\n]+)")?\n(.*?)^```$'
    text = (FOLDER / f"{page}.md").read_text()
    found = [Block(*parts) for parts in re.findall(fenced, text, re.MULTILINE | re.DOTALL)]
    assert text.count("```") == 2 * len(found), f"{page}.md has a block of another form"
    return found


def commands(page: str) -> list[str]:
    """What a page has its reader type."""
    return [line for block in blocks(page) if not block.path for line in block.text.splitlines()]


def changed_text(text: str, block: str) -> str:
    """A file's text after a block's changes: ``-`` lines out, ``+`` lines in, others to find it.

    A line ``@@`` goes on to another place of the file.
    """
    for part in re.split(r"^@@\n", block, flags=re.MULTILINE):
        lines = [(line[:1], line[1:]) for line in part.splitlines()]
        assert {sign for sign, _ in lines} <= {"+", "-", " "}, part
        before = "".join(f"{line}\n" for sign, line in lines if sign != "+")
        after = "".join(f"{line}\n" for sign, line in lines if sign != "-")
        assert f"\n{text}".count(f"\n{before}") == 1, f"not there, or twice:\n{before}"
        text = f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:]
    return text


@dataclass(frozen=True)
class Copy:
    """A copy of the repository, installed editable as far as Python's import system can tell."""

    root: Path

    def write(self, block: Block) -> None:
        """Put a block where it belongs: a new file, or lines of one that exists."""
        path = self.root / block.path
        if block.language == "diff":
            path.write_text(changed_text(path.read_text(), block.text))
        else:
            assert not path.exists(), f"{block.path} exists already: the page takes its name"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)

    def install(self) -> None:
        """Put the metadata where Python looks for it: so much of an installation a page needs.

        The project's build backend makes it, so that `pyproject.toml` has to be right.
        """
        site = self.root / "site"
        if site.exists():
            shutil.rmtree(site)
        for folder in (site, self.root / "reports"):  # a package too, empty here
            folder.mkdir(exist_ok=True)
        code = (
            "from setuptools import build_meta as b; b.prepare_metadata_for_build_editable('site')"
        )
        self._python("-c", code)
        (info,) = site.glob("*.dist-info")
        url = {"url": self.root.as_uri(), "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(url))
        for name in MAPPED:
            if not (place := self.root / "genbench" / name).exists():
                place.symlink_to(self.root / name)

    def type(self, line: str) -> Done:
        """A command line of a page, in the copy's folder."""
        words = shlex.split(line)
        settings = dict(word.split("=", 1) for word in takewhile(lambda w: "=" in w, words))
        program, *words = words[len(settings) :]
        if program == "pip":
            assert words == ["install", "--no-deps", "-e", "."]
            self.install()
            return Done(0, "", "")
        if program == "genbench":
            return self._python("-c", "from genbench.cli import main; main()", *words, **settings)
        if program == "python":
            return self._python(*words)
        return self._python("-m", program, "-q", "-p", "no:cacheprovider", *words)

    def changed(self) -> set[str]:
        """The files that differ from the repository's, results and build outputs aside."""
        lines = self.git("status", "--porcelain", "-uall").splitlines()
        return {line[3:] for line in lines}

    def clear(self) -> None:
        """Undo everything."""
        self.git("reset", "-q", "--hard")
        self.git("clean", "-fdqx", "-e", "__pycache__")  # compiling everything takes seconds

    def git(self, *words: str) -> str:
        """Output of a git command in the copy."""
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", *who, *words], cwd=self.root, check=True, capture_output=True, text=True
        ).stdout

    def records(self) -> dict[str, dict[str, Any]]:
        """The records that the page's runs left, by generator."""
        found = (json.loads(p.read_text()) for p in self.root.glob("results/*/*/*/*/record.json"))
        return {record["cell"]["generator"]["name"]: record for record in found}

    def _python(self, *words: str, **settings: str) -> Done:
        path = os.pathsep.join(map(str, (self.root / "site", self.root)))
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}{done.stdout}"
        return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """One copy for all pages."""
    copy = Copy(tmp_path_factory.mktemp("checkout"))
    copy_checkout(copy.root, without=LEFT_OUT)
    copy.git("init", "-q")
    copy.git("add", "-A")
    copy.git("commit", "-qm", "before")
    return copy


@pytest.fixture
def written(checkout: Copy, page: str) -> Iterator[Copy]:
    """The copy with the files of a page, until the test is over."""
    try:
        for block in blocks(page):
            if block.path:
                checkout.write(block)
        yield checkout
    finally:
        checkout.clear()


def counts() -> dict[str, int]:
    """How many files of the package each page touches, by the table on the first of them."""
    index = (FOLDER / "index.md").read_text()
    rows = re.findall(r"^\| \[[^]]+\]\((\w+)\.md\) \| (\d+)\b", index, re.MULTILINE)
    return {page: int(number) for page, number in rows}


def test_the_first_page_leads_to_all_others() -> None:
    assert sorted(counts()) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_a_page_touches_as_many_files_as_it_is_said_to(written: Copy, page: str) -> None:
    changed = written.changed()
    assert changed == {block.path for block in blocks(page) if block.path}
    assert len([name for name in changed if name.startswith(SHIPPED)]) == counts()[page]
    before = tomllib.loads(written.git("show", "HEAD:pyproject.toml"))
    after = tomllib.loads((written.root / "pyproject.toml").read_text())
    announced = [document["project"].pop("entry-points") for document in (before, after)]
    assert before == after, "an entry point is all that pyproject.toml gets"
    new = [sum(map(len, groups.values())) for groups in announced]
    by_entry_point = page in ("baseline", "loader", "extractor", "executor", "tracker")
    assert new[1] - new[0] == (1 if by_entry_point else 0)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_is_in_the_style_of_the_house(written: Copy, page: str) -> None:
    files = [name for name in written.changed() if name.endswith(".py")]
    for words in (["check", *files], ["format", "--check", *files]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache"],
            cwd=written.root, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def of_baseline(copy: Copy, out: dict[str, str]) -> None:
    assert "0 failed" in out["genbench check ppca"]
    ppca = copy.records()["ppca"]
    assert ppca["status"] == "ok"
    assert 3.5 < ppca["metrics"]["nll"]["value"] < 5, "a Gaussian, where the truth has 2.83 nats"
    assert ppca["cell"]["generator"]["source"], "of an editable installation files are the version"


def of_loader(copy: Copy, out: dict[str, str]) -> None:
    assert "diabetes 1.0.0: 1 data files checked" in out["genbench suite check ./diabetes.toml"]
    found = {name: record["metrics"]["emd"]["value"] for name, record in copy.records().items()}
    assert found["heldout"] < found["flow"] < found["noise"]


def of_extractor(copy: Copy, out: dict[str, str]) -> None:
    assert "random-cnn" in out["genbench list extractors"]
    fid = {name: record["metrics"]["fid"] for name, record in copy.records().items()}
    assert fid["heldout"]["value"] < fid["gaussian"]["value"] < fid["noise"]["value"]
    assert "extractor=random-cnn/1:" in fid["heldout"]["signature"]


def of_executor(copy: Copy, out: dict[str, str]) -> None:
    listed = out["genbench list executors --check"]
    assert "Runs each cell by a command, in a session of its own." in listed
    assert [record["status"] for record in copy.records().values()] == ["ok"]


def of_tracker(copy: Copy, out: dict[str, str]) -> None:
    listed = out["genbench list trackers --check"]
    assert "Keeps cells and their numbers as tables of a file." in listed
    (flow,) = copy.records().values()
    with contextlib.closing(sqlite3.connect(copy.root / "cells.db")) as base:
        told = dict(base.execute("select number, value from numbers").fetchall())
        assert base.execute("select status from cells").fetchall() == [("ok",)]
        assert base.execute("select count(*) from live").fetchone() == (0,)
    fid = flow["metrics"]["fid"]
    interval = fid["interval"]
    names = ("metrics/fid", "metrics/fid_low", "metrics/fid_high")
    assert [told[n] for n in names] == [fid["value"], interval["low"], interval["high"]]


def of_kind(copy: Copy, out: dict[str, str]) -> None:
    assert "0 failed" in out["genbench check logistic_normal.py"]
    found = copy.records()
    assert {record["status"] for record in found.values()} == {"ok"}
    nll = found["logistic-normal"]["metrics"]["nll"]
    assert (nll["status"], nll["unit"]) == ("ok", "nats")
    assert nll["value"] < -math.lgamma(4), "sharper than the uniform density over the simplex"
    roles = {artefact["role"] for artefact in found["logistic-normal"]["artifacts"]}
    assert "points" in roles, "it is shown as the kind says"


def of_metric(copy: Copy, out: dict[str, str]) -> None:
    assert re.search(r"^ *energy +genbench ", out["genbench list metrics"], re.MULTILINE)
    assert "fresh rows: 0 but for noise" in out["genbench selftest energy"]


OUTCOMES = {
    "kind": of_kind,
    "metric": of_metric,
    "executor": of_executor,
    "tracker": of_tracker,
    "baseline": of_baseline,
    "loader": of_loader,
    "extractor": of_extractor,
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_works_as_it_stands(written: Copy, page: str) -> None:
    written.install()  # as the reader's own copy is
    out = {line: written.type(line).out for line in commands(page)}
    assert any(line.startswith("pytest") for line in out), "it says what to test"
    OUTCOMES[page](written, out)
