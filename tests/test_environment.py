"""What a record says of where it was made costs nothing, whatever the place is like."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from genbench.errors import UsageError
from genbench.results import revisions
from genbench.system import environment


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e@x", "-C", folder, *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    (folder / "inner").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return folder


def test_the_commit_is_the_one_that_git_tells(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    git(tmp_path / "tree", "commit", "-q", "--allow-empty", "-m", "two")
    places = [repository, repository / "inner", tmp_path / "tree"]

    def agree() -> None:
        for place in places:
            monkeypatch.chdir(place)
            assert environment.source([])["git_commit"] == git(place, "rev-parse", "HEAD")

    agree()
    git(repository, "pack-refs", "--all")
    agree()
    git(repository, "checkout", "-q", "--detach")
    agree()


def test_outside_a_repository_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    assert environment.source([])["git_commit"] is None
    gone.rmdir()
    assert environment.source([])["git_commit"] is None


@pytest.fixture
def hanging_git(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A git, where there is a repository, whose child holds its output open and never answers."""
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\nsleep 60 & wait\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")


@pytest.mark.usefixtures("hanging_git")
def test_a_git_that_hangs_costs_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    monkeypatch.setattr(revisions, "GIT_SECONDS", 0.3)
    start = time.monotonic()
    assert environment.source([])["git_commit"]
    with pytest.raises(UsageError, match="git gave no answer"):
        revisions.extract(repository, "HEAD", repository / "x")
    assert time.monotonic() - start < 30, "it would have answered after 60"


def test_a_path_that_is_not_utf8_is_kept_readable() -> None:
    argv = ["run", os.fsdecode(b"--results=\xff")]
    assert environment.source(argv)["argv"] == ["run", "--results=\\udcff"]
